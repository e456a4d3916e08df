/* The image side of a batch of points: the passes over the positions. */
#include <math.h>
#include <string.h>

#include "engine/sam/point_decoding.h"

static const float SCORE_SCALE = 0.25f; /* 1 / sqrt(CROSS_HEAD) */
_Static_assert(CROSS_HEAD == 16, "SCORE_SCALE is this one's");

/* ---- products ---------------------------------------------------------------------------- */

/* y = rows of a square times x, for a panel of a mix. */
static void apply(const struct kernels *kernels, const float *square, size_t rows, const float *x,
                  float *y) {
    kernels->panel_product(&(struct panel_product){
        .a = square,
        .rows = rows,
        .a_stride = PADDED_ROWS,
        .depth = MIX_ROWS,
        .pieces = 1,
        .b = x,
        .b_stride = POSITIONS,
        .panels = 1,
        .c = y,
        .c_stride = POSITIONS,
    });
}

/* The same for some squares of POINT_ROWS that are upper triangles: by stripes, each from its
 * diagonal on. */
static void apply_triangles(const struct kernels *kernels, const float *squares, size_t count,
                            const float *x, float *y) {
    enum { STRIPE = 12 };
    for (size_t row = 0; row + STRIPE <= MIX_ROWS; row += STRIPE)
        kernels->panel_product(&(struct panel_product){
            .a = squares + row * PADDED_ROWS + row,
            .rows = row + 2 * STRIPE <= MIX_ROWS ? (size_t)STRIPE : MIX_ROWS - row,
            .a_stride = PADDED_ROWS,
            .depth = MIX_ROWS - row,
            .pieces = 1,
            .b = x + row * POSITIONS,
            .b_stride = POSITIONS,
            .panels = 1,
            .c = y + row * POSITIONS,
            .c_stride = POSITIONS,
            .groups = count,
            .a_group = POINT_ROWS * PADDED_ROWS,
            .c_group = ROWS_PANEL,
        });
}

/* Each head's channels of the tokens times those of a panel. */
static struct panel_product meeting(const float *tokens, size_t count, const float *panel) {
    return (struct panel_product){
        .a = tokens,
        .rows = count,
        .a_stride = SAM_CROSS_DIM,
        .depth = CROSS_HEAD,
        .pieces = 1,
        .b = panel,
        .b_stride = POSITIONS,
        .panels = 1,
        .groups = SAM_HEADS,
        .a_group = CROSS_HEAD,
        .b_group = CROSS_HEAD * POSITIONS,
    };
}

/* By heads, then tokens: a tile's scores. What is given of the mix, in the same order, is added
 * times scale; without one both are NULL. */
static void score(const struct kernels *kernels, const float *question, size_t count,
                  const float *panel, const float *of_mix, const float *scale, float *scores) {
    struct panel_product product = meeting(question, count, panel);
    product.c = scores;
    product.c_stride = TILE_POSITIONS;
    product.c_group = count * TILE_POSITIONS;
    product.scaled = of_mix;
    product.scale = scale;
    product.scaled_group = count * POSITIONS;
    kernels->panel_product(&product);
}

/* By tokens, then heads: a mix, or what is to be multiplied with one; or added to what is there. */
static void meet_mix(const struct kernels *kernels, const float *tokens, const float *panel,
                     bool accumulate, float *mix) {
    struct panel_product product = meeting(tokens, POINT_TOKENS, panel);
    product.c = mix;
    product.c_stride = SAM_HEADS * POSITIONS;
    product.c_group = POSITIONS;
    product.accumulate = accumulate;
    kernels->panel_product(&product);
}

/* Softmax over each head's tokens. */
static void soften(const struct kernels *kernels, float *mix) {
    static const float none[POINT_TOKENS];
    kernels->softmax_columns(mix, POINT_TOKENS, SAM_HEADS * POSITIONS, SCORE_SCALE, none);
}

/* 1 / sqrt(variance + epsilon), from the sum of squares over the channels. */
static void make_scale(const float *square, float *scale) {
    for (size_t i = 0; i < POSITIONS; i++)
        scale[i] = 1 / sqrtf(fmaxf(square[i], 0) / SAM_DIM + LAYER_NORM_EPSILON);
}

/* ---- gathering --------------------------------------------------------------------------- */

/* What was gathered so far, when a row's maximum has grown. */
static void keep(struct gathering *found, size_t row, size_t tokens, int layers, float kept) {
    float *values = found->values + row % tokens * SAM_CROSS_DIM + row / tokens * CROSS_HEAD;
    for (size_t i = 0; i < CROSS_HEAD; i++)
        values[i] *= kept;
    for (int layer = 0; layer < layers; layer++)
        for (size_t i = 0; i < MIX_ROWS; i++)
            found->mixed[layer][i * PADDED_ROWS + row] *= kept;
    found->sum[row] *= kept;
}

/* The scores become weights relative to the largest score so far. */
static void weights_of(const struct kernels *kernels, struct gathering *found, size_t tokens,
                       int layers, float *scores) {
    for (size_t row = 0; row < SAM_HEADS * tokens; row++, scores += TILE_POSITIONS) {
        const float before = found->max[row];
        float sum;
        kernels->exp_partial(scores, TILE_POSITIONS, SCORE_SCALE, &found->max[row], &sum);
        if (found->max[row] > before)
            keep(found, row, tokens, layers, expf(before - found->max[row]));
        found->sum[row] += sum;
    }
}

/* weights *= scale, by positions */
static void weigh(float *restrict weights, size_t rows, const float *restrict scale) {
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < TILE_POSITIONS; i++)
            weights[row * TILE_POSITIONS + i] *= scale[i];
}

/* Adds the values of the tile's positions by the weights of each head's rows. */
static void gather_values(const struct kernels *kernels, const float *weights, size_t tokens,
                          const float *values, float *gathered) {
    kernels->panel_product(&(struct panel_product){
        .a = weights,
        .rows = tokens,
        .a_stride = TILE_POSITIONS,
        .depth = TILE_POSITIONS,
        .pieces = 1,
        .b = values,
        .b_stride = SAM_CROSS_DIM,
        .panels = 1,
        .c = gathered,
        .c_stride = SAM_CROSS_DIM,
        .accumulate = true,
        .groups = SAM_HEADS,
        .a_group = tokens * TILE_POSITIONS,
        .b_group = CROSS_HEAD,
        .c_group = CROSS_HEAD,
    });
}

/* Adds the mix of the tile's positions by the weights in panels of rows. */
static void gather_mix(const struct kernels *kernels, const float *weights, size_t rows,
                       const float *mix, float *gathered) {
    kernels->panel_product(&(struct panel_product){
        .a = mix,
        .rows = MIX_ROWS,
        .a_stride = POSITIONS,
        .depth = POSITIONS,
        .pieces = TILE_PANELS,
        .a_piece = ROWS_PANEL,
        .b = weights,
        .b_stride = POSITIONS,
        .b_panel = TILE_POSITIONS * POSITIONS,
        .panels = (rows + POSITIONS - 1) / POSITIONS,
        .c = gathered,
        .c_stride = PADDED_ROWS,
        .c_panel = POSITIONS,
        .accumulate = true,
    });
}

/* What a pass gathers: the image's values, and a point's mixes that go with them. */
struct sources {
    const float *values;
    int layers; /* of mixes */
};

/* Softmax over the tile's positions, and what it gathers. */
static void gather(const struct point_job *points, size_t index, size_t tile,
                   const struct sources *from) {
    const struct kernels *kernels = points->job->kernels;
    struct point *point = &points->at->points[index];
    struct point_tile *at = &points->at->tile;
    struct gathering *found = &point->gathering;
    const size_t tokens = points->job->tokens, rows = SAM_HEADS * tokens;
    const size_t first = tile * TILE_POSITIONS;
    float *weights = at->scores[index % POINT_GROUP];
    weights_of(kernels, found, tokens, from->layers, weights);
    if (from->layers > 1)
        weigh(weights, rows, point->scale[1] + first);
    for (size_t row = 0; from->layers > 0 && row < rows; row += POSITIONS) {
        const size_t left = rows - row < POSITIONS ? rows - row : POSITIONS;
        kernels->transpose(weights + row * TILE_POSITIONS, TILE_POSITIONS, left, TILE_POSITIONS,
                           at->weights + row * TILE_POSITIONS, POSITIONS);
    }
    for (int layer = 0; layer < from->layers; layer++)
        gather_mix(kernels, at->weights, rows, point->mix[layer] + first * POINT_ROWS,
                   found->mixed[layer]);
    if (from->layers > 0)
        weigh(weights, rows, point->scale[0] + first);
    gather_values(kernels, weights, tokens, from->values + first * SAM_CROSS_DIM, found->values);
}

/* ---- a panel of positions ---------------------------------------------------------------- */

/* keys = scale * image + place */
static void project(const struct kernels *kernels, const struct projected_keys *keys, size_t panel,
                    const float *scale, float *projected) {
    kernels->panel_scale(keys->image + panel * CROSS_PANEL, SAM_CROSS_DIM, scale,
                         keys->place + panel * CROSS_PANEL, projected, POSITIONS);
}

static void ask_first(const struct point_job *points, size_t index, size_t panel, float *scores) {
    score(points->job->kernels, points->at->points[index].question, POINT_TOKENS,
          points->terms->first_k + panel * CROSS_PANEL, NULL, NULL, scores);
}

/* The first layer's mix a of a panel and the scale s of its norm; then the second layer's scores,
 * s (q k_E + M a) + q k_P. of_first has T T, the same as the second norm sees it, and M. */
static void ask_second(const struct point_job *points, size_t index, size_t panel, float *scores) {
    const struct kernels *kernels = points->job->kernels;
    const struct point_terms *terms = points->terms;
    struct point *point = &points->at->points[index];
    struct point_tile *at = &points->at->tile;
    const size_t first = panel * POSITIONS, to = panel * CROSS_PANEL;
    float *mix = point->mix[0] + panel * ROWS_PANEL, *scale = point->scale[0] + first;
    float with[POSITIONS], own[POSITIONS], square[POSITIONS];
    meet_mix(kernels, point->asking, terms->first_q + to, false, mix);
    soften(kernels, mix);
    apply_triangles(kernels, point->of_first, 2, mix, at->of_first);
    apply(kernels, point->of_first + 2 * POINT_ROWS * PADDED_ROWS, POINT_ROWS, mix,
          at->of_first + 2 * ROWS_PANEL);

    meet_mix(kernels, point->values, terms->first_with_tokens + to, false, at->with_tokens);
    kernels->panel_dot(mix, at->with_tokens, POINT_ROWS, with);
    kernels->panel_dot(mix, at->of_first, MIX_ROWS, own);
    for (size_t i = 0; i < POSITIONS; i++)
        square[i] = terms->first_square[first + i] + 2 * with[i] + own[i];
    make_scale(square, scale);
    meet_mix(kernels, point->values, terms->again_with_tokens + to, false, at->with_tokens);
    kernels->panel_dot(mix, at->with_tokens, POINT_ROWS, with);
    kernels->panel_dot(mix, at->of_first + ROWS_PANEL, MIX_ROWS, own);
    for (size_t i = 0; i < POSITIONS; i++)
        point->square[first + i] = terms->second_square[first + i] + 2 * with[i] + own[i];

    kernels->panel_scale(mix, MIX_ROWS, scale, NULL, mix, POSITIONS);
    project(kernels, &terms->second_k, panel, scale, at->keys);
    score(kernels, point->question, POINT_TOKENS, at->keys, at->of_first + 2 * ROWS_PANEL, scale,
          scores);
}

/* The second layer's mix and scale in the same way, from the first's; then the last scores.
 * of_first has the second layer's M, the product of both layers' T, and the last M; of_second T T
 * and the last M. */
static void ask_last(const struct point_job *points, size_t index, size_t panel, float *scores) {
    const struct kernels *kernels = points->job->kernels;
    const struct point_terms *terms = points->terms;
    struct point *point = &points->at->points[index];
    struct point_tile *at = &points->at->tile;
    const size_t first = panel * POSITIONS, to = panel * CROSS_PANEL;
    const float *before = point->scale[0] + first;
    float *mix = point->mix[1] + panel * ROWS_PANEL, *scale = point->scale[1] + first;
    float with[POSITIONS], both[POSITIONS], own[POSITIONS], square[POSITIONS];
    const float *of_last = at->of_first + MIX_ROWS * POSITIONS;
    apply(kernels, point->of_first, POINT_ROWS, point->mix[0] + panel * ROWS_PANEL, mix);
    apply(kernels, point->of_first + LAST_BOTH * PADDED_ROWS, MIX_ROWS + LAST_ROWS,
          point->mix[0] + panel * ROWS_PANEL, at->of_first);
    project(kernels, &terms->second_q, panel, before, at->keys);
    meet_mix(kernels, point->asking, at->keys, true, mix);
    soften(kernels, mix);
    float *of_mix = at->of_second + ROWS_PANEL;
    apply_triangles(kernels, point->of_second, 1, mix, at->of_second);
    apply(kernels, point->of_second + POINT_ROWS * PADDED_ROWS, LAST_ROWS, mix, of_mix);

    meet_mix(kernels, point->values, terms->second_with_tokens + to, false, at->with_tokens);
    kernels->panel_dot(mix, at->with_tokens, POINT_ROWS, with);
    kernels->panel_dot(mix, at->of_first, MIX_ROWS, both);
    kernels->panel_dot(mix, at->of_second, MIX_ROWS, own);
    for (size_t i = 0; i < POSITIONS; i++) {
        const float with_image = with[i] + terms->with_shift[first + i];
        square[i] = before[i] * before[i] * point->square[first + i] +
                    2 * (before[i] * with_image + both[i]) + own[i];
    }
    make_scale(square, scale);

    for (size_t i = 0; i < POSITIONS; i++)
        both[i] = before[i] * scale[i];
    project(kernels, &terms->last_k, panel, both, at->keys);
    kernels->add(of_last, of_mix, of_mix, LAST_ROWS * POSITIONS);
    score(kernels, point->question, LAST_TOKENS, at->keys, of_mix, scale, scores);
}

/* ---- the passes -------------------------------------------------------------------------- */

typedef void ask_panel(const struct point_job *points, size_t index, size_t panel, float *scores);

/* Panel by panel, some points in turn, for they share the image's terms. */
static void run_tile(const struct point_job *points, size_t tile, size_t begin, size_t end,
                     ask_panel *ask, const struct sources *from) {
    float(*scores)[POINT_ROWS * TILE_POSITIONS] = points->at->tile.scores;
    for (size_t panel = 0; panel < TILE_PANELS; panel++)
        for (size_t i = begin; i < end; i++)
            ask(points, i, tile * TILE_PANELS + panel, scores[i - begin] + panel * POSITIONS);
    for (size_t i = begin; i < end; i++)
        gather(points, i, tile, from);
}

static void run_pass(const struct point_job *points, struct worker *worker, ask_panel *ask,
                     struct sources from) {
    const size_t count = points->job->prompts;
    for (size_t begin = 0; begin < count; begin += POINT_GROUP) {
        const size_t end = begin + POINT_GROUP < count ? begin + POINT_GROUP : count;
        for (size_t tile = 0; tile < PASS_TILES; tile++) {
            worker_yield(worker);
            run_tile(points, tile, begin, end, ask, &from);
        }
    }
    worker_yield(worker);
}

void point_first_pass(const struct point_job *points, struct worker *worker) {
    run_pass(points, worker, ask_first, (struct sources){points->terms->first_v, 0});
}

void point_second_pass(const struct point_job *points, struct worker *worker) {
    run_pass(points, worker, ask_second, (struct sources){points->terms->second_v, 1});
}

void point_last_pass(const struct point_job *points, struct worker *worker) {
    run_pass(points, worker, ask_last, (struct sources){points->terms->last_v, 2});
}

/* ---- upscaling --------------------------------------------------------------------------- */

/* The first transposed convolution of a panel: s2 (s1 U_F + U T a) + the rest. */
static void upscale_panel(const struct point_job *points, const struct point *point, size_t panel) {
    const struct kernels *kernels = points->job->kernels;
    const size_t first = panel * POSITIONS;
    const float *scale = point->scale[1] + first;
    float *mixes = points->at->tile.of_first;
    float both[POSITIONS];
    for (size_t i = 0; i < POSITIONS; i++)
        both[i] = point->scale[0][first + i] * scale[i];
    for (int layer = 0; layer < SAM_LAYERS; layer++)
        kernels->panel_scale(point->mix[layer] + panel * ROWS_PANEL, MIX_ROWS, scale, NULL,
                             mixes + layer * MIX_ROWS * POSITIONS, POSITIONS);
    kernels->panel_product(&(struct panel_product){
        .a = points->at->upscaling[0],
        .rows = SAM_DIM,
        .a_stride = PADDED_ROWS,
        .depth = MIX_ROWS,
        .pieces = SAM_LAYERS,
        .a_piece = SAM_DIM * PADDED_ROWS,
        .b = mixes,
        .b_stride = POSITIONS,
        .panels = 1,
        .bias = points->terms->upscaled_shift,
        .c = points->at->upscaled.half[0][0],
        .c_stride = POSITIONS,
        .scaled = points->terms->upscaled + panel * KEYS_PANEL,
        .scale = both,
    });
}

void point_upscale(const struct point_job *points, size_t index, struct worker *worker) {
    const struct point *point = &points->at->points[index];
    decoder_begin_upscaling(points->job);
    for (size_t row = 0; row < points->job->rows; row++) {
        worker_yield(worker);
        for (size_t panel = 0; panel < points->job->panels; panel++) {
            upscale_panel(points, point, row * ACROSS + panel);
            decoder_finish_upscaling(points->job, &points->at->upscaled, row, panel);
        }
    }
}
