/* connections: how long each connection may still take for what it is doing.
 *
 * libmicrohttpd's own time-out starts anew with every byte, so that a client that sends one byte a
 * second may stay for hours. Here each phase has a deadline. */
#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H

#include <stdint.h>

struct connections;
struct connection;

struct connections *connections_create(void); /* NULL when out of memory */
void connections_free(struct connections *connections);

/* NULL when out of memory: refuse the connection. fd stays the caller's. */
struct connection *connections_add(struct connections *connections, int fd, int64_t deadline_ns);

/* Before fd is closed. NULL is allowed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* INT64_MAX: none, for it is the server's turn. NULL is allowed. */
void connection_set_deadline(struct connections *connections, struct connection *connection,
                             int64_t deadline_ns);

/* Shuts down the sockets of connections whose deadline has passed, so that libmicrohttpd finds them
 * closed. Returns how many. */
int connections_reap(struct connections *connections, int64_t now_ns);

#endif
