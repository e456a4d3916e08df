#include "server/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/connections.h"
#include "server/log.h"
#include "server/quiesce.h"
#include "server/routes.h"
#include "server/tls.h"

struct http {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    int listening; /* ours to close; -1 while it is libmicrohttpd's, or there is none */
    int port;
};

/* ---- libmicrohttpd's callbacks ----------------------------------------------------------- */

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    struct http *http = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&http->server->connections_open, 1);
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info) /* without memory for it the connection lives on, but has no deadline */
            *context = connections_add(http->connections, info->connect_fd,
                                       seconds_from_now(http->server->options->header_timeout));
    } else {
        atomic_fetch_sub(&http->server->connections_open, 1);
        connections_remove(http->connections, *context);
        *context = NULL;
    }
}

static struct connection *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static enum MHD_Result send_response(struct http *http, struct request *request) {
    if (!request->response)
        return MHD_NO; /* out of memory: the connection is dropped */
    connection_set_turn(http->connections, request->peer, TURN_CLIENT_READS,
                        seconds_from_now(http->server->options->send_timeout));
    return MHD_queue_response(request->connection, (unsigned)request->status, request->response);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context) {
    struct http *http = user;
    struct request *request = *context;
    if (!request) { /* the headers are there */
        request = request_begin(http->server, connection, path, method, version);
        if (!request)
            return MHD_NO;
        *context = request;
        request->peer = peer_of(connection);
        connection_set_turn(http->connections, request->peer, TURN_CLIENT_SENDS,
                            seconds_from_now(http->server->options->body_timeout));
        if (!request_refused_early(request))
            return MHD_YES;
        request_handle(request);
        return send_response(http, request);
    }
    if (*size > 0) {
        bool more = request_receive(request, data, *size);
        *size = 0;
        return more ? MHD_YES : MHD_NO;
    }
    if (!request->complete) {
        connection_set_turn(http->connections, request->peer, TURN_SERVER_WORKS, INT64_MAX);
        request_handle(request);
        /* Once suspended, the request may already be answered by another thread: libmicrohttpd
         * calls again after it was resumed. */
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);
        if (info && info->suspended)
            return MHD_YES;
    }
    return send_response(http, request);
}

static void count_request(const struct request *request) {
    const struct metrics_request counted = {
        .route = routes_index(request->route),
        .head = strcmp(request->method, MHD_HTTP_METHOD_HEAD) == 0,
        .status = request->status,
        .received = request->received,
        .sent = request->sent,
        .milliseconds = milliseconds_since(request->started_ns),
    };
    metrics_count_request(request->server->metrics, &counted);
}

/* Without the query, which may hold a key. */
static void log_request(const struct request *request, const char *end) {
    char caller[INET6_ADDRSTRLEN];
    log_event(LOG_INFO, "request", LOG_STRING("method", request->method),
              LOG_STRING("path", request->path),
              LOG_STRING("route", request->route ? request->route->path : ""),
              LOG_STRING("image", request->image_id), LOG_INTEGER("status", request->status),
              LOG_INTEGER("received", (int64_t)request->received),
              LOG_INTEGER("sent", (int64_t)request->sent),
              LOG_NUMBER("ms", milliseconds_since(request->started_ns)),
              LOG_STRING("client", caller_text(&request->caller, caller)),
              LOG_STRING("key", request->key_label), LOG_STRING("request_id", request->id),
              LOG_STRING("end", end));
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    struct http *http = user;
    struct request *request = *context;
    if (!request)
        return;
    *context = NULL;
    connection_set_turn(http->connections, request->peer, TURN_CLIENT_SENDS,
                        seconds_from_now(http->server->options->idle_timeout));
    count_request(request);
    if (http->server->options->access_log)
        log_request(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "sent" : "broken");
    request_free(request);
}

/* Decodes percent escapes in place. With one of a zero byte the text stays as it is, for it would
 * end there: a path or parameter with a percent sign is none of ours. */
static size_t on_escaped(void *user, struct MHD_Connection *connection, char *text) {
    (void)user, (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static void __attribute__((format(printf, 2, 0)))
on_message(void *user, const char *format, va_list arguments) {
    (void)user;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "libmicrohttpd", LOG_STRING("message", text));
}

/* ---- listening --------------------------------------------------------------------------- */

static int listen_at(const struct addrinfo *address) {
    int on = 1;
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static enum status open_listener(struct http *http, const struct options *options,
                                 struct error *error) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses;
    char port[16];
    snprintf(port, sizeof port, "%lld", options->port);
    int failed = getaddrinfo(options->host, port, &hints, &addresses);
    if (failed)
        return error_set(error, STATUS_IO, "host %.100s: %s", options->host, gai_strerror(failed));
    for (const struct addrinfo *at = addresses; at && http->listening < 0; at = at->ai_next)
        http->listening = listen_at(at);
    int why = errno;
    freeaddrinfo(addresses);
    if (http->listening < 0)
        return error_set(error, STATUS_IO, "cannot listen on %.100s port %s: %s", options->host,
                         port, strerror(why));
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    getsockname(http->listening, (struct sockaddr *)&bound, &length);
    http->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                   : ((struct sockaddr_in *)&bound)->sin_port);
    return STATUS_OK;
}

static struct MHD_Daemon *start_daemon(struct http *http, const struct options *options) {
    const unsigned threads = (unsigned)options->http_threads;
    const bool tls = options->tls_certificate[0];
    struct MHD_OptionItem tls_settings[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)tls_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem settings[] = {
        {MHD_OPTION_LISTEN_SOCKET, http->listening, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, options->max_connections, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->max_headers, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, http},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, http},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)on_escaped, http},
        /* one thread polls by itself; more are a pool */
        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                                MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0),
                            0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_message,
                            NULL, MHD_OPTION_ARRAY, settings,
                            tls ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls_settings, MHD_OPTION_END);
}

enum status http_start(struct server *server, struct http **out, struct error *error) {
    *out = NULL;
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        return error_set(error, STATUS_NO_MEMORY, "no memory for the listener");
    http->server = server;
    http->listening = -1;
    http->connections = connections_create();
    enum status status = http->connections
                             ? open_listener(http, server->options, error)
                             : error_set(error, STATUS_NO_MEMORY, "no memory for the listener");
    if (status == STATUS_OK) {
        quiesce_prepare();
        http->daemon = start_daemon(http, server->options);
        http->listening = -1;
        if (!http->daemon)
            status = error_set(error, STATUS_IO, "libmicrohttpd cannot start: %s", strerror(errno));
    }
    if (status != STATUS_OK) {
        http_stop(http);
        return status;
    }
    *out = http;
    return STATUS_OK;
}

int http_port(const struct http *http) {
    return http->port;
}

void http_reap(struct http *http, int64_t now_ns) {
    int reaped = connections_reap(http->connections, now_ns);
    if (reaped > 0)
        log_event(LOG_DEBUG, "connections whose client left or took too long",
                  LOG_INTEGER("count", reaped));
}

void http_quiesce(struct http *http) {
    http->listening = quiesce(http->daemon);
    /* refuses clients from now on; closed only by http_stop, for a thread may yet accept from it */
    shutdown(http->listening, SHUT_RDWR);
}

void http_stop(struct http *http) {
    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    if (http->listening >= 0)
        close(http->listening);
    connections_free(http->connections);
    free(http);
}
