#include "engine/sam/prompt_encoder.h"

#include <math.h>
#include <string.h>

/* PositionEmbeddingRandom._pe_encoding: x and y in [0, 1]. */
static void encode_position(const float *gaussian, float x, float y, float *encoding) {
    const size_t half = SAM_DIM / 2;
    x = 2.0f * x - 1.0f;
    y = 2.0f * y - 1.0f;
    for (size_t i = 0; i < half; i++) {
        float angle = 6.28318530717958648f * (x * gaussian[i] + y * gaussian[half + i]);
        encoding[i] = sinf(angle);
        encoding[half + i] = cosf(angle);
    }
}

/* A 2x2 convolution with stride 2 as a linear on 2x2 blocks: [out][2 x 2][in]. */
static struct linear load_conv2x2(struct weights *weights, const char *module) {
    struct linear linear = weights_linear(weights, "prompt_encoder", module);
    float *packed = weights_pack(weights, linear.out * linear.in * 4);
    for (size_t o = 0; packed && o < linear.out; o++)
        for (size_t i = 0; i < linear.in; i++)
            for (size_t tap = 0; tap < 4; tap++)
                packed[(o * 4 + tap) * linear.in + i] =
                    linear.weight[(o * linear.in + i) * 4 + tap];
    linear.weight = packed;
    linear.in *= 4;
    return linear;
}

void prompt_encoder_load(struct prompt_encoder *encoder, const struct kernels *kernels,
                         struct weights *weights) {
    static const char *const points[4] = {"point_embeddings.0", "point_embeddings.1",
                                          "point_embeddings.2", "point_embeddings.3"};
    const char *parent = "prompt_encoder";
    const size_t step = KERNEL_CHANNEL_STEP;
    encoder->kernels = kernels;
    encoder->gaussian =
        weights_get(weights, parent, "pe_layer", "positional_encoding_gaussian_matrix");
    for (int i = 0; i < 4; i++)
        encoder->point_embeddings[i] = weights_get(weights, parent, points[i], "weight");
    encoder->not_a_point = weights_get(weights, parent, "not_a_point_embed", "weight");
    encoder->no_mask = weights_get(weights, parent, "no_mask_embed", "weight");
    encoder->downscale1 = load_conv2x2(weights, "mask_downscaling.0");
    encoder->norm1 = weights_norm(weights, parent, "mask_downscaling.1");
    encoder->downscale2 = load_conv2x2(weights, "mask_downscaling.3");
    encoder->norm2 = weights_norm(weights, parent, "mask_downscaling.4");
    encoder->downscale3 = weights_linear(weights, parent, "mask_downscaling.6");
    float *position = weights_pack(weights, (size_t)SAM_GRID * SAM_DIM);
    for (size_t i = 0; position && i < SAM_GRID; i++) {
        float x = ((float)(i % EMBEDDING_SIDE) + 0.5f) / EMBEDDING_SIDE;
        float y = ((float)(i / EMBEDDING_SIDE) + 0.5f) / EMBEDDING_SIDE;
        float encoding[SAM_DIM], *panel = position + i / step * step * SAM_DIM + i % step;
        encode_position(encoder->gaussian, x, y, encoding);
        for (size_t c = 0; c < SAM_DIM; c++)
            panel[c * step] = encoding[c];
    }
    encoder->position = position;
}

/* ---- points and boxes -------------------------------------------------------------------- */

/* ResizeLongestSide.apply_coords, then the centre of the pixel, then the share of the square. */
static void encode_point(const struct prompt_encoder *encoder, const struct geometry *geometry,
                         float x, float y, const float *embedding, float *token) {
    const float side = 4.0f * SAM_LOW_RES;
    double scaled_x = (double)x * geometry->scaled_width / geometry->width;
    double scaled_y = (double)y * geometry->scaled_height / geometry->height;
    encode_position(encoder->gaussian, ((float)scaled_x + 0.5f) / side,
                    ((float)scaled_y + 0.5f) / side, token);
    encoder->kernels->add(token, embedding, token, SAM_DIM);
}

size_t prompt_encoder_sparse(const struct prompt_encoder *encoder, const struct geometry *geometry,
                             const struct prompt *prompt, float *tokens) {
    size_t count = 0;
    for (int i = 0; i < prompt->point_count; i++)
        encode_point(encoder, geometry, prompt->points[i][0], prompt->points[i][1],
                     encoder->point_embeddings[prompt->labels[i] ? 1 : 0],
                     tokens + count++ * SAM_DIM);
    if (prompt->has_box) {
        for (int corner = 0; corner < 2; corner++)
            encode_point(encoder, geometry, prompt->box[2 * corner], prompt->box[2 * corner + 1],
                         encoder->point_embeddings[2 + corner], tokens + count++ * SAM_DIM);
    } else {
        memcpy(tokens + count++ * SAM_DIM, encoder->not_a_point, SAM_DIM * sizeof *tokens);
    }
    return count;
}

/* ---- prior masks ------------------------------------------------------------------------- */

/* Layer norm and GELU on rows x channels, in place. The norm's bias is added together with the
 * activation. */
static void norm_gelu(const struct kernels *kernels, const struct layer_norm *norm, size_t rows,
                      size_t channels, float *x) {
    static const float zeros[SAM_DIM];
    kernels->layer_norm(x, rows, channels, norm->weight, zeros, LAYER_NORM_2D_EPSILON, x);
    kernels->bias_gelu(x, rows, channels, norm->bias);
}

/* x [2 side][2 side][channels] -> blocks [side x side][2 x 2][channels] */
static void blocks_of(const float *x, size_t side, size_t channels, float *blocks) {
    size_t row = 2 * side * channels;
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++)
            for (size_t k = 0; k < 2; k++, blocks += 2 * channels)
                memcpy(blocks, x + (2 * i + k) * row + 2 * j * channels,
                       2 * channels * sizeof *blocks);
}

void prompt_encoder_dense(const struct prompt_encoder *encoder, const float *logits, float *scratch,
                          float *dense) {
    const struct kernels *kernels = encoder->kernels;
    size_t half = SAM_LOW_RES / 2, quarter = SAM_LOW_RES / 4;
    size_t c1 = encoder->downscale1.out, c2 = encoder->downscale2.out;
    float *blocks = scratch, *x = scratch + (size_t)SAM_LOW_RES * SAM_LOW_RES;
    blocks_of(logits, half, 1, blocks);
    linear_product(&encoder->downscale1, blocks, half * half, x);
    kernels->bias_add(x, half * half, c1, encoder->downscale1.bias);
    norm_gelu(kernels, &encoder->norm1, half * half, c1, x);
    blocks_of(x, quarter, c1, blocks);
    linear_product(&encoder->downscale2, blocks, quarter * quarter, x);
    kernels->bias_add(x, quarter * quarter, c2, encoder->downscale2.bias);
    norm_gelu(kernels, &encoder->norm2, quarter * quarter, c2, x);
    linear_product(&encoder->downscale3, x, SAM_GRID, dense);
    kernels->bias_add(dense, SAM_GRID, SAM_DIM, encoder->downscale3.bias);
}
