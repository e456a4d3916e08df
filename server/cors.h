/* cors: which web pages of other origins may use this server (fetch.spec.whatwg.org, CORS
 * protocol). */
#ifndef SERVER_CORS_H
#define SERVER_CORS_H

#include <stdbool.h>

#include "engine/status.h"

struct request;
struct MHD_Response;

/* Whether it is "*", or origins as browsers send them (scheme://host or scheme://host:port, in
 * small letters), with spaces or commas between. STATUS_INVALID: the message names the one that is
 * not. */
enum status cors_check(const char *origins, struct error *error);

/* Whether pages of this origin may, by such a list. */
bool cors_allows(const char *origins, const char *origin);

/* Adds what a browser wants to know of any answer, or of that to a preflight request. */
void cors_add(struct request *request, struct MHD_Response *response);

#endif
