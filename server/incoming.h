/* incoming: the image of an upload, out of whichever form of body it came in. */
#ifndef SERVER_INCOMING_H
#define SERVER_INCOMING_H

#include "server/request.h"

struct incoming {
    struct body image; /* owned, its capacity still counted: incoming_free */
    uint8_t digest[DIGEST_BYTES];
    char id[IMAGE_ID_MAX + 1]; /* the client's, or the first 32 hex digits of the digest */
    struct geometry geometry;  /* of the image, from its header */
    char *prompt_json;         /* owned; for POST /v1/segment; or NULL */
};

/* Reads a raw, multipart or JSON body, checks the ID, the model's name and the image's header.
 * False: *problem says why and *incoming is zeroed. */
bool incoming_read(struct request *request, bool with_prompt, struct incoming *incoming,
                   struct problem *problem);

/* The same checks for bytes that came by another way; they become the incoming's, and *image is
 * zeroed. id: "" for the default. */
bool incoming_take(struct server *server, struct body *image, const char *id,
                   struct incoming *incoming, struct problem *problem);

/* The query's id and model: struct route's check_query for routes that call incoming_read. */
void incoming_check_query(struct request *request, struct problem *problem);

/* What the daemon takes of an image, and the problem that one is which cannot be read. */
struct image_limits incoming_image_limits(const struct options *options);
enum problem_type incoming_image_problem(enum status status);

void incoming_free(struct server *server, struct incoming *incoming); /* zeroes it */

#endif
