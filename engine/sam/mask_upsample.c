#include "engine/sam/mask_upsample.h"

#include <stdlib.h>
#include <string.h>

#include "engine/sam/prompt_encoder.h"

enum { SQUARE = 4 * LOW_RES, WORD = 64 };
_Static_assert(LOW_RES == (int)SAM_LOW_RES, "the kernel has SAM's low resolution");

/* ---- the image among the logits ---------------------------------------------------------- */

/* Linear interpolation as PyTorch's and ONNX's half-pixel rule has it: output i of `out` lies
 * between low and low + 1 of `in`. */
static inline void half_pixel(int i, int out, int in, int *low, int *high, double *share) {
    double at = (i + 0.5) * in / out - 0.5;
    if (at < 0)
        at = 0;
    *low = (int)at;
    if (*low > in - 1)
        *low = in - 1;
    *high = *low + 1 < in ? *low + 1 : in - 1;
    *share = at - *low;
}

/* Both interpolations as one: image coordinate i of `size`, through `scaled` of the 1024, to the
 * low resolution. */
static void set_taps(struct mask_taps *taps, int i, int size, int scaled) {
    int middle[2];
    double share;
    half_pixel(i, size, scaled, &middle[0], &middle[1], &share);
    double weight[2] = {1 - share, share}, sums[3] = {0};
    int low, high;
    double finer;
    for (int k = 0; k < 2; k++) {
        half_pixel(middle[k], SQUARE, LOW_RES, &low, &high, &finer);
        if (k == 0)
            taps->base = low < LOW_RES - 3 ? low : LOW_RES - 3;
        sums[low - taps->base] += weight[k] * (1 - finer);
        sums[high - taps->base] += weight[k] * finer;
    }
    for (int k = 0; k < 3; k++)
        taps->weight[k] = (float)sums[k];
}

static void place_rows(const struct geometry *geometry, float *weights, struct mask_rows *rows) {
    int base = 0, last = 0;
    for (int y = 0; y < rows->height; y++) {
        struct mask_taps taps;
        set_taps(&taps, y, geometry->height, geometry->scaled_height);
        for (size_t k = 0; k < 3; k++)
            weights[k * rows->stride + (size_t)y] = taps.weight[k];
        while (base <= taps.base)
            rows->first[base++] = y;
        last = taps.base;
        rows->occupied[last / WORD] |= UINT64_C(1) << (last % WORD);
    }
    while (base <= LOW_RES)
        rows->first[base++] = rows->height;
    rows->blocks = (last + 2) / LOW_RES_BLOCK + 1;
    for (int b = 0; b < last; b++)
        if (rows->first[b] == rows->first[b + 1])
            memcpy(rows->isolated, rows->occupied, sizeof rows->isolated);
}

enum status mask_upsampler_init(struct mask_upsampler *upsampler, const struct geometry *geometry,
                                const struct mask_frame *frame, struct error *error) {
    const size_t width = (size_t)geometry->width, height = (size_t)geometry->height;
    const size_t stride = height + KERNEL_CHANNEL_STEP;
    upsampler->kernels = kernels_best();
    upsampler->width = geometry->width;
    upsampler->height = geometry->height;
    upsampler->frame =
        frame ? *frame : (struct mask_frame){0, 0, geometry->width, geometry->height};
    upsampler->columns = malloc(width * sizeof *upsampler->columns);
    upsampler->row_weights = calloc(3 * stride, sizeof *upsampler->row_weights);
    upsampler->edges = malloc((height + 1) * sizeof *upsampler->edges);
    if (!upsampler->columns || !upsampler->row_weights || !upsampler->edges)
        return error_set(error, STATUS_NO_MEMORY, "no memory to upsample a mask");
    for (int x = 0; x < geometry->width; x++)
        set_taps(&upsampler->columns[x], x, geometry->width, geometry->scaled_width);
    upsampler->rows = (struct mask_rows){
        .height = geometry->height, .weights = upsampler->row_weights, .stride = stride};
    place_rows(geometry, upsampler->row_weights, &upsampler->rows);
    return STATUS_OK;
}

void mask_upsampler_free(struct mask_upsampler *upsampler) {
    free(upsampler->columns);
    free(upsampler->row_weights);
    free(upsampler->edges);
    upsampler->columns = NULL;
    upsampler->row_weights = NULL;
    upsampler->edges = NULL;
}

/* ---- the logits by columns --------------------------------------------------------------- */

/* One row of blocks. False: not all values are finite. */
static bool take_block(const struct kernels *kernels, const float *rows, int block,
                       struct mask_logits *logits) {
    float low[LOW_RES], high[LOW_RES];
    uint32_t strange[LOW_RES] = {0}, any = 0; /* not finite */
    memcpy(low, rows, sizeof low);
    memcpy(high, rows, sizeof high);
    for (int y = 0; y < LOW_RES_BLOCK; y++) {
        const float *row = rows + y * LOW_RES;
        for (int x = 0; x < LOW_RES; x++) {
            low[x] = row[x] < low[x] ? row[x] : low[x];
            high[x] = row[x] > high[x] ? row[x] : high[x];
            strange[x] |= row[x] - row[x] != 0;
        }
    }
    for (int x = 0; x < LOW_RES; x++) {
        logits->lowest[x][block] = low[x];
        logits->highest[x][block] = high[x];
        any |= strange[x];
    }
    /* 16 x 16 at a time: whole cache lines on both sides */
    for (int left = 0; left < LOW_RES; left += LOW_RES_BLOCK)
        kernels->transpose(rows + left, LOW_RES, LOW_RES_BLOCK, LOW_RES_BLOCK,
                           &logits->columns[left][block * LOW_RES_BLOCK], LOW_RES);
    return !any;
}

static void take_logits(struct mask_upsampler *upsampler, const float *values) {
    struct mask_logits *logits = &upsampler->logits;
    logits->finite = true;
    for (int block = 0; block < upsampler->rows.blocks; block++)
        logits->finite &=
            take_block(upsampler->kernels, values + block * LOW_RES_BLOCK * LOW_RES, block, logits);
}

/* ---- the runs ---------------------------------------------------------------------------- */

struct tracer {
    size_t height, x, y; /* of the image's columns; where in one the column's pixels begin */
    size_t traced;       /* pixels, column by column, that the counts so far cover */
    struct mask *mask;
    size_t capacity;
    bool failed;
    int top, bottom, left, right; /* of the pixels set; right < left: none */
};

static void append_run(struct tracer *tracer, size_t run) {
    struct mask *mask = tracer->mask;
    if (mask->count == tracer->capacity) {
        size_t capacity = tracer->capacity ? 2 * tracer->capacity : 1024;
        uint32_t *grown = realloc(mask->counts, capacity * sizeof *grown);
        if (!grown) {
            tracer->failed = true;
            return;
        }
        mask->counts = grown;
        tracer->capacity = capacity;
    }
    mask->counts[mask->count++] = (uint32_t)run;
    tracer->traced += run;
}

/* A stretch of the column lies above the threshold. */
static void trace_stretch(struct tracer *tracer, int first, int end) {
    size_t from = tracer->x * tracer->height + tracer->y + (size_t)first,
           length = (size_t)(end - first);
    if (tracer->right < tracer->left)
        tracer->left = (int)tracer->x;
    tracer->right = (int)tracer->x;
    tracer->top = first < tracer->top ? first : tracer->top;
    tracer->bottom = end - 1 > tracer->bottom ? end - 1 : tracer->bottom;
    if (tracer->failed)
        return;
    if (tracer->mask->count > 0 &&
        from == tracer->traced) { /* goes on from the foot of the column before */
        tracer->mask->counts[tracer->mask->count - 1] += (uint32_t)length;
        tracer->traced += length;
        return;
    }
    append_run(tracer, from - tracer->traced);
    if (!tracer->failed)
        append_run(tracer, length);
}

/* ---- the mask ---------------------------------------------------------------------------- */

static void describe(const struct tracer *tracer, const size_t areas[MASK_THRESHOLDS],
                     struct segment *segment) {
    segment->area = areas[MASK_ITSELF];
    memset(segment->bbox, 0, sizeof segment->bbox);
    if (areas[MASK_ITSELF] > 0) {
        segment->bbox[0] = tracer->left;
        segment->bbox[1] = (int)tracer->y + tracer->top;
        segment->bbox[2] = tracer->right - tracer->left + 1;
        segment->bbox[3] = tracer->bottom - tracer->top + 1;
    }
    segment->stability_score =
        areas[MASK_LOOSE] ? (float)areas[MASK_TIGHT] / (float)areas[MASK_LOOSE] : 0.0f;
}

static void trace_columns(struct mask_upsampler *upsampler, struct mask_cut cut,
                          struct tracer *tracer, size_t areas[MASK_THRESHOLDS]) {
    const float thresholds[MASK_THRESHOLDS] = {[MASK_ITSELF] = cut.threshold,
                                               [MASK_TIGHT] = cut.threshold + cut.offset,
                                               [MASK_LOOSE] = cut.threshold - cut.offset};
    const int *edges = upsampler->edges;
    for (int x = 0; x < upsampler->width; x++) {
        size_t count = upsampler->kernels->mask_column(&upsampler->logits, &upsampler->rows,
                                                       &upsampler->columns[x], thresholds,
                                                       upsampler->edges, areas);
        tracer->x = (size_t)(upsampler->frame.x + x);
        for (size_t i = 0; i < count; i += 2)
            trace_stretch(tracer, edges[i], edges[i + 1]);
    }
}

enum status mask_upsampler_run(struct mask_upsampler *upsampler, const float *logits,
                               struct mask_cut cut, struct segment *segment, struct error *error) {
    struct mask mask = {.height = upsampler->frame.height, .width = upsampler->frame.width};
    struct tracer tracer = {.height = (size_t)mask.height,
                            .y = (size_t)upsampler->frame.y,
                            .mask = &mask,
                            .top = mask.height,
                            .left = 0,
                            .right = -1,
                            .bottom = -1};
    size_t areas[MASK_THRESHOLDS] = {0};
    memset(segment, 0, sizeof *segment);
    take_logits(upsampler, logits);
    trace_columns(upsampler, cut, &tracer, areas);
    size_t pixels = (size_t)mask.height * (size_t)mask.width;
    if (!tracer.failed && tracer.traced < pixels)
        append_run(&tracer, pixels - tracer.traced);
    if (tracer.failed) {
        mask_free(&mask);
        return error_set(error, STATUS_NO_MEMORY, "no memory to upsample a mask");
    }
    segment->mask = mask;
    describe(&tracer, areas, segment);
    return STATUS_OK;
}
