/* conditional: entity tags, and requests that depend on them (RFC 9110, 8.8.3 and 13).
 *
 * For handlers of whatever has a tag, such as an image, the page, the API's description:
 *
 *     etag_of(etag, content, size);
 *     if (conditional_settled(request, etag, cache_control))
 *         return;
 *     ... answer, with the headers ETag and Cache-Control
 *
 * Only after all else that could be wrong: a condition decides about requests that would succeed.
 */
#ifndef SERVER_CONDITIONAL_H
#define SERVER_CONDITIONAL_H

#include "server/request.h"

enum { ETAG_SIZE = 64 }; /* of any tag of ours, its quotes and the zero included */

/* What may be kept by the client alone, and used again once its tag was asked for. */
#define CACHE_REVALIDATE "private, no-cache"

/* A strong tag of the content: half of its SHA-256. */
void etag_of(char etag[ETAG_SIZE], const void *content, size_t size);

/* Whether If-Match or If-None-Match settle the request: it is answered then, with 304 or 412. etag
 * is that of what is there; NULL: nothing is, and the request would make it. cache_control is what
 * the answer would have; NULL: none. */
bool conditional_settled(struct request *request, const char *etag, const char *cache_control);

/* Whether one line of If-Match or If-None-Match lists the tag (NULL: nothing is there), by the
 * strong or by the weak comparison of RFC 9110, 8.8.3.2. What is not a list of tags ends it. */
bool etag_listed(const char *line, const char *etag, bool strong);

#endif
