/* refinements: what it takes to refine masks that were answered: their low-resolution logits, or
 * the prompts that make them again.
 *
 * Most masks are never refined. So one that came of points or a box alone is remembered by its
 * prompt, and its logits are made when it is refined for the first time; one that came of another
 * mask brings them along. The least recently used are forgotten first, bounded by bytes. All
 * functions may be called from any thread. */
#ifndef SERVER_REFINEMENTS_H
#define SERVER_REFINEMENTS_H

#include "server/store.h"

struct refinements;

struct refinements *refinements_create(size_t bytes_limit); /* NULL when out of memory */
void refinements_free(struct refinements *refinements);     /* NULL is allowed */

/* Remembers a mask that the prompt gave on the record's image, and gives it an ID of its own that
 * nobody can guess. Takes segment->logits, which a prompt with a prior mask has to have kept.
 * False: there are no random numbers; without memory, the mask is as if forgotten. */
bool refinements_add(struct refinements *refinements, const struct record *record,
                     const struct prompt *prompt, struct segment *segment, struct mask_id *id);

/* Forgets the masks of an image. */
void refinements_forget(struct refinements *refinements, const char *image_id);

/* A mask that is remembered. It lives on until its last user releases it, forgotten or not. */
struct refinement;

/* Held for the caller; NULL when it was never made, or forgotten, or is not of this image. */
struct refinement *refinements_find(struct refinements *refinements, const struct mask_id *id,
                                    const struct record *record);
void refinement_release(struct refinement *refinement); /* NULL is allowed */

/* Its logits, [LOW_RES_SIDE][LOW_RES_SIDE], valid as long as it is held. NULL: the first segment of
 * the prompt has them, for the caller to give to refinements_set_logits. */
const float *refinements_logits(struct refinements *refinements, struct refinement *refinement);
const struct prompt *refinement_prompt(const struct refinement *refinement);

/* Takes them and returns those to use: another may have been faster. */
const float *refinements_set_logits(struct refinements *refinements, struct refinement *refinement,
                                    float *logits);

struct refinements_state {
    size_t masks, bytes;
};

struct refinements_state refinements_state(struct refinements *refinements);

#endif
