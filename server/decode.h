/* decode: one prompt on a worker: the logits of what it refines, its masks, and their IDs. */
#ifndef SERVER_DECODE_H
#define SERVER_DECODE_H

#include "server/server.h"

struct decoding {
    struct server *server;
    struct record *record;
    const struct prompt *prompt;
    struct refinement *refined; /* the mask that is its prior; or NULL */
    size_t to_come;             /* prompts on the same image */
};

/* On STATUS_OK the caller owns *result; ids are of its masks. As model_segment otherwise. Call from
 * a job of worker's pool. */
enum status decode_prompt(const struct decoding *decoding, struct worker *worker,
                          struct segmentation *result, struct mask_id ids[3], struct error *error);

#endif
