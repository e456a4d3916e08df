/* http: the listening socket, libmicrohttpd's polling threads, and connections that take too long.
 *
 * A handler never blocks: it answers at once, or it suspends its request, hands it to a job, and
 * the job answers (request.h). */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdint.h>

#include "server/server.h"

/* Listens and serves. *server must be complete but for http. STATUS_IO: cannot listen there;
 * STATUS_NO_MEMORY. */
enum status http_start(struct server *server, struct http **http, struct error *error);

int http_port(const struct http *http); /* the one that was bound */

/* To be called several times a second: ends connections whose time is over. */
void http_reap(struct http *http, int64_t now_ns);

/* Stops accepting connections; those that exist go on. */
void http_quiesce(struct http *http);

/* Ends all connections and threads. No request may be suspended. NULL is allowed. */
void http_stop(struct http *http);

#endif
