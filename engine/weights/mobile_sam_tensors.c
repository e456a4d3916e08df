#include "engine/weights/mobile_sam_tensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/tensor.h"

/* ---- the architecture: build_sam_vit_t --------------------------------------------------- */

enum {
    STAGES = 4, /* of TinyViT; the first is of MBConv blocks, the others of attention blocks */
    CONV_STAGE = 0,
    IMAGE_CHANNELS = 3,
    MBCONV_EXPAND = 4,
    MLP_RATIO = 4,

    CHANNELS = 256, /* of the embedding, the prompts and the decoder */
    POINT_EMBEDDINGS = 4,
    MASK_CHANNELS = 16, /* of a prior mask's encoder */

    DECODER_DEPTH = 2,
    DECODER_MLP = 2048,
    CROSS_ATTENTION_DOWNSAMPLE = 2,
    MASK_TOKENS = 4,
    HEAD_DEPTH = 3, /* layers of the hypernetworks and of the IoU head */
};

static const struct stage {
    int channels, depth, heads, window;
} stages[STAGES] = {
    {.channels = 64, .depth = 2, .heads = 2, .window = 7},
    {.channels = 128, .depth = 2, .heads = 4, .window = 7},
    {.channels = 160, .depth = 6, .heads = 5, .window = 14},
    {.channels = 320, .depth = 2, .heads = 10, .window = 7},
};

/* ---- lists and layers -------------------------------------------------------------------- */

struct list {
    struct tensor_spec *specs;
    size_t capacity, count;
};

struct scope {
    char name[TENSOR_SPEC_NAME]; /* of a module: "image_encoder.layers.0" */
};

__attribute__((format(printf, 1, 2))) static struct scope scope(const char *format, ...) {
    struct scope scope;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(scope.name, sizeof scope.name, format, arguments);
    va_end(arguments);
    return scope;
}

#define SHAPE(...)                                                                                 \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {           \
        __VA_ARGS__                                                                                \
    }

static void add(struct list *list, struct scope module, const char *leaf, int rank,
                const int64_t *shape) {
    if (list->count < list->capacity) {
        struct tensor_spec *spec = &list->specs[list->count];
        *spec = (struct tensor_spec){.rank = rank};
        memcpy(spec->name, scope("%s.%s", module.name, leaf).name, sizeof spec->name);
        memcpy(spec->shape, shape, (size_t)rank * sizeof *shape);
    }
    list->count++;
}

static void add_linear(struct list *list, struct scope module, int outputs, int inputs) {
    add(list, module, "weight", SHAPE(outputs, inputs));
    add(list, module, "bias", SHAPE(outputs));
}

static void add_norm(struct list *list, struct scope module, int channels) {
    add(list, module, "weight", SHAPE(channels));
    add(list, module, "bias", SHAPE(channels));
}

/* inputs are those of one group: 1 in a depthwise convolution. */
static void add_conv(struct list *list, struct scope module, int outputs, int inputs, int side) {
    add(list, module, "weight", SHAPE(outputs, inputs, side, side));
    add(list, module, "bias", SHAPE(outputs));
}

/* Conv2d_BN: the convolution is the child "c". */
static void add_conv_bn(struct list *list, struct scope module, int outputs, int inputs, int side) {
    add_conv(list, scope("%s.c", module.name), outputs, inputs, side);
}

/* ---- image encoder ----------------------------------------------------------------------- */

static void add_mbconv(struct list *list, struct scope block, int channels) {
    int hidden = channels * MBCONV_EXPAND;
    add_conv_bn(list, scope("%s.conv1", block.name), hidden, channels, 1);
    add_conv_bn(list, scope("%s.conv2", block.name), hidden, 1, 3);
    add_conv_bn(list, scope("%s.conv3", block.name), channels, hidden, 1);
}

static void add_vit_block(struct list *list, struct scope block, const struct stage *stage) {
    int channels = stage->channels;
    struct scope attention = scope("%s.attn", block.name);
    /* One bias for each distance (|dy|, |dx|) inside a window. */
    add(list, attention, "attention_biases", SHAPE(stage->heads, stage->window * stage->window));
    add_norm(list, scope("%s.norm", attention.name), channels);
    add_linear(list, scope("%s.qkv", attention.name), 3 * channels, channels);
    add_linear(list, scope("%s.proj", attention.name), channels, channels);

    add_conv_bn(list, scope("%s.local_conv", block.name), channels, 1, 3);

    struct scope mlp = scope("%s.mlp", block.name);
    add_norm(list, scope("%s.norm", mlp.name), channels);
    add_linear(list, scope("%s.fc1", mlp.name), channels * MLP_RATIO, channels);
    add_linear(list, scope("%s.fc2", mlp.name), channels, channels * MLP_RATIO);
}

static void add_image_encoder(struct list *list) {
    int channels = stages[0].channels;
    struct scope encoder = scope("image_encoder");
    add_conv_bn(list, scope("%s.patch_embed.seq.0", encoder.name), channels / 2, IMAGE_CHANNELS, 3);
    add_conv_bn(list, scope("%s.patch_embed.seq.2", encoder.name), channels, channels / 2, 3);

    for (int i = 0; i < STAGES; i++) {
        const struct stage *stage = &stages[i];
        struct scope layer = scope("%s.layers.%d", encoder.name, i);
        for (int j = 0; j < stage->depth; j++) {
            struct scope block = scope("%s.blocks.%d", layer.name, j);
            if (i == CONV_STAGE) {
                add_mbconv(list, block, stage->channels);
            } else {
                add_vit_block(list, block, stage);
            }
        }
        if (i + 1 < STAGES) {
            int outputs = stages[i + 1].channels;
            struct scope downsample = scope("%s.downsample", layer.name);
            add_conv_bn(list, scope("%s.conv1", downsample.name), outputs, stage->channels, 1);
            add_conv_bn(list, scope("%s.conv2", downsample.name), outputs, 1, 3);
            add_conv_bn(list, scope("%s.conv3", downsample.name), outputs, outputs, 1);
        }
    }

    struct scope neck = scope("%s.neck", encoder.name);
    add(list, neck, "0.weight", SHAPE(CHANNELS, stages[STAGES - 1].channels, 1, 1));
    add_norm(list, scope("%s.1", neck.name), CHANNELS);
    add(list, neck, "2.weight", SHAPE(CHANNELS, CHANNELS, 3, 3));
    add_norm(list, scope("%s.3", neck.name), CHANNELS);
}

/* ---- prompt encoder ---------------------------------------------------------------------- */

static void add_prompt_encoder(struct list *list) {
    struct scope encoder = scope("prompt_encoder");
    add(list, encoder, "pe_layer.positional_encoding_gaussian_matrix", SHAPE(2, CHANNELS / 2));
    for (int i = 0; i < POINT_EMBEDDINGS; i++) {
        struct scope embedding = scope("%s.point_embeddings.%d", encoder.name, i);
        add(list, embedding, "weight", SHAPE(1, CHANNELS));
    }
    add(list, encoder, "not_a_point_embed.weight", SHAPE(1, CHANNELS));
    add(list, encoder, "no_mask_embed.weight", SHAPE(1, CHANNELS));

    struct scope masks = scope("%s.mask_downscaling", encoder.name);
    add_conv(list, scope("%s.0", masks.name), MASK_CHANNELS / 4, 1, 2);
    add_norm(list, scope("%s.1", masks.name), MASK_CHANNELS / 4);
    add_conv(list, scope("%s.3", masks.name), MASK_CHANNELS, MASK_CHANNELS / 4, 2);
    add_norm(list, scope("%s.4", masks.name), MASK_CHANNELS);
    add_conv(list, scope("%s.6", masks.name), CHANNELS, MASK_CHANNELS, 1);
}

/* ---- mask decoder ------------------------------------------------------------------------ */

static void add_attention(struct list *list, struct scope attention, int inner) {
    add_linear(list, scope("%s.q_proj", attention.name), inner, CHANNELS);
    add_linear(list, scope("%s.k_proj", attention.name), inner, CHANNELS);
    add_linear(list, scope("%s.v_proj", attention.name), inner, CHANNELS);
    add_linear(list, scope("%s.out_proj", attention.name), CHANNELS, inner);
}

static void add_transformer(struct list *list, struct scope transformer) {
    const int inner = CHANNELS / CROSS_ATTENTION_DOWNSAMPLE;
    for (int i = 0; i < DECODER_DEPTH; i++) {
        struct scope layer = scope("%s.layers.%d", transformer.name, i);
        add_attention(list, scope("%s.self_attn", layer.name), CHANNELS);
        add_attention(list, scope("%s.cross_attn_token_to_image", layer.name), inner);
        add_attention(list, scope("%s.cross_attn_image_to_token", layer.name), inner);
        add_linear(list, scope("%s.mlp.lin1", layer.name), DECODER_MLP, CHANNELS);
        add_linear(list, scope("%s.mlp.lin2", layer.name), CHANNELS, DECODER_MLP);
        for (int norm = 1; norm <= 4; norm++) {
            add_norm(list, scope("%s.norm%d", layer.name, norm), CHANNELS);
        }
    }
    add_attention(list, scope("%s.final_attn_token_to_image", transformer.name), inner);
    add_norm(list, scope("%s.norm_final_attn", transformer.name), CHANNELS);
}

/* class MLP of mask_decoder.py */
static void add_head(struct list *list, struct scope head, int outputs) {
    for (int i = 0; i < HEAD_DEPTH; i++) {
        add_linear(list, scope("%s.layers.%d", head.name, i),
                   i + 1 < HEAD_DEPTH ? CHANNELS : outputs, CHANNELS);
    }
}

static void add_mask_decoder(struct list *list) {
    struct scope decoder = scope("mask_decoder");
    add(list, decoder, "iou_token.weight", SHAPE(1, CHANNELS));
    add(list, decoder, "mask_tokens.weight", SHAPE(MASK_TOKENS, CHANNELS));
    add_transformer(list, scope("%s.transformer", decoder.name));

    /* Transposed convolutions: [inputs, outputs, 2, 2]. */
    struct scope upscaling = scope("%s.output_upscaling", decoder.name);
    add(list, upscaling, "0.weight", SHAPE(CHANNELS, CHANNELS / 4, 2, 2));
    add(list, upscaling, "0.bias", SHAPE(CHANNELS / 4));
    add_norm(list, scope("%s.1", upscaling.name), CHANNELS / 4);
    add(list, upscaling, "3.weight", SHAPE(CHANNELS / 4, CHANNELS / 8, 2, 2));
    add(list, upscaling, "3.bias", SHAPE(CHANNELS / 8));

    for (int i = 0; i < MASK_TOKENS; i++) {
        add_head(list, scope("%s.output_hypernetworks_mlps.%d", decoder.name, i), CHANNELS / 8);
    }
    add_head(list, scope("%s.iou_prediction_head", decoder.name), MASK_TOKENS);
}

size_t mobile_sam_tensors(struct tensor_spec *specs, size_t capacity) {
    struct list list = {.specs = specs, .capacity = capacity};
    add_image_encoder(&list);
    add_prompt_encoder(&list);
    add_mask_decoder(&list);
    return list.count;
}

/* ---- check ------------------------------------------------------------------------------- */

static int compare_specs(const void *left, const void *right) {
    return strcmp(((const struct tensor_spec *)left)->name,
                  ((const struct tensor_spec *)right)->name);
}

static enum status check_tensor(const struct tensor *tensor, const struct tensor_spec *spec,
                                struct error *error) {
    if (tensor->type != TENSOR_F32) {
        return error_set(error, STATUS_INVALID, "tensor '%s' is %s, not F32", tensor->name,
                         tensor_type_name(tensor->type));
    }
    if (tensor->rank != spec->rank ||
        memcmp(tensor->shape, spec->shape, (size_t)spec->rank * sizeof *spec->shape) != 0) {
        char found[TENSOR_SHAPE_TEXT], expected[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_INVALID, "tensor '%s' is %s, not %s", tensor->name,
                         tensor_shape_text(found, tensor->rank, tensor->shape),
                         tensor_shape_text(expected, spec->rank, spec->shape));
    }
    return STATUS_OK;
}

/* Both lists are in name order: the first difference decides. */
static enum status check_sorted(const struct tensor *tensors, size_t count,
                                const struct tensor_spec *specs, size_t spec_count,
                                struct error *error) {
    for (size_t i = 0; i < count || i < spec_count; i++) {
        int order = i == count ? 1 : i == spec_count ? -1 : strcmp(tensors[i].name, specs[i].name);
        if (order > 0) {
            return error_set(error, STATUS_INVALID, "tensor '%s' is missing", specs[i].name);
        }
        if (order < 0) {
            return error_set(error, STATUS_INVALID, "tensor '%s' is not one of MobileSAM's",
                             tensors[i].name);
        }
        enum status status = check_tensor(&tensors[i], &specs[i], error);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status mobile_sam_check_tensors(const struct tensor *tensors, size_t count,
                                     struct error *error) {
    size_t spec_count = mobile_sam_tensors(NULL, 0);
    struct tensor_spec *specs = calloc(spec_count, sizeof *specs);
    if (!specs) {
        return error_set(error, STATUS_NO_MEMORY, "no memory for the list of tensors");
    }
    mobile_sam_tensors(specs, spec_count);
    qsort(specs, spec_count, sizeof *specs, compare_specs);
    enum status status = check_sorted(tensors, count, specs, spec_count, error);
    free(specs);
    return status;
}

enum status mobile_sam_check(const struct safetensors *file, struct error *error) {
    return mobile_sam_check_tensors(safetensors_at(file, 0), safetensors_count(file), error);
}
