/* The token side of a batch of points: what it asks of the image side, and what it gets. */
#include <math.h>
#include <string.h>

#include "engine/sam/point_decoding.h"

/* ---- rows -------------------------------------------------------------------------------- */

static void scale_rows(float *rows, const float *weight) {
    for (size_t row = 0; row < MIX_ROWS; row++)
        for (size_t c = 0; c < SAM_DIM; c++)
            rows[row * SAM_DIM + c] *= weight[c];
}

static void shift_rows(float *rows, size_t count, const float *shift) {
    for (size_t row = 0; row < count; row++)
        for (size_t c = 0; c < SAM_DIM; c++)
            rows[row * SAM_DIM + c] += shift[c];
}

static void centre_rows(float *rows) {
    for (size_t row = 0; row < MIX_ROWS; row++) {
        float mean = 0;
        for (size_t c = 0; c < SAM_DIM; c++)
            mean += rows[row * SAM_DIM + c];
        mean /= SAM_DIM;
        for (size_t c = 0; c < SAM_DIM; c++)
            rows[row * SAM_DIM + c] -= mean;
    }
}

/* The columns of a mix, from those of all heads and tokens, in that order; and what is to be added
 * wherever the first head's softmax adds up to one. */
static void mix_columns(const float *all, const float *shift, float *columns) {
    float constant[SAM_DIM] = {0};
    const float *last = all + (POINT_TOKENS - 1) * SAM_DIM; /* of the first head */
    if (shift)
        memcpy(constant, shift, sizeof constant);
    for (size_t head = 1; head < SAM_HEADS; head++)
        for (size_t c = 0; c < SAM_DIM; c++)
            constant[c] += last[head * POINT_TOKENS * SAM_DIM + c];
    for (size_t row = 0; row < MIX_ROWS; row++) {
        const size_t token = row / SAM_HEADS, head = row % SAM_HEADS;
        const float *from = all + (head * POINT_TOKENS + token) * SAM_DIM;
        const float *less = last + head * POINT_TOKENS * SAM_DIM;
        for (size_t c = 0; c < SAM_DIM; c++)
            columns[row * SAM_DIM + c] = head == 0 ? from[c] + constant[c] : from[c] - less[c];
    }
}

/* square = a b^T, for some rows of a and the MIX_ROWS of b. */
static void multiply(const struct point_job *points, const float *a, size_t rows, const float *b,
                     float *square) {
    const struct kernels *kernels = points->job->kernels;
    float *columns = points->at->columns; /* beyond MIX_ROWS: whatever */
    kernels->transpose(b, SAM_DIM, MIX_ROWS, SAM_DIM, columns, PADDED_ROWS);
    kernels->panel_product(&(struct panel_product){
        .a = a,
        .rows = rows,
        .a_stride = SAM_DIM,
        .depth = SAM_DIM,
        .pieces = 1,
        .b = columns,
        .b_stride = PADDED_ROWS,
        .b_panel = POSITIONS,
        .panels = PADDED_ROWS / POSITIONS,
        .c = square,
        .c_stride = PADDED_ROWS,
        .c_panel = POSITIONS,
    });
}

/* square = a a^T for the MIX_ROWS of a, as an upper triangle that gives the same quadratic form. */
static void multiply_itself(const struct point_job *points, const float *a, float *square) {
    multiply(points, a, MIX_ROWS, a, square);
    for (size_t row = 0; row < MIX_ROWS; row++)
        for (size_t column = 0; column < MIX_ROWS; column++)
            square[row * PADDED_ROWS + column] *= column < row ? 0.0f : column > row ? 2.0f : 1.0f;
}

/* One point's part of what is by tokens. */
static size_t of_point(const struct point_job *points, size_t point, size_t channels) {
    return point * points->job->tokens * channels;
}

static void take_tokens(const struct point_job *points, size_t point, const float *from,
                        float *to) {
    memcpy(to, from + of_point(points, point, SAM_CROSS_DIM),
           points->job->tokens * SAM_CROSS_DIM * sizeof *to);
}

/* ---- "tokens attend to image" ------------------------------------------------------------ */

static void ask(const struct point_job *points, const struct attention *attention) {
    struct activations *at = points->job->at;
    decoder_project_tokens(points->job, &attention->q, at->queries_placed, at->q);
    for (size_t i = 0; i < points->job->prompts; i++) {
        struct point *point = &points->at->points[i];
        take_tokens(points, i, at->q, point->question);
        memset(&point->gathering, 0, sizeof point->gathering);
        for (size_t row = 0; row < POINT_ROWS; row++)
            point->gathering.max[row] = -INFINITY;
    }
}

/* A point's questions to the keys, by rows of all channels. */
static const float *fold_question(const struct point_job *points, size_t point,
                                  const struct attention *attention) {
    float *rows = points->at->rows;
    decoder_fold_into_rows(points->job, points->at->points[point].question, &attention->k.plain,
                           rows);
    return rows;
}

/* Divides what was gathered by the softmax's sums. */
static void normalise(struct gathering *gathering, size_t tokens) {
    for (size_t row = 0; row < SAM_HEADS * tokens; row++) {
        const size_t head = row / tokens, token = row % tokens;
        const float share = 1 / gathering->sum[row];
        for (size_t c = 0; c < CROSS_HEAD; c++)
            gathering->values[token * SAM_CROSS_DIM + head * CROSS_HEAD + c] *= share;
        for (int layer = 0; layer < SAM_LAYERS; layer++)
            for (size_t i = 0; i < MIX_ROWS; i++)
                gathering->mixed[layer][i * PADDED_ROWS + row] *= share;
    }
}

/* rows += what was gathered of a layer's mix times the layer's columns */
static void add_mixed(const struct point_job *points, const float *mixed, const float *columns,
                      float *rows) {
    const struct kernels *kernels = points->job->kernels;
    const size_t count = SAM_HEADS * points->job->tokens;
    float by_row[POINT_ROWS * PADDED_ROWS];
    kernels->transpose(mixed, PADDED_ROWS, MIX_ROWS, count, by_row, PADDED_ROWS);
    kernels->panel_product(&(struct panel_product){
        .a = by_row,
        .rows = count,
        .a_stride = PADDED_ROWS,
        .depth = MIX_ROWS,
        .pieces = 1,
        .b = columns,
        .b_stride = SAM_DIM,
        .b_panel = POSITIONS,
        .panels = SAM_DIM / POSITIONS,
        .c = rows,
        .c_stride = SAM_DIM,
        .c_panel = POSITIONS,
        .accumulate = true,
    });
}

/* The keys that a point gathered, but for the image's part: of one layer's mix or of both, and the
 * norm's bias. Then the values of all, and on with the queries. */
static void finish(const struct point_job *points, const struct attention *attention, int layers,
                   const struct layer_norm *norm, const struct layer_norm *queries_norm) {
    struct decoding *job = points->job;
    for (size_t i = 0; i < job->prompts; i++) {
        struct point *point = &points->at->points[i];
        const float *columns[SAM_LAYERS] = {layers == 1 ? point->first : point->centred,
                                            point->second};
        float *attended = job->at->attended + of_point(points, i, SAM_CROSS_DIM);
        float *rows = points->at->rows;
        normalise(&point->gathering, job->tokens);
        memset(rows, 0, POINT_ROWS * SAM_DIM * sizeof *rows);
        if (norm)
            shift_rows(rows, SAM_HEADS * job->tokens, norm->bias);
        for (int layer = 0; layer < layers; layer++)
            add_mixed(points, point->gathering.mixed[layer], columns[layer], rows);
        decoder_project_rows(job, &attention->v.packed, rows, attended);
        job->kernels->add(attended, point->gathering.values, attended, job->tokens * SAM_CROSS_DIM);
    }
    decoder_add_attended(job, &attention->out, queries_norm);
}

void point_prepare_first(const struct point_job *points) {
    ask(points, &points->job->decoder->layers[0].token_to_image);
}

void point_finish_first(const struct point_job *points) {
    const struct two_way_layer *layer = &points->job->decoder->layers[0];
    finish(points, &layer->token_to_image, 0, NULL, &layer->norm2);
}

void point_prepare_second(const struct point_job *points) {
    const struct attention *attention = &points->job->decoder->layers[1].token_to_image;
    ask(points, attention);
    for (size_t i = 0; i < points->job->prompts; i++) {
        struct point *point = &points->at->points[i];
        multiply(points, fold_question(points, i, attention), POINT_ROWS, point->first,
                 point->of_first + 2 * POINT_ROWS * PADDED_ROWS);
    }
}

void point_finish_second(const struct point_job *points) {
    const struct two_way_layer *layers = points->job->decoder->layers;
    finish(points, &layers[1].token_to_image, 1, &layers[0].norm4, &layers[1].norm2);
}

void point_prepare_last(const struct point_job *points) {
    const struct attention *attention = &points->job->decoder->final_attention;
    ask(points, attention);
    for (size_t i = 0; i < points->job->prompts; i++) {
        struct point *point = &points->at->points[i];
        const float *rows = fold_question(points, i, attention);
        multiply(points, rows, LAST_ROWS, point->centred, point->of_first + LAST_M * PADDED_ROWS);
        multiply(points, rows, LAST_ROWS, point->second,
                 point->of_second + POINT_ROWS * PADDED_ROWS);
    }
}

void point_finish_last(const struct point_job *points) {
    const struct mask_decoder *decoder = points->job->decoder;
    finish(points, &decoder->final_attention, 2, &decoder->layers[1].norm4, &decoder->final_norm);
}

/* ---- "image attends to tokens" ----------------------------------------------------------- */

static void bring(const struct point_job *points, const struct attention *attention) {
    struct activations *at = points->job->at;
    decoder_project_tokens(points->job, &attention->k, at->queries_placed, at->k);
    decoder_project_tokens(points->job, &attention->v, at->queries, at->v);
    for (size_t i = 0; i < points->job->prompts; i++) {
        take_tokens(points, i, at->k, points->at->points[i].asking);
        take_tokens(points, i, at->v, points->at->points[i].values);
    }
}

void point_prepare_spreading(const struct point_job *points) {
    const struct two_way_layer *layer = &points->job->decoder->layers[0];
    bring(points, &layer->image_to_token);
    for (size_t i = 0; i < points->job->prompts; i++) {
        struct point *point = &points->at->points[i];
        decoder_fold_out_of_rows(points->job, point->values, &layer->image_to_token.out.packed,
                                 points->at->rows);
        mix_columns(points->at->rows, NULL, point->first);
        centre_rows(point->first);
        multiply_itself(points, point->first, point->of_first);
        scale_rows(point->first, layer->norm4.weight);
        memcpy(point->centred, point->first, sizeof point->centred);
        centre_rows(point->centred);
        multiply_itself(points, point->centred, point->of_first + POINT_ROWS * PADDED_ROWS);
    }
}

/* Rows by heads, then tokens -> by tokens, then heads. */
static void turn_rows(const float *rows, float *turned) {
    for (size_t row = 0; row < POINT_ROWS; row++) {
        const size_t head = row / POINT_TOKENS, token = row % POINT_TOKENS;
        memcpy(turned + (token * SAM_HEADS + head) * SAM_DIM, rows + row * SAM_DIM,
               SAM_DIM * sizeof *rows);
    }
}

void point_prepare_spreading_again(const struct point_job *points) {
    const struct two_way_layer *layer = &points->job->decoder->layers[1];
    bring(points, &layer->image_to_token);
    for (size_t i = 0; i < points->job->prompts; i++) {
        struct point *point = &points->at->points[i];
        float *rows = points->at->rows;
        decoder_fold_into_rows(points->job, point->asking, &layer->image_to_token.q.plain, rows);
        turn_rows(rows, points->at->turned);
        multiply(points, points->at->turned, POINT_ROWS, point->first, point->of_first);
        decoder_fold_out_of_rows(points->job, point->values, &layer->image_to_token.out.packed,
                                 rows);
        mix_columns(rows, points->terms->shift, point->second);
        centre_rows(point->second);
        multiply_itself(points, point->second, point->of_second);
        multiply(points, point->second, MIX_ROWS, point->centred,
                 point->of_first + LAST_BOTH * PADDED_ROWS);
        scale_rows(point->centred, layer->norm4.weight);
        scale_rows(point->second, layer->norm4.weight);
    }
}

void point_prepare_upscaling(const struct point_job *points, size_t index) {
    const struct linear *upscale = &points->job->decoder->upscale1;
    struct point *point = &points->at->points[index];
    multiply(points, upscale->weight, upscale->out, point->centred, points->at->upscaling[0]);
    multiply(points, upscale->weight, upscale->out, point->second, points->at->upscaling[1]);
}
