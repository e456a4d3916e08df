/* The token side of the mask decoder: a few rows, between the passes over the image side. */
#include <math.h>
#include <string.h>

#include "engine/sam/decoding.h"

/* y = activation(x W^T + b), with y's own values added before the activation when it accumulates */
static void project(const struct decoding *job, const struct packed_linear *linear, const float *x,
                    size_t rows, enum activation activation, bool accumulate, float *y) {
    struct linear_rows product = linear_rows_of(linear, x, rows, y);
    product.added = accumulate ? y : NULL;
    product.activation = activation;
    job->kernels->linear(linear, &product);
}

static size_t all_tokens(const struct decoding *job) {
    return job->prompts * job->tokens;
}

void decoder_project_tokens(const struct decoding *job, const struct projection *projection,
                            const float *x, float *y) {
    project(job, &projection->packed, x, all_tokens(job), ACTIVATION_NONE, false, y);
}

static void normalise(const struct decoding *job, const struct layer_norm *norm) {
    job->kernels->layer_norm(job->at->queries, all_tokens(job), SAM_DIM, norm->weight, norm->bias,
                             LAYER_NORM_EPSILON, job->at->queries);
    job->kernels->add(job->at->queries, job->at->query_position, job->at->queries_placed,
                      all_tokens(job) * SAM_DIM);
}

static size_t panels_of(size_t n) {
    return (n + POSITIONS - 1) / POSITIONS;
}

/* ---- the tokens among themselves --------------------------------------------------------- */

static void attend_to_tokens(struct decoding *job, size_t prompt, size_t head) {
    struct activations *at = job->at;
    const size_t t = job->tokens, from = prompt * t * SAM_DIM + head * SELF_HEAD;
    struct panel_product product = {
        .a = at->q + from,
        .rows = t,
        .a_stride = SAM_DIM,
        .depth = SELF_HEAD,
        .pieces = 1,
        .b = at->k_transposed + head * SELF_HEAD * TOKENS_PADDED,
        .b_stride = TOKENS_PADDED,
        .b_panel = POSITIONS,
        .panels = panels_of(t),
        .c = at->scores,
        .c_stride = TOKENS_PADDED,
        .c_panel = POSITIONS,
    };
    job->kernels->panel_product(&product);
    for (size_t i = 0; i < t; i++)
        job->kernels->softmax(at->scores + i * TOKENS_PADDED, 1, t, 1.0f / sqrtf(SELF_HEAD), NULL);
    product.a = at->scores;
    product.a_stride = TOKENS_PADDED;
    product.depth = t;
    product.b = at->v + from;
    product.b_stride = SAM_DIM;
    product.panels = SELF_HEAD / POSITIONS;
    product.c = at->attended + from;
    product.c_stride = SAM_DIM;
    job->kernels->panel_product(&product);
}

/* The first layer's has no positions and replaces the queries. */
void decoder_self_attention(struct decoding *job, const struct two_way_layer *layer, bool first) {
    struct activations *at = job->at;
    const float *placed = first ? at->queries : at->queries_placed;
    decoder_project_tokens(job, &layer->self.q, placed, at->q);
    decoder_project_tokens(job, &layer->self.k, placed, at->k);
    decoder_project_tokens(job, &layer->self.v, at->queries, at->v);
    for (size_t prompt = 0; prompt < job->prompts; prompt++) {
        job->kernels->transpose(at->k + prompt * job->tokens * SAM_DIM, SAM_DIM, job->tokens,
                                SAM_DIM, at->k_transposed, TOKENS_PADDED);
        for (size_t head = 0; head < SAM_HEADS; head++)
            attend_to_tokens(job, prompt, head);
    }
    project(job, &layer->self.out.packed, at->attended, all_tokens(job), ACTIVATION_NONE, !first,
            at->queries);
    normalise(job, &layer->norm1);
}

void decoder_token_mlp(struct decoding *job, const struct two_way_layer *layer) {
    struct activations *at = job->at;
    project(job, &layer->mlp1, at->queries, all_tokens(job), ACTIVATION_RELU, false, at->hidden);
    project(job, &layer->mlp2, at->hidden, all_tokens(job), ACTIVATION_NONE, true, at->queries);
    normalise(job, &layer->norm3);
}

void decoder_run_mlp(const struct decoding *job, const struct mlp *mlp, const float *x, float *y) {
    float first[SAM_DIM], second[SAM_DIM];
    project(job, &mlp->layers[0], x, 1, ACTIVATION_RELU, false, first);
    project(job, &mlp->layers[1], first, 1, ACTIVATION_RELU, false, second);
    project(job, &mlp->layers[2], second, 1, ACTIVATION_NONE, false, y);
}

static void move_token(struct activations *at, size_t from, size_t to) {
    const size_t bytes = SAM_DIM * sizeof(float);
    from *= SAM_DIM;
    to *= SAM_DIM;
    memmove(at->queries + to, at->queries + from, bytes);
    memmove(at->query_position + to, at->query_position + from, bytes);
    memmove(at->queries_placed + to, at->queries_placed + from, bytes);
}

void decoder_keep_candidates(struct decoding *job) {
    unsigned count = 1; /* the IoU token */
    for (unsigned mask = 0; mask < SAM_MASK_TOKENS; mask++)
        if (!job->input->candidates || job->input->candidates >> mask & 1)
            job->slots[mask] = count++;
    for (size_t prompt = 0; prompt < job->prompts; prompt++) {
        const size_t from = prompt * job->tokens, to = prompt * count;
        move_token(job->at, from, to);
        for (unsigned mask = 0; mask < SAM_MASK_TOKENS; mask++)
            if (job->slots[mask])
                move_token(job->at, from + 1 + mask, to + job->slots[mask]);
    }
    job->tokens = count;
}

/* ---- the tokens and the image ------------------------------------------------------------ */

static struct meeting meeting_of(const struct decoding *job, bool folded) {
    const size_t t = job->tokens;
    return folded ? (struct meeting){1, SAM_HEADS * t, SAM_DIM}
                  : (struct meeting){SAM_HEADS, t, CROSS_HEAD};
}

/* Whether the projections of the image side are folded into the tokens. */
static bool worth_folding(const struct decoding *job) {
    return job->tokens <= FOLDED_TOKENS_MAX;
}

/* rows [head][token][SAM_DIM] = each head's channels of x [token][SAM_CROSS_DIM] times that head's
 * rows of b, one for each channel; the first of them at b, and the next head's b_head further on.
 */
static void fold(const struct decoding *job, const float *x, struct panel_product product,
                 size_t b_head, float *rows) {
    for (size_t head = 0; head < SAM_HEADS; head++) {
        product.a = x + head * CROSS_HEAD;
        product.c = rows + head * job->tokens * SAM_DIM;
        job->kernels->panel_product(&product);
        product.b += b_head;
    }
}

static struct panel_product folding(const struct decoding *job) {
    return (struct panel_product){
        .rows = job->tokens,
        .a_stride = SAM_CROSS_DIM,
        .depth = CROSS_HEAD,
        .pieces = 1,
        .panels = SAM_DIM / POSITIONS,
        .c_stride = SAM_DIM,
        .c_panel = POSITIONS,
    };
}

void decoder_fold_into_rows(const struct decoding *job, const float *x, const struct linear *linear,
                            float *rows) {
    struct panel_product product = folding(job);
    product.b = linear->weight;
    product.b_stride = SAM_DIM;
    product.b_panel = POSITIONS;
    fold(job, x, product, CROSS_HEAD * SAM_DIM, rows);
}

void decoder_fold_out_of_rows(const struct decoding *job, const float *x,
                              const struct packed_linear *linear, float *rows) {
    struct panel_product product = folding(job);
    product.b = linear->panels;
    product.b_stride = POSITIONS;
    product.b_panel = SAM_CROSS_DIM * POSITIONS;
    fold(job, x, product, CROSS_HEAD * POSITIONS, rows);
}

void decoder_prepare_gathering(struct decoding *job, const struct attention *attention,
                               bool first_layer) {
    struct activations *at = job->at;
    const struct image_side *kept = first_layer ? job->kept : NULL;
    const bool folded = worth_folding(job) && !kept;
    job->gathering = attention;
    job->gathered = meeting_of(job, folded);
    job->kept_k = kept ? kept->k : NULL;
    job->kept_v = kept ? kept->v : NULL;
    decoder_project_tokens(job, &attention->q, at->queries_placed, folded ? at->q : at->to_image);
    if (folded)
        decoder_fold_into_rows(job, at->q, &attention->k.plain, at->to_image);
}

/* from_tokens, from_offset, token_values: the keys and values of "image attends to tokens", with
 * its query and out projections folded into them. */
void decoder_prepare_spreading(struct decoding *job, const struct two_way_layer *layer,
                               bool first_layer) {
    struct activations *at = job->at;
    const struct attention *attention = &layer->image_to_token;
    const struct image_side *kept = first_layer ? job->kept : NULL;
    const size_t t = job->tokens;
    const bool asks_folded = worth_folding(job) && !kept;
    job->spreading = attention;
    job->spread_norm = &layer->norm4;
    job->spread_tokens = t;
    job->spread_folded = worth_folding(job);
    job->asking = meeting_of(job, asks_folded);
    job->kept_q = kept ? kept->q : NULL;
    decoder_project_tokens(job, &attention->k, at->queries_placed,
                           asks_folded ? at->k : at->from_tokens);
    decoder_project_tokens(job, &attention->v, at->queries, at->v);
    memset(at->from_offset, 0, SAM_HEADS * t * sizeof(float));
    if (asks_folded) {
        decoder_fold_into_rows(job, at->k, &attention->q.plain, at->from_tokens);
        for (size_t i = 0; i < SAM_CROSS_DIM; i++)
            for (size_t token = 0; token < t; token++)
                at->from_offset[i / CROSS_HEAD * t + token] +=
                    attention->q.plain.bias[i] * at->k[token * SAM_CROSS_DIM + i];
    }
    if (!job->spread_folded) {
        job->kernels->transpose(at->v, SAM_CROSS_DIM, t, SAM_CROSS_DIM, at->token_values, t);
        return;
    }
    decoder_fold_out_of_rows(job, at->v, &attention->out.packed, at->by_row);
    job->kernels->transpose(at->by_row, SAM_DIM, SAM_HEADS * t, SAM_DIM, at->token_values,
                            SAM_HEADS * t);
}

/* What each tile's part of each row counts: exp(its max - the whole's) / the whole's sum, for the
 * rows in panels. */
static void weigh_partials(struct decoding *job) {
    struct activations *at = job->at;
    const size_t rows = job->gathered.rows, padded = panels_of(rows) * POSITIONS;
    memset(at->merge_weights, 0, sizeof at->merge_weights);
    for (size_t group = 0; group < job->gathered.groups; group++) {
        for (size_t i = 0; i < rows; i++) {
            const size_t row = group * rows + i;
            float max = at->partials[0].max[row], sum = 0;
            float *weight = at->merge_weights + group * padded + i;
            for (size_t tile = 1; tile < PASS_TILES; tile++)
                max = fmaxf(max, at->partials[tile].max[row]);
            for (size_t tile = 0; tile < PASS_TILES; tile++) {
                weight[tile * ROWS_PADDED] = expf(at->partials[tile].max[row] - max);
                sum += weight[tile * ROWS_PADDED] * at->partials[tile].sum[row];
            }
            for (size_t tile = 0; tile < PASS_TILES; tile++)
                weight[tile * ROWS_PADDED] /= sum;
        }
    }
}

/* Merges the tiles' softmaxes into weighted sums of keys (values), in panels as they are. */
static void merge_partials(struct decoding *job) {
    struct activations *at = job->at;
    const size_t channels = job->gathered.channels;
    const size_t panels = job->gathered.groups * panels_of(job->gathered.rows);
    weigh_partials(job);
    memset(at->merged, 0, panels * channels * POSITIONS * sizeof(float));
    for (size_t tile = 0; tile < PASS_TILES; tile++)
        for (size_t panel = 0; panel < panels; panel++) {
            const size_t from = panel * channels * POSITIONS;
            job->kernels->panel_add_weighted(
                at->merged + from, at->partials[tile].values + from, channels,
                at->merge_weights + tile * ROWS_PADDED + panel * POSITIONS);
        }
}

/* merged -> rows, [group][rows][channels], of which a group's may lie side by side */
static void rows_of_merged(const struct decoding *job, float *rows, size_t stride, size_t group) {
    const struct meeting *gathered = &job->gathered;
    const size_t panels = panels_of(gathered->rows), size = gathered->channels * POSITIONS;
    for (size_t i = 0; i < panels; i++) {
        const size_t left = gathered->rows - i * POSITIONS;
        job->kernels->transpose(job->at->merged + (group * panels + i) * size, POSITIONS,
                                gathered->channels, left < POSITIONS ? left : POSITIONS,
                                rows + i * POSITIONS * stride, stride);
    }
}

void decoder_project_rows(const struct decoding *job, const struct packed_linear *linear,
                          const float *rows, float *projected) {
    for (size_t head = 0; head < SAM_HEADS; head++) {
        const size_t out = head * CROSS_HEAD;
        const struct packed_linear project_head = {
            .panels = linear->panels + out * SAM_DIM,
            .bias = linear->bias + out,
            .in = SAM_DIM,
            .out = CROSS_HEAD,
        };
        struct linear_rows product = linear_rows_of(
            &project_head, rows + head * job->tokens * SAM_DIM, job->tokens, projected + out);
        product.y_stride = SAM_CROSS_DIM;
        job->kernels->linear(&project_head, &product);
    }
}

void decoder_add_attended(struct decoding *job, const struct projection *out,
                          const struct layer_norm *norm) {
    project(job, &out->packed, job->at->attended, all_tokens(job), ACTIVATION_NONE, true,
            job->at->queries);
    normalise(job, norm);
}

/* The heads' sums become attended, [t][SAM_CROSS_DIM]; with the values' projection unless it was
 * done. */
static void join_heads(struct decoding *job) {
    struct activations *at = job->at;
    const struct projection *values = &job->gathering->v;
    const size_t t = job->tokens;
    if (job->gathered.groups == SAM_HEADS) {
        for (size_t head = 0; head < SAM_HEADS; head++)
            rows_of_merged(job, at->attended + head * CROSS_HEAD, SAM_CROSS_DIM, head);
        job->kernels->bias_add(at->attended, t, SAM_CROSS_DIM, values->packed.bias);
        return;
    }
    rows_of_merged(job, at->by_row, SAM_DIM, 0);
    decoder_project_rows(job, &values->packed, at->by_row, at->attended);
}

void decoder_finish_gathering(struct decoding *job, const struct layer_norm *norm) {
    merge_partials(job);
    join_heads(job);
    decoder_add_attended(job, &job->gathering->out, norm);
}
