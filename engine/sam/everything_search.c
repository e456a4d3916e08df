/* The masks of one crop: batches of points, side by side on the workers. */
#include <stdlib.h>
#include <string.h>

#include "engine/sam/everything.h"
#include "engine/sam/model.h"

enum { BATCH_POINTS = 4 };

/* ---- lists ------------------------------------------------------------------------------- */

void mask_list_free(struct mask_list *list) {
    for (size_t i = 0; i < list->count; i++)
        mask_free(&list->masks[i].segment.mask);
    free(list->masks);
    memset(list, 0, sizeof *list);
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
    struct session *session;
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
    if (slot && session_create(search->model, &slot->session, error) == STATUS_OK)
        return slot;
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
        session_free(slot->session);
        free(slot);
    }
}

/* ---- one point --------------------------------------------------------------------------- */

struct crop_search {
    struct search *search;
    const struct crop *crop;
    const struct embedding *embedding;
    struct prepared *prepared;
    int side;
    size_t points;
    struct mask_list *found; /* one for each batch */
};

/* Filters by predicted IoU. A threshold of 0 lets all pass, whatever they are. */
static unsigned choose_good(const float iou[SAM_MASK_TOKENS], const void *argument) {
    const struct everything_options *options = argument;
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

static enum status add_masks(const struct crop_search *at, struct mask_upsampler *upsampler,
                             const struct mask_decoder_output *output, const float point[2],
                             struct mask_list *found, struct error *error) {
    const struct mask_cut cut = {0, at->search->options->stability_score_offset};
    const struct crop *crop = at->crop;
    if (!reserve(found, SAM_MASK_TOKENS))
        return error_set(error, STATUS_NO_MEMORY, "no memory for masks");
    for (unsigned token = 1; token < SAM_MASK_TOKENS; token++) {
        struct segment segment;
        if (!(output->wanted >> token & 1))
            continue;
        enum status status = mask_upsampler_run(
            upsampler, output->logits + (size_t)token * SAM_MASK_VALUES, cut, &segment, error);
        if (status != STATUS_OK)
            return status;
        if (!passes(at, &segment)) {
            mask_free(&segment.mask);
            continue;
        }
        segment.predicted_iou = output->iou[token];
        found->masks[found->count++] = (struct everything_mask){
            .segment = segment,
            .point = {point[0] + (float)crop->x, point[1] + (float)crop->y},
            .crop_box = {crop->x, crop->y, crop->width, crop->height},
        };
    }
    return STATUS_OK;
}

static enum status search_point(const struct crop_search *at, struct decode_arena *arena,
                                struct worker *worker, size_t index, struct mask_list *found,
                                struct error *error) {
    const struct model *model = at->search->model;
    const struct geometry *geometry = &at->embedding->geometry;
    struct prompt prompt = {.point_count = 1, .labels = {1}};
    grid_point(at->crop, at->side, index, prompt.points[0]);
    const struct mask_decoder_input input = {
        .embedding = at->embedding->values,
        .dense_everywhere = model->prompt_encoder.no_mask,
        .image_side = &at->prepared->image_side,
        .sparse = arena->sparse,
        .sparse_count =
            prompt_encoder_sparse(&model->prompt_encoder, geometry, &prompt, arena->sparse),
        .candidates = 1u << 1 | 1u << 2 | 1u << 3,
        .height = model_looked_at(geometry->scaled_height),
        .width = model_looked_at(geometry->scaled_width),
    };
    struct mask_decoder_output output = {.logits = arena->logits};
    mask_decoder_run(&model->mask_decoder, arena->activations, worker, &input, choose_good,
                     at->search->options, &output);
    return add_masks(at, &arena->upsampler, &output, prompt.points[0], found, error);
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

static enum status search_points(const struct crop_search *at, struct decode_arena *arena,
                                 struct worker *worker, size_t first, size_t end,
                                 struct mask_list *found, struct error *error) {
    const struct crop *crop = at->crop;
    const struct mask_frame frame = {crop->x, crop->y, at->search->width, at->search->height};
    enum status status =
        mask_upsampler_init(&arena->upsampler, &at->embedding->geometry, &frame, error);
    for (size_t i = first; i < end && status == STATUS_OK; i++)
        status = search_point(at, arena, worker, i, found, error);
    mask_upsampler_free(&arena->upsampler);
    return status;
}

static void search_batch(void *argument, size_t index, struct worker *worker) {
    struct crop_search *at = argument;
    struct search *search = at->search;
    const size_t first = index * BATCH_POINTS;
    const size_t end = first + BATCH_POINTS < at->points ? first + BATCH_POINTS : at->points;
    struct error error = {0};
    if (!goes_on(search))
        return;
    struct search_slot *slot = take_slot(search, &error);
    enum status status = STATUS_NO_MEMORY;
    if (slot) {
        status = search_points(at, (struct decode_arena *)slot->session->arena, worker, first, end,
                               &at->found[index], &error);
        give_slot(search, slot);
    }
    if (status != STATUS_OK)
        fail(search, status, &error);
    else
        tell(search, end - first);
}

enum status search_crop(struct search *search, struct worker *worker, const struct crop *crop,
                        const struct embedding *embedding, struct mask_list *found) {
    const struct everything_options *options = search->options;
    const int side =
        grid_side(options->points_per_side, crop->layer, options->crop_n_points_downscale_factor);
    struct crop_search at = {search, crop, embedding, .side = side,
                             .points = (size_t)(side * side)};
    const size_t batches = (at.points + BATCH_POINTS - 1) / BATCH_POINTS;
    at.prepared = model_prepare(search->model, worker, embedding);
    at.found = calloc(batches, sizeof *at.found);
    bool memory = at.prepared && at.found;
    if (memory)
        worker_parallel_for(worker, batches, search_batch, &at);
    for (size_t i = 0; at.found && i < batches; i++) {
        memory = memory && mask_list_append(found, &at.found[i]);
        mask_list_free(&at.found[i]);
    }
    free(at.found);
    prepared_free(at.prepared);
    if (!memory)
        fail(search, STATUS_NO_MEMORY, &(struct error){"no memory for a crop's masks"});
    return search->status;
}
