/* segment: a request for masks on its way. It waits for its image, then for workers, and is
 * answered in the form of whoever asked: our own API's, or an annotation tool's. */
#ifndef SERVER_SEGMENT_H
#define SERVER_SEGMENT_H

#include "server/incoming.h"

/* How masks and problems become an answer. */
struct segment_form {
    /* Fills in the body, and what else differs from 200 and application/json. No body: out of
     * memory. Called by a worker. */
    void (*write)(const struct segment_answer *masks, const void *context, struct answer *answer);
    void (*refuse)(struct request *request, const struct problem *problem);
    void (*release)(void *context); /* NULL: nothing to release */
};

/* JSON, or the PNG of a single mask, as the request's Accept prefers. NULL: only a PNG is accepted,
 * and there would be several; *problem says so. */
const struct segment_form *segment_form_choose(struct request *request,
                                               const struct prompt_list *prompts,
                                               struct problem *problem);

struct segmenting;

/* Takes the context and *prompts, which it zeroes. NULL: out of memory, and the request is
 * answered.
 */
struct segmenting *segmenting_create(struct request *request, const struct segment_form *form,
                                     void *context, struct prompt_list *prompts);

/* One of these follows, once the request is suspended; it is answered when the masks are there.
 * They take the reference, or the image. */
void segmenting_start(struct segmenting *segmenting, struct record *record);
void segmenting_start_upload(struct segmenting *segmenting, struct incoming *incoming);

#endif
