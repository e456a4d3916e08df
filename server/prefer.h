/* prefer: what a client would like, if it can be (RFC 7240). */
#ifndef SERVER_PREFER_H
#define SERVER_PREFER_H

#include "server/request.h"

/* Whether the client prefers an answer at once, 202, to waiting for what takes long. To be told by
 * the header Preference-Applied: PREFER_ASYNC. `wait` beside it is not honoured: it may be ignored,
 * and at once is soon enough. */
#define PREFER_ASYNC "respond-async"
bool request_prefers_async(struct request *request);

/* Whether one line of Prefer has the preference, without a value. */
bool prefer_listed(const char *line, const char *preference);

#endif
