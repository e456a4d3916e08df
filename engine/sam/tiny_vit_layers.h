/* tiny_vit_layers: the encoder's parts, one after the other; tiny_vit.c puts them together.
 *
 * Each runs on the calling worker and on idle ones. *repeats tells what of the input repeats
 * because of the padding, and then what of the output does. *_macs: the multiply-adds of the
 * mathematics, nothing saved. */
#ifndef ENGINE_SAM_TINY_VIT_LAYERS_H
#define ENGINE_SAM_TINY_VIT_LAYERS_H

#include "engine/sam/padding.h"
#include "engine/sam/tiny_vit.h"

enum { EMBED_SIDE = 64, PATCH_SIDE = TINY_VIT_INPUT / 4 };

/* pixels -> [256][256][64]; begins *repeats. */
void tiny_vit_patch_embed(const struct tiny_vit *vit, struct worker *worker,
                          const struct image *image, struct repeats *repeats, float *output);
double tiny_vit_patch_embed_macs(const struct tiny_vit *vit);

/* [side][side][in] -> [side / stride][side / stride][out] */
void tiny_vit_mbconv(const struct tiny_vit *vit, const struct mbconv *conv, struct worker *worker,
                     struct repeats *repeats, const float *input, float *output);
double tiny_vit_mbconv_macs(const struct mbconv *conv);

/* Reads x, [side][side][channels], which it also changes, and writes output. */
void tiny_vit_block(const struct tiny_vit *vit, const struct vit_stage *stage,
                    const struct vit_block *block, struct worker *worker, struct repeats *repeats,
                    float *x, float *output);
double tiny_vit_block_macs(const struct vit_stage *stage, const struct vit_block *block);

enum { NECK_COLUMNS = EMBED_SIDE + 2 }; /* of what is between: a column of zeros on both sides */

/* [64][64][320] -> [64][64][256]; between is room for [64][NECK_COLUMNS][256]. */
void tiny_vit_neck(const struct tiny_vit *vit, struct worker *worker, const float *input,
                   float *between, float *embedding, struct profile *profile);

/* ---- what they share ----------------------------------------------------------------------- */

static inline size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* y = activation(x W^T + bias + added), all rows contiguous. */
static inline void run_linear(const struct tiny_vit *vit, const struct packed_linear *linear,
                              const float *x, size_t rows, const float *added,
                              enum activation activation, float *y) {
    struct linear_rows job = linear_rows_of(linear, x, rows, y);
    job.added = added;
    job.activation = activation;
    vit->kernels->linear(linear, &job);
}

#endif
