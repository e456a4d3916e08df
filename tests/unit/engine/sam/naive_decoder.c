#include "tests/unit/engine/sam/naive_decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/naive.h"

static double *zeros(size_t n) {
    return memset(obtain(n * sizeof(double)), 0, n * sizeof(double));
}

static double *copied(const double *x, size_t n) {
    return memcpy(obtain(n * sizeof *x), x, n * sizeof *x);
}

static double *sum_of(const double *a, const double *b, size_t n) {
    double *sum = obtain(n * sizeof *sum);
    for (size_t i = 0; i < n; i++)
        sum[i] = a[i] + b[i];
    return sum;
}

/* ---- the modules ------------------------------------------------------------------------- */

static double *linear(const struct random_weights *weights, const char *parent, const char *module,
                      size_t in, size_t out, const double *x, size_t rows) {
    double *y = obtain(rows * out * sizeof *y);
    naive_linear(weights_values(weights, "mask_decoder.%s.%s.weight", parent, module),
                 weights_values(weights, "mask_decoder.%s.%s.bias", parent, module), in, out, x,
                 rows, y);
    return y;
}

/* nn.LayerNorm of each row, in place. */
static void norm(const struct random_weights *weights, const char *parent, const char *module,
                 double *x, size_t rows) {
    for (size_t row = 0; row < rows; row++)
        naive_layer_norm(x + row * SAM_DIM, SAM_DIM,
                         weights_values(weights, "mask_decoder.%s.%s.weight", parent, module),
                         weights_values(weights, "mask_decoder.%s.%s.bias", parent, module), 1e-5,
                         x + row * SAM_DIM);
}

/* Attention.forward, added to what `sum` holds. */
static void attend(const struct random_weights *weights, const char *module, size_t inner,
                   const double *q_in, size_t queries, const double *k_in, const double *v_in,
                   size_t keys, double *sum) {
    enum { HEADS = 8 };
    size_t dim = inner / HEADS;
    double *q = linear(weights, module, "q_proj", SAM_DIM, inner, q_in, queries);
    double *k = linear(weights, module, "k_proj", SAM_DIM, inner, k_in, keys);
    double *v = linear(weights, module, "v_proj", SAM_DIM, inner, v_in, keys);
    double *attended = obtain(queries * inner * sizeof *attended);
    for (size_t head = 0; head < HEADS; head++)
        naive_attention(queries, keys, dim, (struct rows_of){q + head * dim, inner},
                        (struct rows_of){k + head * dim, inner},
                        (struct rows_of){v + head * dim, inner}, NULL,
                        (struct rows_of){attended + head * dim, inner});
    double *out = linear(weights, module, "out_proj", inner, SAM_DIM, attended, queries);
    for (size_t i = 0; i < queries * SAM_DIM; i++)
        sum[i] += out[i];
    free(q);
    free(k);
    free(v);
    free(attended);
    free(out);
}

/* ---- the transformer --------------------------------------------------------------------- */

/* TwoWayAttentionBlock.forward */
static void run_layer(struct naive_decoder *at, int index, const double *query_position) {
    size_t t = at->tokens;
    char name[64], module[96];
    snprintf(name, sizeof name, "transformer.layers.%d", index);

    snprintf(module, sizeof module, "%s.self_attn", name);
    double *before = copied(at->queries, t * SAM_DIM);
    if (index == 0) { /* skip_first_layer_pe: no positions, and nothing is added to */
        memset(at->queries, 0, t * SAM_DIM * sizeof *at->queries);
        attend(at->weights, module, 256, before, t, before, before, t, at->queries);
    } else {
        double *q = sum_of(before, query_position, t * SAM_DIM);
        attend(at->weights, module, 256, q, t, q, before, t, at->queries);
        free(q);
    }
    free(before);
    norm(at->weights, name, "norm1", at->queries, t);

    snprintf(module, sizeof module, "%s.cross_attn_token_to_image", name);
    double *q = sum_of(at->queries, query_position, t * SAM_DIM);
    double *k = sum_of(at->keys, at->position, SAM_GRID * SAM_DIM);
    attend(at->weights, module, 128, q, t, k, at->keys, SAM_GRID, at->queries);
    norm(at->weights, name, "norm2", at->queries, t);
    free(q);

    snprintf(module, sizeof module, "%s.mlp", name);
    double *hidden = linear(at->weights, module, "lin1", SAM_DIM, 2048, at->queries, t);
    for (size_t i = 0; i < t * 2048; i++)
        hidden[i] = fmax(hidden[i], 0);
    double *added = linear(at->weights, module, "lin2", 2048, SAM_DIM, hidden, t);
    for (size_t i = 0; i < t * SAM_DIM; i++)
        at->queries[i] += added[i];
    norm(at->weights, name, "norm3", at->queries, t);
    free(hidden);
    free(added);

    snprintf(module, sizeof module, "%s.cross_attn_image_to_token", name);
    q = sum_of(at->queries, query_position, t * SAM_DIM);
    attend(at->weights, module, 128, k, SAM_GRID, q, at->queries, t, at->keys);
    norm(at->weights, name, "norm4", at->keys, SAM_GRID);
    free(q);
    free(k);
}

/* TwoWayTransformer.forward */
static void run_transformer(struct naive_decoder *at) {
    double *query_position = copied(at->queries, at->tokens * SAM_DIM);
    for (int i = 0; i < 2; i++)
        run_layer(at, i, query_position);
    double *q = sum_of(at->queries, query_position, at->tokens * SAM_DIM);
    double *k = sum_of(at->keys, at->position, SAM_GRID * SAM_DIM);
    attend(at->weights, "transformer.final_attn_token_to_image", 128, q, at->tokens, k, at->keys,
           SAM_GRID, at->queries);
    norm(at->weights, "transformer", "norm_final_attn", at->queries, at->tokens);
    free(query_position);
    free(q);
    free(k);
}

/* ---- the masks --------------------------------------------------------------------------- */

/* class MLP, with three layers. */
static void run_mlp(const struct random_weights *weights, const char *name, const double *x,
                    size_t out, double *y) {
    double *first = linear(weights, name, "layers.0", SAM_DIM, SAM_DIM, x, 1);
    for (size_t i = 0; i < SAM_DIM; i++)
        first[i] = fmax(first[i], 0);
    double *second = linear(weights, name, "layers.1", SAM_DIM, SAM_DIM, first, 1);
    for (size_t i = 0; i < SAM_DIM; i++)
        second[i] = fmax(second[i], 0);
    double *third = linear(weights, name, "layers.2", SAM_DIM, out, second, 1);
    memcpy(y, third, out * sizeof *y);
    free(first);
    free(second);
    free(third);
}

/* nn.ConvTranspose2d with kernel and stride 2: what input x gives to output (dy, dx) of its four.
 */
static void transposed(const struct random_weights *weights, const char *module, size_t in,
                       size_t out, const double *x, size_t dy, size_t dx, double *y) {
    const float *weight = weights_values(weights, "mask_decoder.%s.weight", module);
    const float *bias = weights_values(weights, "mask_decoder.%s.bias", module);
    for (size_t o = 0; o < out; o++) {
        y[o] = (double)bias[o];
        for (size_t i = 0; i < in; i++)
            y[o] += x[i] * (double)weight[((i * out + o) * 2 + dy) * 2 + dx];
    }
}

/* LayerNorm2d and GELU of one position. */
static void upscaling_norm(const struct random_weights *weights, double x[64]) {
    naive_layer_norm(x, 64, weights_values(weights, "mask_decoder.output_upscaling.1.weight"),
                     weights_values(weights, "mask_decoder.output_upscaling.1.bias"), 1e-6, x);
    for (size_t i = 0; i < 64; i++)
        x[i] = naive_gelu(x[i]);
}

void naive_decoder_cell(const struct naive_decoder *at, size_t row, size_t column,
                        double logits[SAM_MASK_TOKENS][4][4]) {
    const double *key = at->keys + (row * 64 + column) * SAM_DIM;
    double half[2][2][64], full[32];
    for (size_t y = 0; y < 2; y++) {
        for (size_t x = 0; x < 2; x++) {
            transposed(at->weights, "output_upscaling.0", 256, 64, key, y, x, half[y][x]);
            upscaling_norm(at->weights, half[y][x]);
        }
    }
    for (size_t y = 0; y < 4; y++) {
        for (size_t x = 0; x < 4; x++) {
            transposed(at->weights, "output_upscaling.3", 64, 32, half[y / 2][x / 2], y % 2, x % 2,
                       full);
            for (size_t mask = 0; mask < SAM_MASK_TOKENS; mask++) {
                logits[mask][y][x] = 0;
                for (size_t i = 0; i < 32; i++)
                    logits[mask][y][x] += at->hyper[mask][i] * naive_gelu(full[i]);
            }
        }
    }
}

/* MaskDecoder.predict_masks */
void naive_decoder_run(struct naive_decoder *at, const struct random_weights *weights,
                       const float *position, const struct mask_decoder_input *input) {
    const float *iou_token = weights_values(weights, "mask_decoder.iou_token.weight");
    const float *mask_tokens = weights_values(weights, "mask_decoder.mask_tokens.weight");
    at->weights = weights;
    at->tokens = 1 + SAM_MASK_TOKENS + input->sparse_count;
    at->position = doubles_of(position, SAM_GRID * SAM_DIM);
    at->queries = zeros(at->tokens * SAM_DIM);
    at->keys = zeros(SAM_GRID * SAM_DIM);
    for (size_t i = 0; i < SAM_DIM; i++) {
        at->queries[i] = (double)iou_token[i];
        for (size_t token = 0; token < SAM_MASK_TOKENS; token++)
            at->queries[(1 + token) * SAM_DIM + i] = (double)mask_tokens[token * SAM_DIM + i];
        for (size_t token = 0; token < input->sparse_count; token++)
            at->queries[(1 + SAM_MASK_TOKENS + token) * SAM_DIM + i] =
                (double)input->sparse[token * SAM_DIM + i];
    }
    for (size_t i = 0; i < SAM_GRID * SAM_DIM; i++)
        at->keys[i] =
            naive_from_half(input->embedding[i]) +
            (double)(input->dense ? input->dense[i] : input->dense_everywhere[i % SAM_DIM]);
    run_transformer(at);
    run_mlp(weights, "iou_prediction_head", at->queries, SAM_MASK_TOKENS, at->iou);
    for (int i = 0; i < SAM_MASK_TOKENS; i++) {
        char name[64];
        snprintf(name, sizeof name, "output_hypernetworks_mlps.%d", i);
        run_mlp(weights, name, at->queries + (1 + i) * SAM_DIM, 32, at->hyper[i]);
    }
}

void naive_decoder_free(struct naive_decoder *at) {
    free(at->position);
    free(at->queries);
    free(at->keys);
}
