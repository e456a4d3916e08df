/* A double of the engine's model: quick, without weights. Its embeddings are zeros, its masks are
 * rectangles, and its halves are the upper ones of floats. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/kernels/kernels.h"

struct model {
    struct model_info info;
};

struct session {
    int unused;
};

struct prepared {
    int unused;
};

enum status model_load(const char *path, enum precision precision, struct model **model,
                       struct error *error) {
    static struct model one = {{"mobile_sam", "mobile_sam", "00", "none", PRECISION_FP32, 1, 16}};
    (void)path, (void)precision, (void)error;
    *model = &one;
    return STATUS_OK;
}

void model_free(struct model *model) {
    (void)model;
}

const struct model_info *model_info(const struct model *model) {
    return &model->info;
}

size_t model_tile_scratch_bytes(const struct model *model) {
    (void)model;
    return 4096;
}

const char *engine_blas_core(void) {
    return "none";
}

const char *engine_kernel_isa(void) {
    return "none";
}

void engine_init(void) {
}

/* ---- kernels ----------------------------------------------------------------------------- */

static void to_half(const float *x, uint16_t *half, size_t n) {
    for (size_t i = 0; i < n; i++)
        memcpy(half + i, (const uint8_t *)(x + i) + 2, sizeof *half);
}

static void from_half(const uint16_t *half, float *x, size_t n) {
    memset(x, 0, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        memcpy((uint8_t *)(x + i) + 2, half + i, sizeof *half);
}

const struct kernels *kernels_best(void) {
    static const struct kernels kernels = {.to_half = to_half, .from_half = from_half};
    return &kernels;
}

/* ---- sessions ---------------------------------------------------------------------------- */

enum status session_create(const struct model *model, struct session **session,
                           struct error *error) {
    (void)model;
    *session = calloc(1, sizeof **session);
    return *session ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "out of memory");
}

void session_free(struct session *session) {
    free(session);
}

void session_trim(struct session *session, enum trim trim) {
    (void)session, (void)trim;
}

/* ---- image -> embedding ------------------------------------------------------------------ */

void geometry_fit(int width, int height, int input_size, struct geometry *geometry) {
    const int side = width > height ? width : height;
    *geometry = (struct geometry){width, height, 1 + (width - 1) * input_size / side,
                                  1 + (height - 1) * input_size / side};
}

void model_encode(const struct model *model, struct session *session, struct worker *worker,
                  const struct image *scaled, const struct geometry *geometry,
                  struct embedding *embedding) {
    (void)model, (void)session, (void)worker;
    if (scaled->width != geometry->scaled_width || scaled->height != geometry->scaled_height)
        abort();
    memset(embedding->values, 0, sizeof embedding->values);
    embedding->geometry = *geometry;
}

/* ---- embedding + prompt -> masks --------------------------------------------------------- */

struct prepared *model_prepare(const struct model *model, struct worker *worker,
                               const struct embedding *embedding) {
    (void)model, (void)worker, (void)embedding;
    return calloc(1, sizeof(struct prepared));
}

void prepared_free(struct prepared *prepared) {
    free(prepared);
}

/* The middle rows of the columns from `from` to `to`. */
static enum status draw(int height, int width, int from, int to, struct mask *mask) {
    const uint32_t above = (uint32_t)height / 3, set = (uint32_t)(height + 2) / 3;
    const uint32_t below = (uint32_t)height - above - set;
    mask->counts = calloc((size_t)(2 * (to - from)) + 2, sizeof *mask->counts);
    if (!mask->counts)
        return STATUS_NO_MEMORY;
    mask->height = height;
    mask->width = width;
    mask->counts[mask->count++] = (uint32_t)(from * height) + above;
    for (int x = from; x < to; x++) {
        mask->counts[mask->count++] = set;
        mask->counts[mask->count++] = x + 1 < to ? below + above : below;
    }
    mask->counts[mask->count - 1] += (uint32_t)((width - to) * height);
    return STATUS_OK;
}

static enum status draw_segment(const struct geometry *geometry, int at, bool keep_logits,
                                struct segment *segment) {
    const int width = geometry->width, height = geometry->height;
    const int from = at < width ? at : width - 1, to = from + (width - from + 1) / 2;
    *segment = (struct segment){.bbox = {from, height / 3, to - from, (height + 2) / 3},
                                .area = (size_t)(to - from) * (size_t)((height + 2) / 3),
                                .predicted_iou = 0.9f,
                                .stability_score = 0.9f};
    if (keep_logits) {
        segment->logits = calloc((size_t)LOW_RES_SIDE * LOW_RES_SIDE, sizeof *segment->logits);
        if (!segment->logits)
            return STATUS_NO_MEMORY;
    }
    return draw(height, width, from, to, &segment->mask);
}

enum status model_segment(const struct model *model, struct session *session, struct worker *worker,
                          const struct embedding *embedding, const struct prepared *prepared,
                          const struct prompt *prompt, struct segmentation *segmentation,
                          struct error *error) {
    (void)model, (void)session, (void)worker, (void)prepared;
    memset(segmentation, 0, sizeof *segmentation);
    segmentation->count = prompt->multimask == MULTIMASK_ALL ? 3 : 1;
    const float x = prompt->point_count > 0 ? prompt->points[0][0] : prompt->box[0];
    for (int i = 0; i < segmentation->count; i++) {
        enum status status = draw_segment(&embedding->geometry, (int)x + i, prompt->keep_logits,
                                          &segmentation->segments[i]);
        if (status != STATUS_OK) {
            segmentation_free(segmentation);
            return error_set(error, status, "out of memory");
        }
    }
    return STATUS_OK;
}

/* ---- embedding -> all masks -------------------------------------------------------------- */

enum status model_everything(const struct model *model, struct worker *worker,
                             const struct embedding *embedding, const struct image *pixels,
                             const struct everything_options *options,
                             const struct everything_progress *progress,
                             struct everything *everything, struct error *error) {
    (void)model, (void)worker;
    *everything = (struct everything){.masks = calloc(2, sizeof *everything->masks)};
    enum status status = everything_check(options, pixels != NULL, error);
    if (!everything->masks)
        status = error_set(error, STATUS_NO_MEMORY, "out of memory");
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        status = draw_segment(&embedding->geometry, i, false, &everything->masks[i].segment);
        everything->count += status == STATUS_OK;
        if (progress && progress->report)
            progress->report(progress->argument, (size_t)i + 1, 2);
    }
    if (status != STATUS_OK)
        everything_free(everything);
    return status;
}

void everything_free(struct everything *everything) {
    for (size_t i = 0; i < everything->count; i++)
        mask_free(&everything->masks[i].segment.mask);
    free(everything->masks);
    *everything = (struct everything){0};
}
