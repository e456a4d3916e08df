/* The mask decoder, folded and cut into tiles, against the naive one. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/mask_decoder.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/naive_decoder.h"
#include "tests/unit/suites.h"

static struct random_weights fixture;
static struct weights weights;
static struct prompt_encoder encoder;
static struct mask_decoder decoder;
static float *positions; /* [SAM_GRID][SAM_DIM] */

static void set_up(void) {
    engine_init();
    random_weights_make(&fixture, 2);
    weights = (struct weights){.file = fixture.file};
    prompt_encoder_load(&encoder, kernels_best(), &weights);
    mask_decoder_load(&decoder, &encoder, &weights);
    ck_assert(!weights.failed);
    const size_t step = KERNEL_CHANNEL_STEP;
    positions = obtain((size_t)SAM_GRID * SAM_DIM * sizeof *positions);
    for (size_t i = 0; i < SAM_GRID; i++)
        for (size_t c = 0; c < SAM_DIM; c++)
            positions[i * SAM_DIM + c] =
                encoder.position[(i / step * SAM_DIM + c) * step + i % step];
}

static void tear_down(void) {
    free(positions);
    weights_free(&weights);
    random_weights_free(&fixture);
}

/* ---- inputs ------------------------------------------------------------------------------ */

struct inputs {
    uint16_t *embedding;
    float *dense, *sparse;
    struct mask_decoder_input input;
};

static struct inputs random_inputs(uint64_t seed, size_t sparse_count, bool dense) {
    struct rng rng = {seed};
    struct inputs inputs = {.embedding = obtain(EMBEDDING_VALUES * sizeof(uint16_t))};
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        inputs.embedding[i] = naive_to_half((float)rng_between(&rng, -1, 1));
    inputs.sparse = random_floats(&rng, sparse_count * SAM_DIM, -1.5, 1.5);
    inputs.dense = dense ? random_floats(&rng, SAM_GRID * SAM_DIM, -1, 1) : NULL;
    inputs.input = (struct mask_decoder_input){.embedding = inputs.embedding,
                                               .dense = inputs.dense,
                                               .dense_everywhere = encoder.no_mask,
                                               .sparse = inputs.sparse,
                                               .sparse_count = sparse_count};
    return inputs;
}

static void inputs_free(struct inputs *inputs) {
    free(inputs->embedding);
    free(inputs->sparse);
    free(inputs->dense);
}

/* ---- one run ----------------------------------------------------------------------------- */

struct run {
    struct mask_decoder decoder;
    const struct mask_decoder_input *input;
    unsigned wanted;
    struct mask_decoder_output output;
    struct guarded arena, logits;
    float iou_seen[SAM_MASK_TOKENS];
    int choices;
};

static unsigned choose(const float iou[SAM_MASK_TOKENS], const void *argument) {
    struct run *run = *(struct run *const *)argument;
    memcpy(run->iou_seen, iou, sizeof run->iou_seen);
    run->choices++;
    return run->wanted;
}

static void decode(void *argument, struct worker *worker) {
    struct run *run = argument;
    mask_decoder_run(&run->decoder, run->arena.at, worker, run->input, choose, &run, &run->output);
}

/* The arena, the scratch and the logits start as NaN: what is read before it is written shows. */
static struct run decode_with(const struct kernels *kernels, const struct mask_decoder_input *input,
                              unsigned wanted, int workers) {
    struct run run = {.decoder = decoder, .input = input, .wanted = wanted};
    run.decoder.kernels = kernels;
    run.arena = guarded_make(mask_decoder_arena_floats());
    run.logits = guarded_make((size_t)SAM_MASK_TOKENS * SAM_MASK_VALUES);
    run.output.logits = run.logits.at;
    run_on_pool(workers, mask_decoder_tile_scratch_bytes(), decode, &run);
    ck_assert_int_eq(run.choices, 1);
    ck_assert_mem_eq(run.iou_seen, run.output.iou, sizeof run.iou_seen);
    return run;
}

static void run_free(struct run *run) {
    guarded_free(&run->arena);
    guarded_free(&run->logits);
}

/* ---- against the naive decoder ----------------------------------------------------------- */

/* Of the largest value: the roundings of the layers, and the error of the fast GELU. */
static const double IOU_ERROR = 2e-6, LOGIT_ERROR = 2e-6;

/* Borders, corners and some from within. */
static size_t sample_position(struct rng *rng, size_t index) {
    static const size_t corners[] = {0, 63, 64 * 63, 64 * 63 + 63};
    if (index < 4)
        return corners[index];
    size_t row = rng_below(rng, 64), column = rng_below(rng, 64);
    return (index % 3 == 0 ? row / 63 * 63 : row) * 64 +
           (index % 3 == 1 ? column / 63 * 63 : column);
}

static void check_position(const struct run *run, const double logits[SAM_MASK_TOKENS][4][4],
                           size_t position, double largest) {
    for (size_t mask = 0; mask < SAM_MASK_TOKENS; mask++) {
        for (size_t y = 0; y < 4; y++) {
            size_t row = position / 64 * 4 + y, column = position % 64 * 4;
            check_close("logits", run->output.logits + (mask * 256 + row) * 256 + column,
                        logits[mask][y], 4, LOGIT_ERROR * largest, 0);
        }
    }
}

static void check_run(const struct naive_decoder *naive, const struct run *run) {
    enum { SAMPLES = 150 };
    double(*logits)[SAM_MASK_TOKENS][4][4] = obtain(SAMPLES * sizeof *logits);
    size_t sampled[SAMPLES];
    struct rng rng = {5};
    for (size_t i = 0; i < SAMPLES; i++) {
        sampled[i] = sample_position(&rng, i);
        naive_decoder_cell(naive, sampled[i] / 64, sampled[i] % 64, logits[i]);
    }
    double largest = largest_magnitude(&logits[0][0][0][0], SAMPLES * SAM_MASK_TOKENS * 16);
    for (size_t i = 0; i < SAMPLES; i++)
        check_position(run, logits[i], sampled[i], largest);
    for (size_t i = 0; i < (size_t)SAM_MASK_TOKENS * SAM_MASK_VALUES; i++)
        if (!(fabs((double)run->output.logits[i]) < 4 * largest))
            ck_abort_msg("logit %zu is %g", i, (double)run->output.logits[i]);
    check_close("iou", run->output.iou, naive->iou, SAM_MASK_TOKENS,
                IOU_ERROR * largest_magnitude(naive->iou, SAM_MASK_TOKENS), 0);
    free(logits);
}

/* One prompt, with a dense embedding or without. */
struct prompt_case {
    struct inputs inputs;
    struct naive_decoder naive;
};

static void *run_naive(void *argument) {
    struct prompt_case *at = argument;
    naive_decoder_run(&at->naive, &fixture, positions, &at->inputs.input);
    return NULL;
}

struct image_side_job {
    struct mask_decoder decoder;
    const struct mask_decoder_input *input;
    struct image_side *side;
};

static void make_image_side(void *argument, struct worker *worker) {
    struct image_side_job *job = argument;
    mask_decoder_image_side(&job->decoder, worker, job->input, job->side);
}

/* As it is, and with the image side kept. */
static void check_case(const struct prompt_case *at) {
    for (size_t i = 0; kernels_at(i); i++) {
        struct guarded kept = guarded_make(sizeof(struct image_side) / sizeof(float));
        struct mask_decoder_input input = at->inputs.input;
        struct image_side_job job = {decoder, &input, (struct image_side *)kept.at};
        job.decoder.kernels = kernels_at(i);
        struct run run = decode_with(kernels_at(i), &input, 0xf, 1);
        check_run(&at->naive, &run);
        run_free(&run);
        if (!input.dense) /* otherwise it is not used, and stays NaN */
            run_on_pool(2, mask_decoder_tile_scratch_bytes(), make_image_side, &job);
        input.image_side = job.side;
        run = decode_with(kernels_at(i), &input, 0xf, 1);
        check_run(&at->naive, &run);
        run_free(&run);
        guarded_free(&kept);
    }
}

static const size_t POINTS[] = {1, 2, 7, 11, 12, 64};
enum { POINTS_COUNT = sizeof POINTS / sizeof *POINTS };

/* Points, and the padding point that goes with them. The naive decoder takes its time: two at once.
 */
START_TEST(folded_is_the_same_as_unfolded) {
    struct prompt_case cases[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        cases[i].inputs = random_inputs((uint64_t)(2 * _i + i), POINTS[_i] + 1, i == 1);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_naive, &cases[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        check_case(&cases[i]);
        naive_decoder_free(&cases[i].naive);
        inputs_free(&cases[i].inputs);
    }
}
END_TEST

/* ---- the rest ---------------------------------------------------------------------------- */

/* The most tokens that there can be: 64 points and a box. */
START_TEST(any_number_of_workers_gives_the_same) {
    struct inputs inputs = random_inputs(7, SAM_SPARSE_MAX, false);
    struct run alone = decode_with(kernels_best(), &inputs.input, 0xf, 1);
    struct run together = decode_with(kernels_best(), &inputs.input, 0xf, 4);
    size_t bytes = (size_t)SAM_MASK_TOKENS * SAM_MASK_VALUES * sizeof(float);
    ck_assert_mem_eq(alone.output.iou, together.output.iou, sizeof alone.output.iou);
    ck_assert_mem_eq(alone.output.logits, together.output.logits, bytes);
    run_free(&alone);
    run_free(&together);
    inputs_free(&inputs);
}
END_TEST

START_TEST(only_the_wanted_masks_are_made) {
    static const unsigned choices[] = {0x0, 0x1, 0x2, 0x8, 0xe, 0x5};
    struct inputs inputs = random_inputs(8, 2, false);
    struct run all = decode_with(kernels_best(), &inputs.input, 0xf, 1);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct run some = decode_with(kernels_best(), &inputs.input, choices[i], 1);
        ck_assert_mem_eq(some.output.iou, all.output.iou, sizeof all.output.iou);
        for (size_t mask = 0; mask < SAM_MASK_TOKENS; mask++) {
            for (size_t j = mask * SAM_MASK_VALUES; j < (mask + 1) * SAM_MASK_VALUES; j++) {
                float found = some.output.logits[j], expected = all.output.logits[j];
                bool wanted = choices[i] >> mask & 1;
                if (wanted ? !(fabsf(found - expected) <= 1e-6f * fabsf(expected) + 1e-7f)
                           : !isnan(found))
                    ck_abort_msg("choice %x, logit %zu is %g", choices[i], j, (double)found);
            }
        }
        run_free(&some);
    }
    run_free(&all);
    inputs_free(&inputs);
}
END_TEST

/* Fewer candidates leave out tokens that nobody asks: what is left is the same but for roundings,
 * for other rows share a block. */
START_TEST(candidates_do_not_change_the_masks) {
    static const unsigned candidates[] = {0x1, 0x8, 0xe};
    struct inputs inputs = random_inputs(9, 3, false);
    struct run all = decode_with(kernels_best(), &inputs.input, 0xf, 1);
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        inputs.input.candidates = candidates[i];
        struct run some = decode_with(kernels_best(), &inputs.input, candidates[i], 1);
        for (size_t mask = 0; mask < SAM_MASK_TOKENS; mask++) {
            const size_t from = mask * SAM_MASK_VALUES;
            double *expected = doubles_of(all.output.logits + from, SAM_MASK_VALUES);
            double largest = largest_magnitude(expected, SAM_MASK_VALUES);
            ck_assert_float_eq_tol(some.output.iou[mask], all.output.iou[mask], 1e-6f);
            if (candidates[i] >> mask & 1)
                check_close("logits", some.output.logits + from, expected, SAM_MASK_VALUES,
                            1e-6 * largest, 0);
            free(expected);
        }
        run_free(&some);
    }
    run_free(&all);
    inputs_free(&inputs);
}
END_TEST

START_TEST(only_the_looked_at_logits_are_made) {
    static const size_t sizes[][2] = {{1, 256}, {174, 256}, {256, 3}, {256, 130}, {9, 255}, {0, 0}};
    struct inputs inputs = random_inputs(10, 2, false);
    struct run all = decode_with(kernels_best(), &inputs.input, 0x6, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t height = sizes[i][0], width = sizes[i][1];
        inputs.input.height = height, inputs.input.width = width;
        struct run some = decode_with(kernels_best(), &inputs.input, 0x6, 2);
        for (size_t j = SAM_MASK_VALUES; j < 3 * (size_t)SAM_MASK_VALUES; j++) {
            float found = some.output.logits[j], expected = all.output.logits[j];
            bool looked_at = height == 0 || (j / 256 % 256 < height && j % 256 < width);
            if (looked_at ? found != expected : found != expected && found != 0)
                ck_abort_msg("size %zu, logit %zu is %g", i, j, (double)found);
        }
        run_free(&some);
    }
    run_free(&all);
    inputs_free(&inputs);
}
END_TEST

Suite *mask_decoder_suite(void) {
    Suite *suite = suite_create("mask_decoder");
    TCase *cases = tcase_create("mask_decoder");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, folded_is_the_same_as_unfolded, 0, POINTS_COUNT);
    tcase_add_test(cases, any_number_of_workers_gives_the_same);
    tcase_add_test(cases, only_the_wanted_masks_are_made);
    tcase_add_test(cases, candidates_do_not_change_the_masks);
    tcase_add_test(cases, only_the_looked_at_logits_are_made);
    suite_add_tcase(suite, cases);
    return suite;
}
