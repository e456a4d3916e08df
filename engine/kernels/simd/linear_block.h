/* How a block of a linear layer's sums becomes its results; for every precision of the sums. */
#ifndef ENGINE_KERNELS_SIMD_LINEAR_BLOCK_H
#define ENGINE_KERNELS_SIMD_LINEAR_BLOCK_H

#include "engine/kernels/simd/product.h"

/* Where a block lies in y. A depth in parts adds to what the first part left there. */
struct position {
    size_t row, out;
    bool first;
};

/* The sums are small for long; what may be large, the bias and what is added, comes last, for the
 * sake of the roundings. */
static ALWAYS_INLINE void finish_block(size_t rows, size_t panels,
                                       const struct packed_linear *linear,
                                       const struct linear_rows *job, struct position at,
                                       vfloat sums[BLOCK_ROWS][BLOCK_VECTORS]) {
    float *y = job->y + at.row * job->y_stride + at.out;
    const float *added = job->added ? job->added + at.row * job->added_stride + at.out : NULL;
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++) {
            if (!at.first)
                sums[i][v] += load(y + i * job->y_stride + v * WIDTH);
            else if (linear->bias)
                sums[i][v] += load(linear->bias + at.out + v * WIDTH);
            if (at.first && added)
                sums[i][v] += load(added + i * job->added_stride + v * WIDTH);
            store(y + i * job->y_stride + v * WIDTH, sums[i][v]);
        }
    }
}

static inline void activate_block(const struct linear_rows *job, size_t rows, size_t panels,
                                  size_t row, size_t out) {
    for (size_t i = 0; i < panels; i++)
        activate_panel(job->y + row * job->y_stride + out + i * PANEL, rows, job->y_stride,
                       job->activation);
}

#endif
