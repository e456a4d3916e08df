/* model: what the files behind engine.h share: model.c (loading, sessions, encoding) and
 * model_segment.c (prompts). */
#ifndef ENGINE_SAM_MODEL_H
#define ENGINE_SAM_MODEL_H

#include "engine/engine.h"
#include "engine/sam/mask_decoder.h"
#include "engine/sam/mask_upsample.h"
#include "engine/sam/prompt_encoder.h"
#include "engine/sam/tiny_vit.h"
#include "engine/sam/weights.h"
#include "engine/weights/safetensors.h"

struct model {
    struct model_info info;
    struct safetensors *file;
    struct weights weights;
    struct tiny_vit encoder;
    struct prompt_encoder prompt_encoder;
    struct mask_decoder mask_decoder;
};

/* The parts of a session's arena, which encoding and decoding use one after the other. */
struct decode_arena {
    float logits[SAM_MASK_TOKENS * SAM_MASK_VALUES];
    float sparse[SAM_SPARSE_MAX * SAM_DIM];
    float prior[SAM_MASK_VALUES];
    float dense_scratch[PROMPT_DENSE_SCRATCH];
    float dense[SAM_GRID * SAM_DIM];
    struct mask_upsampler upsampler;
    _Alignas(64) float activations[]; /* mask_decoder_arena_floats() */
};

struct session {
    float *arena;
    size_t bytes;
    bool encoded;            /* since the arena was last given back */
    struct profile *profile; /* borrowed; NULL: none */
};

/* What no prompt changes about an image. */
struct prepared {
    struct image_side image_side;
};

/* Zeroed, in large pages where there are some: to touch millions of bytes one small page after the
 * other takes milliseconds. NULL when there is no memory. */
void *model_map_pages(size_t bytes);

/* How many rows (columns) of low-resolution logits make those of the image: a quarter of its scaled
 * size, and the three taps of the last pixel. */
size_t model_looked_at(int scaled);

#endif
