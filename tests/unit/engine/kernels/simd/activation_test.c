/* The kernels that add a bias or another array, with and without an activation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

typedef void bias_kernel(float *x, size_t rows, size_t n, const float *bias);

static double identity(double x) {
    return x;
}

/* Runs the kernel on rows x n values and compares each with activation(x + bias), where the sum is
 * one of floats. */
static void check_bias(const char *what, bias_kernel *kernel, double (*activation)(double),
                       size_t rows, size_t n, const float *x, const float *bias, double absolute,
                       double relative) {
    float *y = copy_floats(x, rows * n);
    double *expected = obtain(rows * n * sizeof *expected);
    for (size_t i = 0; i < rows * n; i++) {
        float sum = x[i] + bias[i % n];
        expected[i] = activation((double)sum);
    }
    kernel(y, rows, n, bias);
    check_close(what, y, expected, rows * n, absolute, relative);
    free(expected);
    free(y);
}

static void check_bias_sizes(const char *what, bias_kernel *kernel, double (*activation)(double),
                             double absolute, double relative) {
    struct rng rng = {1};
    for (size_t n = 1; n <= 70; n++) {
        for (size_t rows = 0; rows <= 3; rows++) {
            float *x = random_floats(&rng, rows * n, -6, 6);
            float *bias = random_floats(&rng, n, -1, 1);
            check_bias(what, kernel, activation, rows, n, x, bias, absolute, relative);
            free(x);
            free(bias);
        }
    }
}

START_TEST(bias_add_is_exact) {
    const struct kernels *kernels = isa_at(_i);
    check_bias_sizes("bias_add", kernels->bias_add, identity, 0, 0);
}
END_TEST

START_TEST(gelu_of_every_size) {
    const struct kernels *kernels = isa_at(_i);
    check_bias_sizes("bias_gelu", kernels->bias_gelu, naive_gelu, GELU_ERROR, GELU_ERROR);
}
END_TEST

START_TEST(gelu_over_its_whole_range) {
    enum { STEPS = 32 * 4096 + 3 };
    static const float no_bias[STEPS];
    float *x = obtain(STEPS * sizeof *x);
    for (size_t i = 0; i < STEPS; i++)
        x[i] = -16 + (float)i / 4096;
    check_bias("bias_gelu", isa_at(_i)->bias_gelu, naive_gelu, 1, STEPS, x, no_bias, GELU_ERROR,
               GELU_ERROR);
    free(x);
}
END_TEST

/* In the tails, GELU is 0 or the identity; nothing overflows on the way. */
START_TEST(gelu_of_extremes) {
    static const float x[] = {100, -100, 1e4f, -1e4f, 1e19f, -1e19f, 3e38f, -3e38f, 0, 1e-38f};
    enum { COUNT = sizeof x / sizeof *x };
    static const float no_bias[COUNT];
    float y[COUNT];
    memcpy(y, x, sizeof y);
    isa_at(_i)->bias_gelu(y, 1, COUNT, no_bias);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_msg(isfinite(y[i]), "%g", (double)x[i]);
        if (x[i] >= 100)
            ck_assert_float_eq(y[i], x[i]);
        else
            ck_assert_double_le(fabs((double)y[i] - naive_gelu((double)x[i])),
                                1e-35 * fabs((double)x[i]) + 1e-37);
    }
}
END_TEST

/* The left tail keeps its small values: GELU(-5) is -1.43e-6. */
START_TEST(gelu_keeps_small_values) {
    for (float x = -3; x > -5.5f; x -= 0.01f) {
        float y = x, no_bias = 0;
        isa_at(_i)->bias_gelu(&y, 1, 1, &no_bias);
        double expected = naive_gelu((double)x);
        ck_assert_msg(fabs((double)y - expected) <= 0.02 * fabs(expected) + 1e-9,
                      "GELU(%g) = %g, not %g", (double)x, (double)y, expected);
    }
}
END_TEST

START_TEST(add_is_exact_and_may_overwrite_its_inputs) {
    const struct kernels *kernels = isa_at(_i);
    struct rng rng = {2};
    for (size_t n = 0; n <= 70; n++) {
        float *a = random_floats(&rng, n, -3, 3), *b = random_floats(&rng, n, -1e4, 1e4);
        float *out = obtain(n * sizeof *out), *sum = obtain(n * sizeof *sum);
        for (size_t i = 0; i < n; i++)
            sum[i] = a[i] + b[i];
        kernels->add(a, b, out, n);
        ck_assert_mem_eq(out, sum, n * sizeof *sum);
        memcpy(out, a, n * sizeof *a);
        kernels->add(out, b, out, n);
        ck_assert_mem_eq(out, sum, n * sizeof *sum);
        memcpy(out, b, n * sizeof *b);
        kernels->add(a, out, out, n);
        ck_assert_mem_eq(out, sum, n * sizeof *sum);
        memcpy(out, a, n * sizeof *a);
        kernels->add(out, out, out, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_float_eq(out[i], 2 * a[i]);
        free(a);
        free(b);
        free(out);
        free(sum);
    }
}
END_TEST

START_TEST(the_instruction_sets_are_told_apart) {
    ck_assert_str_eq(kernels_at(0)->isa, "portable");
    for (int i = 0; i < isa_count(); i++)
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(isa_at(i)->isa, isa_at(j)->isa);
    const struct kernels *last = kernels_at(0);
    for (size_t i = 1; kernels_at(i); i++)
        last = kernels_at(i);
    ck_assert_ptr_eq(kernels_best(), last);
    ck_assert_ptr_null(kernels_at(1000));
}
END_TEST

Suite *kernels_activation_suite(void) {
    Suite *suite = suite_create("kernels_activation");
    TCase *cases = tcase_create("activation");
    add_isa_test(cases, bias_add_is_exact);
    add_isa_test(cases, gelu_of_every_size);
    add_isa_test(cases, gelu_over_its_whole_range);
    add_isa_test(cases, gelu_of_extremes);
    add_isa_test(cases, gelu_keeps_small_values);
    add_isa_test(cases, add_is_exact_and_may_overwrite_its_inputs);
    tcase_add_test(cases, the_instruction_sets_are_told_apart);
    suite_add_tcase(suite, cases);
    return suite;
}
