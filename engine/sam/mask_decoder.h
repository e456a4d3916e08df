/* mask_decoder: image embedding + prompt tokens -> low-resolution mask logits and their predicted
 * IoU (modeling/mask_decoder.py and transformer.py of Segment Anything).
 *
 * The image side has 4096 positions, the token side t = 6 or more, so everything that can be is
 * folded into the tokens. With X the keys plus their positional encoding, h a head, and W, b the
 * projections:
 *
 *   tokens attend to the image: scores = (q_h Wk_h) X^T; the bias of k is the same for all
 * positions, so the softmax does not see it; the values' projection is applied after the weighted
 * sum, to t rows; the image attends to tokens: scores = X (k_h Wq_h)^T + bq_h k_h^T, and the result
 * (v_h Wo_h) is made once for each token and head.
 *
 * Each 4096 x 256 x 128 product becomes 4096 x 256 x 8t, which is less up to t = 17; with more
 * tokens the projections are done as they are written. And since a layer's token side needs the
 * image side of the layer before only in its attention to the image, one pass over the positions
 * does "image attends to tokens" of layer i and "tokens attend to image" of layer i + 1: three
 * passes in all, cut into tiles.
 *
 * What no prompt changes are the first layer's projections of the image, for it still sees the
 * embedding: struct image_side keeps them for prompts on the same image.
 *
 * On the image side, positions come in panels of KERNEL_CHANNEL_STEP and a panel is
 * [channel][position]: so every product is one of a few rows with a panel, and softmax over tokens
 * and norms over channels go on for all positions of a panel at once. */
#ifndef ENGINE_SAM_MASK_DECODER_H
#define ENGINE_SAM_MASK_DECODER_H

#include "engine/engine.h"
#include "engine/sam/prompt_encoder.h"

enum {
    SAM_HEADS = 8,
    SAM_LAYERS = 2,
    SAM_MASK_TOKENS = 4, /* the single mask's, then the three of the ambiguity-aware output */
    SAM_TOKENS_MAX = 1 + SAM_MASK_TOKENS + SAM_SPARSE_MAX,
    SAM_MASK_VALUES = SAM_LOW_RES * SAM_LOW_RES,
};

/* As the products with few rows want it, and as it is written: [out][in]. */
struct projection {
    struct packed_linear packed;
    struct linear plain;
};

/* Attention in transformer.py: projections to an inner width, heads, a projection back. */
struct attention {
    struct projection q, k, v, out;
};

struct two_way_layer {
    struct attention self, token_to_image, image_to_token;
    struct layer_norm norm1, norm2, norm3, norm4;
    struct packed_linear mlp1, mlp2;
};

/* Three linears with ReLU between them. */
struct mlp {
    struct packed_linear layers[3];
};

struct mask_decoder {
    const struct kernels *kernels;
    const float *position;      /* the prompt encoder's, in panels */
    const float *output_tokens; /* IoU token and mask tokens, [1 + SAM_MASK_TOKENS][SAM_DIM] */
    struct two_way_layer layers[SAM_LAYERS];
    struct attention final_attention;
    struct layer_norm final_norm;
    struct linear upscale1, upscale2; /* transposed 2x2 convolutions */
    struct layer_norm upscale_norm;
    struct mlp hypernetworks[SAM_MASK_TOKENS];
    struct mlp iou_head; /* its SAM_MASK_TOKENS outputs are followed by zeros */
};

/* Resolves "mask_decoder.*"; failure shows in weights->failed. */
void mask_decoder_load(struct mask_decoder *decoder, const struct prompt_encoder *prompt_encoder,
                       struct weights *weights);

enum { SAM_CROSS_DIM = SAM_DIM / 2 }; /* the inner width of attention between tokens and image */

/* The first layer's projections of an image without a prior mask: k and v of "tokens attend to
 * image", without their biases, and q of "image attends to tokens", with it. In panels:
 * [SAM_GRID / KERNEL_CHANNEL_STEP][SAM_CROSS_DIM][KERNEL_CHANNEL_STEP]. */
struct image_side {
    float k[SAM_GRID * SAM_CROSS_DIM], v[SAM_GRID * SAM_CROSS_DIM], q[SAM_GRID * SAM_CROSS_DIM];
};

/* What a prompt becomes. */
struct mask_decoder_input {
    const uint16_t *embedding; /* binary16, [SAM_GRID][SAM_DIM] */
    const float *dense; /* [SAM_GRID][SAM_DIM], or NULL: dense_everywhere holds for all positions */
    const float *dense_everywhere; /* [SAM_DIM] */
    const float *sparse;           /* [sparse_count][SAM_DIM] */
    size_t sparse_count;
    const struct image_side *image_side; /* of embedding and dense_everywhere; NULL: there is none;
                                            not used where there is dense */
    unsigned candidates; /* the masks that may be chosen, as bits of the mask tokens; 0: all */
    size_t height,
        width; /* of the logits that will be looked at, from the upper left; 0: all 256 */
    struct profile *profile; /* NULL: none */
};

struct mask_decoder_output {
    float iou[SAM_MASK_TOKENS]; /* predicted, of all masks */
    unsigned wanted;            /* what was chosen */
    float *logits; /* [SAM_MASK_TOKENS][256][256]; only the wanted ones are written, with zeros
                      where nobody will look */
};

size_t mask_decoder_arena_floats(void);
size_t mask_decoder_tile_scratch_bytes(void);

/* Makes the image side of input's embedding and dense_everywhere. */
void mask_decoder_image_side(const struct mask_decoder *decoder, struct worker *worker,
                             const struct mask_decoder_input *input, struct image_side *side);

/* Chooses the masks to compute once their IoU is known, before the expensive part: sets bits of the
 * mask tokens, of candidates only. */
typedef unsigned mask_chooser(const float iou[SAM_MASK_TOKENS], const void *argument);

void mask_decoder_run(const struct mask_decoder *decoder, float *arena, struct worker *worker,
                      const struct mask_decoder_input *input, mask_chooser *choose,
                      const void *argument, struct mask_decoder_output *output);

#endif
