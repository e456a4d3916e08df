/* point_decoder against mask_decoder: the same results by other sums. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/point_decoder.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/weights_fixture.h"
#include "tests/unit/suites.h"

static struct random_weights fixture;
static struct weights weights;
static struct prompt_encoder encoder;
static struct mask_decoder decoder;
static uint16_t *embedding;

static void set_up(void) {
    struct rng rng = {6};
    engine_init();
    random_weights_make(&fixture, 3);
    weights = (struct weights){.file = fixture.file};
    prompt_encoder_load(&encoder, kernels_best(), &weights);
    mask_decoder_load(&decoder, &encoder, &weights);
    ck_assert(!weights.failed);
    embedding = obtain(EMBEDDING_VALUES * sizeof *embedding);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        embedding[i] = naive_to_half((float)rng_between(&rng, -1, 1));
}

static void tear_down(void) {
    free(embedding);
    weights_free(&weights);
    random_weights_free(&fixture);
}

/* ---- both ways --------------------------------------------------------------------------- */

struct run {
    struct mask_decoder decoder;
    struct point_batch batch;
    unsigned wanted;
    float iou[POINT_BATCH][SAM_MASK_TOKENS], iou_alone[POINT_BATCH][SAM_MASK_TOKENS];
    float *logits[POINT_BATCH], *alone[POINT_BATCH]; /* of all masks */
};

static unsigned choose(const float iou[SAM_MASK_TOKENS], const void *argument) {
    (void)iou;
    return *(const unsigned *)argument;
}

static void decode(void *argument, struct worker *worker) {
    const size_t bytes = sizeof(float) * SAM_MASK_TOKENS * SAM_MASK_VALUES;
    struct run *run = argument;
    struct point_memory *memory = point_memory_create();
    struct point_terms *terms = point_terms_make(&run->decoder, worker, embedding, encoder.no_mask);
    float *arena = obtain(mask_decoder_arena_floats() * sizeof *arena);
    point_decoder_run(&run->decoder, terms, memory, worker, &run->batch, run->iou);
    for (size_t i = 0; i < run->batch.count; i++) {
        run->logits[i] = obtain(bytes);
        run->alone[i] = obtain(bytes);
        memcpy(run->logits[i], point_decoder_upscale(terms, memory, worker, i, run->wanted), bytes);
        const struct mask_decoder_input input = {
            .embedding = embedding,
            .dense_everywhere = encoder.no_mask,
            .sparse = run->batch.tokens[i][0],
            .sparse_count = 2,
            .candidates = 0xe,
            .height = run->batch.height,
            .width = run->batch.width,
        };
        struct mask_decoder_output output = {.logits = run->alone[i]};
        mask_decoder_run(&run->decoder, arena, worker, &input, choose, &run->wanted, &output);
        memcpy(run->iou_alone[i], output.iou, sizeof output.iou);
    }
    free(arena);
    point_terms_free(terms);
    point_memory_free(memory);
}

static void check_points(const struct kernels *kernels, size_t count, unsigned wanted,
                         size_t height, size_t width) {
    const size_t scratch = mask_decoder_tile_scratch_bytes() > point_terms_scratch_bytes()
                               ? mask_decoder_tile_scratch_bytes()
                               : point_terms_scratch_bytes();
    struct run *run = obtain(sizeof *run);
    struct rng rng = {count};
    *run = (struct run){.decoder = decoder,
                        .batch = {.count = count, .height = height, .width = width},
                        .wanted = wanted};
    run->decoder.kernels = kernels;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 2 * SAM_DIM; c++)
            run->batch.tokens[i][c / SAM_DIM][c % SAM_DIM] = (float)rng_between(&rng, -1.5, 1.5);
    run_on_pool(2, scratch, decode, run);
    for (size_t i = 0; i < count; i++) {
        for (size_t token = 1; token < SAM_MASK_TOKENS; token++) {
            const size_t from = token * SAM_MASK_VALUES;
            ck_assert_float_eq_tol(run->iou[i][token], run->iou_alone[i][token], 2e-6f);
            if (!(wanted >> token & 1))
                continue;
            double *alone = doubles_of(run->alone[i] + from, SAM_MASK_VALUES);
            const double largest = largest_magnitude(alone, SAM_MASK_VALUES);
            ck_assert_double_gt(largest, 0);
            check_close("logits", run->logits[i] + from, alone, SAM_MASK_VALUES, 1e-5 * largest, 0);
            free(alone);
        }
        free(run->logits[i]);
        free(run->alone[i]);
    }
    free(run);
}

START_TEST(points_are_prompts) {
    check_points(isa_at(_i), 1 + (size_t)_i % 2, 1u << 1 | 1u << 3, 0, 0);
}
END_TEST

/* More points than take turns, in a batch that is not full or is; a part of the square. */
START_TEST(batches_of_every_kind) {
    check_points(kernels_best(), 3, 1u << 2, 100, 256);
    check_points(kernels_best(), 5, 1u << 1 | 1u << 2 | 1u << 3, 256, 70);
    check_points(kernels_best(), POINT_BATCH, 1u << 3, 0, 0);
}
END_TEST

Suite *point_decoder_suite(void) {
    Suite *suite = suite_create("point_decoder");
    TCase *cases = tcase_create("points");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    add_isa_test(cases, points_are_prompts);
    tcase_add_test(cases, batches_of_every_kind);
    suite_add_tcase(suite, cases);
    return suite;
}
