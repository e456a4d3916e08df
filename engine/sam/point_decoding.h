/* point_decoding: a batch of points on its way. Private to point_decoder.c (the order of things),
 * point_terms.c, point_tokens.c and point_image.c. */
#ifndef ENGINE_SAM_POINT_DECODING_H
#define ENGINE_SAM_POINT_DECODING_H

#include "engine/sam/decoding.h"
#include "engine/sam/point_decoder.h"

enum {
    POINT_TOKENS = 1 + SAM_MASK_TOKENS + 2,
    POINT_ROWS = SAM_HEADS * POINT_TOKENS, /* one for each head and token */
    /* The columns of a mix: by tokens, then heads, but of the last token only the first head's. */
    MIX_ROWS = SAM_HEADS * (POINT_TOKENS - 1) + 1,
    LAST_TOKENS = SAM_MASK_TOKENS, /* the IoU's and the three masks' */
    LAST_ROWS = SAM_HEADS * LAST_TOKENS,
    PADDED_ROWS = 64,
    POINT_GROUP =
        4, /* points whose tiles take turns: as many as the second-level cache has room for */
    ROWS_PANEL = POINT_ROWS * POSITIONS,
    /* Where the last pass has its rows of what it takes of the first layer's mix. */
    LAST_BOTH = POINT_ROWS,
    LAST_M = LAST_BOTH + MIX_ROWS,
};

_Static_assert(LAST_M + LAST_ROWS <= 3 * POINT_ROWS, "room in of_first");
_Static_assert(PADDED_ROWS % POSITIONS == 0 && PADDED_ROWS >= POINT_ROWS, "whole panels of rows");

/* Projections of what the keys have of the image, and of the positions with the norm's bias, which
 * go together as scale * image + place. In panels: [panel][SAM_CROSS_DIM][POSITIONS]. */
struct projected_keys {
    float image[SAM_GRID * SAM_CROSS_DIM], place[SAM_GRID * SAM_CROSS_DIM];
};

/* With E and F the embedding as the first and the second norm see it: centred, with what is
 * constant of the tokens' part; and the attention's names of the layers that ask. */
struct point_terms {
    float out[SAM_LAYERS][SAM_CROSS_DIM * SAM_DIM]; /* of "image attends to tokens", transposed */
    float shift[SAM_DIM];                           /* what the second norm sees of constants */
    float upscaled_shift[SAM_DIM];                  /* what upscaling makes of the norm's bias */
    /* The first layer's, in panels. */
    float first_k[SAM_GRID * SAM_CROSS_DIM], first_q[SAM_GRID * SAM_CROSS_DIM];
    struct projected_keys second_k, second_q, last_k;
    /* [position][SAM_CROSS_DIM], without what is constant */
    float first_v[SAM_GRID * SAM_CROSS_DIM], second_v[SAM_GRID * SAM_CROSS_DIM],
        last_v[SAM_GRID * SAM_CROSS_DIM];
    /* E T, E T as the second norm sees it, and F with the second layer's T: for each head's value
     * of a token. In panels. */
    float first_with_tokens[SAM_GRID * SAM_CROSS_DIM], again_with_tokens[SAM_GRID * SAM_CROSS_DIM],
        second_with_tokens[SAM_GRID * SAM_CROSS_DIM];
    float upscaled[SAM_GRID * SAM_DIM];                    /* in panels */
    float first_square[SAM_GRID], second_square[SAM_GRID]; /* |E|^2, |F|^2 */
    float with_shift[SAM_GRID];                            /* F with shift */
};

/* A softmax over positions and what it gathers, as far as the pass has come. */
struct gathering {
    float max[POINT_ROWS], sum[POINT_ROWS];
    float values[POINT_TOKENS * SAM_CROSS_DIM];
    float mixed[SAM_LAYERS][MIX_ROWS * PADDED_ROWS]; /* of each layer's mix: [row of it][row] */
};

/* One point. Questions are by heads, then tokens; a square has PADDED_ROWS columns. */
struct point {
    /* The columns T of both layers' mixes, as rows; each as the norm that comes next sees it. */
    float first[MIX_ROWS * SAM_DIM];   /* times the first norm's weight */
    float centred[MIX_ROWS * SAM_DIM]; /* the same, centred */
    float second[MIX_ROWS * SAM_DIM];
    float asking[POINT_TOKENS * SAM_CROSS_DIM];   /* k of "image attends to tokens" */
    float values[POINT_TOKENS * SAM_CROSS_DIM];   /* v of it */
    float question[POINT_TOKENS * SAM_CROSS_DIM]; /* q of "tokens attend to image" */
    /* What each pass takes of a position's mix of the first layer: see point_image.c. */
    float of_first[3 * POINT_ROWS * PADDED_ROWS];
    float of_second[2 * POINT_ROWS * PADDED_ROWS];
    struct gathering gathering;
    /* Of each position: the mix a of both layers, the first times its scale, in panels of
     * POINT_ROWS, by tokens, then heads; the scales s; the sum of squares before the second layer
     * adds to it. */
    float mix[SAM_LAYERS][SAM_GRID * POINT_ROWS];
    float scale[SAM_LAYERS][SAM_GRID];
    float square[SAM_GRID];
};

/* One tile of a pass. */
struct point_tile {
    float keys[CROSS_PANEL], with_tokens[ROWS_PANEL];
    float of_first[3 * ROWS_PANEL], of_second[2 * ROWS_PANEL];
    float scores[POINT_GROUP][POINT_ROWS * TILE_POSITIONS];
    float weights[PADDED_ROWS * TILE_POSITIONS]; /* in panels of rows */
};

struct point_memory {
    struct activations tokens;                     /* its token side, of all points */
    _Alignas(64) struct point points[POINT_BATCH]; /* whole cache lines for the widest vectors */
    struct point_tile tile;
    struct upscaled upscaled;
    float rows[POINT_ROWS * SAM_DIM], turned[POINT_ROWS * SAM_DIM]; /* scratch */
    float columns[SAM_DIM * PADDED_ROWS];                           /* the same */
    float upscaling[SAM_LAYERS][SAM_DIM * PADDED_ROWS];
    float logits[SAM_MASK_TOKENS * SAM_MASK_VALUES];
    struct decoding job;
    struct mask_decoder_input input;
};

struct point_job {
    struct decoding *job;
    const struct point_terms *terms;
    struct point_memory *at;
};

/* Between the passes: what the tokens ask and bring, in the order of the passes; and what they
 * gathered. */
void point_prepare_first(const struct point_job *points);
void point_finish_first(const struct point_job *points);
void point_prepare_spreading(const struct point_job *points);
void point_prepare_second(const struct point_job *points);
void point_finish_second(const struct point_job *points);
void point_prepare_spreading_again(const struct point_job *points);
void point_prepare_last(const struct point_job *points);
void point_finish_last(const struct point_job *points);
void point_prepare_upscaling(const struct point_job *points, size_t point);

/* The passes over the image side, the batch's points in turn: "tokens attend to image" of the first
 * layer; of the second layer, after "image attends to tokens" of the first; the last one, after
 * that of the second. */
void point_first_pass(const struct point_job *points, struct worker *worker);
void point_second_pass(const struct point_job *points, struct worker *worker);
void point_last_pass(const struct point_job *points, struct worker *worker);
void point_upscale(const struct point_job *points, size_t point, struct worker *worker);

#endif
