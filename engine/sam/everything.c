/* model_everything: SamAutomaticMaskGenerator (automatic_mask_generator.py of Segment Anything). */
#include "engine/sam/everything.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/box_nms.h"
#include "engine/sam/model.h"

static void yield(void *worker) {
    worker_yield(worker);
}

/* ---- duplicates -------------------------------------------------------------------------- */

/* The larger, the better the mask. */
typedef float mask_score(const struct mask_list *list, size_t index, const bool *changed);

static float score_by_iou(const struct mask_list *list, size_t index, const bool *changed) {
    (void)changed;
    return list->masks[index].segment.predicted_iou;
}

static float score_by_crop(const struct mask_list *list, size_t index, const bool *changed) {
    const int *crop = list->masks[index].crop_box;
    (void)changed;
    return 1.0f / ((float)crop[2] * (float)crop[3]);
}

static float score_by_change(const struct mask_list *list, size_t index, const bool *changed) {
    (void)list;
    return changed[index] ? 0 : 1;
}

/* Leaves one of those masks whose boxes are about the same; boxes end with their last pixel. */
static enum status drop_duplicates(struct mask_list *list, float threshold, mask_score *score,
                                   const bool *changed, struct worker *worker,
                                   struct error *error) {
    const struct image_yield yielding = {yield, worker};
    struct scored_box *boxes = malloc((list->count + 1) * sizeof *boxes);
    size_t *kept = malloc((list->count + 1) * sizeof *kept), count = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; boxes && i < list->count; i++) {
        const int *box = list->masks[i].segment.bbox;
        boxes[i] = (struct scored_box){{(float)box[0], (float)box[1], (float)(box[0] + box[2] - 1),
                                        (float)(box[1] + box[3] - 1)},
                                       score(list, i, changed)};
    }
    if (boxes && kept)
        status = box_nms(boxes, list->count, threshold, &yielding, kept, &count, error);
    if (status == STATUS_OK && !(boxes && kept && mask_list_keep(list, kept, count)))
        status = error_set(error, STATUS_NO_MEMORY, "no memory to compare %zu masks", list->count);
    free(boxes);
    free(kept);
    return status;
}

/* ---- crops ------------------------------------------------------------------------------- */

/* A part of the image, at the geometry's scaled size. */
static enum status scale_crop(const struct image *pixels, const struct crop *crop,
                              struct worker *worker, const struct geometry *geometry,
                              struct image *scaled, struct error *error) {
    const size_t row = (size_t)crop->width * 3;
    struct image part = {crop->width, crop->height, malloc(row * (size_t)crop->height)};
    if (!part.rgb)
        return error_set(error, STATUS_NO_MEMORY, "no memory for a crop's pixels");
    for (int y = 0; y < crop->height; y++) {
        const size_t from = (size_t)(crop->y + y) * (size_t)pixels->width + (size_t)crop->x;
        memcpy(part.rgb + (size_t)y * row, pixels->rgb + from * 3, row);
    }
    enum status status = image_resize(&part, geometry->scaled_width, geometry->scaled_height,
                                      &(struct image_yield){yield, worker}, scaled, error);
    image_free(&part);
    return status;
}

static enum status encode_crop(const struct model *model, struct session *session,
                               struct worker *worker, const struct image *pixels,
                               const struct crop *crop, struct embedding *embedding,
                               struct error *error) {
    struct geometry geometry;
    struct image scaled;
    geometry_fit(crop->width, crop->height, model->info.input_size, &geometry);
    enum status status = scale_crop(pixels, crop, worker, &geometry, &scaled, error);
    if (status != STATUS_OK)
        return status;
    model_encode(model, session, worker, &scaled, &geometry, embedding);
    image_free(&scaled);
    return STATUS_OK;
}

/* Appends a crop's masks, without duplicates among themselves. */
static enum status add_crop(struct search *search, struct worker *worker, const struct crop *crop,
                            const struct embedding *embedding, struct mask_list *found) {
    struct mask_list of_crop = {0};
    enum status status = search_crop(search, worker, crop, embedding, &of_crop);
    if (status == STATUS_OK)
        status = drop_duplicates(&of_crop, search->options->box_nms_thresh, score_by_iou, NULL,
                                 worker, &search->error);
    if (status == STATUS_OK && !mask_list_append(found, &of_crop))
        status = error_set(&search->error, STATUS_NO_MEMORY, "no memory for masks");
    search->bytes = mask_list_bytes(found); /* no batch is on its way */
    mask_list_free(&of_crop);
    return status;
}

/* The crops but the first, which is the image. */
static enum status add_crops(struct search *search, struct worker *worker,
                             const struct image *pixels, const struct crop *crops, size_t count,
                             struct mask_list *found) {
    struct embedding *embedding = malloc(sizeof *embedding);
    struct session *session = NULL;
    enum status status = session_create(search->model, &session, &search->error);
    if (!embedding)
        status = error_set(&search->error, STATUS_NO_MEMORY, "no memory for a crop's embedding");
    for (size_t i = 1; i < count && status == STATUS_OK; i++) {
        status = encode_crop(search->model, session, worker, pixels, &crops[i], embedding,
                             &search->error);
        if (status == STATUS_OK)
            status = add_crop(search, worker, &crops[i], embedding, found);
    }
    session_free(session);
    free(embedding);
    return status;
}

/* ---- small regions ----------------------------------------------------------------------- */

/* Fills the small holes of a mask, then removes its small islands. */
static enum status clean(struct segment *segment, size_t least, bool *changed,
                         struct error *error) {
    bool filled = false, removed = false;
    enum status status =
        mask_remove_small_regions(&segment->mask, least, REGION_HOLES, &filled, error);
    if (status == STATUS_OK)
        status = mask_remove_small_regions(&segment->mask, least, REGION_ISLANDS, &removed, error);
    *changed = filled || removed;
    if (*changed)
        mask_describe(&segment->mask, &segment->area, segment->bbox);
    return status;
}

/* Masks may become duplicates by that: those that needed none of it stay. */
static enum status clean_all(struct mask_list *list, const struct everything_options *options,
                             struct worker *worker, struct error *error) {
    const float threshold = fmaxf(options->box_nms_thresh, options->crop_nms_thresh);
    bool *changed = malloc(list->count + 1);
    enum status status = STATUS_OK;
    if (!changed)
        return error_set(error, STATUS_NO_MEMORY, "no memory to clean %zu masks", list->count);
    for (size_t i = 0; i < list->count && status == STATUS_OK; i++) {
        worker_yield(worker);
        status = clean(&list->masks[i].segment, (size_t)options->min_mask_region_area, &changed[i],
                       error);
    }
    if (status == STATUS_OK)
        status = drop_duplicates(list, threshold, score_by_change, changed, worker, error);
    free(changed);
    return status;
}

/* ------------------------------------------------------------------------------------------ */

static enum status search_image(struct search *search, struct worker *worker,
                                const struct embedding *embedding, const struct image *pixels,
                                struct mask_list *found) {
    const struct everything_options *options = search->options;
    struct crop crops[CROPS_MAX];
    const size_t count = crops_make(search->width, search->height, options->crop_n_layers,
                                    options->crop_overlap_ratio, crops);
    for (size_t i = 0; i < count; i++) {
        const size_t side = (size_t)grid_side(options->points_per_side, crops[i].layer,
                                              options->crop_n_points_downscale_factor);
        search->total += side * side;
    }
    enum status status = add_crop(search, worker, &crops[0], embedding, found);
    if (status == STATUS_OK && count > 1)
        status = add_crops(search, worker, pixels, crops, count, found);
    if (status == STATUS_OK && count > 1)
        status = drop_duplicates(found, options->crop_nms_thresh, score_by_crop, NULL, worker,
                                 &search->error);
    if (status == STATUS_OK && options->min_mask_region_area > 0)
        status = clean_all(found, options, worker, &search->error);
    return status;
}

static enum status check_pixels(const struct embedding *embedding, const struct image *pixels,
                                struct error *error) {
    const struct geometry *geometry = &embedding->geometry;
    if (pixels && (pixels->width != geometry->width || pixels->height != geometry->height))
        return error_set(error, STATUS_INVALID, "the pixels are %d x %d, the image %d x %d",
                         pixels->width, pixels->height, geometry->width, geometry->height);
    return STATUS_OK;
}

enum status model_everything(const struct model *model, struct worker *worker,
                             const struct embedding *embedding, const struct image *pixels,
                             const struct everything_options *options,
                             const struct everything_progress *progress,
                             struct everything *everything, struct error *error) {
    struct search search = {
        .model = model,
        .options = options,
        .progress = progress,
        .width = embedding->geometry.width,
        .height = embedding->geometry.height,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
    };
    struct mask_list found = {0};
    memset(everything, 0, sizeof *everything);
    enum status status = everything_check(options, pixels != NULL, error);
    if (status == STATUS_OK)
        status = check_pixels(embedding, pixels, error);
    if (status != STATUS_OK)
        return status;
    status = search_image(&search, worker, embedding, pixels, &found);
    search_end(&search);
    pthread_mutex_destroy(&search.mutex);
    if (status != STATUS_OK) {
        mask_list_free(&found);
        return error_set(error, status, "%s", search.error.message);
    }
    *everything = (struct everything){found.count, found.masks};
    return STATUS_OK;
}

void everything_free(struct everything *everything) {
    struct mask_list list = {everything->count, everything->count, everything->masks};
    mask_list_free(&list);
    memset(everything, 0, sizeof *everything);
}
