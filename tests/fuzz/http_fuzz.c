/* libFuzzer target: what a client sends on a connection, to the whole daemon.
 *
 * server/main.c runs on a thread, with libmicrohttpd and all handlers, on a port of its own; only
 * the model is a double (model_double.c), or an upload would take a second. The client sends,
 * closes its side, and reads until the daemon closes: every request is answered or its connection
 * closed, and no answer tells of an internal error. */
#define main maskd_main
int maskd_main(int argc, char **argv);
#include "server/main.c"
#undef main

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUIET_MS = 2 };

static const char INTERNAL[] = "{\"type\":\"/problems/internal\"";

static struct sockaddr_in address = {.sin_family = AF_INET};

static void *serve_thread(void *unused) {
    (void)unused;
    char port[16];
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    /* small enough that the limits are met, and that little is kept from one input to the next */
    char *arguments[] = {
        "maskd", "--config",      "/dev/null", "--port",          port,   "--log-level",
        "error", "--access-log",  "false",     "--workers",       "1",    "--http-threads",
        "1",     "--max-body",    "64K",       "--upload-memory", "128K", "--max-pixels",
        "65536", "--max-prompts", "16",        "--store-memory",  "4M",   NULL};
    maskd_main((int)(sizeof arguments / sizeof *arguments) - 1, arguments);
    abort(); /* nothing asks it to end */
}

static int connect_client(void) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client >= 0 && connect(client, (struct sockaddr *)&address, sizeof address) == 0)
        return client;
    close(client);
    return -1;
}

static void start_daemon_once(void) {
    static bool started;
    if (started)
        return;
    started = true;
    clearenv();
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0); /* finds a free port */
    if (bind(probe, (struct sockaddr *)&address, length) != 0 ||
        getsockname(probe, (struct sockaddr *)&address, &length) != 0)
        abort();
    close(probe);
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve_thread, NULL) != 0)
        abort();
    pthread_detach(thread);
    int client = -1;
    while ((client = connect_client()) < 0)
        usleep(10000);
    close(client);
    signal(SIGINT, SIG_DFL); /* libFuzzer's user can end it */
    signal(SIGTERM, SIG_DFL);
}

/* Sends the data while it reads what comes; returns when the daemon has closed. The answers, as far
 * as they fit. The client's side is closed once the daemon is quiet: it would come to notice that
 * later if it came together with the data. */
static size_t talk(int client, const uint8_t *data, size_t size, char *answers, size_t capacity) {
    static char beyond[65536];
    size_t sent = 0, received = 0;
    bool finished = false;
    for (;;) {
        struct pollfd ready = {client, (short)(POLLIN | (sent < size ? POLLOUT : 0)), 0};
        if (poll(&ready, 1, finished ? -1 : QUIET_MS) == 0) {
            shutdown(client, SHUT_WR);
            finished = true;
        }
        if (ready.revents & POLLOUT) {
            ssize_t count = send(client, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent = count > 0 ? sent + (size_t)count : size;
        }
        if (!(ready.revents & (POLLIN | POLLERR | POLLHUP)))
            continue;
        const size_t room = capacity - received;
        ssize_t count =
            recv(client, room ? answers + received : beyond, room ? room : sizeof beyond, 0);
        if (count <= 0)
            return received;
        received += room ? (size_t)count : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char answers[1 << 20];
    const struct linger at_once = {1, 0}; /* no port is left waiting */
    start_daemon_once();
    if (size == 0)
        return 0;
    int client = connect_client();
    if (client < 0)
        abort();
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    const size_t received = talk(client, data, size, answers, sizeof answers);
    close(client);
    if (received > 0 && (received < 5 || memcmp(answers, "HTTP/", 5) != 0))
        abort();
    if (memmem(answers, received, INTERNAL, sizeof INTERNAL - 1))
        abort();
    return 0;
}
