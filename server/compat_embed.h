/* compat_embed: a tool's request for an embedding on its way. It may wait for its image, and then
 * for a worker, for the answer takes milliseconds to write, or a tenth of a second. */
#ifndef SERVER_COMPAT_EMBED_H
#define SERVER_COMPAT_EMBED_H

#include "server/incoming.h"

/* Fills in the body, and what else differs from 200 and application/json. No body: out of memory.
 * Called by a worker, in the bulk lane; seconds: what the request took so far. */
typedef void (*embedding_writer)(const struct embedding *embedding, double seconds,
                                 struct worker *worker, struct answer *answer);

/* The request must be suspended. They take the reference, or the image. */
void compat_embed_start(struct request *request, embedding_writer write, struct record *record);
void compat_embed_start_upload(struct request *request, embedding_writer write,
                               struct incoming *incoming);

#endif
