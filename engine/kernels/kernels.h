/* kernels: the arithmetic under the models, on plain float pointers and dims.
 *
 * Activations are token-major: [row][column][channel] for images, [token][channel] otherwise, so
 * that a 1x1 convolution is a matrix product and a channel vector is contiguous. A kernel runs on
 * the calling thread; the models cut the work into tiles. Everything here is compiled once for each
 * instruction set from the same source (simd/) and chosen at run time. Products have weights that
 * were packed when the model was loaded, and end in bias, activation and what is added: OpenBLAS,
 * which packs its operands at every call, takes a quarter longer for these sizes. Each kernel has a
 * naive twin in tests/. */
#ifndef ENGINE_KERNELS_KERNELS_H
#define ENGINE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Channel counts are multiples of this: one vector of the widest instruction set. */
enum { KERNEL_CHANNEL_STEP = 16 };

enum activation {
    ACTIVATION_NONE,
    ACTIVATION_GELU, /* exact, by erf: Hendrycks and Gimpel, arXiv:1606.08415 */
    ACTIVATION_RELU,
};

/* torch.nn.Linear, a 1x1 convolution on token-major data, or a 3x3 convolution as a linear on its
 * nine inputs, with the weights in the order in which the product reads them. */
struct packed_linear {
    const float *panels;         /* [out / KERNEL_CHANNEL_STEP][in][KERNEL_CHANNEL_STEP] */
    const uint16_t *panels_bf16; /* [out / KERNEL_CHANNEL_STEP][in / 2][KERNEL_CHANNEL_STEP][2], in
                                    place of panels: `in` is even, at most LINEAR_BF16_DEPTH_MAX */
    const float *bias;           /* [out], or NULL */
    size_t in, out;              /* out: a multiple of KERNEL_CHANNEL_STEP */
};

enum { LINEAR_PIECES_MAX = 3, LINEAR_BF16_DEPTH_MAX = 2304 };

/* y = activation(x W^T + bias + added), for some rows. A row of x is one piece of `in` values, or
 * three of in / 3 each that lie apart: the inputs of a 3x3 convolution in three rows of an image. A
 * piece that is NULL counts as zeros. Rows follow each other at their strides, in floats. */
struct linear_rows {
    const float *x[LINEAR_PIECES_MAX];
    size_t pieces; /* 1 or 3 */
    size_t x_stride;
    const float *added; /* or NULL; may be y, with y's stride */
    size_t added_stride;
    float *y;
    size_t y_stride;
    size_t rows;
    enum activation activation;
};

/* c = activation(a b + bias), or with what c holds added before the activation. The columns of b
 * and c come in panels of KERNEL_CHANNEL_STEP, at distances that are free: so b may be a plain
 * matrix (b_panel = KERNEL_CHANNEL_STEP), or lie in panels [panel][depth][KERNEL_CHANNEL_STEP]; and
 * where the columns are positions of an image, a holds a layer's weights as they are in the file,
 * and a channel of KERNEL_CHANNEL_STEP positions is one row of a panel. All strides are in floats.
 */
struct panel_product {
    const float *a; /* rows of `pieces` stretches of `depth` values each */
    size_t rows, a_stride;
    size_t depth, pieces, a_piece; /* a_piece: from one stretch of a row to the next */
    const float *b;                /* pieces x depth rows, at b_stride */
    size_t b_stride, b_panel, panels;
    const float *bias; /* [rows], or NULL */
    float *c;
    size_t c_stride, c_panel;
    bool accumulate; /* adds to what c holds */
    /* Or NULL; of one panel only: [rows][KERNEL_CHANNEL_STEP], added times scale, column by column.
     */
    const float *scaled, *scale;
    size_t groups; /* more than one: as many products of this shape, with a, b and c so far apart */
    size_t a_group, b_group, c_group, scaled_group;
    enum activation activation;
};

/* All rows contiguous; the rest is for the caller to set. */
static inline struct linear_rows linear_rows_of(const struct packed_linear *linear, const float *x,
                                                size_t rows, float *y) {
    return (struct linear_rows){
        .x = {x},
        .pieces = 1,
        .x_stride = linear->in,
        .added_stride = linear->out,
        .y = y,
        .y_stride = linear->out,
        .rows = rows,
    };
}

/* Multi-head self-attention within one window, with relative position biases (TinyViT: Wu et al.,
 * arXiv:2207.10666; Attention in mobile_sam/modeling/tiny_vit_sam.py). */
struct window_attention {
    size_t tokens, heads;
    size_t head_dim;   /* a multiple of KERNEL_CHANNEL_STEP */
    const float *bias; /* [heads][tokens][tokens] */
    const float *qkv;  /* [tokens][heads][q, k, v of head_dim each] */
    size_t queries;    /* the first so many tokens are asked for, the others are keys only */
    float *scratch;    /* window_attention_scratch() floats */
    float *out;        /* [queries][heads][head_dim] */
};

size_t window_attention_scratch(size_t tokens, size_t head_dim);

/* One row of a depthwise 3x3 convolution with padding 1. Rows are [width][channels]; above or below
 * may be NULL: outside the image, zero. Output column x reads input columns stride * x - 1 ..
 * stride * x + 1; those before the first and after the last are zero, unless the row is a part of a
 * wider one. */
struct depthwise_row {
    const float *above, *centre, *below;
    size_t width, output_width;
    bool goes_on_left, goes_on_right; /* there is a column -1, or one at `width`, in memory */
    size_t channels;                  /* a multiple of KERNEL_CHANNEL_STEP */
    size_t stride;                    /* 1 or 2 */
    const float *weights;             /* [9][channels]: the taps row by row */
    const float *bias;                /* [channels], or NULL for none */
    enum activation activation;
    float *output; /* [output_width][channels]; not one of the inputs */
};

struct mask_logits;
struct mask_rows;
struct mask_taps;

struct kernels {
    const char *isa;

    /* Where the layer has panels_bf16, x and the weights are in bfloat16 and the sums in float.
     * fast_bf16: the CPU has an instruction for that (AVX-512-BF16); elsewhere it is slower. */
    void (*linear)(const struct packed_linear *linear, const struct linear_rows *rows);
    bool fast_bf16;

    /* bfloat16, the upper half of a float, rounded to nearest even. */
    void (*to_bf16)(const float *x, uint16_t *rounded, size_t n);
    void (*panel_product)(const struct panel_product *product);

    /* Layer normalisation of KERNEL_CHANNEL_STEP positions side by side, over their n channels,
     * then an activation: x [n][KERNEL_CHANNEL_STEP], in place. */
    void (*panel_norm)(float *x, size_t n, const float *weight, const float *bias, float epsilon,
                       enum activation activation);

    /* sum[i][position] += weights[position] * x[i][position], all [n][KERNEL_CHANNEL_STEP]. */
    void (*panel_add_weighted)(float *sum, const float *x, size_t n, const float *weights);

    /* y[i][position] = x[i][position] * weights[position] + added[i][position], for n rows; those
     * of y at their stride, the others [n][KERNEL_CHANNEL_STEP]. added may be NULL; y may be x. */
    void (*panel_scale)(const float *x, size_t n, const float *weights, const float *added,
                        float *y, size_t y_stride);

    /* dot[position] = the sum of x[i][position] * y[i][position], both [n][KERNEL_CHANNEL_STEP]. */
    void (*panel_dot)(const float *x, const float *y, size_t n, float *dot);

    /* y[column][row] = x[row][column], rows at their strides. */
    void (*transpose)(const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
                      size_t y_stride);

    /* x[row][i] += bias[i], then GELU or nothing. rows x n, contiguous. n is any. */
    void (*bias_gelu)(float *x, size_t rows, size_t n, const float *bias);
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

    /* x[i] = exp(x[i] * scale - max), where max is that of x * scale, but at least what *max was
     * before; gives max and the sum of the results: a part of a softmax over more values than
     * these.
     */
    void (*exp_partial)(float *x, size_t n, float scale, float *max, float *sum);

    void (*window_attention)(const struct window_attention *attention);

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
