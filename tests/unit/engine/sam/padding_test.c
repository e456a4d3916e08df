/* What repeats, against layers that show it: each value is a number of its own for the values that
 * it is made of. */
#include <stdlib.h>
#include <string.h>

#include "engine/sam/padding.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/suites.h"

enum { SIDE = 112 };

static uint64_t mix(uint64_t a, uint64_t b) {
    struct rng rng = {a * 31 + b};
    return rng_bits(&rng);
}

/* An axis whose values repeat as told, and are different otherwise. */
static void make_axis(struct repeat repeat, uint64_t *axis) {
    for (size_t i = 0; i < SIDE; i++)
        axis[i] = i >= repeat.first && i < repeat.end ? axis[i - repeat.period] : mix(i, 1);
}

/* Every position that is said to repeat does; and the next ones on both sides do not. */
static void check_repeat(const char *what, struct repeat repeat, const uint64_t *axis, size_t side,
                         bool tight) {
    ck_assert(repeat.first <= repeat.end && repeat.end <= side && repeat.period >= 1);
    for (size_t i = repeat.first; i < repeat.end; i++)
        ck_assert_msg(i >= repeat.period && axis[i] == axis[i - repeat.period],
                      "%s: %zu of %zu..%zu does not repeat after %zu", what, i, repeat.first,
                      repeat.end, repeat.period);
    if (!tight || repeat.first == repeat.end)
        return;
    ck_assert_msg(repeat.first == repeat.period ||
                      axis[repeat.first - 1] != axis[repeat.first - 1 - repeat.period],
                  "%s: %zu repeats too", what, repeat.first - 1);
    ck_assert_msg(repeat.end == side || axis[repeat.end] != axis[repeat.end - repeat.period],
                  "%s: %zu repeats too", what, repeat.end);
}

static struct repeat random_repeat(struct rng *rng, size_t period) {
    size_t first = period + rng_below(rng, SIDE - period);
    return (struct repeat){first, first + rng_below(rng, SIDE - first + 1), period};
}

START_TEST(after_convolutions) {
    struct rng rng = {1};
    uint64_t axis[SIDE], output[SIDE];
    for (int i = 0; i < 2000; i++) {
        size_t period = rng_below(&rng, 2) ? 1 : 7, stride = 1 + rng_below(&rng, 2);
        struct repeat repeat = random_repeat(&rng, period);
        make_axis(repeat, axis);
        for (size_t y = 0; y < SIDE / stride; y++) {
            uint64_t before = y == 0 ? 2 : axis[y * stride - 1];
            uint64_t after = y * stride + 1 == SIDE ? 3 : axis[y * stride + 1];
            output[y] = mix(mix(before, axis[y * stride]), after);
        }
        struct repeat after = repeat_after_conv3x3(repeat, stride);
        check_repeat("convolution", after, output, SIDE / stride, stride == 1);
        if (repeat.end > repeat.first + 8 && period == 1)
            ck_assert_uint_gt(after.end, after.first);
    }
}
END_TEST

START_TEST(after_windows) {
    struct rng rng = {2};
    uint64_t axis[SIDE], output[SIDE], windows[SIDE / 7];
    for (int i = 0; i < 2000; i++) {
        size_t window = rng_below(&rng, 2) ? 7 : 14;
        struct repeat repeat = random_repeat(&rng, rng_below(&rng, 2) ? 1 : 7);
        make_axis(repeat, axis);
        for (size_t w = 0; w < SIDE / window; w++) {
            windows[w] = 0;
            for (size_t j = 0; j < window; j++)
                windows[w] = mix(windows[w], axis[w * window + j]);
            for (size_t j = 0; j < window; j++)
                output[w * window + j] = mix(windows[w], j);
        }
        check_repeat("in windows", repeat_in_windows(repeat, window), windows, SIDE / window, true);
        check_repeat("after windows", repeat_after_windows(repeat, window), output, SIDE, false);
        if (repeat.end > repeat.first + 3 * window)
            ck_assert_uint_gt(repeat_in_windows(repeat, window).end, 0);
    }
}
END_TEST

START_TEST(pixels_below_the_image_are_equal) {
    struct repeat repeat = repeat_of_pixels(683, 1024);
    ck_assert(repeat.first == 684 && repeat.end == 1024 && repeat.period == 1);
    ck_assert_uint_eq(repeat_of_pixels(1024, 1024).end, 0);
    ck_assert_uint_eq(repeat_of_pixels(1023, 1024).end, 0);
}
END_TEST

START_TEST(what_repeats_is_left_out) {
    struct repeat repeat = {10, 20, 1};
    static const size_t spans[][4] = {{0, 10, 0, 10},   {0, 16, 0, 10},   {10, 20, 10, 10},
                                      {12, 16, 12, 12}, {15, 30, 20, 30}, {20, 24, 20, 24},
                                      {5, 25, 5, 25}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct span kept = span_without((struct span){spans[i][0], spans[i][1]}, repeat);
        ck_assert_msg(kept.first == spans[i][2] && kept.end == spans[i][3], "span %zu", i);
    }
    ck_assert_uint_eq(repeat_kept(repeat, 30), 20);
    ck_assert_uint_eq(repeat_position(repeat, 9), 9);
    ck_assert_uint_eq(repeat_position(repeat, 10), 20);
}
END_TEST

struct filling {
    struct repeats repeats;
    float *layer;
};

static void fill(void *argument, struct worker *worker) {
    struct filling *filling = argument;
    repeats_fill(&filling->repeats, worker, filling->layer, SIDE, 3);
}

START_TEST(copies_fill_a_layer) {
    struct rng rng = {3};
    for (int i = 0; i < 40; i++) {
        struct repeat rows = random_repeat(&rng, i % 2 ? 7 : 1),
                      columns = random_repeat(&rng, i % 3 ? 1 : 7);
        uint64_t down[SIDE], across[SIDE];
        if (i % 4 == 0)
            rows = (struct repeat){0, 0, 1};
        if (i % 4 == 1)
            columns = (struct repeat){0, 0, 1};
        make_axis(rows, down);
        make_axis(columns, across);
        float *layer = obtain(SIDE * SIDE * 3 * sizeof *layer);
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                for (size_t c = 0; c < 3; c++) {
                    bool copied = (y >= rows.first && y < rows.end) ||
                                  (x >= columns.first && x < columns.end);
                    layer[(y * SIDE + x) * 3 + c] =
                        copied ? -1.0f : (float)(mix(mix(down[y], across[x]), c) >> 48);
                }
        struct filling filling = {{rows, columns}, layer};
        run_on_pool(2, 64, fill, &filling);
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                for (size_t c = 0; c < 3; c++)
                    ck_assert_float_eq(layer[(y * SIDE + x) * 3 + c],
                                       (float)(mix(mix(down[y], across[x]), c) >> 48));
        free(layer);
    }
}
END_TEST

Suite *padding_suite(void) {
    Suite *suite = suite_create("padding");
    TCase *cases = tcase_create("padding");
    tcase_add_test(cases, after_convolutions);
    tcase_add_test(cases, after_windows);
    tcase_add_test(cases, pixels_below_the_image_are_equal);
    tcase_add_test(cases, what_repeats_is_left_out);
    tcase_add_test(cases, copies_fill_a_layer);
    suite_add_tcase(suite, cases);
    return suite;
}
