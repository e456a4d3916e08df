/* What the points on an image have in common. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/sam/model.h"
#include "engine/sam/point_decoding.h"

struct terms_tile {
    float keys[KEYS_PANEL], other[KEYS_PANEL], scratch[KEYS_PANEL];
};

struct terms_job {
    const struct mask_decoder *decoder;
    struct mask_decoder_input input;
    struct point_terms *terms;
};

size_t point_terms_scratch_bytes(void) {
    return sizeof(struct terms_tile);
}

/* ---- panels of all channels -------------------------------------------------------------- */

/* y = x * weight + bias, by channels; either may be NULL. */
static void adjust(const float *x, const float *weight, const float *bias, float *y) {
    for (size_t c = 0; c < SAM_DIM; c++)
        for (size_t i = 0; i < POSITIONS; i++)
            y[c * POSITIONS + i] =
                x[c * POSITIONS + i] * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
}

static void centre(float *x) {
    float mean[POSITIONS] = {0};
    for (size_t c = 0; c < SAM_DIM; c++)
        for (size_t i = 0; i < POSITIONS; i++)
            mean[i] += x[c * POSITIONS + i];
    for (size_t i = 0; i < POSITIONS; i++)
        mean[i] /= SAM_DIM;
    for (size_t c = 0; c < SAM_DIM; c++)
        for (size_t i = 0; i < POSITIONS; i++)
            x[c * POSITIONS + i] -= mean[i];
}

/* The products of each position with shift. */
static void dot_shift(const float *x, const float *shift, float *dot) {
    memset(dot, 0, POSITIONS * sizeof *dot);
    for (size_t c = 0; c < SAM_DIM; c++)
        for (size_t i = 0; i < POSITIONS; i++)
            dot[i] += x[c * POSITIONS + i] * shift[c];
}

/* Projects a panel; the values' go by positions. */
static void project_values(const struct kernels *kernels, const struct projection *projection,
                           const float *x, size_t panel, float *scratch, float *values) {
    decoder_project_panel(kernels, &projection->plain, NULL, x, false, scratch);
    kernels->transpose(scratch, POSITIONS, SAM_CROSS_DIM, POSITIONS, values + panel * CROSS_PANEL,
                       SAM_CROSS_DIM);
}

static void project_out(const struct terms_job *job, int layer, const float *x, float *y) {
    const struct linear transposed = {
        .weight = job->terms->out[layer], .in = SAM_DIM, .out = SAM_CROSS_DIM};
    decoder_project_panel(job->decoder->kernels, &transposed, NULL, x, false, y);
}

/* ---- a panel ----------------------------------------------------------------------------- */

/* The keys themselves, in at->keys: the first layer's terms. */
static void make_first(const struct terms_job *job, struct terms_tile *at, size_t panel) {
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = decoder->kernels;
    const struct two_way_layer *layer = &decoder->layers[0];
    const size_t to = panel * CROSS_PANEL;
    kernels->add(at->keys, decoder->position + panel * KEYS_PANEL, at->other, KEYS_PANEL);
    decoder_project_panel(kernels, &layer->token_to_image.k.plain, NULL, at->other, false,
                          job->terms->first_k + to);
    decoder_project_panel(kernels, &layer->image_to_token.q.plain,
                          layer->image_to_token.q.plain.bias, at->other, false,
                          job->terms->first_q + to);
    project_values(kernels, &layer->token_to_image.v, at->keys, panel, at->scratch,
                   job->terms->first_v);
}

/* at->keys becomes E times the first norm's weight. */
static void make_second(const struct terms_job *job, struct terms_tile *at, size_t panel) {
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = decoder->kernels;
    const struct two_way_layer *first = &decoder->layers[0], *layer = &decoder->layers[1];
    const struct linear *k = &layer->token_to_image.k.plain, *q = &layer->image_to_token.q.plain;
    struct point_terms *terms = job->terms;
    const size_t to = panel * CROSS_PANEL;
    adjust(at->keys, NULL, first->image_to_token.out.plain.bias, at->keys);
    centre(at->keys);
    kernels->panel_dot(at->keys, at->keys, SAM_DIM, terms->first_square + panel * POSITIONS);
    project_out(job, 0, at->keys, terms->first_with_tokens + to);
    adjust(at->keys, first->norm4.weight, NULL, at->keys);
    decoder_project_panel(kernels, k, NULL, at->keys, false, terms->second_k.image + to);
    decoder_project_panel(kernels, q, NULL, at->keys, false, terms->second_q.image + to);
    project_values(kernels, &layer->token_to_image.v, at->keys, panel, at->scratch,
                   terms->second_v);
    adjust(decoder->position + panel * KEYS_PANEL, NULL, first->norm4.bias, at->other);
    decoder_project_panel(kernels, k, NULL, at->other, false, terms->second_k.place + to);
    decoder_project_panel(kernels, q, q->bias, at->other, false, terms->second_q.place + to);
}

/* at->keys becomes F times the second norm's weight. */
static void make_last(const struct terms_job *job, struct terms_tile *at, size_t panel) {
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = decoder->kernels;
    const struct layer_norm *norm = &decoder->layers[1].norm4;
    const struct linear *k = &decoder->final_attention.k.plain;
    struct point_terms *terms = job->terms;
    const size_t to = panel * CROSS_PANEL;
    centre(at->keys);
    kernels->panel_dot(at->keys, at->keys, SAM_DIM, terms->second_square + panel * POSITIONS);
    dot_shift(at->keys, terms->shift, terms->with_shift + panel * POSITIONS);
    project_out(job, 1, at->keys, terms->second_with_tokens + to);
    adjust(at->keys, decoder->layers[0].norm4.weight, NULL, at->other);
    centre(at->other);
    project_out(job, 0, at->other, terms->again_with_tokens + to);
    adjust(at->keys, norm->weight, NULL, at->keys);
    decoder_project_panel(kernels, k, NULL, at->keys, false, terms->last_k.image + to);
    project_values(kernels, &decoder->final_attention.v, at->keys, panel, at->scratch,
                   terms->last_v);
    decoder_project_panel(kernels, &decoder->upscale1, NULL, at->keys, false,
                          terms->upscaled + panel * KEYS_PANEL);
    adjust(decoder->position + panel * KEYS_PANEL, NULL, norm->bias, at->other);
    decoder_project_panel(kernels, k, NULL, at->other, false, terms->last_k.place + to);
}

static void make_tile(void *argument, size_t index, struct worker *worker) {
    const struct terms_job *job = argument;
    struct terms_tile *at = worker_scratch(worker);
    for (size_t panel = index * TILE_PANELS; panel < (index + 1) * TILE_PANELS; panel++) {
        decoder_make_keys(job->decoder->kernels, &job->input, panel, at->scratch, at->keys);
        make_first(job, at, panel);
        make_second(job, at, panel);
        make_last(job, at, panel);
    }
}

/* ---- the whole --------------------------------------------------------------------------- */

/* What no position changes. */
static void make_constants(const struct mask_decoder *decoder, struct point_terms *terms) {
    const struct linear *upscale = &decoder->upscale1;
    const float *bias = decoder->layers[1].norm4.bias;
    for (int layer = 0; layer < SAM_LAYERS; layer++) {
        const struct linear *out = &decoder->layers[layer].image_to_token.out.plain;
        decoder->kernels->transpose(out->weight, SAM_CROSS_DIM, SAM_DIM, SAM_CROSS_DIM,
                                    terms->out[layer], SAM_DIM);
    }
    decoder->kernels->add(decoder->layers[0].norm4.bias,
                          decoder->layers[1].image_to_token.out.plain.bias, terms->shift, SAM_DIM);
    for (size_t row = 0; row < upscale->out; row++) {
        terms->upscaled_shift[row] = upscale->bias[row];
        for (size_t c = 0; c < SAM_DIM; c++)
            terms->upscaled_shift[row] += upscale->weight[row * SAM_DIM + c] * bias[c];
    }
}

struct point_terms *point_terms_make(const struct mask_decoder *decoder, struct worker *worker,
                                     const uint16_t *embedding, const float *dense_everywhere) {
    struct terms_job job = {
        .decoder = decoder,
        .input = {.embedding = embedding, .dense_everywhere = dense_everywhere},
        .terms = model_map_pages(sizeof *job.terms),
    };
    if (!job.terms)
        return NULL;
    make_constants(decoder, job.terms);
    worker_parallel_for(worker, PASS_TILES, make_tile, &job);
    return job.terms;
}

void point_terms_free(struct point_terms *terms) {
    if (terms)
        munmap(terms, sizeof *terms);
}
