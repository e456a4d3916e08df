/* The kernels of softmax against its definition. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

/* e^x and the division are off by a few roundings. A score of magnitude m is off by m roundings for
 * each operation that made it: two, and the subtraction of the largest, whose result may be twice
 * as large; that is a relative error of its exponential. What should be less than the smallest
 * normal number is that number. */
enum { EXP_ROUNDINGS = 8, SCORE_ROUNDINGS = 4 };
static const double FLOOR = 2e-38;

static double relative_error(double largest_score) {
    return ROUNDING * (EXP_ROUNDINGS + SCORE_ROUNDINGS * largest_score);
}

/* ---- softmax of rows --------------------------------------------------------------------- */

static void check_softmax(const struct kernels *kernels, const float *x, size_t rows, size_t n,
                          float scale, const float *bias, bool exact) {
    float *y = copy_floats(x, rows * n);
    kernels->softmax(y, rows, n, scale, bias);
    for (size_t row = 0; row < rows; row++) {
        double *expected = doubles_of(x + row * n, n), largest = 0;
        for (size_t i = 0; i < n; i++) {
            double added = bias ? (double)bias[row * n + i] : 0;
            largest = fmax(largest, fabs(expected[i] * (double)scale) + fabs(added));
            expected[i] = expected[i] * (double)scale + added;
        }
        naive_softmax(expected, n);
        check_close("softmax", y + row * n, expected, n, FLOOR,
                    relative_error(exact ? 0 : largest));
        free(expected);
    }
    free(y);
}

START_TEST(softmax_of_every_size) {
    struct rng rng = {1};
    for (size_t n = 1; n <= 70; n++) {
        for (size_t rows = 0; rows <= 3; rows++) {
            float *x = random_floats(&rng, rows * n, -9, 9);
            float *bias = random_floats(&rng, rows * n, -4, 4);
            check_softmax(isa_at(_i), x, rows, n, 0.17677669f, NULL, false);
            check_softmax(isa_at(_i), x, rows, n, 1.5f, bias, false);
            free(x);
            free(bias);
        }
    }
}
END_TEST

/* Whole numbers: no score is rounded, so that only the exponential's own error is left. */
START_TEST(softmax_of_large_scores) {
    static const int magnitudes[] = {1, 10, 80, 100, 1000, 1000000};
    struct rng rng = {2};
    for (size_t m = 0; m < sizeof magnitudes / sizeof *magnitudes; m++) {
        for (size_t n = 1; n <= 70; n++) {
            float *x = random_integers(&rng, n, -magnitudes[m], magnitudes[m]);
            float *bias = random_integers(&rng, n, -9, 9);
            check_softmax(isa_at(_i), x, 1, n, 1, NULL, true);
            check_softmax(isa_at(_i), x, 1, n, 0.5f, bias, true);
            free(x);
            free(bias);
        }
    }
}
END_TEST

START_TEST(softmax_of_equal_scores) {
    static const float scores[] = {0, -3e38f, 3e38f, 1e-30f, -1000};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        float x[16];
        for (size_t j = 0; j < 16; j++)
            x[j] = scores[i];
        isa_at(_i)->softmax(x, 1, 16, 1, NULL);
        for (size_t j = 0; j < 16; j++)
            ck_assert_float_eq(x[j], 1.0f / 16);
    }
}
END_TEST

/* ---- softmax of columns ------------------------------------------------------------------ */

static void check_columns(const struct kernels *kernels, const float *x, size_t n, size_t columns,
                          float scale, const float *offset) {
    float *y = copy_floats(x, n * columns), *got = obtain(n * sizeof *got);
    double *expected = obtain(n * sizeof *expected);
    kernels->softmax_columns(y, n, columns, scale, offset);
    for (size_t column = 0; column < columns; column++) {
        double largest = 0;
        for (size_t row = 0; row < n; row++) {
            expected[row] =
                ((double)x[row * columns + column] + (double)offset[row]) * (double)scale;
            largest = fmax(largest, fabs((double)x[row * columns + column] * (double)scale) +
                                        fabs((double)offset[row] * (double)scale));
            got[row] = y[row * columns + column];
        }
        naive_softmax(expected, n);
        check_close("softmax_columns", got, expected, n, FLOOR, relative_error(largest));
    }
    free(y);
    free(got);
    free(expected);
}

START_TEST(softmax_columns_of_every_size) {
    static const size_t heights[] = {1, 2, 3, 6, 7, 8, 13, 71};
    struct rng rng = {3};
    for (size_t h = 0; h < sizeof heights / sizeof *heights; h++) {
        for (size_t columns = 1; columns <= 70; columns++) {
            size_t n = heights[h];
            float *x = random_floats(&rng, n * columns, -30, 30);
            float *offset = random_floats(&rng, n, -10, 10);
            check_columns(isa_at(_i), x, n, columns, 0.25f, offset);
            check_columns(isa_at(_i), x, n, columns, 20, offset);
            free(x);
            free(offset);
        }
    }
}
END_TEST

/* ---- parts of a softmax ------------------------------------------------------------------ */

/* Merged as mask_decoder merges them: each part counts by exp(its max - the whole's). */
static void check_parts(const struct kernels *kernels, const float *x, size_t n, float scale,
                        size_t part) {
    float *y = copy_floats(x, n), *max = obtain(n * sizeof *max), *sum = obtain(n * sizeof *sum);
    double *expected = doubles_of(x, n), largest = 0, whole_max = -INFINITY, whole_sum = 0;
    size_t parts = 0;
    for (size_t from = 0; from < n; from += part, parts++) {
        size_t size = part < n - from ? part : n - from;
        max[parts] = -INFINITY;
        kernels->exp_partial(y + from, size, scale, &max[parts], &sum[parts]);
        double found = -INFINITY, added = 0;
        for (size_t i = from; i < from + size; i++) {
            found = fmax(found, (double)(x[i] * scale));
            added += (double)y[i];
        }
        ck_assert_double_eq((double)max[parts], found);
        ck_assert_double_eq_tol((double)sum[parts], added,
                                ROUNDING * (2 + sqrt((double)size)) * added);
        whole_max = fmax(whole_max, found);
    }
    for (size_t p = 0; p < parts; p++)
        whole_sum += (double)sum[p] * exp((double)max[p] - whole_max);
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(expected[i] * (double)scale));
        expected[i] *= (double)scale;
        y[i] = (float)((double)y[i] * exp((double)max[i / part] - whole_max) / whole_sum);
    }
    naive_softmax(expected, n);
    check_close("exp_partial", y, expected, n, FLOOR, relative_error(largest));
    free(y);
    free(max);
    free(sum);
    free(expected);
}

START_TEST(parts_make_the_whole_softmax) {
    struct rng rng = {4};
    for (size_t n = 1; n <= 70; n++) {
        float *x = random_floats(&rng, n, -40, 40);
        for (size_t part = 1; part <= n; part += part < 20 ? 1 : 11)
            check_parts(isa_at(_i), x, n, 0.25f, part);
        check_parts(isa_at(_i), x, n, 1, n);
        free(x);
    }
}
END_TEST

/* What came before is as large, or it is not. */
START_TEST(the_maximum_does_not_fall) {
    for (int before = 0; before <= 6; before += 2) {
        float x[3] = {2, 6, 10}, max = (float)before, sum;
        isa_at(_i)->exp_partial(x, 3, 0.5f, &max, &sum);
        const double most = before > 5 ? before : 5;
        ck_assert_double_eq((double)max, most);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol((double)x[i], exp(1 + 2 * i - most), 1e-6);
        ck_assert_float_eq_tol(sum, x[0] + x[1] + x[2], 1e-6f);
    }
}
END_TEST

/* The exponential alone: with a zero among the values nothing is subtracted. */
START_TEST(exp_is_accurate_to_two_roundings) {
    enum { STEPS = 87 * 512 };
    float *x = obtain(STEPS * sizeof *x), max = -INFINITY, sum;
    double *expected = obtain(STEPS * sizeof *expected);
    struct rng rng = {5};
    for (size_t i = 0; i < STEPS; i++) {
        x[i] = i == 0 ? 0 : (float)rng_between(&rng, -87, 0);
        expected[i] = exp((double)x[i]);
    }
    isa_at(_i)->exp_partial(x, STEPS, 1, &max, &sum);
    ck_assert_float_eq(max, 0);
    check_close("exp", x, expected, STEPS, 0, 2 * ROUNDING);
    free(x);
    free(expected);
}
END_TEST

START_TEST(exp_of_far_less_is_next_to_nothing) {
    float x[9] = {0, -87, -87.5f, -88, -100, -1e4f, -1e30f, -3e38f, -INFINITY}, max = -INFINITY,
          sum;
    isa_at(_i)->exp_partial(x, 9, 1, &max, &sum);
    ck_assert_float_eq(x[0], 1);
    for (size_t i = 1; i < 9; i++)
        ck_assert_msg(x[i] >= 0 && x[i] <= 2e-38f, "%zu: %g", i, (double)x[i]);
    ck_assert_float_eq(sum, 1);
}
END_TEST

Suite *kernels_softmax_suite(void) {
    Suite *suite = suite_create("kernels_softmax");
    TCase *cases = tcase_create("softmax");
    add_isa_test(cases, softmax_of_every_size);
    add_isa_test(cases, softmax_of_large_scores);
    add_isa_test(cases, softmax_of_equal_scores);
    add_isa_test(cases, softmax_columns_of_every_size);
    add_isa_test(cases, parts_make_the_whole_softmax);
    add_isa_test(cases, the_maximum_does_not_fall);
    add_isa_test(cases, exp_is_accurate_to_two_roundings);
    add_isa_test(cases, exp_of_far_less_is_next_to_nothing);
    suite_add_tcase(suite, cases);
    return suite;
}
