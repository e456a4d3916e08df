/* weights: where the models find their tensors, and the memory of those that they keep in another
 * layout.
 *
 * A module is named by the path of its parent and its own: ("image_encoder.layers.0",
 * "downsample"). The file was checked against the architecture's list (mobile_sam_check), so what
 * is asked for is there, in F32 and of the expected shape. Pointers into the file live as long as
 * it does, packed ones as long as the struct. */
#ifndef ENGINE_SAM_WEIGHTS_H
#define ENGINE_SAM_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/kernels/kernels.h"
#include "engine/kernels/linear.h"
#include "engine/weights/safetensors.h"

struct weights_block;

struct weights {
    const struct safetensors *file;
    struct weights_block *blocks; /* packed copies; owned */
    const struct kernels *bf16;   /* who rounds packed layers to bfloat16; NULL: they stay floats */
    bool failed; /* out of memory, or a name that is not there: asked once, at the end of loading */
};

#define LAYER_NORM_EPSILON 1e-5f    /* torch.nn.LayerNorm's */
#define LAYER_NORM_2D_EPSILON 1e-6f /* of LayerNorm2d, modeling/common.py of Segment Anything */

struct layer_norm {
    const float *weight, *bias;
};

/* A depthwise 3x3 convolution. */
struct depthwise {
    const float *weights; /* [9][channels] */
    const float *bias;    /* [channels] */
};

/* The tensor "parent.module.name". */
const float *weights_get(struct weights *weights, const char *parent, const char *module,
                         const char *name);

/* torch.nn.LayerNorm and LayerNorm2d. */
struct layer_norm weights_norm(struct weights *weights, const char *parent, const char *module);

/* torch.nn.Linear or a 1x1 convolution, with or without a bias. */
struct linear weights_linear(struct weights *weights, const char *parent, const char *module);

/* Room for count floats, 64-byte aligned; NULL after a failure. */
float *weights_pack(struct weights *weights, size_t count);

/* The same, packed for kernels->linear, in bfloat16 while weights->bf16 is set. Outputs are made up
 * to a multiple of KERNEL_CHANNEL_STEP by zeros. */
struct packed_linear weights_packed_linear(struct weights *weights, const char *parent,
                                           const char *module);

/* A 3x3 convolution as a packed linear on its inputs, [3 x 3][in]. */
struct packed_linear weights_packed_conv3x3(struct weights *weights, const char *parent,
                                            const char *module);

struct depthwise weights_depthwise(struct weights *weights, const char *parent, const char *module);

/* A transposed convolution whose stride is its kernel's size k, as a linear that gives
 * [k x k][out]; the bias is repeated for each of the k x k. */
struct linear weights_conv_transpose(struct weights *weights, const char *parent,
                                     const char *module);

void weights_free(struct weights *weights); /* the packed copies; not the file */

#endif
