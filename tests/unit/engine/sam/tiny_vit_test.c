/* TinyViT, stage by stage, against modeling/tiny_vit_sam.py of MobileSAM in double precision, at
 * some of the positions: a whole naive encoder takes minutes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/sam/tiny_vit_layers.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/naive_vit.h"
#include "tests/unit/suites.h"

static struct random_weights fixture;
static struct weights weights;
static struct tiny_vit best;

static void set_up(void) {
    engine_init();
    random_weights_make(&fixture, 3);
    weights = (struct weights){.file = fixture.file};
    tiny_vit_load(&best, kernels_best(), false, &weights);
    ck_assert(!weights.failed);
}

static void tear_down(void) {
    weights_free(&weights);
    random_weights_free(&fixture);
}

/* ---- positions --------------------------------------------------------------------------- */

enum { SAMPLES = 60, CHANNELS_MAX = 320 };

/* What is expected at some positions of an output [side][side][channels]. */
struct samples {
    size_t side, channels;
    size_t y[SAMPLES], x[SAMPLES];
    double expected[SAMPLES][CHANNELS_MAX];
};

/* The corners, then borders, their neighbours, and any. */
static struct samples *choose_samples(size_t side, size_t channels) {
    struct samples *samples = obtain(sizeof *samples);
    struct rng rng = {side + channels};
    samples->side = side;
    samples->channels = channels;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t near[4] = {0, side - 1, 1, side - 2}, any = rng_below(&rng, side);
        samples->y[i] = i < 4 ? near[i / 2] : i < 20 ? near[i % 4] : any;
        samples->x[i] = i < 4    ? near[i % 2]
                        : i < 20 ? any
                        : i < 36 ? near[i % 4]
                                 : rng_below(&rng, side);
    }
    return samples;
}

/* Errors are measured by the largest value of all. */
static void check_samples(const char *what, const struct samples *samples, const float *output,
                          double tolerance) {
    double largest = 0;
    for (size_t i = 0; i < SAMPLES; i++)
        largest = fmax(largest, largest_magnitude(samples->expected[i], samples->channels));
    for (size_t i = 0; i < SAMPLES; i++) {
        char where[96];
        snprintf(where, sizeof where, "%s, row %zu, column %zu", what, samples->y[i],
                 samples->x[i]);
        check_close(where,
                    output + (samples->y[i] * samples->side + samples->x[i]) * samples->channels,
                    samples->expected[i], samples->channels, tolerance * largest, 0);
    }
}

/* ---- running a stage --------------------------------------------------------------------- */

struct run {
    struct tiny_vit vit;
    const struct image *image;
    size_t index, block; /* which MBConv, merge or stage; which block of it */
    float *input, *output;
};

/* Runs the stage with every instruction set and checks the positions. */
static void check_stage(const char *what, void (*stage)(void *run, struct worker *worker),
                        struct run run, size_t input_count, const struct samples *samples,
                        double tolerance) {
    const float *input = run.input;
    for (size_t i = 0; kernels_at(i); i++) {
        struct guarded output = guarded_make(samples->side * samples->side * samples->channels);
        run.vit = best;
        run.vit.kernels = kernels_at(i);
        run.input = input ? copy_floats(input, input_count) : NULL;
        run.output = output.at;
        int workers = kernels_at(i + 1) ? 2 : 1; /* with one, the scratch's end is checked */
        run_on_pool(workers, tiny_vit_tile_scratch_bytes(), stage, &run);
        check_samples(what, samples, output.at, tolerance);
        free(run.input);
        guarded_free(&output);
    }
}

/* Small values: the norms' epsilon is seen. */
static struct naive_layer random_layer(const char *module, size_t side, size_t channels,
                                       size_t outputs) {
    struct rng rng = {side + channels + outputs};
    float *input = random_floats(&rng, side * side * channels, -0.06, 0.06);
    return (struct naive_layer){&fixture, module, input, side, channels, outputs};
}

/* ---- the stages -------------------------------------------------------------------------- */

static struct image random_image(int width, int height) {
    struct rng rng = {(uint64_t)(width + 3 * height)};
    size_t bytes = (size_t)width * (size_t)height * 3;
    struct image image = {.width = width, .height = height, .rgb = obtain(bytes)};
    for (size_t i = 0; i < bytes; i++)
        image.rgb[i] = (uint8_t)rng_bits(&rng);
    return image;
}

static void run_patch_embed(void *argument, struct worker *worker) {
    struct run *run = argument;
    struct repeats repeats;
    tiny_vit_patch_embed(&run->vit, worker, run->image, &repeats, run->output);
}

START_TEST(patch_embed_of_images) {
    static const int sizes[][2] = {{1024, 683}, {517, 1024}, {1, 1024}, {1024, 1}, {7, 9}};
    struct image image = random_image(sizes[_i][0], sizes[_i][1]);
    struct samples *samples = choose_samples(256, 64);
    for (size_t i = 0; i < SAMPLES; i++) {
        if (i % 2 && i >= 4) /* where the image ends */
            samples->y[i] = min_size((size_t)image.height / 4 + i % 3, 255);
        if (i % 3 && i >= 4)
            samples->x[i] = min_size((size_t)image.width / 4 + i % 2, 255);
        naive_patch_embed(&fixture, &image, samples->y[i], samples->x[i], samples->expected[i]);
    }
    check_stage("patch_embed", run_patch_embed, (struct run){.image = &image}, 0, samples, 1e-6);
    free(samples);
    image_free(&image);
}
END_TEST

static void run_mbconv(void *argument, struct worker *worker) {
    struct run *run = argument;
    struct repeats none = {0};
    tiny_vit_mbconv(&run->vit, &run->vit.mbconv[run->index], worker, &none, run->input,
                    run->output);
}

static void run_merge(void *argument, struct worker *worker) {
    struct run *run = argument;
    struct repeats none = {0};
    tiny_vit_mbconv(&run->vit, &run->vit.merges[run->index], worker, &none, run->input,
                    run->output);
}

START_TEST(mbconv_of_the_first_layer) {
    char module[64];
    snprintf(module, sizeof module, "layers.0.blocks.%d", _i);
    struct naive_layer layer = random_layer(module, 256, 64, 64);
    struct samples *samples = choose_samples(256, 64);
    for (size_t i = 0; i < SAMPLES; i++)
        naive_mbconv(&layer, 256, 1, true, samples->y[i], samples->x[i], samples->expected[i]);
    check_stage(module, run_mbconv,
                (struct run){.index = (size_t)_i, .input = (float *)layer.input}, 256 * 256 * 64,
                samples, 1e-6);
    free(samples);
    free((float *)layer.input);
}
END_TEST

START_TEST(patch_merging) {
    static const size_t sides[] = {256, 128, 64, 64}, channels[] = {64, 128, 160, 320};
    char module[64];
    snprintf(module, sizeof module, "layers.%d.downsample", _i);
    size_t side = sides[_i], c = channels[_i], out = channels[_i + 1];
    struct naive_layer layer = random_layer(module, side, c, out);
    struct samples *samples = choose_samples(sides[_i + 1], out);
    for (size_t i = 0; i < SAMPLES; i++)
        naive_mbconv(&layer, out, side / sides[_i + 1], false, samples->y[i], samples->x[i],
                     samples->expected[i]);
    check_stage(module, run_merge, (struct run){.index = (size_t)_i, .input = (float *)layer.input},
                side * side * c, samples, 1e-6);
    free(samples);
    free((float *)layer.input);
}
END_TEST

static void run_block(void *argument, struct worker *worker) {
    struct run *run = argument;
    struct vit_stage *stage = &run->vit.stages[run->index];
    struct repeats none = {0};
    tiny_vit_block(&run->vit, stage, &stage->blocks[run->block], worker, &none, run->input,
                   run->output);
}

/* The windows of the last row and column reach beyond the image: 133, 70 and 70 positions. */
START_TEST(attention_blocks) {
    static const struct {
        size_t side, channels, heads, window, block;
    } stages[] = {{128, 128, 4, 7, 0}, {64, 160, 5, 14, 3}, {64, 320, 10, 7, 1}};
    size_t side = stages[_i].side, c = stages[_i].channels;
    char module[64];
    snprintf(module, sizeof module, "layers.%d.blocks.%zu", _i + 1, stages[_i].block);
    struct naive_layer layer = random_layer(module, side, c, c);
    struct naive_block block = naive_block_make(&layer, stages[_i].heads, stages[_i].window);
    struct samples *samples = choose_samples(side, c);
    for (size_t i = 0; i < SAMPLES; i++)
        naive_block_at(&block, samples->y[i], samples->x[i], samples->expected[i]);
    check_stage(
        module, run_block,
        (struct run){.index = (size_t)_i, .block = stages[_i].block, .input = (float *)layer.input},
        side * side * c, samples, 1e-6);
    naive_block_free(&block);
    free(samples);
    free((float *)layer.input);
}
END_TEST

static void run_neck(void *argument, struct worker *worker) {
    struct run *run = argument;
    struct guarded between = guarded_make(64 * 66 * 256);
    tiny_vit_neck(&run->vit, worker, run->input, between.at, run->output, NULL);
    guarded_free(&between);
}

START_TEST(the_neck) {
    struct naive_layer layer = random_layer("neck", 64, 320, 256);
    struct samples *samples = choose_samples(64, 256);
    for (size_t i = 0; i < SAMPLES; i++)
        naive_neck(&layer, samples->y[i], samples->x[i], samples->expected[i]);
    check_stage("neck", run_neck, (struct run){.input = (float *)layer.input}, 64 * 64 * 320,
                samples, 1e-6);
    free(samples);
    free((float *)layer.input);
}
END_TEST

/* ---- the encoder ------------------------------------------------------------------------- */

static void run_encoder(void *argument, struct worker *worker) {
    struct run *run = argument;
    tiny_vit_encode(&run->vit, run->input, worker, run->image, run->output, NULL);
}

/* TinyViT.forward_features, from the stages that the other tests check; input has room for two of
 * the largest layers. */
static void run_stages(void *argument, struct worker *worker) {
    struct run *run = argument;
    const struct tiny_vit *vit = &run->vit;
    float *a = run->input, *b = run->input + 256 * 256 * 64;
    struct repeats none = {
        0}; /* everything is computed; the encoder copies what the padding repeats */
    tiny_vit_patch_embed(vit, worker, run->image, &none, a);
    none = (struct repeats){0};
    tiny_vit_mbconv(vit, &vit->mbconv[0], worker, &none, a, b);
    tiny_vit_mbconv(vit, &vit->mbconv[1], worker, &none, b, a);
    tiny_vit_mbconv(vit, &vit->merges[0], worker, &none, a, b);
    tiny_vit_block(vit, &vit->stages[0], &vit->stages[0].blocks[0], worker, &none, b, a);
    tiny_vit_block(vit, &vit->stages[0], &vit->stages[0].blocks[1], worker, &none, a, b);
    tiny_vit_mbconv(vit, &vit->merges[1], worker, &none, b, a);
    for (size_t i = 0; i < 6; i += 2) {
        tiny_vit_block(vit, &vit->stages[1], &vit->stages[1].blocks[i], worker, &none, a, b);
        tiny_vit_block(vit, &vit->stages[1], &vit->stages[1].blocks[i + 1], worker, &none, b, a);
    }
    tiny_vit_mbconv(vit, &vit->merges[2], worker, &none, a, b);
    tiny_vit_block(vit, &vit->stages[2], &vit->stages[2].blocks[0], worker, &none, b, a);
    tiny_vit_block(vit, &vit->stages[2], &vit->stages[2].blocks[1], worker, &none, a, b);
    run->input = b;
    run_neck(run, worker);
}

/* To the bit, though the encoder does not compute what repeats in the padding. */
START_TEST(the_encoder_is_its_stages_in_order) {
    static const int sizes[][2] = {{1024, 1024}, {1024, 683}, {767, 1024}, {1024, 1}, {130, 1024}};
    struct image image = random_image(sizes[_i][0], sizes[_i][1]);
    struct guarded arena = guarded_make(tiny_vit_arena_floats()),
                   layers = guarded_make(2 * 256 * 256 * 64);
    struct guarded embedding = guarded_make(64 * 64 * 256), expected = guarded_make(64 * 64 * 256);
    struct run encoder = {best, &image, 0, 0, arena.at, embedding.at};
    struct run stages = {best, &image, 0, 0, layers.at, expected.at};
    run_on_pool(2, tiny_vit_tile_scratch_bytes(), run_encoder, &encoder);
    run_on_pool(3, tiny_vit_tile_scratch_bytes(), run_stages, &stages);
    for (size_t i = 0; i < embedding.count; i++)
        if (embedding.at[i] != expected.at[i])
            ck_abort_msg("value %zu is %g, not %g", i, (double)embedding.at[i],
                         (double)expected.at[i]);
    guarded_free(&arena);
    guarded_free(&layers);
    guarded_free(&embedding);
    guarded_free(&expected);
    image_free(&image);
}
END_TEST

static double norm_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* bfloat16 has eight bits: near, but not the same. */
START_TEST(bf16_is_near_fp32) {
    struct image image = random_image(1024, 768);
    struct guarded arena = guarded_make(tiny_vit_arena_floats());
    struct guarded rounded = guarded_make(64 * 64 * 256), exact = guarded_make(64 * 64 * 256);
    struct run run = {best, &image, 0, 0, arena.at, exact.at};
    run_on_pool(2, tiny_vit_tile_scratch_bytes(), run_encoder, &run);
    tiny_vit_load(&run.vit, kernels_best(), true, &weights);
    ck_assert(!weights.failed);
    run.output = rounded.at;
    run_on_pool(2, tiny_vit_tile_scratch_bytes(), run_encoder, &run);
    for (size_t i = 0; i < exact.count; i++)
        rounded.at[i] -= exact.at[i];
    double apart = norm_of(rounded.at, exact.count) / norm_of(exact.at, exact.count);
    ck_assert_msg(apart > 1e-4 && apart < 0.02, "%g of the norm", apart);
    guarded_free(&arena);
    guarded_free(&rounded);
    guarded_free(&exact);
    image_free(&image);
}
END_TEST

Suite *tiny_vit_suite(void) {
    Suite *suite = suite_create("tiny_vit");
    TCase *cases = tcase_create("tiny_vit");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, patch_embed_of_images, 0, 5);
    tcase_add_loop_test(cases, mbconv_of_the_first_layer, 0, 2);
    tcase_add_loop_test(cases, patch_merging, 0, 3);
    tcase_add_loop_test(cases, attention_blocks, 0, 3);
    tcase_add_test(cases, the_neck);
    tcase_add_test(cases, bf16_is_near_fp32);
    tcase_add_loop_test(cases, the_encoder_is_its_stages_in_order, 0, 5);
    suite_add_tcase(suite, cases);
    return suite;
}
