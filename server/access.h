/* access: whether a request may come in, by its key and its rate. */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include "server/request.h"

/* With the request's headers and route at hand: notes who calls, and sets the request's refusal
 * when they may not (401), or not so often (429). */
void access_check(struct request *request);

#endif
