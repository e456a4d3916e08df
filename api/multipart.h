/* multipart: the parts of a multipart/form-data body (RFC 7578, on RFC 2046, 5.1). Internal to
 * api/.
 *
 * libmicrohttpd has a reader too, but it takes "; charset=utf-8" behind a boundary for a part of
 * the boundary, as Apache's HttpClient sends it, and refuses what may follow the last one. This one
 * needs the whole body, and copies nothing of it. */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_NAME_MAX = 63 };

struct multipart {
    const uint8_t *at, *end; /* what was not read yet; at is NULL behind the last boundary */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* "\r\n--" and the boundary */
    size_t delimiter_size;
};

struct multipart_part {
    char name[MULTIPART_NAME_MAX + 1]; /* a longer one is cut */
    const uint8_t *bytes;              /* in the body */
    size_t size;
};

enum multipart_step { MULTIPART_PART, MULTIPART_END, MULTIPART_BROKEN };

/* Finds the boundary in the Content-Type and the body's first one. False: *why tells what is
 * missing. */
bool multipart_begin(struct multipart *multipart, const char *content_type, const uint8_t *body,
                     size_t size, const char **why);

/* MULTIPART_BROKEN: *why tells how. */
enum multipart_step multipart_next(struct multipart *multipart, struct multipart_part *part,
                                   const char **why);

#endif
