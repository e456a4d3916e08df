#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/mask_formats.h"
#include "tests/unit/suites.h"

/* The next number of a small generator (xorshift64), so that a failure can be repeated. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A copy without a terminating zero, of exactly this size: reading past it is for the sanitizer to
 * see. */
static char *exact_copy(const char *bytes, size_t size) {
    char *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    return copy;
}

static enum status decode(const char *bytes, size_t size, int height, int width, struct mask *mask,
                          struct error *error) {
    memset(mask, 0x5a, sizeof *mask);
    char *copy = exact_copy(bytes, size);
    enum status status = coco_rle_decode(copy, size, height, width, mask, error);
    free(copy);
    return status;
}

static void assert_counts(const struct mask *mask, const uint32_t *counts, size_t count) {
    ck_assert_uint_eq(mask->count, count);
    ck_assert_mem_eq(mask->counts, counts, count * sizeof *counts);
}

static void assert_zeroed(const struct mask *mask) {
    ck_assert(mask->height == 0 && mask->width == 0 && mask->count == 0 && !mask->counts);
}

/* The runs cover the mask, and only the first may be of length zero. */
static void assert_canonical(const struct mask *mask) {
    uint64_t sum = 0;
    bool empty_runs = false;
    for (size_t i = 0; i < mask->count; i++) {
        empty_runs |= i > 0 && mask->counts[i] == 0;
        sum += mask->counts[i];
    }
    ck_assert(!empty_runs && sum == (uint64_t)mask->height * (uint64_t)mask->width);
}

static void assert_round_trip(const uint32_t *counts, size_t count, int height, int width) {
    const struct mask mask = {height, width, count, (uint32_t *)counts};
    char *string = coco_rle_encode(&mask);
    ck_assert_ptr_nonnull(string);
    struct mask again;
    struct error error;
    enum status status = decode(string, strlen(string), height, width, &again, &error);
    ck_assert_msg(status == STATUS_OK, "%s: %s", string, error.message);
    ck_assert(again.height == height && again.width == width);
    assert_counts(&again, counts, count);
    mask_free(&again);
    free(string);
}

/* 000000 / 001100 / 011110 / 001000, as pycocotools encodes it */
static const uint32_t vector_counts[] = {6, 1, 2, 3, 1, 2, 3, 1, 5};
static const char vector_string[] = "6122OO2O2";

START_TEST(test_vector) {
    const struct mask mask = {4, 6, 9, (uint32_t *)vector_counts};
    char *string = coco_rle_encode(&mask);
    ck_assert_str_eq(string, vector_string);
    free(string);
    assert_round_trip(vector_counts, 9, 4, 6);
}
END_TEST

START_TEST(test_edges) {
    assert_round_trip((uint32_t[]){1}, 1, 1, 1);
    assert_round_trip((uint32_t[]){0, 1}, 2, 1, 1);
    assert_round_trip((uint32_t[]){0, 15, 16, 1}, 4, 4, 8);
    /* the widest differences that 32-bit counts have, both ways */
    const uint32_t all = 65535u * 65535u;
    assert_round_trip((uint32_t[]){all}, 1, 65535, 65535);
    assert_round_trip((uint32_t[]){0, all}, 2, 65535, 65535);
    assert_round_trip((uint32_t[]){1, all - 3, 1, 1}, 4, 65535, 65535);
    assert_round_trip((uint32_t[]){1, 1, 1, all - 3}, 4, 65535, 65535);
    const struct mask nothing = {0};
    char *string = coco_rle_encode(&nothing);
    ck_assert_str_eq(string, "");
    free(string);
}
END_TEST

START_TEST(test_random_masks_round_trip) {
    uint64_t state = 0x9e3779b97f4a7c15;
    for (int round = 0; round < 10000; round++) {
        int height = 1 + (int)(next_random(&state) % 60),
            width = 1 + (int)(next_random(&state) % 60);
        size_t pixels = (size_t)height * (size_t)width, count = 0;
        uint64_t sparsity = 1 + next_random(&state) % 40;
        uint32_t counts[60 * 60 + 1] = {0};
        int colour = 0;
        for (size_t i = 0; i < pixels; i++) {
            if (next_random(&state) % sparsity == 0) {
                colour = !colour;
                count++;
            }
            counts[count]++;
        }
        assert_round_trip(counts, count + 1, height, width);
    }
}
END_TEST

START_TEST(test_zero_runs_are_merged) {
    static const struct {
        size_t count, kept;
        uint32_t counts[8], canonical[8];
    } cases[] = {
        {3, 1, {0, 0, 24}, {24}},
        {4, 2, {0, 0, 0, 24}, {0, 24}},
        {5, 3, {4, 5, 0, 6, 9}, {4, 11, 9}},
        {7, 3, {4, 5, 0, 0, 6, 0, 9}, {4, 5, 15}},
        {3, 1, {24, 0, 0}, {24}},
        {8, 5, {0, 1, 2, 0, 0, 3, 18, 0}, {0, 1, 2, 3, 18}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t *counts = malloc(cases[i].count * sizeof *counts);
        ck_assert_ptr_nonnull(counts);
        memcpy(counts, cases[i].counts, cases[i].count * sizeof *counts);
        struct mask given = {4, 6, cases[i].count, counts}, mask;
        char *string = coco_rle_encode(&given);
        struct error error;
        ck_assert_int_eq(mask_from_counts(counts, cases[i].count, 4, 6, &mask, &error), STATUS_OK);
        assert_counts(&mask, cases[i].canonical, cases[i].kept);
        mask_free(&mask);
        ck_assert_int_eq(decode(string, strlen(string), 4, 6, &mask, &error), STATUS_OK);
        assert_counts(&mask, cases[i].canonical, cases[i].kept);
        mask_free(&mask);
        free(string);
    }
}
END_TEST

START_TEST(test_damaged_strings_are_refused) {
    static const struct {
        const char *string, *message;
    } cases[] = {
        {"", "cover 0 pixels"},
        {"6122OO2O", "cover 19 pixels"},
        {"6122OO2O3", "cover 25 pixels"},
        {"6122OO2O2P", "middle of a number"},
        {"6122OO2O2\x7f", "character 9"},
        {"6122OO2O2p", "character 9"},
        {"/122OO2O2", "character 0"},
        {"61 22OO2O2", "character 2"},
        {"\xff\xff", "character 0"},
        {"O", "run 0 is not between 0 and 24"},             /* -1 */
        {"612J", "run 3 is not between 0 and 24"},          /* 1 - 6 */
        {"i0", "run 0 is not between 0 and 24"},            /* 25 */
        {"ooooooooooooooooooooooooooooo0", "run 0 is not"}, /* more groups than 64 bits have */
        {"PPPPPPP0", "run 0 is not"},                       /* 0, in 8 groups */
        {"ooooooO", "run 0 is not"},
        {"oooooo?", "run 0 is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mask mask;
        struct error error = {""};
        enum status status = decode(cases[i].string, strlen(cases[i].string), 4, 6, &mask, &error);
        ck_assert_msg(status == STATUS_INVALID, "case %zu: status %d", i, (int)status);
        ck_assert_msg(strstr(error.message, cases[i].message) != NULL, "case %zu: %s", i,
                      error.message);
        assert_zeroed(&mask);
    }
    struct mask mask;
    struct error error;
    ck_assert_int_eq(decode("6122\0OO2O2", 10, 4, 6, &mask, &error), STATUS_INVALID);
    ck_assert_int_eq(coco_rle_decode("O", 1, 4, 6, &mask, NULL), STATUS_INVALID);
}
END_TEST

START_TEST(test_sizes_are_checked) {
    static const int sizes[][2] = {{0, 6},         {4, 0},
                                   {-4, -6},       {-4, 6},
                                   {INT_MAX, 3},   {INT_MAX, INT_MAX},
                                   {65536, 65536}, {INT_MIN, INT_MIN}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct mask mask;
        struct error error;
        ck_assert_int_eq(decode(vector_string, 9, sizes[i][0], sizes[i][1], &mask, &error),
                         STATUS_INVALID);
        ck_assert_ptr_nonnull(strstr(error.message, "a mask cannot have"));
        assert_zeroed(&mask);
        uint32_t *counts = calloc(1, sizeof *counts);
        ck_assert_int_eq(mask_from_counts(counts, 1, sizes[i][0], sizes[i][1], &mask, &error),
                         STATUS_INVALID);
        assert_zeroed(&mask);
    }
}
END_TEST

START_TEST(test_every_truncation_is_refused) {
    for (size_t size = 0; size < 9; size++) {
        struct mask mask;
        struct error error;
        ck_assert_int_eq(decode(vector_string, size, 4, 6, &mask, &error), STATUS_INVALID);
        assert_zeroed(&mask);
    }
}
END_TEST

/* Random strings of the alphabet and near it: whatever is taken for a mask is one. */
START_TEST(test_random_strings) {
    uint64_t state = 42;
    int taken = 0;
    for (int round = 0; round < 200000; round++) {
        char string[12];
        size_t size = next_random(&state) % sizeof string;
        for (size_t i = 0; i < size; i++)
            string[i] = (char)(next_random(&state) % 8 == 0 ? next_random(&state)
                                                            : 48 + next_random(&state) % 16);
        struct mask mask;
        struct error error;
        if (decode(string, size, 4, 6, &mask, &error) == STATUS_OK) {
            assert_canonical(&mask);
            taken++;
        } else {
            assert_zeroed(&mask);
        }
        mask_free(&mask);
    }
    ck_assert_int_gt(taken, 0);
}
END_TEST

Suite *coco_rle_suite(void) {
    Suite *suite = suite_create("coco_rle");
    TCase *tests = tcase_create("coco_rle");
    tcase_add_test(tests, test_vector);
    tcase_add_test(tests, test_edges);
    tcase_add_test(tests, test_random_masks_round_trip);
    tcase_add_test(tests, test_zero_runs_are_merged);
    tcase_add_test(tests, test_damaged_strings_are_refused);
    tcase_add_test(tests, test_sizes_are_checked);
    tcase_add_test(tests, test_every_truncation_is_refused);
    tcase_add_test(tests, test_random_strings);
    suite_add_tcase(suite, tests);
    return suite;
}
