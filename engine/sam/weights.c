#include "engine/sam/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weights_block {
    struct weights_block *next;
    float *values;
};

static const struct tensor *find(struct weights *weights, const char *parent, const char *module,
                                 const char *name) {
    char full[160];
    snprintf(full, sizeof full, "%s.%s.%s", parent, module, name);
    return safetensors_find(weights->file, full);
}

const float *weights_get(struct weights *weights, const char *parent, const char *module,
                         const char *name) {
    const struct tensor *tensor = find(weights, parent, module, name);
    if (!tensor || tensor->type != TENSOR_F32) {
        weights->failed = true;
        return NULL;
    }
    return tensor->data;
}

static size_t dim(struct weights *weights, const char *parent, const char *module, int axis) {
    const struct tensor *tensor = find(weights, parent, module, "weight");
    if (!tensor || axis >= tensor->rank) {
        weights->failed = true;
        return 0;
    }
    return (size_t)tensor->shape[axis];
}

struct layer_norm weights_norm(struct weights *weights, const char *parent, const char *module) {
    return (struct layer_norm){weights_get(weights, parent, module, "weight"),
                               weights_get(weights, parent, module, "bias")};
}

struct linear weights_linear(struct weights *weights, const char *parent, const char *module) {
    bool biased = find(weights, parent, module, "bias") != NULL;
    return (struct linear){
        .weight = weights_get(weights, parent, module, "weight"),
        .bias = biased ? weights_get(weights, parent, module, "bias") : NULL,
        .out = dim(weights, parent, module, 0),
        .in = dim(weights, parent, module, 1),
    };
}

float *weights_pack(struct weights *weights, size_t count) {
    if (weights->failed)
        return NULL;
    struct weights_block *block = calloc(1, sizeof *block);
    size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    if (block)
        block->values = aligned_alloc(64, bytes ? bytes : 64);
    if (!block || !block->values) {
        free(block);
        weights->failed = true;
        return NULL;
    }
    block->next = weights->blocks;
    weights->blocks = block;
    return block->values;
}

/* One panel of a layer whose weight is [out][in][taps]: KERNEL_CHANNEL_STEP outputs side by side,
 * [taps][in] rows of them; beyond the last output, zeros. */
static void fill_panel(const struct linear *linear, size_t taps, size_t first, float *panel) {
    const size_t step = KERNEL_CHANNEL_STEP, left = linear->out - first;
    if (left < step)
        memset(panel, 0, step * linear->in * taps * sizeof *panel);
    for (size_t o = 0; o < step && o < left; o++)
        for (size_t i = 0; i < linear->in; i++)
            for (size_t tap = 0; tap < taps; tap++)
                panel[(tap * linear->in + i) * step + o] =
                    linear->weight[((first + o) * linear->in + i) * taps + tap];
}

/* The panel as linear_bf16 reads it: of each two rows, the two weights of an output lie side by
 * side. */
static void round_panel(const struct kernels *kernels, const float *panel, size_t depth,
                        uint16_t *rounded) {
    const size_t step = KERNEL_CHANNEL_STEP;
    for (size_t row = 0; row < depth; row += 2, rounded += 2 * step) {
        float pairs[2 * KERNEL_CHANNEL_STEP];
        for (size_t i = 0; i < 2 * step; i++)
            pairs[i] = panel[(row + i % 2) * step + i / 2];
        kernels->to_bf16(pairs, rounded, 2 * step);
    }
}

static const float *pad_bias(struct weights *weights, const struct linear *linear, size_t out) {
    if (!linear->bias || out == linear->out)
        return linear->bias;
    float *bias = weights_pack(weights, out);
    for (size_t o = 0; bias && o < out; o++)
        bias[o] = o < linear->out ? linear->bias[o] : 0.0f;
    return bias;
}

/* taps: 1, or 9 of a 3x3 convolution. */
static struct packed_linear pack_linear(struct weights *weights, const struct linear *linear,
                                        size_t taps) {
    const size_t step = KERNEL_CHANNEL_STEP, depth = linear->in * taps;
    const size_t out = (linear->out + step - 1) / step * step, values = out * depth;
    struct packed_linear packed = {.bias = pad_bias(weights, linear, out), .in = depth, .out = out};
    float *panels = weights_pack(weights, weights->bf16 ? values / 2 : values);
    if (!panels)
        return packed;
    if (!weights->bf16) {
        for (size_t o = 0; o < out; o += step)
            fill_panel(linear, taps, o, panels + o * depth);
        packed.panels = panels;
        return packed;
    }
    uint16_t *rounded = (void *)panels;
    float *panel = malloc(step * depth * sizeof *panel);
    for (size_t o = 0; panel && o < out; o += step) {
        fill_panel(linear, taps, o, panel);
        round_panel(weights->bf16, panel, depth, rounded + o * depth);
    }
    weights->failed |= !panel;
    free(panel);
    packed.panels_bf16 = rounded;
    return packed;
}

struct packed_linear weights_packed_linear(struct weights *weights, const char *parent,
                                           const char *module) {
    struct linear linear = weights_linear(weights, parent, module);
    return pack_linear(weights, &linear, 1);
}

struct packed_linear weights_packed_conv3x3(struct weights *weights, const char *parent,
                                            const char *module) {
    struct linear linear = weights_linear(weights, parent, module);
    return pack_linear(weights, &linear, 9);
}

struct depthwise weights_depthwise(struct weights *weights, const char *parent,
                                   const char *module) {
    const float *weight = weights_get(weights, parent, module, "weight");
    size_t channels = dim(weights, parent, module, 0);
    float *packed = weights_pack(weights, channels * 9);
    for (size_t c = 0; packed && c < channels; c++)
        for (size_t tap = 0; tap < 9; tap++)
            packed[tap * channels + c] = weight[c * 9 + tap];
    return (struct depthwise){packed, weights_get(weights, parent, module, "bias")};
}

struct linear weights_conv_transpose(struct weights *weights, const char *parent,
                                     const char *module) {
    const float *weight = weights_get(weights, parent, module, "weight");
    const float *bias = weights_get(weights, parent, module, "bias");
    size_t in = dim(weights, parent, module, 0), out = dim(weights, parent, module, 1);
    size_t taps = dim(weights, parent, module, 2) * dim(weights, parent, module, 3);
    float *packed = weights_pack(weights, taps * out * in);
    float *packed_bias = weights_pack(weights, taps * out);
    if (!packed || !packed_bias)
        return (struct linear){0};
    for (size_t tap = 0; tap < taps; tap++) {
        for (size_t o = 0; o < out; o++) {
            packed_bias[tap * out + o] = bias[o];
            for (size_t i = 0; i < in; i++)
                packed[(tap * out + o) * in + i] = weight[(i * out + o) * taps + tap];
        }
    }
    return (struct linear){.weight = packed, .bias = packed_bias, .in = in, .out = taps * out};
}

void weights_free(struct weights *weights) {
    while (weights->blocks) {
        struct weights_block *block = weights->blocks;
        weights->blocks = block->next;
        free(block->values);
        free(block);
    }
}
