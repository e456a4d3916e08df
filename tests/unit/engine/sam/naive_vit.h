/* naive_vit: the layers of modeling/tiny_vit_sam.py of MobileSAM, one output position at a time, in
 * double precision and with the weights in their original layout. */
#ifndef TESTS_UNIT_ENGINE_SAM_NAIVE_VIT_H
#define TESTS_UNIT_ENGINE_SAM_NAIVE_VIT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/image/image.h"
#include "tests/unit/engine/sam/weights_fixture.h"

/* A layer by the name of its module, and its input, [side][side][channels]. */
struct naive_layer {
    const struct random_weights *weights;
    const char *module;
    const float *input;
    size_t side, channels, outputs;
};

/* PatchEmbed of the image, normalised and padded to 1024 x 1024; out is [64]. */
void naive_patch_embed(const struct random_weights *weights, const struct image *image, size_t y,
                       size_t x, double *out);

/* MBConv (residual) and PatchMerging. */
void naive_mbconv(const struct naive_layer *layer, size_t hidden, size_t stride, bool residual,
                  size_t y, size_t x, double *out);

/* TinyViTBlock. Windows are computed when a position needs them, and kept. */
struct naive_block {
    struct naive_layer layer;
    size_t heads, window, across; /* windows side by side */
    double **attended;            /* of each window: its tokens after the attention, or NULL */
};

struct naive_block naive_block_make(const struct naive_layer *layer, size_t heads, size_t window);
void naive_block_at(struct naive_block *block, size_t y, size_t x, double *out);
void naive_block_free(struct naive_block *block);

/* The neck; out is [256]. */
void naive_neck(const struct naive_layer *layer, size_t y, size_t x, double *out);

#endif
