/* The image side of the mask decoder: what goes on at each of the 4096 positions. */
#include <math.h>
#include <string.h>

#include "engine/sam/decoding.h"

/* One tile of a pass, in its worker's scratch. */
struct tile {
    float placed[KEYS_PANEL];                /* keys + position of one panel */
    float projected[CROSS_PANEL];            /* q, k or attended of one panel */
    float asked[ROWS_MAX * POSITIONS];       /* the scores of "image attends to tokens" */
    float values[TILE_PANELS * CROSS_PANEL]; /* v */
    float scores[ROWS_MAX * TILE_POSITIONS]; /* of "tokens attend to image", by row */
    float
        weights[ROWS_PADDED * TILE_POSITIONS]; /* the same, exponentiated, with the rows in panels:
                                                  [group][rows / POSITIONS][position][POSITIONS] */
};

size_t decoder_pass_scratch_bytes(void) {
    return sizeof(struct tile);
}

void decoder_project_panel(const struct kernels *kernels, const struct linear *linear,
                           const float *bias, const float *x, bool accumulate, float *y) {
    kernels->panel_product(&(struct panel_product){
        .a = linear->weight,
        .rows = linear->out,
        .a_stride = linear->in,
        .depth = linear->in,
        .pieces = 1,
        .b = x,
        .b_stride = POSITIONS,
        .panels = 1,
        .bias = bias,
        .c = y,
        .c_stride = POSITIONS,
        .accumulate = accumulate,
    });
}

void decoder_make_keys(const struct kernels *kernels, const struct mask_decoder_input *input,
                       size_t panel, float *scratch, float *keys) {
    const size_t first = panel * KEYS_PANEL;
    kernels->from_half(input->embedding + first, scratch, KEYS_PANEL);
    if (input->dense)
        kernels->add(scratch, input->dense + first, scratch, KEYS_PANEL);
    else
        kernels->bias_add(scratch, POSITIONS, SAM_DIM, input->dense_everywhere);
    kernels->transpose(scratch, SAM_DIM, POSITIONS, SAM_DIM, keys, POSITIONS);
}

/* scores, by row, at a distance of stride: the rows' products with a panel of positions, group by
 * group. */
static void score(const struct decoding *job, const struct meeting *meeting, const float *rows,
                  const float *panel, float *scores, size_t stride) {
    for (size_t group = 0; group < meeting->groups; group++)
        job->kernels->panel_product(&(struct panel_product){
            .a = rows + group * meeting->channels,
            .rows = meeting->rows,
            .a_stride = meeting->groups * meeting->channels,
            .depth = meeting->channels,
            .pieces = 1,
            .b = panel + group * meeting->channels * POSITIONS,
            .b_stride = POSITIONS,
            .panels = 1,
            .c = scores + group * meeting->rows * stride,
            .c_stride = stride,
        });
}

/* ---- the image attends to the tokens ----------------------------------------------------- */

/* keys += token_values times the scores, or the out projection of each head's. */
static void spread(const struct decoding *job, struct tile *tile, float *keys) {
    const struct linear *out = &job->spreading->out.plain;
    const size_t t = job->spread_tokens;
    struct panel_product product = {
        .a = job->at->token_values,
        .rows = SAM_DIM,
        .a_stride = SAM_HEADS * t,
        .depth = SAM_HEADS * t,
        .pieces = 1,
        .b = tile->asked,
        .b_stride = POSITIONS,
        .panels = 1,
        .bias = out->bias,
        .c = keys,
        .c_stride = POSITIONS,
        .accumulate = true,
    };
    if (job->spread_folded) {
        job->kernels->panel_product(&product);
        return;
    }
    product.rows = CROSS_HEAD;
    product.a_stride = product.depth = t;
    product.bias = NULL;
    product.accumulate = false;
    for (size_t head = 0; head < SAM_HEADS; head++) {
        product.a = job->at->token_values + head * CROSS_HEAD * t;
        product.b = tile->asked + head * t * POSITIONS;
        product.c = tile->projected + head * CROSS_HEAD * POSITIONS;
        job->kernels->panel_product(&product);
    }
    decoder_project_panel(job->kernels, out, out->bias, tile->projected, true, keys);
}

/* keys += attention of the positions to the tokens, then norm4. */
static void image_to_token(const struct decoding *job, struct tile *tile, size_t panel,
                           float *keys) {
    const struct kernels *kernels = job->kernels;
    const struct linear *q = &job->spreading->q.plain;
    const float *asking = tile->placed;
    const size_t t = job->spread_tokens;
    if (job->kept_q)
        asking = job->kept_q + panel * CROSS_PANEL;
    else
        kernels->add(keys, job->decoder->position + panel * KEYS_PANEL, tile->placed, KEYS_PANEL);
    if (!job->kept_q && job->asking.groups > 1) {
        decoder_project_panel(kernels, q, q->bias, tile->placed, false, tile->projected);
        asking = tile->projected;
    }
    score(job, &job->asking, job->at->from_tokens, asking, tile->asked, POSITIONS);
    for (size_t head = 0; head < SAM_HEADS; head++)
        kernels->softmax_columns(tile->asked + head * t * POSITIONS, t, POSITIONS,
                                 1.0f / sqrtf(CROSS_HEAD), job->at->from_offset + head * t);
    spread(job, tile, keys);
    kernels->panel_norm(keys, SAM_DIM, job->spread_norm->weight, job->spread_norm->bias,
                        LAYER_NORM_EPSILON, ACTIVATION_NONE);
}

/* ---- the tokens attend to the image ------------------------------------------------------ */

/* The scores of a panel of the tile; and where nothing is folded or kept, its values. */
static void ask(const struct decoding *job, struct tile *tile, size_t panel, const float *keys) {
    const struct attention *attention = job->gathering;
    const size_t within = panel % TILE_PANELS;
    const float *asked = tile->placed;
    if (job->kept_k)
        asked = job->kept_k + panel * CROSS_PANEL;
    else
        job->kernels->add(keys, job->decoder->position + panel * KEYS_PANEL, tile->placed,
                          KEYS_PANEL);
    if (!job->kept_k &&
        job->gathered.groups > 1) { /* no biases: softmax sees none of k's, and v's comes last */
        decoder_project_panel(job->kernels, &attention->k.plain, NULL, tile->placed, false,
                              tile->projected);
        decoder_project_panel(job->kernels, &attention->v.plain, NULL, keys, false,
                              tile->values + within * CROSS_PANEL);
        asked = tile->projected;
    }
    score(job, &job->gathered, job->at->to_image, asked, tile->scores + within * POSITIONS,
          TILE_POSITIONS);
}

/* values = the tile's keys, or their values, times the weights of each group's rows */
static void gather(const struct decoding *job, struct tile *tile, size_t index,
                   struct partial *partial) {
    const struct meeting *gathered = &job->gathered;
    const size_t panels = (gathered->rows + POSITIONS - 1) / POSITIONS;
    const size_t size = panels * TILE_POSITIONS * POSITIONS;
    const float *values = tile->values;
    if (job->kept_v)
        values = job->kept_v + index * TILE_PANELS * CROSS_PANEL;
    else if (gathered->groups == 1)
        values = job->at->keys + index * TILE_PANELS * KEYS_PANEL;
    if (gathered->rows % POSITIONS != 0) /* beyond the rows */
        memset(tile->weights, 0, gathered->groups * size * sizeof(float));
    for (size_t group = 0; group < gathered->groups; group++) {
        float *weights = tile->weights + group * size;
        for (size_t row = 0; row < gathered->rows; row += POSITIONS) {
            const size_t left = gathered->rows - row;
            job->kernels->transpose(tile->scores + (group * gathered->rows + row) * TILE_POSITIONS,
                                    TILE_POSITIONS, left < POSITIONS ? left : POSITIONS,
                                    TILE_POSITIONS, weights + row * TILE_POSITIONS, POSITIONS);
        }
        job->kernels->panel_product(&(struct panel_product){
            .a = values + group * gathered->channels * POSITIONS,
            .rows = gathered->channels,
            .a_stride = POSITIONS,
            .depth = POSITIONS,
            .pieces = TILE_PANELS,
            .a_piece = gathered->groups * gathered->channels * POSITIONS,
            .b = weights,
            .b_stride = POSITIONS,
            .b_panel = TILE_POSITIONS * POSITIONS,
            .panels = panels,
            .c = partial->values + group * panels * gathered->channels * POSITIONS,
            .c_stride = POSITIONS,
            .c_panel = gathered->channels * POSITIONS,
        });
    }
}

/* ---- a pass ------------------------------------------------------------------------------ */

static void pass_tile(void *argument, size_t index, struct worker *worker) {
    const struct decoding *job = argument;
    struct partial *partial = &job->at->partials[index];
    struct tile *tile = worker_scratch(worker);
    const size_t rows = job->gathered.groups * job->gathered.rows;
    for (size_t panel = index * TILE_PANELS; panel < (index + 1) * TILE_PANELS; panel++) {
        float *keys = job->at->keys + panel * KEYS_PANEL;
        if (job->makes_keys)
            decoder_make_keys(job->kernels, job->input, panel, tile->placed, keys);
        if (job->spreading)
            image_to_token(job, tile, panel, keys);
        ask(job, tile, panel, keys);
    }
    for (size_t row = 0; row < rows; row++) {
        partial->max[row] = -INFINITY;
        job->kernels->exp_partial(tile->scores + row * TILE_POSITIONS, TILE_POSITIONS,
                                  1.0f / sqrtf(CROSS_HEAD), &partial->max[row], &partial->sum[row]);
    }
    gather(job, tile, index, partial);
}

void decoder_run_pass(struct decoding *job, struct worker *worker) {
    worker_parallel_for(worker, PASS_TILES, pass_tile, job);
}

/* ---- what no prompt changes -------------------------------------------------------------- */

struct image_side_job {
    const struct mask_decoder *decoder;
    const struct mask_decoder_input *input;
    struct image_side *side;
};

static void image_side_tile(void *argument, size_t index, struct worker *worker) {
    const struct image_side_job *job = argument;
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = decoder->kernels;
    const struct two_way_layer *layer = &decoder->layers[0];
    const struct linear *q = &layer->image_to_token.q.plain;
    float *keys = worker_scratch(worker), *placed = keys + KEYS_PANEL;
    for (size_t panel = index * TILE_PANELS; panel < (index + 1) * TILE_PANELS; panel++) {
        const size_t to = panel * CROSS_PANEL;
        decoder_make_keys(kernels, job->input, panel, placed, keys);
        kernels->add(keys, decoder->position + panel * KEYS_PANEL, placed, KEYS_PANEL);
        decoder_project_panel(kernels, &layer->token_to_image.k.plain, NULL, placed, false,
                              job->side->k + to);
        decoder_project_panel(kernels, &layer->token_to_image.v.plain, NULL, keys, false,
                              job->side->v + to);
        decoder_project_panel(kernels, q, q->bias, placed, false, job->side->q + to);
    }
}

void mask_decoder_image_side(const struct mask_decoder *decoder, struct worker *worker,
                             const struct mask_decoder_input *input, struct image_side *side) {
    struct image_side_job job = {decoder, input, side};
    worker_parallel_for(worker, PASS_TILES, image_side_tile, &job);
}
