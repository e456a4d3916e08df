/* connections: which of them are to be ended, because a client takes too long or has left.
 *
 * libmicrohttpd's own time-out starts anew with every byte, so that a client that sends one byte a
 * second may stay for hours. Here each turn has a deadline. And libmicrohttpd waits for events by
 * edges: when a client's last bytes and its leaving come together it sees only the bytes, and waits
 * for more. */
#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct connections;
struct connection;

struct connections *connections_create(void); /* NULL when out of memory */
void connections_free(struct connections *connections);

enum turn {
    TURN_CLIENT_SENDS, /* a request, or the next one; nothing comes from a client that has left */
    TURN_SERVER_WORKS,
    TURN_CLIENT_READS, /* it may have closed its side for sending long ago */
};

/* It is the client's turn to send. NULL when out of memory. fd stays the caller's. */
struct connection *connections_add(struct connections *connections, int fd, int64_t deadline_ns);

/* Before fd is closed. NULL is allowed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* deadline_ns: INT64_MAX when there is none. A NULL connection is allowed. */
void connection_set_turn(struct connections *connections, struct connection *connection,
                         enum turn turn, int64_t deadline_ns);

/* Whether the client had closed its side when connections were last reaped; most do so only when
 * they leave. NULL is allowed: no. */
bool connection_sends_no_more(const struct connection *connection);

/* Shuts down the sockets of connections whose deadline has passed, or whose client left in its turn
 * to send (seen by two calls in a row), so that libmicrohttpd finds them closed. To be called now
 * and then. Returns how many. */
int connections_reap(struct connections *connections, int64_t now_ns);

#endif
