/* model_segment: the parts of a prompt's way in order, and the choice of masks. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/sam/mask_upsample.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

enum { WIDTH = 90, HEIGHT = 61 };

static struct model_fixture fixture;
static struct embedding *embedding;

static void set_up(void) {
    struct rng rng = {1};
    model_fixture_make(&fixture, 5);
    embedding = obtain(sizeof *embedding);
    geometry_fit(WIDTH, HEIGHT, 1024, &embedding->geometry);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        embedding->values[i] = naive_to_half((float)rng_between(&rng, -1, 1));
}

static void tear_down(void) {
    free(embedding);
    model_fixture_free(&fixture);
}

/* ---- prompts ----------------------------------------------------------------------------- */

/* A stripe of the image. */
static uint32_t prior_counts[] = {HEIGHT * 20, HEIGHT * 30, HEIGHT * 40};
static const struct mask PRIOR = {HEIGHT, WIDTH, 3, prior_counts};

static struct prompt make_prompt(int points, bool box, bool mask) {
    struct prompt prompt = {
        .point_count = points, .has_box = box, .mask = mask ? &PRIOR : NULL, .box = {5, 6, 70, 50}};
    for (int i = 0; i < points; i++) {
        prompt.points[i][0] = (float)(10 + 20 * i);
        prompt.points[i][1] = (float)(50 - 9 * i);
        prompt.labels[i] = i != 1;
    }
    return prompt;
}

/* ---- one prompt -------------------------------------------------------------------------- */

struct segmenting {
    const struct model *model;
    struct session *session;
    const struct prompt *prompt;
    bool prepare;
    struct segmentation result;
    struct error error;
    enum status status;
};

static void segment(void *argument, struct worker *worker) {
    struct segmenting *at = argument;
    struct prepared *prepared = at->prepare ? model_prepare(at->model, worker, embedding) : NULL;
    at->status = model_segment(at->model, at->session, worker, embedding, prepared, at->prompt,
                               &at->result, &at->error);
    prepared_free(prepared);
}

static struct segmenting run_segment(const struct model *model, const struct prompt *prompt,
                                     bool prepare) {
    struct segmenting at = {.model = model, .prompt = prompt, .prepare = prepare};
    memset(&at.result, 0x55, sizeof at.result);
    ck_assert_int_eq(session_create(model, &at.session, NULL), STATUS_OK);
    run_on_pool(2, model_tile_scratch_bytes(model), segment, &at);
    session_free(at.session);
    return at;
}

static struct segmentation segment_of(const struct model *model, struct prompt prompt,
                                      enum multimask multimask) {
    prompt.multimask = multimask;
    struct segmenting at = run_segment(model, &prompt, false);
    ck_assert_msg(at.status == STATUS_OK, "%s", at.error.message);
    return at.result;
}

static void check_same(const struct segment *found, const struct segment *expected) {
    ck_assert_float_eq(found->predicted_iou, expected->predicted_iou);
    ck_assert_float_eq(found->stability_score, expected->stability_score);
    ck_assert_uint_eq(found->area, expected->area);
    ck_assert_mem_eq(found->bbox, expected->bbox, sizeof found->bbox);
    ck_assert_int_eq(found->mask.width, WIDTH);
    ck_assert_int_eq(found->mask.height, HEIGHT);
    ck_assert_uint_eq(found->mask.count, expected->mask.count);
    ck_assert_mem_eq(found->mask.counts, expected->mask.counts,
                     expected->mask.count * sizeof(uint32_t));
}

/* ---- the parts in order ------------------------------------------------------------------ */

struct parts {
    const struct prompt *prompt;
    float *arena, *logits;
    struct mask_decoder_output output;
};

static unsigned choose_all(const float iou[SAM_MASK_TOKENS], const void *argument) {
    (void)iou, (void)argument;
    return 0xf;
}

static void run_parts(void *argument, struct worker *worker) {
    struct parts *at = argument;
    float *sparse = obtain(SAM_SPARSE_MAX * SAM_DIM * sizeof *sparse);
    float *prior = obtain(SAM_MASK_VALUES * sizeof *prior),
          *scratch = obtain(PROMPT_DENSE_SCRATCH * sizeof *scratch);
    float *dense = obtain(SAM_GRID * SAM_DIM * sizeof *dense);
    struct mask_decoder_input input = {
        .embedding = embedding->values,
        .dense_everywhere = fixture.encoder.no_mask,
        .sparse = sparse,
        .sparse_count =
            prompt_encoder_sparse(&fixture.encoder, &embedding->geometry, at->prompt, sparse),
    };
    if (at->prompt->mask) {
        prior_mask_logits(at->prompt->mask, &embedding->geometry, prior);
        prompt_encoder_dense(&fixture.encoder, prior, scratch, dense);
        input.dense = dense;
    }
    mask_decoder_run(&fixture.decoder, at->arena, worker, &input, choose_all, NULL, &at->output);
    free(sparse);
    free(prior);
    free(scratch);
    free(dense);
}

/* All four masks, without model_segment. */
static void segments_by_parts(const struct prompt *prompt,
                              struct segment segments[SAM_MASK_TOKENS]) {
    struct parts at = {.prompt = prompt};
    at.arena = obtain(mask_decoder_arena_floats() * sizeof *at.arena);
    at.output.logits = obtain(sizeof(float) * SAM_MASK_TOKENS * SAM_MASK_VALUES);
    run_on_pool(2, mask_decoder_tile_scratch_bytes(), run_parts, &at);
    for (size_t i = 0; i < SAM_MASK_TOKENS; i++) {
        ck_assert_int_eq(upsample_mask(at.output.logits + i * SAM_MASK_VALUES, &embedding->geometry,
                                       prompt->threshold, &segments[i], NULL),
                         STATUS_OK);
        segments[i].predicted_iou = at.output.iou[i];
    }
    free(at.arena);
    free(at.output.logits);
}

static const struct {
    int points;
    bool box, mask;
    float threshold;
} PROMPTS[] = {
    {1, false, false, 0}, {3, true, false, 0.5f}, {0, true, true, -0.25f}, {0, false, true, 0}};
enum { PROMPT_COUNT = sizeof PROMPTS / sizeof *PROMPTS };

START_TEST(a_prompt_goes_through_all_parts) {
    struct prompt prompt = make_prompt(PROMPTS[_i].points, PROMPTS[_i].box, PROMPTS[_i].mask);
    struct segment expected[SAM_MASK_TOKENS];
    prompt.threshold = PROMPTS[_i].threshold;
    segments_by_parts(&prompt, expected);
    struct segmentation three = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    struct segmentation one = segment_of(fixture.model, prompt, MULTIMASK_SINGLE);
    ck_assert_int_eq(three.count, 3);
    ck_assert_int_eq(one.count, 1);
    for (int i = 0; i < 3; i++)
        check_same(&three.segments[i], &expected[1 + i]);
    check_same(&one.segments[0], &expected[0]);
    for (int i = 0; i < SAM_MASK_TOKENS; i++) {
        ck_assert_uint_gt(expected[i].mask.count, 3); /* else this shows nothing */
        ck_assert_uint_ne(expected[i].area, expected[(i + 1) % SAM_MASK_TOKENS].area);
        mask_free(&expected[i].mask);
    }
    segmentation_free(&three);
    segmentation_free(&three);
    ck_assert_int_eq(three.count, 0);
    segmentation_free(&one);
}
END_TEST

/* ---- which mask -------------------------------------------------------------------------- */

/* A model that always predicts the single mask best, and of the three this one. */
static struct model *model_with_best(int best) {
    char path[128];
    struct model *model;
    float *bias =
        weights_to_write(&fixture.random, "mask_decoder.iou_prediction_head.layers.2.bias");
    float before[SAM_MASK_TOKENS];
    memcpy(before, bias, sizeof before);
    bias[0] += 20;
    bias[best] += 10;
    snprintf(path, sizeof path, "%s/best.safetensors", fixture.directory);
    model_fixture_write(&fixture, path, MOBILE_SAM_ARCHITECTURE, fixture.random.count);
    memcpy(bias, before, sizeof before);
    ck_assert_int_eq(model_load(path, PRECISION_FP32, &model, NULL), STATUS_OK);
    unlink(path);
    return model;
}

/* A prompt of at most two tokens is ambiguous; a padding point counts when there is no box. */
START_TEST(auto_is_the_best_of_three_for_an_ambiguous_prompt) {
    static const struct {
        int points;
        bool box, mask, ambiguous;
    } prompts[] = {{1, false, false, true}, {2, false, false, false}, {0, true, false, true},
                   {1, true, false, false}, {0, false, true, true},   {1, false, true, true},
                   {5, false, false, false}};
    struct model *model = model_with_best(_i);
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        struct prompt prompt = make_prompt(prompts[i].points, prompts[i].box, prompts[i].mask);
        struct segmentation chosen = segment_of(model, prompt, MULTIMASK_AUTO);
        struct segmentation all =
            segment_of(model, prompt, prompts[i].ambiguous ? MULTIMASK_ALL : MULTIMASK_SINGLE);
        ck_assert_int_eq(chosen.count, 1);
        check_same(&chosen.segments[0], &all.segments[prompts[i].ambiguous ? _i - 1 : 0]);
        segmentation_free(&chosen);
        segmentation_free(&all);
    }
    model_free(model);
}
END_TEST

START_TEST(one_of_the_three_can_be_asked_for) {
    struct prompt prompt = make_prompt(2, true, false);
    struct segmentation three = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    for (int i = 0; i < 3; i++) {
        const enum multimask token = three.segments[i].token;
        struct segmentation one = segment_of(fixture.model, prompt, token);
        ck_assert_int_eq(token, MULTIMASK_FIRST + i);
        ck_assert_int_eq(one.count, 1);
        ck_assert_int_eq(one.segments[0].token, token);
        check_same(&one.segments[0], &three.segments[i]);
        segmentation_free(&one);
    }
    struct segmentation one = segment_of(fixture.model, prompt, MULTIMASK_AUTO);
    ck_assert_int_eq(one.segments[0].token, MULTIMASK_SINGLE);
    segmentation_free(&one);
    segmentation_free(&three);
}
END_TEST

/* ---- low-resolution logits --------------------------------------------------------------- */

/* Of the whole square, also where the image does not reach: 90 x 61 leaves the last rows out. */
START_TEST(logits_are_kept_when_asked_for) {
    struct prompt prompt = make_prompt(1, false, false);
    struct segmentation plain = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    prompt.keep_logits = true;
    struct segmentation kept = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    for (int i = 0; i < 3; i++) {
        struct segment again;
        const float *logits = kept.segments[i].logits;
        ck_assert_ptr_null(plain.segments[i].logits);
        check_same(&kept.segments[i], &plain.segments[i]);
        ck_assert_int_eq(upsample_mask(logits, &embedding->geometry, 0, &again, NULL), STATUS_OK);
        again.predicted_iou = kept.segments[i].predicted_iou;
        check_same(&again, &kept.segments[i]);
        mask_free(&again.mask);
        for (size_t at = LOW_RES_VALUES - LOW_RES_SIDE; at < LOW_RES_VALUES; at++)
            ck_assert_float_ne(logits[at], 0);
    }
    segmentation_free(&plain);
    segmentation_free(&kept);
}
END_TEST

START_TEST(logits_are_a_prior_mask) {
    float *logits = obtain(LOW_RES_VALUES * sizeof *logits);
    struct prompt prompt = make_prompt(2, false, true);
    struct segmentation with_mask = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    prior_mask_logits(&PRIOR, &embedding->geometry, logits);
    prompt.mask = NULL;
    prompt.logits = logits;
    struct segmentation with_logits = segment_of(fixture.model, prompt, MULTIMASK_ALL);
    for (int i = 0; i < 3; i++)
        check_same(&with_logits.segments[i], &with_mask.segments[i]);
    segmentation_free(&with_mask);
    segmentation_free(&with_logits);
    prompt.point_count = 0; /* alone they are enough */
    with_logits = segment_of(fixture.model, prompt, MULTIMASK_SINGLE);
    segmentation_free(&with_logits);
    free(logits);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------ */

static void check_invalid(const struct prompt *prompt, const char *message) {
    struct segmenting at = run_segment(fixture.model, prompt, false);
    ck_assert_int_eq(at.status, STATUS_INVALID);
    ck_assert_str_eq(at.error.message, message);
    ck_assert_int_eq(at.result.count, 0);
    segmentation_free(&at.result);
}

START_TEST(prompts_without_sense_are_refused) {
    struct mask other = {WIDTH, HEIGHT, 3, prior_counts};
    struct prompt prompt = make_prompt(0, false, false);
    check_invalid(&prompt, "a prompt needs points, a box or a mask");
    prompt.point_count = PROMPT_POINTS_MAX + 1;
    check_invalid(&prompt, "65 points; the limit is 64");
    prompt.point_count = -1;
    check_invalid(&prompt, "-1 points; the limit is 64");
    prompt = make_prompt(1, false, false);
    prompt.mask = &other;
    check_invalid(&prompt, "the mask is 61 x 90, the image 90 x 61");
    prompt.mask = &PRIOR;
    prompt.logits = &(float){0};
    check_invalid(&prompt, "a prompt has one prior mask");
}
END_TEST

START_TEST(prepared_or_not) {
    for (int mask = 0; mask < 2; mask++) {
        struct prompt prompt = make_prompt(1, false, mask);
        struct segmenting plain = run_segment(fixture.model, &prompt, false);
        struct segmenting prepared = run_segment(fixture.model, &prompt, true);
        const struct segment *expected = plain.result.segments, *found = prepared.result.segments;
        ck_assert_int_eq(prepared.status, STATUS_OK);
        ck_assert_float_eq_tol(found->predicted_iou, expected->predicted_iou, 1e-5f);
        ck_assert_double_eq_tol((double)found->area, (double)expected->area, WIDTH * HEIGHT / 500.);
        ck_assert(mask == 1 || found->predicted_iou != expected->predicted_iou); /* other sums */
        segmentation_free(&plain.result);
        segmentation_free(&prepared.result);
    }
}
END_TEST

Suite *model_segment_suite(void) {
    Suite *suite = suite_create("model_segment");
    TCase *cases = tcase_create("segment");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, a_prompt_goes_through_all_parts, 0, PROMPT_COUNT);
    tcase_add_loop_test(cases, auto_is_the_best_of_three_for_an_ambiguous_prompt, 1, 4);
    tcase_add_test(cases, one_of_the_three_can_be_asked_for);
    tcase_add_test(cases, logits_are_kept_when_asked_for);
    tcase_add_test(cases, logits_are_a_prior_mask);
    tcase_add_test(cases, prepared_or_not);
    tcase_add_test(cases, prompts_without_sense_are_refused);
    suite_add_tcase(suite, cases);
    return suite;
}
