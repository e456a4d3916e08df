/* prompt_encoder: points, boxes and prior masks -> tokens and a dense embedding
 * (modeling/prompt_encoder.py of Segment Anything; the rules of its ONNX export, utils/onnx.py:
 * without a box, a padding point is added). */
#ifndef ENGINE_SAM_PROMPT_ENCODER_H
#define ENGINE_SAM_PROMPT_ENCODER_H

#include "engine/engine.h"
#include "engine/kernels/kernels.h"
#include "engine/sam/weights.h"

enum {
    SAM_DIM = EMBEDDING_CHANNELS,               /* of every token */
    SAM_GRID = EMBEDDING_SIDE * EMBEDDING_SIDE, /* positions of the image embedding */
    SAM_LOW_RES = LOW_RES_SIDE,                 /* the side of low-resolution masks: 256 */
    SAM_SPARSE_MAX = PROMPT_POINTS_MAX + 2,     /* points, and a box's two corners or the padding */
};

struct prompt_encoder {
    const struct kernels *kernels;
    const float *gaussian; /* [2][SAM_DIM / 2]: random Fourier features (arXiv:2006.10739) */
    const float *point_embeddings[4]; /* background, foreground, a box's first and second corner */
    const float *not_a_point;         /* of the padding point */
    const float *no_mask; /* the dense embedding where there is no prior mask, [SAM_DIM] */
    struct linear downscale1, downscale2, downscale3; /* of a prior mask: 2x2, 2x2, 1x1 */
    struct layer_norm norm1, norm2;
    const float *position; /* the positional encoding of the image embedding, in panels:
                              [SAM_GRID / KERNEL_CHANNEL_STEP][SAM_DIM][KERNEL_CHANNEL_STEP] */
};

/* Resolves "prompt_encoder.*"; failure shows in weights->failed. */
void prompt_encoder_load(struct prompt_encoder *encoder, const struct kernels *kernels,
                         struct weights *weights);

/* Writes the prompt's tokens, [count][SAM_DIM], and returns count: 1 .. SAM_SPARSE_MAX. */
size_t prompt_encoder_sparse(const struct prompt_encoder *encoder, const struct geometry *geometry,
                             const struct prompt *prompt, float *tokens);

/* A prior mask as the low-resolution logits that SAM expects, [256][256]: the logit of the share of
 * each cell that the mask covers, kept within [0.001, 0.999]; 0 in the padding. */
void prior_mask_logits(const struct mask *mask, const struct geometry *geometry, float *logits);

/* Floats of scratch for prompt_encoder_dense. */
enum { PROMPT_DENSE_SCRATCH = 2 * SAM_LOW_RES * SAM_LOW_RES };

/* logits [256][256] -> dense [SAM_GRID][SAM_DIM], to be added to the image embedding. */
void prompt_encoder_dense(const struct prompt_encoder *encoder, const float *logits, float *scratch,
                          float *dense);

#endif
