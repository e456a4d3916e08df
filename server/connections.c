#include "server/connections.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int fd;
    enum turn turn;
    int64_t deadline_ns;
    atomic_bool sends_no_more; /* the client has closed its side */
    bool found_silent;         /* the last reap found that, and nothing left to read */
    LIST_ENTRY(connection) link;
};

LIST_HEAD(connection_list, connection);

struct connections {
    pthread_mutex_t
        mutex; /* a connection is shut down under it, so fd cannot be another's by then */
    struct connection_list list;
    int epoll; /* tells, once each, who sends no more */
};

struct connections *connections_create(void) {
    struct connections *connections = calloc(1, sizeof *connections);
    if (!connections)
        return NULL;
    connections->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (connections->epoll < 0) {
        free(connections);
        return NULL;
    }
    pthread_mutex_init(&connections->mutex, NULL);
    LIST_INIT(&connections->list);
    return connections;
}

void connections_free(struct connections *connections) {
    if (!connections)
        return;
    while (!LIST_EMPTY(&connections->list))
        connections_remove(connections, LIST_FIRST(&connections->list));
    close(connections->epoll);
    pthread_mutex_destroy(&connections->mutex);
    free(connections);
}

struct connection *connections_add(struct connections *connections, int fd, int64_t deadline_ns) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->fd = fd;
    connection->deadline_ns = deadline_ns;
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    pthread_mutex_lock(&connections->mutex);
    epoll_ctl(connections->epoll, EPOLL_CTL_ADD, fd, &event); /* without it: until the deadline */
    LIST_INSERT_HEAD(&connections->list, connection, link);
    pthread_mutex_unlock(&connections->mutex);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection) {
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    epoll_ctl(connections->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    LIST_REMOVE(connection, link);
    pthread_mutex_unlock(&connections->mutex);
    free(connection);
}

void connection_set_turn(struct connections *connections, struct connection *connection,
                         enum turn turn, int64_t deadline_ns) {
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    connection->turn = turn;
    connection->deadline_ns = deadline_ns;
    connection->found_silent = false;
    pthread_mutex_unlock(&connections->mutex);
}

bool connection_sends_no_more(const struct connection *connection) {
    return connection && connection->sends_no_more;
}

/* ---- reaping; all with the mutex held ---------------------------------------------------- */

static void note_who_sends_no_more(struct connections *connections) {
    struct epoll_event events[64];
    int count;
    while ((count = epoll_wait(connections->epoll, events, 64, 0)) > 0)
        for (int i = 0; i < count; i++)
            ((struct connection *)events[i].data.ptr)->sends_no_more = true;
}

/* Twice in a row, for the first time libmicrohttpd may just have read the last bytes, and the turn
 * is about to change. */
static bool has_left(struct connection *connection) {
    int unread = 0;
    bool silent = connection->turn == TURN_CLIENT_SENDS && connection->sends_no_more &&
                  ioctl(connection->fd, FIONREAD, &unread) == 0 && unread == 0;
    bool twice = silent && connection->found_silent;
    connection->found_silent = silent;
    return twice;
}

int connections_reap(struct connections *connections, int64_t now_ns) {
    struct connection *connection;
    int reaped = 0;
    pthread_mutex_lock(&connections->mutex);
    note_who_sends_no_more(connections);
    LIST_FOREACH(connection, &connections->list, link) {
        /* cppcheck-suppress uninitvar ; the list macro is beyond it */
        if (connection->deadline_ns <= now_ns || has_left(connection)) {
            shutdown(connection->fd, SHUT_RDWR);
            connection->deadline_ns = INT64_MAX;
            connection->turn = TURN_SERVER_WORKS; /* it is libmicrohttpd's to close */
            reaped++;
        }
    }
    pthread_mutex_unlock(&connections->mutex);
    return reaped;
}
