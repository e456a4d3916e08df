/* kernels: the arithmetic under the models, on plain float pointers and dims.
 *
 * Activations are token-major: [row][column][channel] for images, [token][channel] otherwise, so
 * that a 1x1 convolution is a matrix product and a channel vector is contiguous. A kernel runs on
 * the calling thread; the models cut the work into tiles. OpenBLAS does the matrix products
 * (linear.h). What is memory-bound is here, compiled once for each instruction set from the same
 * source (simd/) and chosen at run time. Each has a naive twin in tests/. */
#ifndef ENGINE_KERNELS_KERNELS_H
#define ENGINE_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Channel counts are multiples of this: one vector of the widest instruction set. */
enum { KERNEL_CHANNEL_STEP = 16 };

/* One row of a depthwise 3x3 convolution with padding 1. Rows are [width][channels]; above or below
 * may be NULL: outside the image, zero. Output column x reads input columns stride * x - 1 ..
 * stride * x + 1. */
struct depthwise_row {
    const float *above, *centre, *below;
    size_t width, output_width;
    size_t channels;      /* a multiple of KERNEL_CHANNEL_STEP */
    size_t stride;        /* 1 or 2 */
    const float *weights; /* [9][channels]: the taps row by row */
    const float *bias;    /* [channels], or NULL for none */
    float *output;        /* [output_width][channels]; not one of the inputs */
};

struct mask_logits;
struct mask_rows;
struct mask_taps;

struct kernels {
    const char *isa;

    /* x[row][i] += bias[i], then GELU (exact, by erf: Hendrycks and Gimpel, arXiv:1606.08415) or
     * ReLU or nothing. rows x n, contiguous. n is any. */
    void (*bias_gelu)(float *x, size_t rows, size_t n, const float *bias);
    void (*bias_relu)(float *x, size_t rows, size_t n, const float *bias);
    void (*bias_add)(float *x, size_t rows, size_t n, const float *bias);

    /* out[i] = a[i] + b[i]; out may be a or b. */
    void (*add)(const float *a, const float *b, float *out, size_t n);

    /* Layer normalisation over the n values of each row (Ba et al., arXiv:1607.06450), biased
     * variance as in PyTorch. y may be x. On token-major data this is also SAM's LayerNorm2d
     * (modeling/common.py). */
    void (*layer_norm)(const float *x, size_t rows, size_t n, const float *weight,
                       const float *bias, float epsilon, float *y);

    /* Softmax over the n values of each row of x * scale + bias, in place; bias is [rows][n] or
     * NULL. */
    void (*softmax)(float *x, size_t rows, size_t n, float scale, const float *bias);

    /* The same down the columns of x, [n][columns]: softmax over the n values (x + offset[row]) *
     * scale of each column. */
    void (*softmax_columns)(float *x, size_t n, size_t columns, float scale, const float *offset);

    /* x[i] = exp(x[i] * scale - max), where max is that of x * scale; gives max and the sum of the
     * results: a part of a softmax over more values than these. */
    void (*exp_partial)(float *x, size_t n, float scale, float *max, float *sum);

    void (*depthwise3x3)(const struct depthwise_row *row);

    /* One image column of a mask (mask_column.h): writes the rows where the pixels above
     * thresholds[MASK_ITSELF] begin and where they end, in turns, at most height + 1, and returns
     * how many they are. Adds the column's pixels above thresholds[k] to areas[k]. */
    size_t (*mask_column)(const struct mask_logits *logits, const struct mask_rows *rows,
                          const struct mask_taps *taps, const float thresholds[3], int *edges,
                          size_t areas[3]);

    /* IEEE 754 binary16, rounded to nearest even; beyond its range to infinity. */
    void (*to_half)(const float *x, uint16_t *half, size_t n);
    void (*from_half)(const uint16_t *half, float *x, size_t n);
};

/* The best of those that this CPU can run. Never NULL. */
const struct kernels *kernels_best(void);

/* All that this CPU can run, for tests and benchmarks: index 0 is the portable one; NULL past the
 * end. */
const struct kernels *kernels_at(size_t index);

#endif
