#include "tests/unit/engine/sam/naive_vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/naive.h"

#define WEIGHT(...) weights_values(layer->weights, "image_encoder." __VA_ARGS__)

/* ---- parts ------------------------------------------------------------------------------- */

static void gelu(double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = naive_gelu(x[i]);
}

static void layer_norm(const struct naive_layer *layer, const char *module, size_t channels,
                       double epsilon, double *x) {
    naive_layer_norm(x, channels, WEIGHT("%s.weight", module), WEIGHT("%s.bias", module), epsilon,
                     x);
}

/* A linear layer or a 1x1 convolution, of one position. */
static void linear(const struct naive_layer *layer, const char *module, bool bias, size_t in,
                   size_t out, const double *x, double *y) {
    const float *weight = WEIGHT("%s.weight", module);
    const float *biases = bias ? WEIGHT("%s.bias", module) : NULL;
    for (size_t o = 0; o < out; o++) {
        y[o] = bias ? (double)biases[o] : 0;
        for (size_t i = 0; i < in; i++)
            y[o] += x[i] * (double)weight[o * in + i];
    }
}

static void input_at(const struct naive_layer *layer, size_t y, size_t x, double *to) {
    const float *from = layer->input + (y * layer->side + x) * layer->channels;
    for (size_t c = 0; c < layer->channels; c++)
        to[c] = (double)from[c];
}

/* Which of a 3x3 convolution's taps lie inside an image with padding 1, and where. */
struct taps {
    size_t y[9], x[9], tap[9], count;
};

static struct taps taps_at(size_t side, size_t stride, size_t y, size_t x) {
    struct taps taps = {.count = 0};
    for (size_t tap = 0; tap < 9; tap++) {
        size_t row = y * stride + tap / 3, column = x * stride + tap % 3; /* of the padded image */
        if (row < 1 || row > side || column < 1 || column > side)
            continue;
        taps.y[taps.count] = row - 1;
        taps.x[taps.count] = column - 1;
        taps.tap[taps.count++] = tap;
    }
    return taps;
}

/* ---- PatchEmbed -------------------------------------------------------------------------- */

/* Sam.preprocess: normalised, then padded with zeros. */
static double pixel(const struct image *image, size_t y, size_t x, size_t c) {
    static const double mean[3] = {123.675, 116.28, 103.53}, deviation[3] = {58.395, 57.12, 57.375};
    if (y >= (size_t)image->height || x >= (size_t)image->width)
        return 0;
    return (image->rgb[(y * (size_t)image->width + x) * 3 + c] - mean[c]) / deviation[c];
}

static void first_convolution(const struct naive_layer *layer, const struct image *image, size_t y,
                              size_t x, double hidden[32]) {
    const float *weight = WEIGHT("patch_embed.seq.0.c.weight");
    const float *bias = WEIGHT("patch_embed.seq.0.c.bias");
    struct taps taps = taps_at(1024, 2, y, x);
    for (size_t o = 0; o < 32; o++) {
        hidden[o] = (double)bias[o];
        for (size_t i = 0; i < taps.count; i++)
            for (size_t c = 0; c < 3; c++)
                hidden[o] += pixel(image, taps.y[i], taps.x[i], c) *
                             (double)weight[(o * 3 + c) * 9 + taps.tap[i]];
    }
    gelu(hidden, 32);
}

void naive_patch_embed(const struct random_weights *weights, const struct image *image, size_t y,
                       size_t x, double *out) {
    const struct naive_layer whole = {.weights = weights}, *layer = &whole;
    const float *weight = WEIGHT("patch_embed.seq.2.c.weight");
    const float *bias = WEIGHT("patch_embed.seq.2.c.bias");
    struct taps taps = taps_at(512, 2, y, x);
    double hidden[32];
    for (size_t o = 0; o < 64; o++)
        out[o] = (double)bias[o];
    for (size_t i = 0; i < taps.count; i++) {
        first_convolution(layer, image, taps.y[i], taps.x[i], hidden);
        for (size_t o = 0; o < 64; o++)
            for (size_t c = 0; c < 32; c++)
                out[o] += hidden[c] * (double)weight[(o * 32 + c) * 9 + taps.tap[i]];
    }
}

/* ---- MBConv and PatchMerging ------------------------------------------------------------- */

void naive_mbconv(const struct naive_layer *layer, size_t hidden, size_t stride, bool residual,
                  size_t y, size_t x, double *out) {
    char conv1[96], conv3[96];
    snprintf(conv1, sizeof conv1, "%s.conv1.c", layer->module);
    snprintf(conv3, sizeof conv3, "%s.conv3.c", layer->module);
    const float *weight = WEIGHT("%s.conv2.c.weight", layer->module);
    const float *bias = WEIGHT("%s.conv2.c.bias", layer->module);
    struct taps taps = taps_at(layer->side, stride, y, x);
    double input[320], expanded[320], spread[320];
    for (size_t c = 0; c < hidden; c++)
        spread[c] = (double)bias[c];
    for (size_t i = 0; i < taps.count; i++) {
        input_at(layer, taps.y[i], taps.x[i], input);
        linear(layer, conv1, true, layer->channels, hidden, input, expanded);
        gelu(expanded, hidden);
        for (size_t c = 0; c < hidden; c++)
            spread[c] += expanded[c] * (double)weight[c * 9 + taps.tap[i]];
    }
    gelu(spread, hidden);
    linear(layer, conv3, true, hidden, layer->outputs, spread, out);
    if (!residual)
        return;
    input_at(layer, y, x, input);
    for (size_t c = 0; c < layer->channels; c++)
        out[c] += input[c];
    gelu(out, layer->channels);
}

/* ---- TinyViTBlock ------------------------------------------------------------------------ */

/* Attention.__init__: one bias for each distance, numbered as they are met. */
static double *biases_of_pairs(const struct naive_layer *layer, size_t head, size_t window) {
    const float *biases = WEIGHT("%s.attn.attention_biases", layer->module);
    size_t n = window * window, met = 0, *number = obtain(n * sizeof *number);
    double *pairs = obtain(n * n * sizeof *pairs);
    for (size_t i = 0; i < n; i++)
        number[i] = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            long dy = labs((long)(i / window) - (long)(j / window));
            long dx = labs((long)(i % window) - (long)(j % window));
            size_t distance = (size_t)dy * window + (size_t)dx;
            if (number[distance] == SIZE_MAX)
                number[distance] = met++;
            pairs[i * n + j] = (double)biases[head * n + number[distance]];
        }
    }
    free(number);
    return pairs;
}

/* A window's tokens, zero beyond the image, after Attention.forward. */
static double *attend(const struct naive_block *block, size_t index) {
    const struct naive_layer *layer = &block->layer;
    size_t w = block->window, n = w * w, c = layer->channels, dim = c / block->heads;
    size_t top = index / block->across * w, left = index % block->across * w;
    double *tokens = obtain(n * c * sizeof *tokens), *qkv = obtain(n * 3 * c * sizeof *qkv);
    char norm[96];
    snprintf(norm, sizeof norm, "%s.attn.norm", layer->module);
    memset(tokens, 0, n * c * sizeof *tokens);
    for (size_t i = 0; i < n; i++) {
        if (top + i / w < layer->side && left + i % w < layer->side)
            input_at(layer, top + i / w, left + i % w, tokens + i * c);
        layer_norm(layer, norm, c, 1e-5, tokens + i * c);
    }
    naive_linear(WEIGHT("%s.attn.qkv.weight", layer->module),
                 WEIGHT("%s.attn.qkv.bias", layer->module), c, 3 * c, tokens, n, qkv);
    for (size_t head = 0; head < block->heads; head++) {
        double *bias = biases_of_pairs(layer, head, w), *q = qkv + head * 3 * dim;
        naive_attention(n, n, dim, (struct rows_of){q, 3 * c}, (struct rows_of){q + dim, 3 * c},
                        (struct rows_of){q + 2 * dim, 3 * c}, bias,
                        (struct rows_of){tokens + head * dim, c});
        free(bias);
    }
    naive_linear(WEIGHT("%s.attn.proj.weight", layer->module),
                 WEIGHT("%s.attn.proj.bias", layer->module), c, c, tokens, n, qkv);
    free(tokens);
    return qkv;
}

struct naive_block naive_block_make(const struct naive_layer *layer, size_t heads, size_t window) {
    struct naive_block block = {*layer, heads, window, (layer->side + window - 1) / window, NULL};
    size_t bytes = block.across * block.across * sizeof *block.attended;
    block.attended = memset(obtain(bytes), 0, bytes);
    return block;
}

void naive_block_free(struct naive_block *block) {
    for (size_t i = 0; i < block->across * block->across; i++)
        free(block->attended[i]);
    free(block->attended);
}

/* The input plus the attention. */
static void attended_at(struct naive_block *block, size_t y, size_t x, double *to) {
    size_t w = block->window, c = block->layer.channels, index = y / w * block->across + x / w;
    if (!block->attended[index])
        block->attended[index] = attend(block, index);
    const double *added = block->attended[index] + (y % w * w + x % w) * c;
    input_at(&block->layer, y, x, to);
    for (size_t i = 0; i < c; i++)
        to[i] += added[i];
}

void naive_block_at(struct naive_block *block, size_t y, size_t x, double *out) {
    const struct naive_layer *layer = &block->layer;
    size_t c = layer->channels;
    const float *weight = WEIGHT("%s.local_conv.c.weight", layer->module);
    const float *bias = WEIGHT("%s.local_conv.c.bias", layer->module);
    char norm[96], fc1[96], fc2[96];
    snprintf(norm, sizeof norm, "%s.mlp.norm", layer->module);
    snprintf(fc1, sizeof fc1, "%s.mlp.fc1", layer->module);
    snprintf(fc2, sizeof fc2, "%s.mlp.fc2", layer->module);
    struct taps taps = taps_at(layer->side, 1, y, x);
    double at[320], hidden[4 * 320], added[320];
    for (size_t i = 0; i < c; i++)
        out[i] = (double)bias[i];
    for (size_t t = 0; t < taps.count; t++) {
        attended_at(block, taps.y[t], taps.x[t], at);
        for (size_t i = 0; i < c; i++)
            out[i] += at[i] * (double)weight[i * 9 + taps.tap[t]];
    }
    memcpy(at, out, c * sizeof *at);
    layer_norm(layer, norm, c, 1e-5, at);
    linear(layer, fc1, true, c, 4 * c, at, hidden);
    gelu(hidden, 4 * c);
    linear(layer, fc2, true, 4 * c, c, hidden, added);
    for (size_t i = 0; i < c; i++)
        out[i] += added[i];
}

/* ---- the neck ---------------------------------------------------------------------------- */

void naive_neck(const struct naive_layer *layer, size_t y, size_t x, double *out) {
    const float *weight = WEIGHT("neck.2.weight");
    struct taps taps = taps_at(64, 1, y, x);
    double input[320], between[256];
    memset(out, 0, 256 * sizeof *out);
    for (size_t i = 0; i < taps.count; i++) {
        input_at(layer, taps.y[i], taps.x[i], input);
        linear(layer, "neck.0", false, 320, 256, input, between);
        layer_norm(layer, "neck.1", 256, 1e-6, between);
        for (size_t o = 0; o < 256; o++)
            for (size_t c = 0; c < 256; c++)
                out[o] += between[c] * (double)weight[(o * 256 + c) * 9 + taps.tap[i]];
    }
    layer_norm(layer, "neck.3", 256, 1e-6, out);
}
