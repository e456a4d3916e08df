/* The masks of one crop: batches of points, side by side on the workers. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/everything.h"
#include "engine/sam/model.h"
#include "engine/sam/point_decoder.h"

/* ---- lists ------------------------------------------------------------------------------- */

void mask_list_free(struct mask_list *list) {
    for (size_t i = 0; i < list->count; i++)
        mask_free(&list->masks[i].segment.mask);
    free(list->masks);
    memset(list, 0, sizeof *list);
}

size_t mask_list_bytes(const struct mask_list *list) {
    return everything_bytes(&(struct everything){list->count, list->masks});
}

static bool reserve(struct mask_list *list, size_t more) {
    if (list->count + more <= list->capacity)
        return true;
    const size_t capacity = 2 * list->capacity + more;
    struct everything_mask *grown = realloc(list->masks, capacity * sizeof *grown);
    if (!grown)
        return false;
    list->masks = grown;
    list->capacity = capacity;
    return true;
}

bool mask_list_append(struct mask_list *to, struct mask_list *from) {
    if (from->count == 0)
        return true;
    if (!reserve(to, from->count))
        return false;
    memcpy(to->masks + to->count, from->masks, from->count * sizeof *from->masks);
    to->count += from->count;
    from->count = 0;
    return true;
}

bool mask_list_keep(struct mask_list *list, const size_t *kept, size_t count) {
    struct mask_list rest = {0};
    if (!reserve(&rest, count))
        return false;
    for (size_t i = 0; i < count; i++) {
        rest.masks[rest.count++] = list->masks[kept[i]];
        memset(&list->masks[kept[i]], 0, sizeof *list->masks);
    }
    mask_list_free(list);
    *list = rest;
    return true;
}

/* ---- slots ------------------------------------------------------------------------------- */

struct search_slot {
    struct mask_upsampler upsampler;
    struct point_batch batch;
    struct point_memory *memory;
    struct search_slot *next;
};

static struct search_slot *take_slot(struct search *search, struct error *error) {
    pthread_mutex_lock(&search->mutex);
    struct search_slot *slot = search->spare;
    if (slot)
        search->spare = slot->next;
    pthread_mutex_unlock(&search->mutex);
    if (slot)
        return slot;
    slot = calloc(1, sizeof *slot);
    if (slot)
        slot->memory = point_memory_create();
    if (slot && slot->memory)
        return slot;
    error_set(error, STATUS_NO_MEMORY, "no memory to decode points");
    free(slot);
    return NULL;
}

static void give_slot(struct search *search, struct search_slot *slot) {
    pthread_mutex_lock(&search->mutex);
    slot->next = search->spare;
    search->spare = slot;
    pthread_mutex_unlock(&search->mutex);
}

void search_end(struct search *search) {
    while (search->spare) {
        struct search_slot *slot = search->spare;
        search->spare = slot->next;
        point_memory_free(slot->memory);
        free(slot);
    }
}

/* ---- one point --------------------------------------------------------------------------- */

struct crop_search {
    struct search *search;
    const struct crop *crop;
    const struct embedding *embedding;
    struct point_terms *terms;
    int side;
    size_t points;
    struct mask_list *found; /* one for each batch */
    atomic_size_t begun;     /* batches */
    atomic_bool pauses;      /* others wait for the workers: no more batches for now */
};

/* Filters by predicted IoU. A threshold of 0 lets all pass, whatever they are. */
static unsigned choose_good(const float iou[SAM_MASK_TOKENS],
                            const struct everything_options *options) {
    unsigned good = 0;
    for (unsigned token = 1; token < SAM_MASK_TOKENS; token++)
        if (options->pred_iou_thresh == 0 || iou[token] > options->pred_iou_thresh)
            good |= 1u << token;
    return good;
}

static bool passes(const struct crop_search *at, const struct segment *segment) {
    const struct search *search = at->search;
    return segment->area > 0 &&
           segment->stability_score >= search->options->stability_score_thresh &&
           !crop_cuts_box(at->crop, segment->bbox, search->width, search->height);
}

/* What one point's predicted IoU lets pass. */
struct good_masks {
    unsigned wanted; /* bits of the mask tokens */
    const float *iou, *logits;
};

/* Of one point: those of the wanted masks that pass. */
static enum status add_masks(const struct crop_search *at, struct mask_upsampler *upsampler,
                             const struct good_masks *good, size_t index, struct mask_list *found,
                             struct error *error) {
    const struct mask_cut cut = {0, at->search->options->stability_score_offset};
    const struct crop *crop = at->crop;
    float point[2];
    grid_point(crop, at->side, index, point);
    if (!reserve(found, SAM_MASK_TOKENS))
        return error_set(error, STATUS_NO_MEMORY, "no memory for masks");
    for (unsigned token = 1; token < SAM_MASK_TOKENS; token++) {
        struct segment segment;
        if (!(good->wanted >> token & 1))
            continue;
        enum status status = mask_upsampler_run(
            upsampler, good->logits + (size_t)token * SAM_MASK_VALUES, cut, &segment, error);
        if (status != STATUS_OK)
            return status;
        if (!passes(at, &segment)) {
            mask_free(&segment.mask);
            continue;
        }
        segment.predicted_iou = good->iou[token];
        found->masks[found->count++] = (struct everything_mask){
            .segment = segment,
            .point = {point[0] + (float)crop->x, point[1] + (float)crop->y},
            .crop_box = {crop->x, crop->y, crop->width, crop->height},
        };
    }
    return STATUS_OK;
}

/* ---- batches ----------------------------------------------------------------------------- */

static void fail(struct search *search, enum status status, const struct error *error) {
    pthread_mutex_lock(&search->mutex);
    if (search->status == STATUS_OK) {
        search->status = status;
        search->error = *error;
    }
    pthread_mutex_unlock(&search->mutex);
}

static bool goes_on(struct search *search) {
    const struct everything_progress *progress = search->progress;
    pthread_mutex_lock(&search->mutex);
    if (search->status == STATUS_OK && progress && progress->cancelled &&
        progress->cancelled(progress->argument))
        search->status = error_set(&search->error, STATUS_INVALID, "it was cancelled");
    const bool on = search->status == STATUS_OK;
    pthread_mutex_unlock(&search->mutex);
    return on;
}

static void tell(struct search *search, size_t points) {
    const struct everything_progress *progress = search->progress;
    pthread_mutex_lock(&search->mutex);
    search->done += points;
    if (search->status == STATUS_OK && progress && progress->report)
        progress->report(progress->argument, search->done, search->total);
    pthread_mutex_unlock(&search->mutex);
}

/* Poor masks of a large image are hundreds of kilobytes each, and thresholds may let all pass. */
static enum status count_bytes(struct search *search, const struct mask_list *found,
                               struct error *error) {
    const size_t limit = search->progress ? search->progress->bytes_limit : 0;
    pthread_mutex_lock(&search->mutex);
    search->bytes += mask_list_bytes(found);
    const bool over = limit && search->bytes > limit;
    pthread_mutex_unlock(&search->mutex);
    return over ? error_set(error, STATUS_TOO_LARGE,
                            "more masks pass the thresholds than %zu MB hold: raise "
                            "pred_iou_thresh or stability_score_thresh, or try fewer points",
                            limit >> 20)
                : STATUS_OK;
}

static void begin_batch(const struct crop_search *at, struct point_batch *batch, size_t first) {
    const struct geometry *geometry = &at->embedding->geometry;
    batch->count = at->points - first < POINT_BATCH ? at->points - first : POINT_BATCH;
    batch->height = model_looked_at(geometry->scaled_height);
    batch->width = model_looked_at(geometry->scaled_width);
    for (size_t i = 0; i < batch->count; i++) {
        struct prompt prompt = {.point_count = 1, .labels = {1}};
        grid_point(at->crop, at->side, first + i, prompt.points[0]);
        prompt_encoder_sparse(&at->search->model->prompt_encoder, geometry, &prompt,
                              batch->tokens[i][0]);
    }
}

static enum status search_points(const struct crop_search *at, struct search_slot *slot,
                                 struct worker *worker, size_t first, struct mask_list *found,
                                 struct error *error) {
    const struct crop *crop = at->crop;
    const struct mask_frame frame = {crop->x, crop->y, at->search->width, at->search->height};
    const struct mask_decoder *decoder = &at->search->model->mask_decoder;
    float iou[POINT_BATCH][SAM_MASK_TOKENS];
    begin_batch(at, &slot->batch, first);
    point_decoder_run(decoder, at->terms, slot->memory, worker, &slot->batch, iou);
    enum status status =
        mask_upsampler_init(&slot->upsampler, &at->embedding->geometry, &frame, error);
    for (size_t i = 0; i < slot->batch.count && status == STATUS_OK; i++) {
        const unsigned wanted = choose_good(iou[i], at->search->options);
        if (!wanted)
            continue;
        const float *logits = point_decoder_upscale(at->terms, slot->memory, worker, i, wanted);
        status = add_masks(at, &slot->upsampler, &(struct good_masks){wanted, iou[i], logits},
                           first + i, found, error);
    }
    mask_upsampler_free(&slot->upsampler);
    return status;
}

/* The next batch, unless others wait for the workers and each has had one. */
static void search_batch(void *argument, size_t tile, struct worker *worker) {
    (void)tile;
    struct crop_search *at = argument;
    struct search *search = at->search;
    size_t points = 0;
    struct error error = {0};
    if (atomic_load(&at->pauses) || !goes_on(search))
        return;
    const size_t index = atomic_fetch_add(&at->begun, 1);
    struct search_slot *slot = take_slot(search, &error);
    enum status status = STATUS_NO_MEMORY;
    if (slot) {
        status = search_points(at, slot, worker, index * POINT_BATCH, &at->found[index], &error);
        points = slot->batch.count;
        give_slot(search, slot);
    }
    if (status == STATUS_OK)
        status = count_bytes(search, &at->found[index], &error);
    if (status != STATUS_OK)
        fail(search, status, &error);
    else
        tell(search, points);
    if (worker_is_awaited(worker))
        atomic_store(&at->pauses, true);
}

/* All batches, with others' jobs in between. */
static void search_batches(struct crop_search *at, size_t batches, struct worker *worker) {
    while (at->begun < batches && at->search->status == STATUS_OK) {
        at->pauses = false;
        worker_parallel_for(worker, batches - at->begun, search_batch, at);
        worker_give_way(worker);
    }
}

enum status search_crop(struct search *search, struct worker *worker, const struct crop *crop,
                        const struct embedding *embedding, struct mask_list *found) {
    const struct everything_options *options = search->options;
    const int side =
        grid_side(options->points_per_side, crop->layer, options->crop_n_points_downscale_factor);
    struct crop_search at = {search, crop, embedding, .side = side,
                             .points = (size_t)(side * side)};
    const size_t batches = (at.points + POINT_BATCH - 1) / POINT_BATCH;
    at.terms = point_terms_make(&search->model->mask_decoder, worker, embedding->values,
                                search->model->prompt_encoder.no_mask);
    at.found = calloc(batches, sizeof *at.found);
    bool memory = at.terms && at.found;
    if (memory)
        search_batches(&at, batches, worker);
    for (size_t i = 0; at.found && i < batches; i++) {
        memory = memory && mask_list_append(found, &at.found[i]);
        mask_list_free(&at.found[i]);
    }
    free(at.found);
    point_terms_free(at.terms);
    if (!memory)
        fail(search, STATUS_NO_MEMORY, &(struct error){"no memory for a crop's masks"});
    return search->status;
}
