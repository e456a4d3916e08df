/* product: the inner block of every matrix product here. A few rows of a times a panel or two of b
 * stay in registers while the depth runs by (Goto and van de Geijn, "Anatomy of high-performance
 * matrix multiplication", 2008). What fits in the registers decides the block's shape. */
#ifndef ENGINE_KERNELS_SIMD_PRODUCT_H
#define ENGINE_KERNELS_SIMD_PRODUCT_H

#include "engine/kernels/simd/activation.h"

enum {
    PANEL = KERNEL_CHANNEL_STEP, /* columns of b that lie side by side */
    PANEL_VECTORS = PANEL / WIDTH,
    BLOCK_PANELS = WIDTH == 16 ? 2 : 1,
    BLOCK_ROWS = WIDTH == 16  ? 12
                 : WIDTH == 8 ? 6
                              : 3,
    BLOCK_VECTORS = BLOCK_PANELS * PANEL_VECTORS,
};

/* Where b's rows are: `stride` floats from each to the next, and the second panel `panel` floats
 * from the first. */
struct panels {
    const float *at;
    size_t stride, panel;
};

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* sums[row] += a[row][0 .. depth - 1] b; rows and panels are constants where this is inlined. */
static ALWAYS_INLINE void multiply(size_t rows, size_t panels, const float *a, size_t a_stride,
                                   size_t depth, struct panels b,
                                   vfloat sums[BLOCK_ROWS][BLOCK_VECTORS]) {
    for (size_t k = 0; k < depth; k++, b.at += b.stride) {
        vfloat columns[BLOCK_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
            columns[v] = load(b.at + v / PANEL_VECTORS * b.panel + v % PANEL_VECTORS * WIDTH);
#pragma GCC unroll 12
        for (size_t row = 0; row < rows; row++) {
            vfloat value = splat(a[row * a_stride + k]);
#pragma GCC unroll 8
            for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
                sums[row][v] += value * columns[v]; // cppcheck-suppress uninitvar
        }
    }
}

static ALWAYS_INLINE void clear_block(size_t rows, size_t panels,
                                      vfloat sums[BLOCK_ROWS][BLOCK_VECTORS]) {
#pragma GCC unroll 12
    for (size_t row = 0; row < rows; row++)
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
            sums[row][v] = splat(0.0f);
}

/* n rows of one panel, at a stride, in place: while they are in the first-level cache. */
static inline void activate_panel(float *x, size_t n, size_t stride, enum activation activation) {
    enum { ROWS = GELU_VECTORS / PANEL_VECTORS };
    _Static_assert(ROWS * PANEL_VECTORS == GELU_VECTORS, "whole rows");
    size_t row = 0;
    if (activation == ACTIVATION_NONE)
        return;
    if (activation == ACTIVATION_GELU)
        for (; row + ROWS <= n; row += ROWS) {
            vfloat values[GELU_VECTORS];
#pragma GCC unroll 4
            for (size_t v = 0; v < GELU_VECTORS; v++)
                values[v] =
                    load(x + (row + v / PANEL_VECTORS) * stride + v % PANEL_VECTORS * WIDTH);
            gelu_vectors(values, GELU_VECTORS);
#pragma GCC unroll 4
            for (size_t v = 0; v < GELU_VECTORS; v++)
                store(x + (row + v / PANEL_VECTORS) * stride + v % PANEL_VECTORS * WIDTH,
                      values[v]);
        }
    for (; row < n; row++)
        for (size_t j = 0; j < PANEL; j += WIDTH)
            store(x + row * stride + j, activate(load(x + row * stride + j), activation));
}

/* How many rows the next block takes of those that are left: whole blocks, and in the end two
 * halves rather than a block and a sliver. */
static inline size_t block_rows(size_t left) {
    return left >= 2 * BLOCK_ROWS ? (size_t)BLOCK_ROWS : left > BLOCK_ROWS ? (left + 1) / 2 : left;
}

/* Calls block(rows, panels, ...) with both as constants. */
#define BLOCK_CASE(n, block, panels, ...)                                                          \
    case n:                                                                                        \
        block(n, panels, __VA_ARGS__);                                                             \
        break;
#if WIDTH == 16
#define BLOCK_CASES_ABOVE_6(...)                                                                   \
    BLOCK_CASE(7, __VA_ARGS__)                                                                     \
    BLOCK_CASE(8, __VA_ARGS__)                                                                     \
    BLOCK_CASE(9, __VA_ARGS__)                                                                     \
    BLOCK_CASE(10, __VA_ARGS__)                                                                    \
    BLOCK_CASE(11, __VA_ARGS__)                                                                    \
    BLOCK_CASE(12, __VA_ARGS__)
#else
#define BLOCK_CASES_ABOVE_6(...)
#endif
#if WIDTH >= 8
#define BLOCK_CASES_ABOVE_3(...)                                                                   \
    BLOCK_CASE(4, __VA_ARGS__)                                                                     \
    BLOCK_CASE(5, __VA_ARGS__)                                                                     \
    BLOCK_CASE(6, __VA_ARGS__)                                                                     \
    BLOCK_CASES_ABOVE_6(__VA_ARGS__)
#else
#define BLOCK_CASES_ABOVE_3(...)
#endif
#define WITH_CONSTANT_ROWS(rows, ...)                                                              \
    switch (rows) {                                                                                \
        BLOCK_CASE(1, __VA_ARGS__)                                                                 \
        BLOCK_CASE(2, __VA_ARGS__)                                                                 \
        BLOCK_CASE(3, __VA_ARGS__)                                                                 \
        BLOCK_CASES_ABOVE_3(__VA_ARGS__)                                                           \
    }

#endif
