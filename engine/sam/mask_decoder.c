#include "engine/sam/mask_decoder.h"

#include <math.h>
#include <string.h>

static const float NORM_EPSILON = 1e-5f;    /* torch.nn.LayerNorm's */
static const float UPSCALE_EPSILON = 1e-6f; /* LayerNorm2d's */

enum {
    TILE_POSITIONS = 256, /* of a pass over the image side */
    PASS_TILES = SAM_GRID / TILE_POSITIONS,
    UPSCALE_POSITIONS = 2 * EMBEDDING_SIDE,
    UPSCALE_TILES = SAM_GRID / UPSCALE_POSITIONS,
    CROSS_DIM = SAM_DIM / 2, /* the inner width of the attentions between tokens and image */
    CROSS_HEAD = CROSS_DIM / SAM_HEADS,
    SELF_HEAD = SAM_DIM / SAM_HEADS,
    ROWS_MAX = SAM_HEADS * SAM_TOKENS_MAX, /* one row for each head and token */
    FOLDED_TOKENS_MAX = 17, /* with more, folding takes more multiplications than it saves */
    MLP_DIM = 2048,
    UPSCALE1_CHANNELS = SAM_DIM / 4,
    UPSCALE2_CHANNELS = SAM_DIM / 8,
};

/* What one tile found of "tokens attend to image": a softmax over its positions only. */
struct partial {
    float max[ROWS_MAX];              /* of the scaled scores */
    float sum[ROWS_MAX];              /* of exp(score - max) */
    float values[ROWS_MAX * SAM_DIM]; /* of exp(score - max) times the keys, or their values */
};

/* One prompt's activations: the session's arena. Matrices "by row" have a row for each head and
 * token. When nothing is folded, to_image, from_tokens and token_values are q, k and v. */
struct activations {
    float keys[SAM_GRID * SAM_DIM];
    float queries[SAM_TOKENS_MAX * SAM_DIM];
    float query_position[SAM_TOKENS_MAX * SAM_DIM]; /* the prompt tokens as they came in */
    float queries_placed[SAM_TOKENS_MAX * SAM_DIM]; /* queries + query_position */
    float q[SAM_TOKENS_MAX * SAM_DIM], k[SAM_TOKENS_MAX * SAM_DIM], v[SAM_TOKENS_MAX * SAM_DIM];
    float attended[SAM_TOKENS_MAX * SAM_DIM];
    float scores[SAM_TOKENS_MAX * SAM_TOKENS_MAX];
    float hidden[SAM_TOKENS_MAX * MLP_DIM];
    float to_image[ROWS_MAX * SAM_DIM];     /* by row: q_h Wk_h */
    float from_tokens[ROWS_MAX * SAM_DIM];  /* by row: k_h Wq_h */
    float from_offset[ROWS_MAX];            /* by row: bq_h k_h */
    float token_values[ROWS_MAX * SAM_DIM]; /* by row: v_h Wo_h */
    float gathered[ROWS_MAX * SAM_DIM];     /* by row: the merged weighted sums of keys (values) */
    float hyper[SAM_MASK_TOKENS * UPSCALE2_CHANNELS];
    struct partial partials[PASS_TILES];
};

/* One tile of a pass, in its worker's scratch. */
struct tile {
    float placed[TILE_POSITIONS * SAM_DIM]; /* keys + position */
    float scores[ROWS_MAX * TILE_POSITIONS];
    float projected[TILE_POSITIONS * CROSS_DIM];
};

/* One prompt on its way. */
struct decoding {
    const struct mask_decoder *decoder;
    const struct mask_decoder_input *input;
    struct activations *at;
    size_t tokens; /* t */
    size_t rows;   /* SAM_HEADS * t */
    bool folded;   /* projections of the image side into the tokens */
    /* of the pass that runs: */
    const struct two_way_layer
        *image_side; /* whose "image attends to tokens" it does; NULL: none, it makes the keys */
    const struct attention *gathering; /* the "tokens attend to image" that it does */
    /* of the upscaling: */
    unsigned wanted;
    size_t wanted_count;
    float *logits;
};

size_t mask_decoder_arena_floats(void) {
    return sizeof(struct activations) / sizeof(float);
}

size_t mask_decoder_tile_scratch_bytes(void) {
    const size_t upscale = sizeof(float) * (UPSCALE_POSITIONS * SAM_DIM * 3 +
                                            SAM_MASK_TOKENS * UPSCALE_POSITIONS * 16);
    return sizeof(struct tile) > upscale ? sizeof(struct tile) : upscale;
}

/* y = x W^T + b */
static void project(const struct decoding *job, const struct linear *linear, const float *x,
                    size_t rows, float *y) {
    linear_product(linear, x, rows, y);
    job->decoder->kernels->bias_add(y, rows, linear->out, linear->bias);
}

static void normalise(const struct decoding *job, const struct layer_norm *norm, size_t rows,
                      float *x) {
    job->decoder->kernels->layer_norm(x, rows, SAM_DIM, norm->weight, norm->bias, NORM_EPSILON, x);
}

/* ---- the token side ---------------------------------------------------------------------- */

static void place_queries(struct decoding *job) {
    struct activations *at = job->at;
    job->decoder->kernels->add(at->queries, at->query_position, at->queries_placed,
                               job->tokens * SAM_DIM);
}

/* Self-attention; the first layer's has no positions and replaces the queries. */
static void self_attention(struct decoding *job, const struct two_way_layer *layer, bool first) {
    struct activations *at = job->at;
    const struct kernels *kernels = job->decoder->kernels;
    size_t t = job->tokens;
    const float *placed = first ? at->queries : at->queries_placed;
    project(job, &layer->self.q, placed, t, at->q);
    project(job, &layer->self.k, placed, t, at->k);
    project(job, &layer->self.v, at->queries, t, at->v);
    for (size_t head = 0; head < SAM_HEADS; head++) {
        size_t from = head * SELF_HEAD;
        matmul_nt(t, t, SELF_HEAD, (struct matrix){at->q + from, SAM_DIM},
                  (struct matrix){at->k + from, SAM_DIM}, 0.0f, at->scores, t);
        kernels->softmax(at->scores, t, t, 1.0f / sqrtf(SELF_HEAD), NULL);
        matmul_nn(t, SELF_HEAD, t, (struct matrix){at->scores, t},
                  (struct matrix){at->v + from, SAM_DIM}, 0.0f, at->attended + from, SAM_DIM);
    }
    if (first) {
        project(job, &layer->self.out, at->attended, t, at->queries);
    } else {
        linear_accumulate(&layer->self.out, at->attended, t, at->queries);
        kernels->bias_add(at->queries, t, SAM_DIM, layer->self.out.bias);
    }
    normalise(job, &layer->norm1, t, at->queries);
    place_queries(job);
}

static void token_mlp(struct decoding *job, const struct two_way_layer *layer) {
    struct activations *at = job->at;
    const struct kernels *kernels = job->decoder->kernels;
    linear_product(&layer->mlp1, at->queries, job->tokens, at->hidden);
    kernels->bias_relu(at->hidden, job->tokens, MLP_DIM, layer->mlp1.bias);
    linear_accumulate(&layer->mlp2, at->hidden, job->tokens, at->queries);
    kernels->bias_add(at->queries, job->tokens, SAM_DIM, layer->mlp2.bias);
    normalise(job, &layer->norm3, job->tokens, at->queries);
    place_queries(job);
}

/* to_image: the queries, with the key projection folded into them. */
static void prepare_token_to_image(struct decoding *job, const struct attention *attention) {
    struct activations *at = job->at;
    size_t t = job->tokens;
    job->gathering = attention;
    if (!job->folded) {
        project(job, &attention->q, at->queries_placed, t, at->to_image);
        return;
    }
    project(job, &attention->q, at->queries_placed, t, at->q);
    for (size_t head = 0; head < SAM_HEADS; head++)
        matmul_nn(t, SAM_DIM, CROSS_HEAD, (struct matrix){at->q + head * CROSS_HEAD, CROSS_DIM},
                  (struct matrix){attention->k.weight + head * CROSS_HEAD * SAM_DIM, SAM_DIM}, 0.0f,
                  at->to_image + head * t * SAM_DIM, SAM_DIM);
}

/* Merges the tiles' softmaxes into weighted sums of keys (values). */
static void merge_partials(struct decoding *job) {
    struct activations *at = job->at;
    const size_t width = job->folded ? SAM_DIM : CROSS_HEAD;
    for (size_t row = 0; row < job->rows; row++) {
        float max = at->partials[0].max[row], sum = 0;
        for (size_t i = 1; i < PASS_TILES; i++)
            max = fmaxf(max, at->partials[i].max[row]);
        float *merged = at->gathered + row * width;
        memset(merged, 0, width * sizeof *merged);
        for (size_t i = 0; i < PASS_TILES; i++) {
            float weight = expf(at->partials[i].max[row] - max);
            const float *values = at->partials[i].values + row * width;
            sum += weight * at->partials[i].sum[row];
            for (size_t c = 0; c < width; c++)
                merged[c] += weight * values[c];
        }
        for (size_t c = 0; c < width; c++)
            merged[c] /= sum;
    }
}

/* The heads' sums, by row, become attended, [t][CROSS_DIM]; with the values' projection unless it
 * was done. */
static void join_heads(struct decoding *job) {
    struct activations *at = job->at;
    const float *value_weight = job->gathering->v.weight;
    const size_t t = job->tokens;
    if (!job->folded) {
        for (size_t row = 0; row < job->rows; row++)
            memcpy(at->attended + row % t * CROSS_DIM + row / t * CROSS_HEAD,
                   at->gathered + row * CROSS_HEAD, CROSS_HEAD * sizeof(float));
        return;
    }
    for (size_t head = 0; head < SAM_HEADS; head++)
        matmul_nt(t, CROSS_HEAD, SAM_DIM,
                  (struct matrix){at->gathered + head * t * SAM_DIM, SAM_DIM},
                  (struct matrix){value_weight + head * CROSS_HEAD * SAM_DIM, SAM_DIM}, 0.0f,
                  at->attended + head * CROSS_HEAD, CROSS_DIM);
}

/* What the tokens gathered from the image: heads joined, out projection, added to the queries. */
static void finish_token_to_image(struct decoding *job, const struct layer_norm *norm) {
    struct activations *at = job->at;
    const struct kernels *kernels = job->decoder->kernels;
    const struct attention *attention = job->gathering;
    size_t t = job->tokens;
    merge_partials(job);
    join_heads(job);
    kernels->bias_add(at->attended, t, CROSS_DIM, attention->v.bias);
    linear_accumulate(&attention->out, at->attended, t, at->queries);
    kernels->bias_add(at->queries, t, SAM_DIM, attention->out.bias);
    normalise(job, norm, t, at->queries);
    place_queries(job);
}

/* from_tokens, from_offset, token_values: the keys and values of "image attends to tokens", with
 * its query and out projections folded into them. */
static void prepare_image_to_token(struct decoding *job, const struct attention *attention) {
    struct activations *at = job->at;
    size_t t = job->tokens;
    if (!job->folded) {
        project(job, &attention->k, at->queries_placed, t, at->from_tokens);
        project(job, &attention->v, at->queries, t, at->token_values);
        memset(at->from_offset, 0, job->rows * sizeof(float));
        return;
    }
    project(job, &attention->k, at->queries_placed, t, at->k);
    project(job, &attention->v, at->queries, t, at->v);
    for (size_t head = 0; head < SAM_HEADS; head++) {
        size_t from = head * CROSS_HEAD;
        matmul_nn(t, SAM_DIM, CROSS_HEAD, (struct matrix){at->k + from, CROSS_DIM},
                  (struct matrix){attention->q.weight + from * SAM_DIM, SAM_DIM}, 0.0f,
                  at->from_tokens + head * t * SAM_DIM, SAM_DIM);
        matmul_nt(t, 1, CROSS_HEAD, (struct matrix){at->k + from, CROSS_DIM},
                  (struct matrix){attention->q.bias + from, CROSS_HEAD}, 0.0f,
                  at->from_offset + head * t, 1);
        matmul_nt(t, SAM_DIM, CROSS_HEAD, (struct matrix){at->v + from, CROSS_DIM},
                  (struct matrix){attention->out.weight + from, CROSS_DIM}, 0.0f,
                  at->token_values + head * t * SAM_DIM, SAM_DIM);
    }
}

/* ---- the image side ---------------------------------------------------------------------- */

/* The keys of some positions: the image embedding plus the dense one. */
static void make_keys(const struct decoding *job, size_t first, float *keys) {
    const struct mask_decoder_input *input = job->input;
    const struct kernels *kernels = job->decoder->kernels;
    kernels->from_half(input->embedding + first * SAM_DIM, keys, TILE_POSITIONS * SAM_DIM);
    if (input->dense)
        kernels->add(keys, input->dense + first * SAM_DIM, keys, TILE_POSITIONS * SAM_DIM);
    else
        kernels->bias_add(keys, TILE_POSITIONS, SAM_DIM, input->dense_everywhere);
}

static float *head_scores(const struct decoding *job, struct tile *tile, size_t head) {
    return tile->scores + head * job->tokens * TILE_POSITIONS;
}

/* scores, by row: the rows' products with the positions; or, with heads of a projected width, the
 * tokens' with what the positions project to. */
static void score(const struct decoding *job, const float *rows, const struct linear *projection,
                  bool biased, struct tile *tile) {
    if (job->folded) {
        matmul_nt(job->rows, TILE_POSITIONS, SAM_DIM, (struct matrix){rows, SAM_DIM},
                  (struct matrix){tile->placed, SAM_DIM}, 0.0f, tile->scores, TILE_POSITIONS);
        return;
    }
    linear_product(projection, tile->placed, TILE_POSITIONS, tile->projected);
    if (biased)
        job->decoder->kernels->bias_add(tile->projected, TILE_POSITIONS, CROSS_DIM,
                                        projection->bias);
    for (size_t head = 0; head < SAM_HEADS; head++)
        matmul_nt(job->tokens, TILE_POSITIONS, CROSS_HEAD,
                  (struct matrix){rows + head * CROSS_HEAD, CROSS_DIM},
                  (struct matrix){tile->projected + head * CROSS_HEAD, CROSS_DIM}, 0.0f,
                  head_scores(job, tile, head), TILE_POSITIONS);
}

/* keys += scores^T token_values, or the out projection of each head's. */
static void spread(const struct decoding *job, const struct linear *out, struct tile *tile,
                   float *keys) {
    const float *values = job->at->token_values;
    if (job->folded) {
        matmul_tn(TILE_POSITIONS, SAM_DIM, job->rows, (struct matrix){tile->scores, TILE_POSITIONS},
                  (struct matrix){values, SAM_DIM}, 1.0f, keys, SAM_DIM);
        return;
    }
    for (size_t head = 0; head < SAM_HEADS; head++)
        matmul_tn(TILE_POSITIONS, CROSS_HEAD, job->tokens,
                  (struct matrix){head_scores(job, tile, head), TILE_POSITIONS},
                  (struct matrix){values + head * CROSS_HEAD, CROSS_DIM}, 0.0f,
                  tile->projected + head * CROSS_HEAD, CROSS_DIM);
    linear_accumulate(out, tile->projected, TILE_POSITIONS, keys);
}

/* values = scores keys, or each head's scores times what the keys project to. */
static void gather(const struct decoding *job, const float *keys, struct tile *tile,
                   float *values) {
    if (job->folded) {
        matmul_nn(job->rows, SAM_DIM, TILE_POSITIONS, (struct matrix){tile->scores, TILE_POSITIONS},
                  (struct matrix){keys, SAM_DIM}, 0.0f, values, SAM_DIM);
        return;
    }
    linear_product(&job->gathering->v, keys, TILE_POSITIONS, tile->projected);
    for (size_t head = 0; head < SAM_HEADS; head++)
        matmul_nn(job->tokens, CROSS_HEAD, TILE_POSITIONS,
                  (struct matrix){head_scores(job, tile, head), TILE_POSITIONS},
                  (struct matrix){tile->projected + head * CROSS_HEAD, CROSS_DIM}, 0.0f,
                  values + head * job->tokens * CROSS_HEAD, CROSS_HEAD);
}

/* keys += attention of the positions to the tokens, then norm4. */
static void image_to_token(const struct decoding *job, struct tile *tile, float *keys) {
    const struct activations *at = job->at;
    const struct two_way_layer *layer = job->image_side;
    const struct kernels *kernels = job->decoder->kernels;
    score(job, at->from_tokens, &layer->image_to_token.q, true, tile);
    for (size_t head = 0; head < SAM_HEADS; head++)
        kernels->softmax_columns(head_scores(job, tile, head), job->tokens, TILE_POSITIONS,
                                 1.0f / sqrtf(CROSS_HEAD), at->from_offset + head * job->tokens);
    spread(job, &layer->image_to_token.out, tile, keys);
    kernels->bias_add(keys, TILE_POSITIONS, SAM_DIM, layer->image_to_token.out.bias);
    normalise(job, &layer->norm4, TILE_POSITIONS, keys);
}

static void pass_tile(void *argument, size_t index, struct worker *worker) {
    const struct decoding *job = argument;
    const struct kernels *kernels = job->decoder->kernels;
    size_t first = index * TILE_POSITIONS;
    float *keys = job->at->keys + first * SAM_DIM;
    const float *position = job->decoder->position + first * SAM_DIM;
    struct partial *partial = &job->at->partials[index];
    struct tile *tile = worker_scratch(worker);

    if (job->image_side) {
        kernels->add(keys, position, tile->placed, TILE_POSITIONS * SAM_DIM);
        image_to_token(job, tile, keys);
    } else {
        make_keys(job, first, keys);
    }
    kernels->add(keys, position, tile->placed, TILE_POSITIONS * SAM_DIM);
    score(job, job->at->to_image, &job->gathering->k, false, tile); /* softmax sees no bias of k */
    for (size_t row = 0; row < job->rows; row++)
        kernels->exp_partial(tile->scores + row * TILE_POSITIONS, TILE_POSITIONS,
                             1.0f / sqrtf(CROSS_HEAD), &partial->max[row], &partial->sum[row]);
    gather(job, keys, tile, partial->values);
}

/* TwoWayTransformer.forward: leaves its outputs in queries and keys. */
static void run_transformer(struct decoding *job, struct worker *worker) {
    const struct mask_decoder *decoder = job->decoder;
    job->folded = job->tokens <= FOLDED_TOKENS_MAX;
    job->image_side = NULL;
    for (int i = 0; i < SAM_LAYERS; i++) {
        const struct two_way_layer *layer = &decoder->layers[i];
        self_attention(job, layer, i == 0);
        prepare_token_to_image(job, &layer->token_to_image);
        worker_parallel_for(worker, PASS_TILES, pass_tile, job);
        finish_token_to_image(job, &layer->norm2);
        token_mlp(job, layer);
        prepare_image_to_token(job, &layer->image_to_token);
        job->image_side = layer;
    }
    prepare_token_to_image(job, &decoder->final_attention);
    worker_parallel_for(worker, PASS_TILES, pass_tile, job);
    finish_token_to_image(job, &decoder->final_norm);
}

/* ---- masks ------------------------------------------------------------------------------- */

static void run_mlp(const struct decoding *job, const struct mlp *mlp, const float *x, float *y) {
    const struct kernels *kernels = job->decoder->kernels;
    float first[SAM_DIM], second[SAM_DIM];
    linear_product(&mlp->layers[0], x, 1, first);
    kernels->bias_relu(first, 1, SAM_DIM, mlp->layers[0].bias);
    linear_product(&mlp->layers[1], first, 1, second);
    kernels->bias_relu(second, 1, SAM_DIM, mlp->layers[1].bias);
    linear_product(&mlp->layers[2], second, 1, y);
    kernels->bias_add(y, 1, mlp->layers[2].out, mlp->layers[2].bias);
}

/* A tile's masks, [position][2][2][2][2] with the finer offsets last, to their places in
 * [256][256]. */
static void place_logits(const float *from, size_t first, float *to) {
    for (size_t i = 0; i < UPSCALE_POSITIONS; i++, from += 16) {
        size_t y = (first + i) / EMBEDDING_SIDE * 4, x = (first + i) % EMBEDDING_SIDE * 4;
        for (size_t cell = 0; cell < 16; cell++) {
            size_t down = (cell >> 3 & 1) * 2 + (cell >> 1 & 1);
            size_t right = (cell >> 2 & 1) * 2 + (cell & 1);
            to[(y + down) * SAM_LOW_RES + x + right] = from[cell];
        }
    }
}

static void upscale_tile(void *argument, size_t index, struct worker *worker) {
    static const float zeros[UPSCALE1_CHANNELS];
    const struct decoding *job = argument;
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = decoder->kernels;
    size_t first = index * UPSCALE_POSITIONS, quads = 4 * UPSCALE_POSITIONS, cells = 4 * quads;
    float *half = worker_scratch(worker);           /* [quads][64] */
    float *full = half + quads * UPSCALE1_CHANNELS; /* [cells][32] */
    float *logits = full + cells * UPSCALE2_CHANNELS;

    project(job, &decoder->upscale1, job->at->keys + first * SAM_DIM, UPSCALE_POSITIONS, half);
    kernels->layer_norm(half, quads, UPSCALE1_CHANNELS, decoder->upscale_norm.weight, zeros,
                        UPSCALE_EPSILON, half);
    kernels->bias_gelu(half, quads, UPSCALE1_CHANNELS, decoder->upscale_norm.bias);
    linear_product(&decoder->upscale2, half, quads, full);
    kernels->bias_gelu(full, quads, decoder->upscale2.out, decoder->upscale2.bias);
    matmul_nt(job->wanted_count, cells, UPSCALE2_CHANNELS,
              (struct matrix){job->at->hyper, UPSCALE2_CHANNELS},
              (struct matrix){full, UPSCALE2_CHANNELS}, 0.0f, logits, cells);
    for (size_t token = 0, i = 0; token < SAM_MASK_TOKENS; token++)
        if (job->wanted >> token & 1)
            place_logits(logits + i++ * cells, first, job->logits + token * SAM_MASK_VALUES);
}

static void run_upscaling(struct decoding *job, struct worker *worker, unsigned wanted,
                          float *logits) {
    struct activations *at = job->at;
    job->wanted = wanted;
    job->wanted_count = 0;
    job->logits = logits;
    for (size_t token = 0; token < SAM_MASK_TOKENS; token++)
        if (wanted >> token & 1)
            run_mlp(job, &job->decoder->hypernetworks[token], at->queries + (1 + token) * SAM_DIM,
                    at->hyper + job->wanted_count++ * UPSCALE2_CHANNELS);
    worker_parallel_for(worker, UPSCALE_TILES, upscale_tile, job);
}

void mask_decoder_run(const struct mask_decoder *decoder, float *arena, struct worker *worker,
                      const struct mask_decoder_input *input, mask_chooser *choose,
                      const void *argument, struct mask_decoder_output *output) {
    struct decoding job = {.decoder = decoder, .input = input, .at = (struct activations *)arena};
    job.tokens = 1 + SAM_MASK_TOKENS + input->sparse_count;
    job.rows = SAM_HEADS * job.tokens;
    size_t fixed = (1 + SAM_MASK_TOKENS) * SAM_DIM;
    memcpy(job.at->queries, decoder->output_tokens, fixed * sizeof(float));
    memcpy(job.at->queries + fixed, input->sparse, input->sparse_count * SAM_DIM * sizeof(float));
    memcpy(job.at->query_position, job.at->queries, job.tokens * SAM_DIM * sizeof(float));
    run_transformer(&job, worker);
    profile_end_stage(input->profile, "transformer", 0);
    run_mlp(&job, &decoder->iou_head, job.at->queries, output->iou);
    output->wanted = choose(output->iou, argument);
    run_upscaling(&job, worker, output->wanted, output->logits);
    profile_end_stage(input->profile, "output_upscaling",
                      (double)SAM_GRID * SAM_DIM * (double)decoder->upscale1.out +
                          4.0 * SAM_GRID * UPSCALE1_CHANNELS * (double)decoder->upscale2.out);
}
