/* naive_decoder: modeling/transformer.py and modeling/mask_decoder.py of Segment Anything as they
 * are written there, in double precision: keys, values and queries are projected at every position
 * of the image, nothing is folded. */
#ifndef TESTS_UNIT_ENGINE_SAM_NAIVE_DECODER_H
#define TESTS_UNIT_ENGINE_SAM_NAIVE_DECODER_H

#include "engine/sam/mask_decoder.h"
#include "tests/unit/engine/sam/weights_fixture.h"

struct naive_decoder {
    const struct random_weights *weights;
    size_t tokens;
    double *position; /* [SAM_GRID][SAM_DIM]; all are owned */
    double *queries;  /* [tokens][SAM_DIM], at last the transformer's output */
    double *keys;     /* [SAM_GRID][SAM_DIM], at last the transformer's output */
    double iou[SAM_MASK_TOKENS];
    double hyper[SAM_MASK_TOKENS][32];
};

/* All but the masks, which naive_decoder_cell gives one cell at a time. */
void naive_decoder_run(struct naive_decoder *decoder, const struct random_weights *weights,
                       const float *position, const struct mask_decoder_input *input);
void naive_decoder_free(struct naive_decoder *decoder);

/* The 4x4 logits of each mask that come from one position of the image embedding. */
void naive_decoder_cell(const struct naive_decoder *decoder, size_t row, size_t column,
                        double logits[SAM_MASK_TOKENS][4][4]);

#endif
