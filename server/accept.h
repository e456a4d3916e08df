/* accept: which of several media types a client would like best (RFC 9110, 12.5.1). */
#ifndef SERVER_ACCEPT_H
#define SERVER_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

/* The index of the one that the header Accept (NULL: none) prefers; of equal ones the one that it
 * names more exactly, then the first. When it wants none of them, the first: an answer of another
 * type is better than none. */
size_t accept_choose(const char *accept, const char *const types[], size_t count);

/* Whether it wants this type at all. */
bool accept_takes(const char *accept, const char *type);

#endif
