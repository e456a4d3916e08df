/* The prompt encoder against modeling/prompt_encoder.py of Segment Anything, in double precision.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/prompt_encoder.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/weights_fixture.h"
#include "tests/unit/suites.h"

static struct random_weights fixture;
static struct weights weights;
static struct prompt_encoder encoder;

static void set_up(void) {
    engine_init();
    random_weights_make(&fixture, 1);
    weights = (struct weights){.file = fixture.file};
    prompt_encoder_load(&encoder, kernels_best(), &weights);
    ck_assert(!weights.failed);
}

static void tear_down(void) {
    weights_free(&weights);
    random_weights_free(&fixture);
}

/* ---- positions --------------------------------------------------------------------------- */

/* Sines and cosines of angles up to 6 pi, which floats hold to a few roundings of that. */
static const double POSITION_ERROR = 60 * ROUNDING;

/* PositionEmbeddingRandom._pe_encoding; x and y are shares of the square. */
static void naive_position(double x, double y, double encoding[SAM_DIM]) {
    const float *gaussian =
        weights_values(&fixture, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix");
    for (size_t i = 0; i < SAM_DIM / 2; i++) {
        double projected =
            (2 * x - 1) * (double)gaussian[i] + (2 * y - 1) * (double)gaussian[SAM_DIM / 2 + i];
        encoding[i] = sin(2 * M_PI * projected);
        encoding[SAM_DIM / 2 + i] = cos(2 * M_PI * projected);
    }
}

START_TEST(positions_of_the_image_embedding) {
    const size_t step = KERNEL_CHANNEL_STEP;
    double expected[SAM_DIM];
    for (size_t i = 0; i < SAM_GRID; i++) {
        naive_position(((double)(i % 64) + 0.5) / 64, ((double)(i / 64) + 0.5) / 64, expected);
        float found[SAM_DIM];
        for (size_t c = 0; c < SAM_DIM; c++)
            found[c] = encoder.position[(i / step * SAM_DIM + c) * step + i % step];
        check_close("position", found, expected, SAM_DIM, POSITION_ERROR, 0);
    }
}
END_TEST

/* ---- points and boxes -------------------------------------------------------------------- */

/* A token at a point of the image, with the learned embedding of its kind. */
static void check_token(const float *token, const struct geometry *geometry, double x, double y,
                        const char *kind) {
    const float *embedding = weights_values(&fixture, "prompt_encoder.%s.weight", kind);
    double expected[SAM_DIM];
    x = x * geometry->scaled_width / geometry->width; /* ResizeLongestSide.apply_coords */
    y = y * geometry->scaled_height / geometry->height;
    naive_position((x + 0.5) / 1024, (y + 0.5) / 1024, expected);
    for (size_t i = 0; i < SAM_DIM; i++)
        expected[i] += (double)embedding[i];
    check_close(kind, token, expected, SAM_DIM, POSITION_ERROR, 0);
}

static void check_padding(const float *token) {
    ck_assert_mem_eq(token, weights_values(&fixture, "prompt_encoder.not_a_point_embed.weight"),
                     SAM_DIM * sizeof *token);
}

static struct prompt random_prompt(struct rng *rng, const struct geometry *geometry, int points,
                                   bool box) {
    struct prompt prompt = {.point_count = points, .has_box = box};
    for (int i = 0; i < points; i++) {
        prompt.points[i][0] = (float)rng_between(rng, 0, geometry->width);
        prompt.points[i][1] = (float)rng_between(rng, 0, geometry->height);
        prompt.labels[i] = rng_below(rng, 2) == 1;
    }
    for (int i = 0; box && i < 4; i++)
        prompt.box[i] = (float)rng_between(rng, 0, i % 2 ? geometry->height : geometry->width);
    return prompt;
}

static void check_prompt(const struct geometry *geometry, const struct prompt *prompt) {
    size_t points = (size_t)prompt->point_count, expected = points + (prompt->has_box ? 2 : 1);
    struct guarded tokens = guarded_make(expected * SAM_DIM);
    ck_assert_uint_eq(prompt_encoder_sparse(&encoder, geometry, prompt, tokens.at), expected);
    for (size_t i = 0; i < points; i++)
        check_token(tokens.at + i * SAM_DIM, geometry, (double)prompt->points[i][0],
                    (double)prompt->points[i][1],
                    prompt->labels[i] ? "point_embeddings.1" : "point_embeddings.0");
    const float *last = tokens.at + points * SAM_DIM, *box = prompt->box;
    if (prompt->has_box) {
        check_token(last, geometry, (double)box[0], (double)box[1], "point_embeddings.2");
        check_token(last + SAM_DIM, geometry, (double)box[2], (double)box[3], "point_embeddings.3");
    } else {
        check_padding(last);
    }
    guarded_free(&tokens);
}

START_TEST(points_then_a_box_or_the_padding) {
    static const int sizes[][2] = {{1024, 1024}, {1500, 2250}, {37, 1999}, {3, 800}, {1, 1}};
    static const int counts[] = {0, 1, 2, 7, PROMPT_POINTS_MAX};
    struct rng rng = {2};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct geometry geometry;
        geometry_fit(sizes[s][0], sizes[s][1], 1024, &geometry);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (int box = 0; box < 2; box++) {
                struct prompt prompt = random_prompt(&rng, &geometry, counts[c], box);
                check_prompt(&geometry, &prompt);
            }
        }
    }
}
END_TEST

START_TEST(corners_of_the_image) {
    struct geometry geometry;
    geometry_fit(1800, 1200, 1024, &geometry);
    struct prompt prompt = {.point_count = 2,
                            .points = {{0, 0}, {1800, 1200}},
                            .labels = {1, 0},
                            .has_box = true,
                            .box = {0, 1200, 1800, 0}};
    check_prompt(&geometry, &prompt);
}
END_TEST

/* ---- prior masks ------------------------------------------------------------------------- */

/* Conv2d with kernel and stride 2, on [2 side][2 side][in], for one output position. */
static void naive_conv2x2(const char *module, size_t in, size_t out, const double *x, size_t side,
                          size_t row, size_t column, double *y) {
    const float *weight = weights_values(&fixture, "prompt_encoder.%s.weight", module);
    const float *bias = weights_values(&fixture, "prompt_encoder.%s.bias", module);
    for (size_t o = 0; o < out; o++) {
        y[o] = (double)bias[o];
        for (size_t i = 0; i < in; i++)
            for (size_t dy = 0; dy < 2; dy++)
                for (size_t dx = 0; dx < 2; dx++)
                    y[o] += x[((2 * row + dy) * 2 * side + 2 * column + dx) * in + i] *
                            (double)weight[((o * in + i) * 2 + dy) * 2 + dx];
    }
}

static void naive_norm_gelu(const char *module, size_t channels, double *y) {
    naive_layer_norm(y, channels, weights_values(&fixture, "prompt_encoder.%s.weight", module),
                     weights_values(&fixture, "prompt_encoder.%s.bias", module), 1e-6, y);
    for (size_t i = 0; i < channels; i++)
        y[i] = naive_gelu(y[i]);
}

/* PromptEncoder.mask_downscaling */
static double *naive_dense(const float *logits) {
    double *x = doubles_of(logits, 256 * 256), *half = obtain(128 * 128 * 4 * sizeof *half);
    double *quarter = obtain(64 * 64 * 16 * sizeof *quarter);
    double *dense = obtain(SAM_GRID * SAM_DIM * sizeof *dense);
    for (size_t i = 0; i < 128 * 128; i++) {
        naive_conv2x2("mask_downscaling.0", 1, 4, x, 128, i / 128, i % 128, half + i * 4);
        naive_norm_gelu("mask_downscaling.1", 4, half + i * 4);
    }
    for (size_t i = 0; i < 64 * 64; i++) {
        naive_conv2x2("mask_downscaling.3", 4, 16, half, 64, i / 64, i % 64, quarter + i * 16);
        naive_norm_gelu("mask_downscaling.4", 16, quarter + i * 16);
    }
    naive_linear(weights_values(&fixture, "prompt_encoder.mask_downscaling.6.weight"),
                 weights_values(&fixture, "prompt_encoder.mask_downscaling.6.bias"), 16, SAM_DIM,
                 quarter, SAM_GRID, dense);
    free(x);
    free(half);
    free(quarter);
    return dense;
}

static void check_dense(const float *logits) {
    double *expected = naive_dense(logits);
    double largest = largest_magnitude(expected, SAM_GRID * SAM_DIM);
    for (size_t i = 0; kernels_at(i); i++) {
        struct prompt_encoder of_isa = encoder;
        struct guarded scratch = guarded_make(PROMPT_DENSE_SCRATCH);
        struct guarded dense = guarded_make(SAM_GRID * SAM_DIM);
        of_isa.kernels = kernels_at(i);
        prompt_encoder_dense(&of_isa, logits, scratch.at, dense.at);
        check_close("dense", dense.at, expected, SAM_GRID * SAM_DIM, 16 * ROUNDING * largest, 0);
        guarded_free(&scratch);
        guarded_free(&dense);
    }
    free(expected);
}

/* The first norm sees four values: where they are nearly the same, its epsilon decides. */
START_TEST(dense_embedding_of_a_prior_mask) {
    struct rng rng = {3};
    float *logits = random_floats(&rng, 256 * 256, -6.9, 6.9);
    check_dense(logits);
    for (size_t i = 0; i < 256 * 256; i++)
        logits[i] = i / 256 < 128 ? 6.9067548f : i % 256 < 128 ? 0 : logits[i] * 1e-3f;
    check_dense(logits);
    free(logits);
}
END_TEST

Suite *prompt_encoder_suite(void) {
    Suite *suite = suite_create("prompt_encoder");
    TCase *cases = tcase_create("prompt_encoder");
    tcase_set_timeout(cases, 60);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, positions_of_the_image_embedding);
    tcase_add_test(cases, points_then_a_box_or_the_padding);
    tcase_add_test(cases, corners_of_the_image);
    tcase_add_test(cases, dense_embedding_of_a_prior_mask);
    suite_add_tcase(suite, cases);
    return suite;
}
