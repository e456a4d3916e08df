/* Pillow's bilinear resampling with antialiasing, bit for bit (its src/libImaging/Resample.c, for 8
 * bits a channel): a triangle filter, widened by the factor of a reduction; rows first, rounded to
 * 8 bits, then columns; an axis that keeps its size is left alone. */
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image/internal.h"
#include "engine/image/resample.h"

static void filter_free(struct resample_filter *filter) {
    free(filter->first);
    free(filter->weights);
}

/* The input positions under the triangle of one output position. */
struct span {
    double centre;
    int first, count;
};

static struct span span_of(int output, double scale, double support, int inputs) {
    double centre = (output + 0.5) * scale;
    double first = centre - support + 0.5, last = centre + support + 0.5;
    struct span span = {.centre = centre};
    span.first = first > 0 ? (int)first : 0;
    span.count = (last < inputs ? (int)last : inputs) - span.first;
    return span;
}

/* Fills the weights of one output position; shares is scratch for filter->taps doubles. */
static void weigh(struct resample_filter *filter, int output, struct span span, double support,
                  int inputs, double *shares) {
    double sum = 0;
    for (int i = 0; i < span.count; i++) {
        double distance = fabs((span.first + i - span.centre + 0.5) * (1.0 / support));
        shares[i] = distance < 1 ? 1 - distance : 0;
        sum += shares[i];
    }
    /* All have the same number of taps: a span at the end moves back behind weights of zero. */
    int first = span.first + filter->taps <= inputs ? span.first : inputs - filter->taps;
    uint32_t *weights =
        filter->weights + (size_t)output * (size_t)filter->taps + (span.first - first);
    for (int i = 0; i < span.count; i++) {
        double share = sum != 0 ? shares[i] / sum : shares[i];
        weights[i] = (uint32_t)(share * (1 << RESAMPLE_WEIGHT_BITS) + 0.5);
    }
    filter->first[output] = first;
}

/* On failure too, *filter is to be released by filter_free. */
static enum status filter_make(int inputs, int outputs, struct resample_filter *filter,
                               struct error *error) {
    double scale = (double)inputs / outputs;
    double support = scale < 1 ? 1 : scale;
    int taps = 0;
    for (int output = 0; output < outputs; output++) {
        struct span span = span_of(output, scale, support, inputs);
        taps = span.count > taps ? span.count : taps;
    }
    *filter = (struct resample_filter){.outputs = outputs, .taps = taps};
    filter->first = calloc((unsigned)outputs, sizeof *filter->first);
    size_t count;
    if (!__builtin_mul_overflow((unsigned)outputs, (unsigned)taps, &count))
        filter->weights = calloc(count, sizeof *filter->weights);
    double *shares = calloc((unsigned)taps, sizeof *shares);
    bool complete = filter->first && filter->weights && shares;
    for (int output = 0; complete && output < outputs; output++)
        weigh(filter, output, span_of(output, scale, support, inputs), support, inputs, shares);
    free(shares);
    if (!complete)
        return error_set(error, STATUS_NO_MEMORY, "no memory to resample %d pixels to %d", inputs,
                         outputs);
    return STATUS_OK;
}

/* One resampling under way. Rows that have gone through the horizontal pass wait in a ring until
 * the vertical pass needs them no more, so that the image between the passes never exists as a
 * whole. */
struct resampling {
    const struct image *from;
    struct image *to;
    struct resample_kernels kernels;
    struct resample_filter columns, rows; /* for the horizontal and the vertical pass */
    struct resample_column *scratch;      /* for the horizontal pass */
    uint8_t *ring;                        /* ring_rows rows of the new width */
    int ring_rows;
    const uint8_t **taps; /* the rows that a row of the vertical pass is made of */
    struct image_pace pace;
};

static const uint8_t *source_row(const struct resampling *r, int y) {
    return r->from->rgb + (size_t)y * (size_t)r->from->width * 3;
}

static uint8_t *target_row(const struct resampling *r, int y) {
    return r->to->rgb + (size_t)y * (size_t)r->to->width * 3;
}

static uint8_t *ring_row(const struct resampling *r, int y) {
    return r->ring + (size_t)(y % r->ring_rows) * (size_t)r->to->width * 3;
}

/* Takes source rows y and those after it through the horizontal pass, to the ring or, without a
 * vertical pass, to the new image. */
static void resample_rows(struct resampling *r, int y) {
    const uint8_t *in[RESAMPLE_ROWS];
    uint8_t *out[RESAMPLE_ROWS];
    for (int i = 0; i < RESAMPLE_ROWS; i++) {
        int row = y + i < r->from->height ? y + i : r->from->height - 1;
        in[i] = source_row(r, row);
        out[i] = r->ring ? ring_row(r, row) : target_row(r, row);
    }
    r->kernels.horizontal(&r->columns, r->scratch, in, r->from->width, out);
    image_pace(&r->pace, (size_t)r->from->width * RESAMPLE_ROWS);
}

static void run_horizontal(struct resampling *r) {
    for (int y = 0; y < r->from->height; y += RESAMPLE_ROWS)
        resample_rows(r, y);
}

static void run_vertical(struct resampling *r) {
    const struct resample_filter *filter = &r->rows;
    int next = filter->first[0]; /* the source row that the horizontal pass takes next */
    for (int y = 0; y < filter->outputs; y++) {
        int first = filter->first[y];
        for (; r->ring && next < first + filter->taps; next += RESAMPLE_ROWS)
            resample_rows(r, next);
        for (int tap = 0; tap < filter->taps; tap++)
            r->taps[tap] = r->ring ? ring_row(r, first + tap) : source_row(r, first + tap);
        r->kernels.vertical(filter->weights + (size_t)y * (size_t)filter->taps, filter->taps,
                            r->taps, target_row(r, y), (size_t)r->to->width * 3);
        image_pace(&r->pace, (size_t)r->to->width);
    }
}

static enum status prepare(struct resampling *r, struct error *error) {
    int inputs = r->from->width, outputs = r->to->width;
    bool horizontal = outputs != inputs, vertical = r->to->height != r->from->height;
    enum status status = STATUS_OK;
    if (horizontal)
        status = filter_make(inputs, outputs, &r->columns, error);
    if (vertical && status == STATUS_OK)
        status = filter_make(r->from->height, r->to->height, &r->rows, error);
    if (status != STATUS_OK)
        return status;
    if (horizontal)
        r->scratch = calloc((size_t)inputs, sizeof *r->scratch);
    if (vertical)
        r->taps = calloc((size_t)r->rows.taps, sizeof *r->taps);
    if (horizontal && vertical) {
        /* The rows of a block after the last that is needed now are kept for the next. */
        r->ring_rows = r->rows.taps + RESAMPLE_ROWS - 1;
        r->ring = calloc((size_t)r->ring_rows, (size_t)outputs * 3);
    }
    if ((horizontal && !r->scratch) || (vertical && !r->taps) ||
        (horizontal && vertical && !r->ring))
        return error_set(error, STATUS_NO_MEMORY, "no memory to resample %d x %d to %d x %d pixels",
                         inputs, r->from->height, outputs, r->to->height);
    return STATUS_OK;
}

enum status image_resize(const struct image *image, int width, int height,
                         const struct image_yield *yield, struct image *resized,
                         struct error *error) {
    *resized = (struct image){0};
    if (image->width < 1 || image->height < 1 || width < 1 || height < 1)
        return error_set(error, STATUS_INVALID, "%d x %d pixels cannot become %d x %d",
                         image->width, image->height, width, height);
    if (height > INT_MAX / width)
        return error_set(error, STATUS_TOO_LARGE, "%d x %d pixels; the limit is %d pixels", width,
                         height, INT_MAX);
    enum status status = image_allocate(width, height, resized, error);
    if (status != STATUS_OK)
        return status;
    struct resampling r = {
        .from = image, .to = resized, .kernels = resample_kernels(), .pace.yield = yield};
    status = prepare(&r, error);
    if (status == STATUS_OK) {
        if (r.rows.outputs)
            run_vertical(&r);
        else if (r.columns.outputs)
            run_horizontal(&r);
        else
            memcpy(resized->rgb, image->rgb, (size_t)width * (size_t)height * 3);
    }
    filter_free(&r.columns);
    filter_free(&r.rows);
    free(r.scratch);
    free(r.ring);
    free(r.taps);
    if (status != STATUS_OK)
        image_free(resized);
    return status;
}
