#include <stdio.h>
#include <string.h>

#include "engine/sam/mask_decoder.h"

#define TRANSFORMER "mask_decoder.transformer"

static struct projection load_projection(struct weights *weights, const char *path,
                                         const char *module) {
    return (struct projection){weights_packed_linear(weights, path, module),
                               weights_linear(weights, path, module)};
}

static struct attention load_attention(struct weights *weights, const char *parent,
                                       const char *module) {
    char path[96];
    snprintf(path, sizeof path, "%s.%s", parent, module);
    return (struct attention){
        .q = load_projection(weights, path, "q_proj"),
        .k = load_projection(weights, path, "k_proj"),
        .v = load_projection(weights, path, "v_proj"),
        .out = load_projection(weights, path, "out_proj"),
    };
}

static struct two_way_layer load_layer(struct weights *weights, int index) {
    char path[64];
    snprintf(path, sizeof path, TRANSFORMER ".layers.%d", index);
    return (struct two_way_layer){
        .self = load_attention(weights, path, "self_attn"),
        .norm1 = weights_norm(weights, path, "norm1"),
        .token_to_image = load_attention(weights, path, "cross_attn_token_to_image"),
        .norm2 = weights_norm(weights, path, "norm2"),
        .mlp1 = weights_packed_linear(weights, path, "mlp.lin1"),
        .mlp2 = weights_packed_linear(weights, path, "mlp.lin2"),
        .norm3 = weights_norm(weights, path, "norm3"),
        .image_to_token = load_attention(weights, path, "cross_attn_image_to_token"),
        .norm4 = weights_norm(weights, path, "norm4"),
    };
}

static struct mlp load_mlp(struct weights *weights, const char *path) {
    return (struct mlp){{weights_packed_linear(weights, path, "layers.0"),
                         weights_packed_linear(weights, path, "layers.1"),
                         weights_packed_linear(weights, path, "layers.2")}};
}

static const float *load_output_tokens(struct weights *weights) {
    const float *iou = weights_get(weights, "mask_decoder", "iou_token", "weight");
    const float *masks = weights_get(weights, "mask_decoder", "mask_tokens", "weight");
    float *tokens = weights_pack(weights, (1 + SAM_MASK_TOKENS) * SAM_DIM);
    if (tokens) {
        memcpy(tokens, iou, SAM_DIM * sizeof *tokens);
        memcpy(tokens + SAM_DIM, masks, SAM_MASK_TOKENS * SAM_DIM * sizeof *tokens);
    }
    return tokens;
}

void mask_decoder_load(struct mask_decoder *decoder, const struct prompt_encoder *prompt_encoder,
                       struct weights *weights) {
    char path[64];
    decoder->kernels = prompt_encoder->kernels;
    decoder->position = prompt_encoder->position;
    decoder->output_tokens = load_output_tokens(weights);
    for (int i = 0; i < SAM_LAYERS; i++)
        decoder->layers[i] = load_layer(weights, i);
    decoder->final_attention = load_attention(weights, TRANSFORMER, "final_attn_token_to_image");
    decoder->final_norm = weights_norm(weights, TRANSFORMER, "norm_final_attn");
    decoder->upscale1 = weights_conv_transpose(weights, "mask_decoder", "output_upscaling.0");
    decoder->upscale_norm = weights_norm(weights, "mask_decoder", "output_upscaling.1");
    decoder->upscale2 = weights_conv_transpose(weights, "mask_decoder", "output_upscaling.3");
    for (int i = 0; i < SAM_MASK_TOKENS; i++) {
        snprintf(path, sizeof path, "mask_decoder.output_hypernetworks_mlps.%d", i);
        decoder->hypernetworks[i] = load_mlp(weights, path);
    }
    decoder->iou_head = load_mlp(weights, "mask_decoder.iou_prediction_head");
}
