/* decoding: one prompt on its way through the mask decoder. Private to its files: mask_decoder.c
 * (the order of things), decoder_tokens.c, decoder_image.c and decoder_upscale.c. */
#ifndef ENGINE_SAM_DECODING_H
#define ENGINE_SAM_DECODING_H

#include "engine/sam/mask_decoder.h"

enum {
    POSITIONS = KERNEL_CHANNEL_STEP,     /* of a panel */
    ACROSS = EMBEDDING_SIDE / POSITIONS, /* panels of a row of the embedding */
    KEYS_PANEL = SAM_DIM * POSITIONS,    /* floats of a panel of keys */
    CROSS_PANEL = SAM_CROSS_DIM * POSITIONS,
    TILE_PANELS = 8, /* of a pass over the image side */
    TILE_POSITIONS = TILE_PANELS * POSITIONS,
    PASS_TILES = SAM_GRID / TILE_POSITIONS,
    CROSS_HEAD = SAM_CROSS_DIM / SAM_HEADS,
    SELF_HEAD = SAM_DIM / SAM_HEADS,
    MLP_DIM = 2048,
    FOLDED_TOKENS_MAX = 17, /* with more, folding takes more multiplications than it saves */
    ROWS_MAX = SAM_HEADS * SAM_TOKENS_MAX, /* one row for each head and token */
    FOLDED_ROWS_MAX = SAM_HEADS * FOLDED_TOKENS_MAX,
    TOKENS_PADDED = (SAM_TOKENS_MAX + POSITIONS - 1) / POSITIONS * POSITIONS,
    ROWS_PADDED = SAM_HEADS * TOKENS_PADDED, /* panels of rows, with each head in its own */
    FOLDED_ROWS_PADDED = (FOLDED_ROWS_MAX + POSITIONS - 1) / POSITIONS * POSITIONS,
    GATHERED_MAX = FOLDED_ROWS_PADDED * SAM_DIM, /* more than ROWS_PADDED * CROSS_HEAD */
    UPSCALE1_CHANNELS = SAM_DIM / 4,
    UPSCALE2_CHANNELS = SAM_DIM / 8,
};

/* How rows of tokens meet the channels of positions: all rows all channels where the projections
 * are folded into the rows, otherwise each head's tokens its own. The rows are heads by tokens in
 * any case. */
struct meeting {
    size_t groups, rows, channels; /* rows and channels of each group */
};

/* What one tile found of "tokens attend to image": a softmax over its positions only. */
struct partial {
    float max[ROWS_MAX];        /* of the scaled scores */
    float sum[ROWS_MAX];        /* of exp(score - max) */
    float values[GATHERED_MAX]; /* of exp(score - max) times the keys, or their values; in panels:
                                   [group][rows / POSITIONS][channels][POSITIONS] */
};

/* One prompt's activations: the session's arena. Matrices "by row" have a row for each head and
 * token. When nothing is folded, to_image, from_tokens and token_values are q, k and v. */
struct activations {
    float keys[SAM_GRID * SAM_DIM]; /* in panels */
    float queries[SAM_TOKENS_MAX * SAM_DIM];
    float query_position[SAM_TOKENS_MAX * SAM_DIM]; /* the prompt tokens as they came in */
    float queries_placed[SAM_TOKENS_MAX * SAM_DIM]; /* queries + query_position */
    float q[SAM_TOKENS_MAX * SAM_DIM], k[SAM_TOKENS_MAX * SAM_DIM], v[SAM_TOKENS_MAX * SAM_DIM];
    float k_transposed[SAM_DIM * TOKENS_PADDED];
    float attended[SAM_TOKENS_MAX * SAM_DIM];
    float scores[SAM_TOKENS_MAX * TOKENS_PADDED];
    float hidden[SAM_TOKENS_MAX * MLP_DIM];
    float to_image[FOLDED_ROWS_MAX * SAM_DIM];     /* by row: q_h Wk_h */
    float from_tokens[FOLDED_ROWS_MAX * SAM_DIM];  /* by row: k_h Wq_h */
    float from_offset[ROWS_MAX];                   /* by row: bq_h k_h */
    float token_values[FOLDED_ROWS_MAX * SAM_DIM]; /* transposed, so in columns: v_h Wo_h */
    float by_row[FOLDED_ROWS_MAX * SAM_DIM];       /* scratch */
    float merged[GATHERED_MAX];
    float merge_weights[PASS_TILES * ROWS_PADDED];
    float hyper[SAM_MASK_TOKENS * UPSCALE2_CHANNELS];
    struct partial partials[PASS_TILES];
};

/* One prompt; or points on one image, as many as have room for their tokens (point_decoder.c), of
 * which the functions of the token side that say so take all. */
struct decoding {
    const struct mask_decoder *decoder;
    const struct kernels *kernels;
    const struct mask_decoder_input *input;
    const struct image_side *kept; /* NULL: none */
    struct activations *at;
    size_t prompts;                  /* that go side by side; their tokens follow each other */
    size_t tokens;                   /* t, of each prompt */
    unsigned slots[SAM_MASK_TOKENS]; /* where among the tokens each mask's is */

    /* Of the pass that runs: */
    bool makes_keys;
    const struct attention *spreading; /* "image attends to tokens"; NULL: not in this pass */
    const struct layer_norm *spread_norm;
    struct meeting asking; /* of the scores of spreading */
    size_t spread_tokens;
    bool spread_folded;  /* the out projection is folded into the tokens' values */
    const float *kept_q; /* in place of the projected positions; NULL: there are none; so below */
    const struct attention *gathering; /* "tokens attend to image" */
    struct meeting gathered;
    const float *kept_k, *kept_v;

    /* Of the upscaling: */
    unsigned wanted;
    size_t wanted_count;
    size_t rows, panels; /* of the embedding that count, and panels of each row */
    float *logits;
};

/* The token side, in the order of TwoWayAttentionBlock.forward; of all prompts. */
void decoder_self_attention(struct decoding *job, const struct two_way_layer *layer, bool first);
void decoder_token_mlp(struct decoding *job, const struct two_way_layer *layer);

/* Before a pass: what the tokens bring to "tokens attend to image". After it: what they gathered is
 * added to the queries. */
void decoder_prepare_gathering(struct decoding *job, const struct attention *attention,
                               bool first_layer);
void decoder_finish_gathering(struct decoding *job, const struct layer_norm *norm);

/* Before a pass: what the tokens bring to "image attends to tokens". */
void decoder_prepare_spreading(struct decoding *job, const struct two_way_layer *layer,
                               bool first_layer);

/* hyper and wanted_count, of the masks that are wanted of one prompt. */
void decoder_run_hypernetworks(struct decoding *job, size_t prompt);

/* Leaves only the IoU token and those of the masks in question; of all prompts. */
void decoder_keep_candidates(struct decoding *job);

/* y [out] of a token x [SAM_DIM] */
void decoder_run_mlp(const struct decoding *job, const struct mlp *mlp, const float *x, float *y);

/* y = x W^T + b, for the tokens of all prompts. */
void decoder_project_tokens(const struct decoding *job, const struct projection *projection,
                            const float *x, float *y);

/* Adds the out projection of attended to the queries, then a norm; of all prompts. */
void decoder_add_attended(struct decoding *job, const struct projection *out,
                          const struct layer_norm *norm);

/* One prompt's rows, [head][token][SAM_DIM] = x_h W_h, where x is [token][SAM_CROSS_DIM] and W
 * [SAM_CROSS_DIM][SAM_DIM] projects positions; or x_h W_h^T, where W [SAM_DIM][SAM_CROSS_DIM]
 * projects back to them. */
void decoder_fold_into_rows(const struct decoding *job, const float *x, const struct linear *linear,
                            float *rows);
void decoder_fold_out_of_rows(const struct decoding *job, const float *x,
                              const struct packed_linear *linear, float *rows);

/* One prompt's projected [token][SAM_CROSS_DIM]: each head's channels of the projection of its
 * rows. */
void decoder_project_rows(const struct decoding *job, const struct packed_linear *linear,
                          const float *rows, float *projected);

/* The keys of a panel: the image embedding plus the dense one. scratch: KEYS_PANEL floats. */
void decoder_make_keys(const struct kernels *kernels, const struct mask_decoder_input *input,
                       size_t panel, float *scratch, float *keys);

/* y [out][POSITIONS] = W x [in][POSITIONS] + bias, or added to y */
void decoder_project_panel(const struct kernels *kernels, const struct linear *linear,
                           const float *bias, const float *x, bool accumulate, float *y);

/* One pass over the image side. */
void decoder_run_pass(struct decoding *job, struct worker *worker);
size_t decoder_pass_scratch_bytes(void);

/* The wanted masks' logits from keys and hyper, [wanted_count][UPSCALE2_CHANNELS]. */
void decoder_upscale(struct decoding *job, struct worker *worker);
size_t decoder_upscale_scratch_bytes(void);

/* One panel of positions on its way up. The finer offset of a cell comes last. */
enum { UPSCALE_CELLS = 16 };

struct upscaled {
    float half[4][UPSCALE1_CHANNELS][POSITIONS];
    float full[UPSCALE_CELLS][UPSCALE2_CHANNELS][POSITIONS];
    float logits[SAM_MASK_TOKENS][UPSCALE_CELLS][POSITIONS];
};

/* Finds how many rows and panels count, and writes zeros to the logits beyond them. */
void decoder_begin_upscaling(struct decoding *job);

/* The rest of a panel's way, from half as the first convolution leaves it to the logits' places:
 * panel is one of those that count in the row. */
void decoder_finish_upscaling(const struct decoding *job, struct upscaled *at, size_t row,
                              size_t panel);

#endif
