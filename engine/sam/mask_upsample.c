#include "engine/sam/mask_upsample.h"

#include <stdlib.h>
#include <string.h>

#include "engine/sam/prompt_encoder.h"

enum { SQUARE = 4 * SAM_LOW_RES };

/* One output coordinate: the sum of weight[k] * low[base + k]. */
struct taps {
    int base;
    float weight[3];
};

/* Linear interpolation as PyTorch's and ONNX's half-pixel rule has it: output i of `out` lies
 * between low and low + 1 of `in`. */
static void half_pixel(int i, int out, int in, int *low, int *high, double *share) {
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
static struct taps taps_of(int i, int size, int scaled) {
    int middle[2];
    double share;
    struct taps taps;
    half_pixel(i, size, scaled, &middle[0], &middle[1], &share);
    double weight[2] = {1 - share, share}, sums[3] = {0};
    int low, high;
    double finer;
    half_pixel(middle[0], SQUARE, SAM_LOW_RES, &low, &high, &finer);
    taps.base = low < SAM_LOW_RES - 3 ? low : SAM_LOW_RES - 3;
    for (int k = 0; k < 2; k++) {
        half_pixel(middle[k], SQUARE, SAM_LOW_RES, &low, &high, &finer);
        sums[low - taps.base] += weight[k] * (1 - finer);
        sums[high - taps.base] += weight[k] * finer;
    }
    for (int k = 0; k < 3; k++)
        taps.weight[k] = (float)sums[k];
    return taps;
}

/* How the rows of the image lie in the low resolution; shared by all columns. */
struct rows {
    int height;
    struct taps *taps;          /* [height] */
    int first[SAM_LOW_RES + 1]; /* rows with base b are first[b] .. first[b + 1] - 1 */
};

static enum status rows_make(struct rows *rows, const struct geometry *geometry,
                             struct error *error) {
    rows->height = geometry->height;
    rows->taps = malloc((size_t)rows->height * sizeof *rows->taps);
    if (!rows->taps)
        return error_set(error, STATUS_NO_MEMORY, "no memory to upsample a mask");
    int base = 0;
    for (int y = 0; y < rows->height; y++) {
        rows->taps[y] = taps_of(y, geometry->height, geometry->scaled_height);
        while (base <= rows->taps[y].base)
            rows->first[base++] = y;
    }
    while (base <= SAM_LOW_RES)
        rows->first[base++] = rows->height;
    return STATUS_OK;
}

/* ---- one column -------------------------------------------------------------------------- */

enum side { BELOW, ABOVE, CROSSING };

static enum side side_of(const float *column, int base, float threshold) {
    int above = (column[base] > threshold) + (column[base + 1] > threshold) +
                (column[base + 2] > threshold);
    return above == 0 ? BELOW : above == 3 ? ABOVE : CROSSING;
}

static bool pixel_above(const struct taps *taps, const float *column, float threshold) {
    const float *at = column + taps->base;
    return at[0] * taps->weight[0] + at[1] * taps->weight[1] + at[2] * taps->weight[2] > threshold;
}

/* Receives the stretches of a column that lie above the threshold, in order. */
struct sink {
    void (*stretch)(struct sink *sink, int first, int end);
};

static void scan_column(const struct rows *rows, const float *column, float threshold,
                        struct sink *sink) {
    int open = -1; /* where the stretch that we are in began */
    for (int base = 0; base + 2 < SAM_LOW_RES; base++) {
        int y = rows->first[base], end = rows->first[base + 1];
        if (y == end)
            continue;
        enum side side = side_of(column, base, threshold);
        for (; y < end; y++) {
            bool above =
                side == CROSSING ? pixel_above(&rows->taps[y], column, threshold) : side == ABOVE;
            if (above && open < 0)
                open = y;
            if (!above && open >= 0) {
                sink->stretch(sink, open, y);
                open = -1;
            }
            if (side != CROSSING)
                break; /* the other rows of this base are the same */
        }
    }
    if (open >= 0)
        sink->stretch(sink, open, rows->height);
}

/* ---- what is made of the stretches ------------------------------------------------------- */

struct counter {
    struct sink sink;
    size_t area;
};

static void count_stretch(struct sink *sink, int first, int end) {
    ((struct counter *)sink)->area += (size_t)(end - first);
}

struct tracer {
    struct sink sink;
    size_t height, x; /* of the column that is being scanned */
    size_t area;
    size_t traced; /* pixels, column by column, that the counts so far cover */
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

static void trace_stretch(struct sink *sink, int first, int end) {
    struct tracer *tracer = (struct tracer *)sink;
    size_t from = tracer->x * tracer->height + (size_t)first, length = (size_t)(end - first);
    tracer->area += length;
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

static void make_column(const float *transposed, const struct taps *taps, float *column) {
    const float *a = transposed + (size_t)taps->base * SAM_LOW_RES, *b = a + SAM_LOW_RES,
                *c = b + SAM_LOW_RES;
    for (size_t i = 0; i < SAM_LOW_RES; i++)
        column[i] = a[i] * taps->weight[0] + b[i] * taps->weight[1] + c[i] * taps->weight[2];
}

static void describe(const struct tracer *tracer, const struct counter *tight,
                     const struct counter *loose, struct segment *segment) {
    segment->area = tracer->area;
    memset(segment->bbox, 0, sizeof segment->bbox);
    if (tracer->area > 0) {
        segment->bbox[0] = tracer->left;
        segment->bbox[1] = tracer->top;
        segment->bbox[2] = tracer->right - tracer->left + 1;
        segment->bbox[3] = tracer->bottom - tracer->top + 1;
    }
    segment->stability_score = loose->area ? (float)tight->area / (float)loose->area : 0.0f;
}

static void trace_columns(const float *transposed, const struct geometry *geometry,
                          const struct rows *rows, float threshold, struct tracer *tracer,
                          struct counter *tight, struct counter *loose) {
    float column[SAM_LOW_RES];
    for (int x = 0; x < geometry->width; x++) {
        struct taps taps = taps_of(x, geometry->width, geometry->scaled_width);
        make_column(transposed, &taps, column);
        tracer->x = (size_t)x;
        scan_column(rows, column, threshold, &tracer->sink);
        scan_column(rows, column, threshold + 1.0f, &tight->sink);
        scan_column(rows, column, threshold - 1.0f, &loose->sink);
    }
}

enum status mask_upsample(const float *logits, const struct geometry *geometry, float threshold,
                          struct segment *segment, struct error *error) {
    struct rows rows;
    struct mask mask = {.height = geometry->height, .width = geometry->width};
    memset(segment, 0, sizeof *segment);
    enum status status = rows_make(&rows, geometry, error);
    if (status != STATUS_OK)
        return status;
    float *transposed = malloc(sizeof *transposed * SAM_LOW_RES * SAM_LOW_RES);
    struct tracer tracer = {.sink.stretch = trace_stretch,
                            .height = (size_t)geometry->height,
                            .mask = &mask,
                            .top = geometry->height,
                            .left = 0,
                            .right = -1,
                            .bottom = -1};
    struct counter tight = {.sink.stretch = count_stretch}, loose = tight;
    if (transposed) {
        for (size_t y = 0; y < SAM_LOW_RES; y++)
            for (size_t x = 0; x < SAM_LOW_RES; x++)
                transposed[x * SAM_LOW_RES + y] = logits[y * SAM_LOW_RES + x];
        trace_columns(transposed, geometry, &rows, threshold, &tracer, &tight, &loose);
        size_t pixels = (size_t)geometry->height * (size_t)geometry->width;
        if (!tracer.failed && tracer.traced < pixels)
            append_run(&tracer, pixels - tracer.traced);
    }
    free(rows.taps);
    if (!transposed || tracer.failed) {
        free(transposed);
        mask_free(&mask);
        return error_set(error, STATUS_NO_MEMORY, "no memory to upsample a mask");
    }
    free(transposed);
    segment->mask = mask;
    describe(&tracer, &tight, &loose, segment);
    return STATUS_OK;
}
