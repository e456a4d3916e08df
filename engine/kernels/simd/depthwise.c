#include "engine/kernels/simd/kernels_isa.h"

/* Output columns that share their weights' loads. */
enum { COLUMNS = 4 };

/* A row outside the image contributes nothing: its taps become zero and any readable row stands in
 * for it. */
struct taps {
    const float *rows[3];
    int outside[3];
};

static struct taps taps_of(const struct depthwise_row *row) {
    struct taps taps = {.rows = {row->above, row->centre, row->below}};
    for (int i = 0; i < 3; i++) {
        taps.outside[i] = taps.rows[i] == NULL;
        if (taps.outside[i])
            taps.rows[i] = row->centre;
    }
    return taps;
}

/* One output column, with the columns outside the image left out. */
static void edge_column(const struct depthwise_row *row, const struct taps *taps, size_t x) {
    size_t channels = row->channels;
    for (size_t c = 0; c < channels; c += WIDTH) {
        vfloat sum = row->bias ? load(row->bias + c) : splat(0.0f);
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 3; j++) {
                size_t column = x * row->stride + j; /* of the padded row */
                if (taps->outside[i] || column == 0 || column > row->width)
                    continue;
                sum += load(taps->rows[i] + (column - 1) * channels + c) *
                       load(row->weights + (i * 3 + j) * channels + c);
            }
        }
        store(row->output + x * channels + c, sum);
    }
}

/* COLUMNS output columns from x on, all of whose inputs lie inside the image. */
static inline void inner_columns(const struct depthwise_row *row, const struct taps *taps, size_t x,
                                 size_t stride) {
    size_t channels = row->channels;
    for (size_t c = 0; c < channels; c += WIDTH) {
        vfloat sums[COLUMNS];
        for (size_t k = 0; k < COLUMNS; k++)
            sums[k] = row->bias ? load(row->bias + c) : splat(0.0f);
        for (size_t i = 0; i < 3; i++) {
            if (taps->outside[i])
                continue;
            const float *input = taps->rows[i] + (x * stride - 1) * channels + c;
            const float *weights = row->weights + i * 3 * channels + c;
            vfloat left = load(weights), middle = load(weights + channels),
                   right = load(weights + 2 * channels);
            for (size_t k = 0; k < COLUMNS; k++) {
                const float *at = input + k * stride * channels;
                sums[k] += load(at) * left;
                sums[k] += load(at + channels) * middle;
                sums[k] += load(at + 2 * channels) * right;
            }
        }
        for (size_t k = 0; k < COLUMNS; k++)
            store(row->output + (x + k) * channels + c, sums[k]);
    }
}

void KERNEL(depthwise3x3)(const struct depthwise_row *row) {
    struct taps taps = taps_of(row);
    size_t stride = row->stride, x = 0;
    if (row->output_width > 0)
        edge_column(row, &taps, x++);
    /* the last input column of output column x is stride * x + 1 */
    while (x + COLUMNS <= row->output_width && (x + COLUMNS - 1) * stride + 1 < row->width) {
        if (stride == 1)
            inner_columns(row, &taps, x, 1);
        else
            inner_columns(row, &taps, x, stride);
        x += COLUMNS;
    }
    for (; x < row->output_width; x++)
        edge_column(row, &taps, x);
}
