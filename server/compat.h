/* compat: what the adaptors for annotation tools share: from a request that is read, with its image
 * inside or told by an address or an ID, to masks or an embedding. compat_*.c have the tools'
 * routes. */
#ifndef SERVER_COMPAT_H
#define SERVER_COMPAT_H

#include "api/compat.h"
#include "server/compat_embed.h"
#include "server/segment.h"

/* Takes *common, which it zeroes, and the context. The request is answered by the form, sooner or
 * later. */
void compat_segment(struct request *request, struct compat_request *common,
                    const struct segment_form *form, void *context);

/* The same, to an embedding; problems are our own form's. */
void compat_embed(struct request *request, struct compat_request *common, embedding_writer write);

/* Answers 200 with this body; NULL: out of memory. */
void compat_answer(struct request *request, char *body);

#endif
