#include "server/connections.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct connection {
    int fd;
    int64_t deadline_ns;
    LIST_ENTRY(connection) link;
};

LIST_HEAD(connection_list, connection);

struct connections {
    pthread_mutex_t
        mutex; /* a connection is shut down under it, so fd cannot be another's by then */
    struct connection_list list;
};

struct connections *connections_create(void) {
    struct connections *connections = calloc(1, sizeof *connections);
    if (!connections)
        return NULL;
    pthread_mutex_init(&connections->mutex, NULL);
    LIST_INIT(&connections->list);
    return connections;
}

void connections_free(struct connections *connections) {
    if (!connections)
        return;
    while (!LIST_EMPTY(&connections->list))
        connections_remove(connections, LIST_FIRST(&connections->list));
    pthread_mutex_destroy(&connections->mutex);
    free(connections);
}

struct connection *connections_add(struct connections *connections, int fd, int64_t deadline_ns) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->fd = fd;
    connection->deadline_ns = deadline_ns;
    pthread_mutex_lock(&connections->mutex);
    LIST_INSERT_HEAD(&connections->list, connection, link);
    pthread_mutex_unlock(&connections->mutex);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection) {
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    LIST_REMOVE(connection, link);
    pthread_mutex_unlock(&connections->mutex);
    free(connection);
}

void connection_set_deadline(struct connections *connections, struct connection *connection,
                             int64_t deadline_ns) {
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    connection->deadline_ns = deadline_ns;
    pthread_mutex_unlock(&connections->mutex);
}

int connections_reap(struct connections *connections, int64_t now_ns) {
    struct connection *connection;
    int reaped = 0;
    pthread_mutex_lock(&connections->mutex);
    LIST_FOREACH(connection, &connections->list, link) {
        /* cppcheck-suppress uninitvar ; the list macro is beyond it */
        if (connection->deadline_ns <= now_ns) {
            shutdown(connection->fd, SHUT_RDWR);
            connection->deadline_ns = INT64_MAX;
            reaped++;
        }
    }
    pthread_mutex_unlock(&connections->mutex);
    return reaped;
}
