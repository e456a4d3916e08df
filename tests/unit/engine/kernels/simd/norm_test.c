/* layer_norm against its definition. */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

/* Two roundings make the error: that of the mean, a float near the values themselves, which the
 * division by the deviation enlarges, and the few of the formula. */
static void check_row(const float *x, size_t n, const float *weight, const float *bias,
                      double epsilon, const float *y) {
    double *wide = doubles_of(x, n), *expected = obtain(n * sizeof *expected);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += wide[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (wide[i] - mean) * (wide[i] - mean) / (double)n;
    double deviation = sqrt(variance + epsilon);
    double mean_error = ROUNDING * largest_magnitude(wide, n) * (2 + sqrt((double)n) / 2);
    naive_layer_norm(wide, n, weight, bias, epsilon, expected);
    for (size_t i = 0; i < n; i++) {
        double scaled = fabs(expected[i] - (double)bias[i]), w = fabs((double)weight[i]);
        double allowed =
            w * mean_error / deviation + ROUNDING * (6 * scaled + fabs((double)bias[i]));
        check_close("layer_norm", y + i, expected + i, 1, allowed, 0);
    }
    free(wide);
    free(expected);
}

static void check_rows(const struct kernels *kernels, struct rng *rng, size_t rows, size_t n,
                       double low, double high, float epsilon) {
    float *x = random_floats(rng, rows * n, low, high), *y = obtain(rows * n * sizeof *y);
    float *weight = random_floats(rng, n, -2, 2), *bias = random_floats(rng, n, -1, 1);
    kernels->layer_norm(x, rows, n, weight, bias, epsilon, y);
    for (size_t row = 0; row < rows; row++)
        check_row(x + row * n, n, weight, bias, (double)epsilon, y + row * n);
    float *in_place = copy_floats(x, rows * n);
    kernels->layer_norm(in_place, rows, n, weight, bias, epsilon, in_place);
    ck_assert_mem_eq(in_place, y, rows * n * sizeof *y);
    free(x);
    free(y);
    free(weight);
    free(bias);
    free(in_place);
}

static const size_t SIZES[] = {1,  2,  3,  4,  5,  7,  8,   9,   15,  16,  17,  23,  24,  31,  32,
                               33, 47, 48, 63, 64, 65, 100, 128, 160, 255, 256, 320, 321, 1000};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

START_TEST(layer_norm_of_every_size) {
    struct rng rng = {1};
    for (size_t i = 0; i < SIZE_COUNT; i++)
        for (size_t rows = 0; rows <= 3; rows++)
            check_rows(isa_at(_i), &rng, rows, SIZES[i], -2, 2, 1e-5f);
}
END_TEST

/* A formula that subtracts the square of the mean from that of the values would lose them here. */
START_TEST(layer_norm_far_from_zero) {
    struct rng rng = {2};
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        check_rows(isa_at(_i), &rng, 2, SIZES[i], 999, 1001, 1e-5f);
        check_rows(isa_at(_i), &rng, 2, SIZES[i], -1e5, -1e5 + 100, 1e-6f);
    }
}
END_TEST

/* With a variance of about epsilon and far below it. */
START_TEST(layer_norm_counts_epsilon) {
    struct rng rng = {3};
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        check_rows(isa_at(_i), &rng, 2, SIZES[i], -3e-3, 3e-3, 1e-5f);
        check_rows(isa_at(_i), &rng, 2, SIZES[i], -1e-5, 1e-5, 1e-6f);
        check_rows(isa_at(_i), &rng, 2, SIZES[i], 0.5, 0.5, 1e-6f);
    }
}
END_TEST

Suite *kernels_norm_suite(void) {
    Suite *suite = suite_create("kernels_norm");
    TCase *cases = tcase_create("layer_norm");
    add_isa_test(cases, layer_norm_of_every_size);
    add_isa_test(cases, layer_norm_far_from_zero);
    add_isa_test(cases, layer_norm_counts_epsilon);
    suite_add_tcase(suite, cases);
    return suite;
}
