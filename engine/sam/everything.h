/* everything: the parts of model_everything. everything.c has the order of things;
 * everything_search.c finds the masks of one crop; everything_options.c checks what is asked. */
#ifndef ENGINE_SAM_EVERYTHING_H
#define ENGINE_SAM_EVERYTHING_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/sam/crops.h"

struct mask_list {
    size_t count, capacity;
    struct everything_mask *masks; /* owned: mask_list_free */
};

void mask_list_free(struct mask_list *list);
size_t mask_list_bytes(const struct mask_list *list);

/* Moves the masks of `from` behind those of `to`. False: no memory, and nothing was moved. */
bool mask_list_append(struct mask_list *to, struct mask_list *from);

/* Keeps the masks with these indices, in this order, and frees the others. */
bool mask_list_keep(struct mask_list *list, const size_t *kept, size_t count);

/* What batches of points are decoded with: as many as workers have taken part. */
struct search_slot;

/* One call of model_everything. */
struct search {
    const struct model *model;
    const struct everything_options *options;
    const struct everything_progress *progress;
    int width, height;     /* of the image */
    size_t total;          /* points */
    pthread_mutex_t mutex; /* guards the rest */
    size_t done;
    size_t bytes; /* of the masks that were found */
    struct search_slot *spare;
    enum status status; /* the first failure */
    struct error error;
};

/* Appends the masks of a crop that pass the filters, in the order of its points. The embedding is
 * the crop's. */
enum status search_crop(struct search *search, struct worker *worker, const struct crop *crop,
                        const struct embedding *embedding, struct mask_list *found);

/* Releases the slots. */
void search_end(struct search *search);

#endif
