/* tiny_vit: MobileSAM's image encoder (TinyViT-5M: Wu et al., arXiv:2207.10666;
 * mobile_sam/modeling/tiny_vit_sam.py, with build_sam_vit_t's dimensions). Batch norms are folded
 * into the convolutions.
 *
 *   1024x1024x3  patch_embed: two 3x3 convolutions, stride 2           -> 256x256x64
 *                layers.0: 2 MBConv, then a downsample                 -> 128x128x128
 *                layers.1: 2 blocks of windows of 7x7, downsample      -> 64x64x160
 *                layers.2: 6 blocks of windows of 14x14, downsample    -> 64x64x320 (stride 1)
 *                layers.3: 2 blocks of windows of 7x7
 *                neck: 1x1 and 3x3 convolution, layer norms            -> 64x64x256
 *
 * Activations are [row][column][channel]. Every layer is cut into tiles of about a millisecond;
 * what a tile expands stays in the worker's scratch, so that only the layers' inputs and outputs go
 * through memory. */
#ifndef ENGINE_SAM_TINY_VIT_H
#define ENGINE_SAM_TINY_VIT_H

#include "engine/image/image.h"
#include "engine/kernels/kernels.h"
#include "engine/parallel.h"
#include "engine/profile.h"
#include "engine/sam/weights.h"

enum { TINY_VIT_INPUT = 1024, TINY_VIT_DEPTH_MAX = 6 };

/* MBConv and PatchMerging: 1x1, GELU, depthwise 3x3, GELU, 1x1; an MBConv adds its input and ends
 * in a GELU. */
struct mbconv {
    struct packed_linear expand, project;
    struct depthwise spread;
    size_t side, stride; /* of the input square */
    bool residual;
};

/* TinyViTBlock: window attention, a depthwise convolution, an MLP. */
struct vit_block {
    struct layer_norm attention_norm, mlp_norm;
    struct packed_linear qkv, projection, fc1, fc2;
    const float *padding_qkv; /* what a token of a window beyond the image gives, [3][channels] */
    const float *attention_bias; /* [heads][tokens][tokens] of a window */
    struct depthwise local_conv;
};

struct vit_stage {
    size_t side, channels, heads, window;
    size_t windows_per_tile, rows_per_tile;
    size_t depth;
    struct vit_block blocks[TINY_VIT_DEPTH_MAX];
};

struct tiny_vit {
    const struct kernels *kernels;
    struct packed_linear patch1, patch2; /* 3x3 convolutions, stride 2 */
    struct mbconv mbconv[2];
    struct vit_stage stages[3];        /* layers.1 .. layers.3 */
    struct mbconv merges[3];           /* the downsample before each of them */
    struct packed_linear neck1, neck2; /* 1x1 and 3x3 */
    struct layer_norm neck_norm1, neck_norm2;
};

/* Resolves and packs the weights "image_encoder.*", for products in bfloat16 or in float; the first
 * convolution, on pixels, is always in float. Failure shows in weights->failed. */
void tiny_vit_load(struct tiny_vit *vit, const struct kernels *kernels, bool bf16,
                   struct weights *weights);

size_t tiny_vit_arena_floats(void);       /* the activations of one image */
size_t tiny_vit_tile_scratch_bytes(void); /* what one tile expands, at most */

/* scaled fits the 1024 square; the rest of it is padding. embedding is [64][64][256]. profile may
 * be NULL. */
void tiny_vit_encode(const struct tiny_vit *vit, float *arena, struct worker *worker,
                     const struct image *scaled, float *embedding, struct profile *profile);

#endif
