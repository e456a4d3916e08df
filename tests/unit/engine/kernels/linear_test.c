/* The product with a layer as the file has it. */
#include <math.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/kernels/linear.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

START_TEST(linear_is_torch_nn_linear) {
    static const size_t sizes[][2] = {{1, 1}, {3, 5}, {16, 4}, {27, 32}, {64, 256}, {255, 33}};
    static const size_t rows[] = {1, 2, 3, 7, 64};
    struct rng rng = {2};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            size_t in = sizes[s][0], out = sizes[s][1], values = rows[r] * out;
            float *weight = random_integers(&rng, in * out, -9, 9),
                  *x = random_integers(&rng, rows[r] * in, -9, 9);
            float *y = obtain(values * sizeof *y);
            double *wide = doubles_of(x, rows[r] * in),
                   *expected = obtain(values * sizeof *expected);
            struct linear linear = {.weight = weight, .in = in, .out = out};
            for (size_t i = 0; i < values; i++)
                y[i] = NAN;
            naive_linear(weight, NULL, in, out, wide, rows[r], expected);
            linear_product(&linear, x, rows[r], y);
            check_close("linear_product", y, expected, values, 0, 0);
            free(weight);
            free(x);
            free(y);
            free(wide);
            free(expected);
        }
    }
}
END_TEST

START_TEST(nothing_times_nothing) {
    float c[2] = {1, 2};
    struct linear linear = {.weight = c, .in = 1, .out = 1};
    linear_product(&linear, c, 0, c + 1);
    ck_assert_float_eq(c[1], 2);
}
END_TEST

Suite *kernels_linear_suite(void) {
    Suite *suite = suite_create("kernels_linear");
    TCase *cases = tcase_create("linear");
    tcase_add_unchecked_fixture(cases, engine_init, NULL);
    tcase_add_test(cases, linear_is_torch_nn_linear);
    tcase_add_test(cases, nothing_times_nothing);
    suite_add_tcase(suite, cases);
    return suite;
}
