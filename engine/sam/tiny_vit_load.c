#include <stdio.h>
#include <string.h>

#include "engine/sam/tiny_vit.h"

static struct mbconv load_mbconv(struct weights *weights, const char *path, size_t side,
                                 size_t stride, bool residual) {
    return (struct mbconv){
        .expand = weights_packed_linear(weights, path, "conv1.c"),
        .spread = weights_depthwise(weights, path, "conv2.c"),
        .project = weights_packed_linear(weights, path, "conv3.c"),
        .side = side,
        .stride = stride,
        .residual = residual,
    };
}

/* attention_biases is [heads][|dy| * window + |dx|]; spread over all pairs of a window's tokens. */
static const float *load_attention_bias(struct weights *weights, const char *path, size_t heads,
                                        size_t window) {
    const float *biases = weights_get(weights, path, "attn", "attention_biases");
    size_t n = window * window;
    float *spread = weights_pack(weights, heads * n * n), *to = spread;
    for (size_t head = 0; spread && head < heads; head++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                size_t yi = i / window, xi = i % window, yj = j / window, xj = j % window;
                size_t dy = yi > yj ? yi - yj : yj - yi, dx = xi > xj ? xi - xj : xj - xi;
                *to++ = biases[head * n + dy * window + dx];
            }
        }
    }
    return spread;
}

/* Windows reach beyond the image with zeros, which the norm turns into its bias. */
static const float *load_padding_qkv(struct weights *weights, const char *path) {
    struct linear qkv = weights_linear(weights, path, "attn.qkv");
    struct layer_norm norm = weights_norm(weights, path, "attn.norm");
    float *values = weights_pack(weights, qkv.out);
    for (size_t o = 0; values && o < qkv.out; o++) {
        double sum = qkv.bias[o];
        for (size_t i = 0; i < qkv.in; i++)
            sum += (double)qkv.weight[o * qkv.in + i] * norm.bias[i];
        values[o] = (float)sum;
    }
    return values;
}

static struct vit_block load_block(struct weights *weights, const char *path,
                                   const struct vit_stage *stage) {
    return (struct vit_block){
        .attention_norm = weights_norm(weights, path, "attn.norm"),
        .qkv = weights_packed_linear(weights, path, "attn.qkv"),
        .padding_qkv = load_padding_qkv(weights, path),
        .attention_bias = load_attention_bias(weights, path, stage->heads, stage->window),
        .projection = weights_packed_linear(weights, path, "attn.proj"),
        .local_conv = weights_depthwise(weights, path, "local_conv.c"),
        .mlp_norm = weights_norm(weights, path, "mlp.norm"),
        .fc1 = weights_packed_linear(weights, path, "mlp.fc1"),
        .fc2 = weights_packed_linear(weights, path, "mlp.fc2"),
    };
}

static const struct vit_stage STAGES[3] = {
    {.side = 128,
     .channels = 128,
     .heads = 4,
     .window = 7,
     .depth = 2,
     .windows_per_tile = 8,
     .rows_per_tile = 1},
    {.side = 64,
     .channels = 160,
     .heads = 5,
     .window = 14,
     .depth = 6,
     .windows_per_tile = 1,
     .rows_per_tile = 2},
    {.side = 64,
     .channels = 320,
     .heads = 10,
     .window = 7,
     .depth = 2,
     .windows_per_tile = 2,
     .rows_per_tile = 1},
};

void tiny_vit_load(struct tiny_vit *vit, const struct kernels *kernels, bool bf16,
                   struct weights *weights) {
    char path[64];
    memset(vit, 0, sizeof *vit);
    vit->kernels = kernels;
    vit->patch1 = weights_packed_conv3x3(weights, "image_encoder", "patch_embed.seq.0.c");
    weights->bf16 = bf16 ? kernels : NULL;
    vit->patch2 = weights_packed_conv3x3(weights, "image_encoder", "patch_embed.seq.2.c");
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "image_encoder.layers.0.blocks.%zu", i);
        vit->mbconv[i] = load_mbconv(weights, path, 256, 1, true);
    }
    for (size_t s = 0; s < 3; s++) {
        size_t side = s == 0 ? 256 : STAGES[s - 1].side;
        snprintf(path, sizeof path, "image_encoder.layers.%zu.downsample", s);
        vit->merges[s] = load_mbconv(weights, path, side, side / STAGES[s].side, false);
        vit->stages[s] = STAGES[s];
        for (size_t b = 0; b < STAGES[s].depth; b++) {
            snprintf(path, sizeof path, "image_encoder.layers.%zu.blocks.%zu", s + 1, b);
            vit->stages[s].blocks[b] = load_block(weights, path, &STAGES[s]);
        }
    }
    vit->neck1 = weights_packed_linear(weights, "image_encoder", "neck.0");
    vit->neck_norm1 = weights_norm(weights, "image_encoder", "neck.1");
    vit->neck2 = weights_packed_conv3x3(weights, "image_encoder", "neck.2");
    vit->neck_norm2 = weights_norm(weights, "image_encoder", "neck.3");
    weights->bf16 = NULL;
}
