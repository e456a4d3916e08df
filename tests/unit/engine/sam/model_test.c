/* engine.h's model: loading, and how it puts its parts together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/sam/tiny_vit.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

/* ---- geometry ---------------------------------------------------------------------------- */

/* width, height and what Python makes of them: int(side * (1024 * 1.0 / max(w, h)) + 0.5), but not
 * less than 1. The last eight are sizes where floats instead of doubles would be one off. */
static const int GEOMETRIES[][4] = {
    {1, 1, 1024, 1024},        {1024, 1024, 1024, 1024},   {1024, 1, 1024, 1},
    {1, 1024, 1, 1024},        {1, 5000, 1, 1024},         {2049, 1, 1024, 1},
    {2047, 1, 1024, 1},        {2048, 1, 1024, 1},         {3, 2, 1024, 683},
    {1800, 1200, 1024, 683},   {1200, 1800, 683, 1024},    {640, 427, 1024, 683},
    {427, 640, 683, 1024},     {4000, 3000, 1024, 768},    {3840, 2160, 1024, 576},
    {1920, 1080, 1024, 576},   {32767, 32767, 1024, 1024}, {32767, 16, 1024, 1},
    {32767, 15, 1024, 1},      {1023, 1024, 1023, 1024},   {1025, 1024, 1024, 1023},
    {999, 777, 1024, 796},     {2250, 1500, 1024, 683},    {1500, 2250, 683, 1024},
    {2048, 1559, 1024, 780},   {2048, 1443, 1024, 722},    {4096, 218, 1024, 55},
    {2048, 1219, 1024, 610},   {4096, 3206, 1024, 802},    {2048, 1447, 1024, 724},
    {4096, 2766, 1024, 692},   {2048, 1137, 1024, 569},    {2048, 655, 1024, 328},
    {2048, 831, 1024, 416},    {2048, 661, 1024, 331},     {4096, 1354, 1024, 339},
    {4321, 8438, 524, 1024},   {4269, 6099, 717, 1024},    {6279, 6984, 921, 1024},
    {1174, 4948, 243, 1024},   {1520, 4923, 316, 1024},    {1696, 426, 1024, 257},
    {8153, 4390, 1024, 551},   {1317, 180, 1024, 140},     {673, 1745, 395, 1024},
    {5553, 2141, 1024, 395},   {8841, 8391, 1024, 972},    {3781, 7304, 530, 1024},
    {5871, 7951, 756, 1024},   {1354, 4511, 307, 1024},    {163, 6586, 25, 1024},
    {6826, 6951, 1006, 1024},  {8396, 8957, 960, 1024},    {1762, 7212, 250, 1024},
    {4922, 1580, 1024, 329},   {4811, 3879, 1024, 826},    {24221, 23334, 1024, 986},
    {15841, 12136, 1024, 784}, {32671, 17851, 1024, 559},  {21171, 11857, 1024, 573},
    {24399, 23434, 1024, 983}, {30294, 28445, 1024, 961},  {28638, 25268, 1024, 903},
    {31613, 23046, 1024, 746},
};

START_TEST(geometry_is_pythons) {
    for (size_t i = 0; i < sizeof GEOMETRIES / sizeof *GEOMETRIES; i++) {
        const int *row = GEOMETRIES[i];
        struct geometry geometry;
        geometry_fit(row[0], row[1], 1024, &geometry);
        ck_assert_int_eq(geometry.width, row[0]);
        ck_assert_int_eq(geometry.height, row[1]);
        ck_assert_msg(geometry.scaled_width == row[2] && geometry.scaled_height == row[3],
                      "%d x %d became %d x %d", row[0], row[1], geometry.scaled_width,
                      geometry.scaled_height);
    }
}
END_TEST

static struct model_fixture fixture;

static void set_up(void) {
    model_fixture_make(&fixture, 4);
}

static void tear_down(void) {
    model_fixture_free(&fixture);
}

/* ---- loading ----------------------------------------------------------------------------- */

START_TEST(a_model_tells_what_it_is) {
    const struct model_info *info = model_info(fixture.model);
    char sha256[65];
    safetensors_data_sha256(fixture.file, sha256);
    ck_assert_str_eq(info->name, "random.model");
    ck_assert_str_eq(info->architecture, "mobile_sam");
    ck_assert_str_eq(info->licence, "CC0-1.0");
    ck_assert_str_eq(info->weights_sha256, sha256);
    ck_assert_uint_eq(info->parameter_count, 9803780);
    ck_assert_int_eq(info->input_size, 1024);
    ck_assert_uint_ge(model_tile_scratch_bytes(fixture.model), tiny_vit_tile_scratch_bytes());
    ck_assert_uint_ge(model_tile_scratch_bytes(fixture.model), mask_decoder_tile_scratch_bytes());
    ck_assert_str_eq(engine_kernel_isa(), kernels_best()->isa);
    ck_assert_str_ne(engine_blas_core(), "");
    model_free(NULL);
}
END_TEST

static void check_refused(const char *path, enum status status, const char *message) {
    struct model *loaded = fixture.model;
    struct error error = {0};
    ck_assert_int_eq(model_load(path, PRECISION_FP32, &loaded, &error), status);
    ck_assert_msg(strstr(error.message, message), "%s", error.message);
    ck_assert_ptr_null(loaded);
}

static void damage_last_byte(const char *path) {
    FILE *stream = fopen(path, "r+");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(fseek(stream, -1, SEEK_END), 0);
    int last = fgetc(stream);
    ck_assert_int_eq(fseek(stream, -1, SEEK_END), 0);
    ck_assert_int_ne(fputc(last ^ 1, stream), EOF);
    ck_assert_int_eq(fclose(stream), 0);
}

START_TEST(what_is_no_model_is_refused) {
    size_t count = fixture.random.count;
    char path[128];
    snprintf(path, sizeof path, "%s/other.safetensors", fixture.directory);
    check_refused(path, STATUS_IO, "No such file");
    model_fixture_write(&fixture, path, NULL, count);
    check_refused(path, STATUS_UNSUPPORTED, "the architecture is not named");
    model_fixture_write(&fixture, path, "sam_vit_h", count);
    check_refused(path, STATUS_UNSUPPORTED, "the architecture is sam_vit_h");
    model_fixture_write(&fixture, path, MOBILE_SAM_ARCHITECTURE, count - 1);
    check_refused(path, STATUS_INVALID, "is missing");
    model_fixture_write(&fixture, path, MOBILE_SAM_ARCHITECTURE, count);
    damage_last_byte(path);
    check_refused(path, STATUS_INVALID, "the weights are damaged");
    unlink(path);
}
END_TEST

/* ---- encoding ---------------------------------------------------------------------------- */

struct encoding {
    struct session *session;
    struct tiny_vit vit;
    struct image image;
    struct geometry geometry;
    struct embedding *embedding;
    float *arena, *values;
};

static void encode(void *argument, struct worker *worker) {
    struct encoding *at = argument;
    model_encode(fixture.model, at->session, worker, &at->image, &at->geometry, at->embedding);
    session_trim(at->session, TRIM_ALL);
    tiny_vit_encode(&at->vit, at->arena, worker, &at->image, at->values, NULL);
}

START_TEST(an_embedding_is_the_encoders_in_halves) {
    struct rng rng = {1};
    struct encoding at = {.embedding = obtain(sizeof *at.embedding)};
    geometry_fit(400, 300, 1024, &at.geometry);
    at.image = (struct image){1024, 768, obtain(1024 * 768 * 3)};
    for (size_t i = 0; i < 1024 * 768 * 3; i++)
        at.image.rgb[i] = (uint8_t)rng_bits(&rng);
    at.arena = obtain(tiny_vit_arena_floats() * sizeof *at.arena);
    at.values = obtain(EMBEDDING_VALUES * sizeof *at.values);
    tiny_vit_load(&at.vit, kernels_best(), false, &fixture.weights);
    ck_assert_int_eq(session_create(fixture.model, &at.session, NULL), STATUS_OK);
    run_on_pool(2, model_tile_scratch_bytes(fixture.model), encode, &at);
    ck_assert_mem_eq(&at.embedding->geometry, &at.geometry, sizeof at.geometry);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        if (at.embedding->values[i] != naive_to_half(at.values[i]))
            ck_abort_msg("value %zu is %04x, not half of %g", i, at.embedding->values[i],
                         (double)at.values[i]);
    session_free(at.session);
    session_free(NULL);
    image_free(&at.image);
    free(at.embedding);
    free(at.arena);
    free(at.values);
}
END_TEST

Suite *model_suite(void) {
    Suite *suite = suite_create("model");
    TCase *geometry = tcase_create("geometry");
    tcase_add_test(geometry, geometry_is_pythons);
    suite_add_tcase(suite, geometry);
    TCase *cases = tcase_create("model");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_model_tells_what_it_is);
    tcase_add_test(cases, what_is_no_model_is_refused);
    tcase_add_test(cases, an_embedding_is_the_encoders_in_halves);
    suite_add_tcase(suite, cases);
    return suite;
}
