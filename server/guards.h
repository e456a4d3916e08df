/* guards: what stands between the network and the handlers, made as the options ask for it: keys,
 *  rates, the certificate, and the origins that are checked for it. Called by main(). */
#ifndef SERVER_GUARDS_H
#define SERVER_GUARDS_H

#include <stdio.h>

#include "server/server.h"

/* Makes the server's guards; it must have its options. STATUS_INVALID: also when it would serve
 * others than this machine without keys, and nothing says that it may. */
enum status guards_create(struct server *server, struct error *error);
void guards_free(struct server *server); /* also of what guards_create left unfinished */

/* Reads their files again, and logs what came of it. */
void guards_reload(struct server *server);

/* For --check-config: writes a line for each guard that could not be made; returns how many. */
int guards_check(const struct options *options, FILE *faults);

#endif
