#include "engine/kernels/simd/activation.h"
#include "engine/kernels/simd/kernels_isa.h"

/* Output columns that share their weights' loads. */
enum { COLUMNS = 4 };

/* One output column, with the inputs outside the image left out. */
static void edge_column(const struct depthwise_row *row, size_t x) {
    const float *const rows[3] = {row->above, row->centre, row->below};
    size_t channels = row->channels;
    for (size_t c = 0; c < channels; c += WIDTH) {
        vfloat sum = row->bias ? load(row->bias + c) : splat(0.0f);
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 3; j++) {
                ptrdiff_t column = (ptrdiff_t)(x * row->stride + j) - 1;
                if (!rows[i] || (column < 0 && !row->goes_on_left) ||
                    (column >= (ptrdiff_t)row->width && !row->goes_on_right))
                    continue;
                sum += load(rows[i] + column * (ptrdiff_t)channels + c) *
                       load(row->weights + (i * 3 + j) * channels + c);
            }
        }
        store(row->output + x * channels + c, activate(sum, row->activation));
    }
}

/* COLUMNS output columns from x on, all of whose inputs are there but perhaps those of a row above
 * or below the image. */
static inline __attribute__((always_inline)) void inner_columns(const struct depthwise_row *row,
                                                                size_t x, size_t stride,
                                                                enum activation activation) {
    const float *const rows[3] = {row->above, row->centre, row->below};
    size_t channels = row->channels;
    ptrdiff_t first = ((ptrdiff_t)(x * stride) - 1) * (ptrdiff_t)channels;
    for (size_t c = 0; c < channels; c += WIDTH) {
        vfloat sums[COLUMNS];
        for (size_t k = 0; k < COLUMNS; k++)
            sums[k] = row->bias ? load(row->bias + c) : splat(0.0f);
        for (size_t i = 0; i < 3; i++) {
            if (!rows[i])
                continue;
            const float *input = rows[i] + first + c;
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
            store(row->output + (x + k) * channels + c, activate(sums[k], activation));
    }
}

static inline __attribute__((always_inline)) void run(const struct depthwise_row *row,
                                                      size_t stride, enum activation activation) {
    size_t x = 0, end = row->width + (row->goes_on_right ? 1 : 0);
    if (row->output_width > 0 && !row->goes_on_left)
        edge_column(row, x++);
    /* the last input column of output column x is stride * x + 1 */
    for (; x + COLUMNS <= row->output_width && (x + COLUMNS - 1) * stride + 1 < end; x += COLUMNS)
        inner_columns(row, x, stride, activation);
    for (; x < row->output_width; x++)
        edge_column(row, x);
}

void KERNEL(depthwise3x3)(const struct depthwise_row *row) {
    if (row->activation == ACTIVATION_NONE && row->stride == 1)
        run(row, 1, ACTIVATION_NONE);
    else if (row->activation == ACTIVATION_GELU && row->stride == 1)
        run(row, 1, ACTIVATION_GELU);
    else
        run(row, row->stride, row->activation);
}
