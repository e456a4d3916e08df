/* point_decoder: the mask decoder for many prompts of one point each on the same image. The result
 * is mask_decoder's, up to rounding, for less than half of its multiply-adds.
 *
 * Without a prior mask the image side is the same for all points until the tokens add to it, and
 * what they add is of few dimensions: 8 heads of t = 7 tokens, so 56 columns T, mixed by a softmax
 * a over the tokens of each head. As a head's softmax sums to one, its last token's column can be
 * taken from its others and added, as every constant, to the first head's: 49 columns are left.
 * With e the embedding, E = e centred over its channels, and T centred likewise, the keys after the
 * first layer are
 *
 *   g (E + T a) s + b,   s^-2 = (|E|^2 + 2 (E T) a + a (T T) a) / 256 + epsilon,
 *
 * where g and b are the norm's. So nothing of 256 channels needs to be made for a point: s comes
 * from a product of 49 x 49, and what the layers ask of the keys, W keys, from W (g E), which is
 * the image's own and kept (struct point_terms), and from W (g T), of 56 x 49 with the tokens'
 * questions. The second layer adds 49 more columns to it in the same way. The first transposed
 * convolution is linear in the keys too, so a mask that is wanted is upscaled from the 98 numbers
 * of each position.
 *
 * Points go in batches, side by side on the token side, where reading the weights takes longest. */
#ifndef ENGINE_SAM_POINT_DECODER_H
#define ENGINE_SAM_POINT_DECODER_H

#include "engine/sam/mask_decoder.h"

enum { POINT_BATCH = 8 };

/* What the points on an image have in common. 36 MB. */
struct point_terms;

/* Of an image's embedding, binary16 [SAM_GRID][SAM_DIM], and the dense embedding of no mask. NULL
 * when out of memory. Call from a job of worker's pool. */
struct point_terms *point_terms_make(const struct mask_decoder *decoder, struct worker *worker,
                                     const uint16_t *embedding, const float *dense_everywhere);
void point_terms_free(struct point_terms *terms); /* NULL is allowed */

struct point_batch {
    size_t count;                          /* 1 .. POINT_BATCH */
    float tokens[POINT_BATCH][2][SAM_DIM]; /* of each point and its padding */
    size_t height, width;                  /* of the logits that will be looked at; 0: all 256 */
};

/* Memory for a batch on its way. */
struct point_memory;

struct point_memory *point_memory_create(void); /* NULL when there is none */
void point_memory_free(struct point_memory *memory);

/* Decodes all points of the batch on this worker, up to the predicted IoU of their masks. May be
 * called by a tile; a bulk one serves interactive work now and then (worker_yield). */
void point_decoder_run(const struct mask_decoder *decoder, const struct point_terms *terms,
                       struct point_memory *memory, struct worker *worker,
                       const struct point_batch *batch, float iou[POINT_BATCH][SAM_MASK_TOKENS]);

/* The logits of the masks that are wanted of one of these points, as bits of the mask tokens
 * without the first: [SAM_MASK_TOKENS][256][256], of which the wanted ones are written. Valid until
 * the next. */
const float *point_decoder_upscale(const struct point_terms *terms, struct point_memory *memory,
                                   struct worker *worker, size_t point, unsigned wanted);

size_t point_terms_scratch_bytes(void);

#endif
