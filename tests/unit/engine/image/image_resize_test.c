/* image_resize against Pillow's pixels, and its kernels against their definition. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image/resample.h"
#include "tests/unit/engine/image/image_fixture.h"
#include "tests/unit/suites.h"

static const struct {
    int from[2], to[2]; /* width, height */
} sizes[] = {
    {{33, 17}, {16, 12}}, {{16, 12}, {33, 17}}, {{16, 12}, {16, 5}},  {{16, 12}, {5, 12}},
    {{16, 12}, {16, 20}}, {{16, 12}, {29, 12}}, {{1, 1}, {9, 7}},     {{1, 40}, {1, 7}},
    {{40, 1}, {7, 1}},    {{1, 40}, {3, 9}},    {{500, 3}, {2, 3}},   {{3, 500}, {3, 2}},
    {{200, 2}, {3, 30}},  {{2, 200}, {30, 3}},  {{97, 61}, {20, 13}}, {{9000, 1}, {2, 2}},
    {{7, 5}, {1, 1}},     {{5, 3}, {25, 19}},   {{26, 25}, {25, 24}},
};
enum { SIZE_COUNT = sizeof sizes / sizeof *sizes };

START_TEST(gives_the_pixels_of_pillow) {
    const int *from = sizes[_i].from, *to = sizes[_i].to;
    char name[64];
    snprintf(name, sizeof name, "resize_%dx%d-%dx%d", from[0], from[1], to[0], to[1]);
    struct image image = noise_image(from[0], from[1]), expected = fixture_pixels(name), resized;
    struct error error = {""};
    ck_assert_int_eq(image_resize(&image, to[0], to[1], NULL, &resized, &error), STATUS_OK);
    assert_same_image(name, &resized, &expected);
    ck_assert_str_eq(error.message, "");
    image_free(&image);
    image_free(&expected);
    image_free(&resized);
}
END_TEST

START_TEST(copies_when_the_size_stays) {
    struct image image = noise_image(31, 9), resized;
    ck_assert_int_eq(image_resize(&image, 31, 9, NULL, &resized, NULL), STATUS_OK);
    ck_assert_ptr_ne(image.rgb, resized.rgb);
    assert_same_image("31 x 9", &resized, &image);
    image_free(&image);
    image_free(&resized);
}
END_TEST

START_TEST(yields_while_it_resamples) {
    struct image image = noise_image(1000, 700), resized;
    int count = 0;
    struct image_yield yield = {count_yield, &count};
    ck_assert_int_eq(image_resize(&image, 500, 700, &yield, &resized, NULL), STATUS_OK);
    ck_assert_int_ge(count, 4);
    image_free(&resized);
    count = 0;
    ck_assert_int_eq(image_resize(&image, 1000, 350, &yield, &resized, NULL), STATUS_OK);
    ck_assert_int_ge(count, 2);
    image_free(&resized);
    image_free(&image);
}
END_TEST

START_TEST(refuses_sizes_without_sense) {
    static const struct {
        int width, height;
        enum status status;
        const char *message;
    } cases[] = {
        {0, 5, STATUS_INVALID, "4 x 3 pixels cannot become 0 x 5"},
        {5, -1, STATUS_INVALID, "4 x 3 pixels cannot become 5 x -1"},
        {INT_MAX, INT_MAX, STATUS_TOO_LARGE,
         "2147483647 x 2147483647 pixels; the limit is 2147483647 pixels"},
        {65536, 32768, STATUS_TOO_LARGE, "65536 x 32768 pixels; the limit is 2147483647 pixels"},
    };
    struct image image = noise_image(4, 3), empty = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image resized = {.width = 1};
        struct error error = {""};
        ck_assert_int_eq(
            image_resize(&image, cases[i].width, cases[i].height, NULL, &resized, &error),
            cases[i].status);
        ck_assert_str_eq(error.message, cases[i].message);
        ck_assert_int_eq(resized.width, 0);
        ck_assert_ptr_null(resized.rgb);
    }
    ck_assert_int_eq(image_resize(&empty, 2, 2, NULL, &empty, NULL), STATUS_INVALID);
    image_free(&image);
}
END_TEST

enum { INPUTS = 61, OUTPUTS = 29, TAPS = 5 };

/* What a kernel makes of TAPS samples that are stride bytes apart. */
static int weighted_sum(const uint32_t *weights, const uint8_t *samples, int stride) {
    uint64_t sum = 1 << (RESAMPLE_WEIGHT_BITS - 1);
    for (int tap = 0; tap < TAPS; tap++)
        sum += (uint64_t)weights[tap] * samples[tap * stride];
    sum >>= RESAMPLE_WEIGHT_BITS;
    return sum < 255 ? (int)sum : 255;
}

/* Weights that sum to something between 0 and 2.5: those of a filter hardly pass one, but what does
 * must saturate, not wrap round. */
static void make_weights(uint32_t *weights, size_t count) {
    uint32_t state = 7;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        weights[i] = state >> (32 - RESAMPLE_WEIGHT_BITS + 1);
    }
}

static struct resample_kernels kernels_of(int index) {
    return index == 0 ? resample_kernels_portable() : resample_kernels();
}

START_TEST(horizontal_kernel_sums) {
    struct image from = noise_image(INPUTS, RESAMPLE_ROWS);
    struct image to = noise_image(OUTPUTS, RESAMPLE_ROWS);
    int first[OUTPUTS];
    for (int x = 0; x < OUTPUTS; x++)
        first[x] = x * (INPUTS - TAPS) / (OUTPUTS - 1);
    uint32_t weights[OUTPUTS * TAPS];
    make_weights(weights, OUTPUTS * TAPS);
    struct resample_filter filter = {
        .outputs = OUTPUTS, .taps = TAPS, .first = first, .weights = weights};
    struct resample_column *columns = calloc(INPUTS, sizeof *columns);
    ck_assert_ptr_nonnull(columns);
    const uint8_t *in[RESAMPLE_ROWS];
    uint8_t *out[RESAMPLE_ROWS];
    for (int row = 0; row < RESAMPLE_ROWS; row++) {
        in[row] = from.rgb + row * INPUTS * 3;
        out[row] = to.rgb + row * OUTPUTS * 3;
    }
    kernels_of(_i).horizontal(&filter, columns, in, INPUTS, out);
    for (int row = 0; row < RESAMPLE_ROWS; row++)
        for (int i = 0; i < OUTPUTS * 3; i++)
            ck_assert_int_eq(out[row][i], weighted_sum(weights + i / 3 * TAPS,
                                                       in[row] + first[i / 3] * 3 + i % 3, 3));
    free(columns);
    image_free(&from);
    image_free(&to);
}
END_TEST

START_TEST(vertical_kernel_sums) {
    struct image from = noise_image(INPUTS, TAPS), to = noise_image(INPUTS, 1);
    uint32_t weights[20 * TAPS];
    make_weights(weights, 20 * TAPS);
    const uint8_t *rows[TAPS];
    for (int tap = 0; tap < TAPS; tap++)
        rows[tap] = from.rgb + tap * INPUTS * 3;
    for (int output = 0; output < 20; output++) {
        kernels_of(_i).vertical(weights + output * TAPS, TAPS, rows, to.rgb, INPUTS * 3);
        for (int i = 0; i < INPUTS * 3; i++)
            ck_assert_int_eq(to.rgb[i],
                             weighted_sum(weights + output * TAPS, from.rgb + i, INPUTS * 3));
    }
    image_free(&from);
    image_free(&to);
}
END_TEST

Suite *image_resize_suite(void) {
    Suite *suite = suite_create("image_resize");
    TCase *pixels = tcase_create("pixels");
    tcase_add_loop_test(pixels, gives_the_pixels_of_pillow, 0, SIZE_COUNT);
    tcase_add_test(pixels, copies_when_the_size_stays);
    tcase_add_test(pixels, yields_while_it_resamples);
    tcase_add_test(pixels, refuses_sizes_without_sense);
    suite_add_tcase(suite, pixels);
    TCase *kernels = tcase_create("kernels");
    tcase_add_loop_test(kernels, horizontal_kernel_sums, 0, 2);
    tcase_add_loop_test(kernels, vertical_kernel_sums, 0, 2);
    suite_add_tcase(suite, kernels);
    return suite;
}
