/* Embeddings in the original's layout. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/unit/suites.h"

enum { ONE = 0x3c00, SMALLEST = 0x0001, LARGEST = 0x7bff, INFINITE = 0x7c00, NAN_HALF = 0xfe01 };

static const struct geometry GEOMETRY = {200, 100, 1024, 512};

static struct embedding *embedding, *again;
static void *planes;

static void set_up(void) {
    embedding = malloc(sizeof *embedding);
    again = malloc(sizeof *again);
    planes = malloc(EMBEDDING_VALUES * sizeof(float));
    ck_assert(embedding && again && planes);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++) /* every finite half occurs */
        embedding->values[i] = (uint16_t)(i * 31 % INFINITE | (i & 1) << 15);
    embedding->geometry = again->geometry = GEOMETRY;
}

static void tear_down(void) {
    free(embedding);
    free(again);
    free(planes);
}

START_TEST(channels_become_planes) {
    const uint16_t *halves = planes;
    embedding_write(embedding, EMBEDDING_FLOAT16, planes);
    for (size_t channel = 0; channel < EMBEDDING_CHANNELS; channel++)
        for (size_t row = 0; row < EMBEDDING_SIDE; row++)
            for (size_t column = 0; column < EMBEDDING_SIDE; column++) {
                size_t position = row * EMBEDDING_SIDE + column;
                if (halves[channel * EMBEDDING_SIDE * EMBEDDING_SIDE + position] !=
                    embedding->values[position * EMBEDDING_CHANNELS + channel])
                    ck_abort_msg("at %zu, %zu, %zu", channel, row, column);
            }
}
END_TEST

START_TEST(floats_are_the_same_values) {
    uint16_t *halves = malloc(EMBEDDING_VALUES * sizeof *halves);
    const float *floats = planes;
    embedding_write(embedding, EMBEDDING_FLOAT16, halves);
    embedding_write(embedding, EMBEDDING_FLOAT32, planes);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++) {
        int exponent = halves[i] >> 10 & 31, fraction = halves[i] & 1023;
        double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (floats[i] != (float)(halves[i] >> 15 ? -value : value))
            ck_abort_msg("%04x is %g", halves[i], (double)floats[i]);
    }
    free(halves);
}
END_TEST

START_TEST(what_was_written_is_read) {
    memset(again->values, 0xff, sizeof again->values);
    embedding_write(embedding, (enum embedding_type)_i, planes);
    ck_assert(embedding_read(again, (enum embedding_type)_i, planes));
    ck_assert_mem_eq(again->values, embedding->values, sizeof again->values);
    ck_assert_mem_eq(&again->geometry, &GEOMETRY, sizeof GEOMETRY);
}
END_TEST

START_TEST(halves_must_be_finite) {
    static const struct {
        uint16_t half;
        bool finite;
    } cases[] = {{ONE, true},       {LARGEST, true},   {LARGEST | 0x8000, true},  {SMALLEST, true},
                 {INFINITE, false}, {NAN_HALF, false}, {INFINITE | 0x8000, false}};
    static const size_t places[] = {0, 4095, 4096, EMBEDDING_VALUES - 1};
    uint16_t *halves = planes;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            embedding_write(embedding, EMBEDDING_FLOAT16, planes);
            halves[places[k]] = cases[i].half;
            ck_assert_msg(embedding_read(again, EMBEDDING_FLOAT16, planes) == cases[i].finite,
                          "%04x at %zu", cases[i].half, places[k]);
        }
}
END_TEST

START_TEST(floats_must_fit) {
    static const struct {
        float value;
        bool fits;
    } cases[] = {{65504, true},  {65519, true}, {65520, false},    {-1e30F, false},
                 {1e-30F, true}, {NAN, false},  {INFINITY, false}, {-INFINITY, false}};
    float *floats = planes;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        embedding_write(embedding, EMBEDDING_FLOAT32, planes);
        floats[EMBEDDING_VALUES - 1] = cases[i].value;
        ck_assert_msg(embedding_read(again, EMBEDDING_FLOAT32, planes) == cases[i].fits, "%g",
                      (double)cases[i].value);
    }
}
END_TEST

Suite *embedding_suite(void) {
    Suite *suite = suite_create("embedding");
    TCase *cases = tcase_create("embedding");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, channels_become_planes);
    tcase_add_test(cases, floats_are_the_same_values);
    tcase_add_loop_test(cases, what_was_written_is_read, EMBEDDING_FLOAT16, EMBEDDING_FLOAT32 + 1);
    tcase_add_test(cases, halves_must_be_finite);
    tcase_add_test(cases, floats_must_fit);
    suite_add_tcase(suite, cases);
    return suite;
}
