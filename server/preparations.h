/* preparations: what no prompt changes about an image (engine.h, struct prepared), kept for the few
 * images that prompts came for last.
 *
 * Making one costs as much as it saves over some prompts, so it is made when as many have come for
 * the image, once they are answered, or when a list has come of which as many are still to come.
 * All functions may be called from any thread. */
#ifndef SERVER_PREPARATIONS_H
#define SERVER_PREPARATIONS_H

#include "server/store.h"

enum {
    PREPARATIONS_MAX = 4,    /* images; 6 MB each */
    PREPARED_AT_PROMPTS = 3, /* making one takes half of a prompt's time, and saves a sixth of it */
};

struct preparations;

struct preparations *preparations_create(const struct model *model); /* NULL when out of memory */
void preparations_free(struct preparations *preparations); /* all must have been given back */

/* What one prompt uses. */
struct preparation {
    const struct prepared *prepared; /* NULL: there is none */
    struct prepared_slot *slot;      /* the preparations' */
};

/* For one prompt on the record's image, of a list in which to_come follow it. For a long list this
 * makes what is asked for: call from a job of worker's pool, and give back what it returns. */
struct preparation preparations_take(struct preparations *preparations, struct worker *worker,
                                     struct record *record, size_t to_come);
void preparations_give(struct preparations *preparations, struct preparation preparation);

/* After a prompt on the record's image was answered: makes what the next ones will use, if enough
 * have come. Call from a job of worker's pool. */
void preparations_make_ready(struct preparations *preparations, struct worker *worker,
                             struct record *record);

/* Forgets what nobody uses; TRIM_ENCODING leaves the image that the last prompt was for. */
void preparations_trim(struct preparations *preparations, enum trim trim);

#endif
