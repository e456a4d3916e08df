/* Matrix products: which operand is transposed, strides, what is added to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/kernels/linear.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

enum form { NN, NT, TN };

struct product {
    enum form form;
    size_t m, n, k;
    size_t gap; /* between the rows of all three matrices */
    float beta;
};

/* The element [row][column] of a matrix that may be transposed. */
static double element(struct matrix matrix, int transposed, size_t row, size_t column) {
    return (double)(transposed ? matrix.at[column * matrix.stride + row]
                               : matrix.at[row * matrix.stride + column]);
}

/* c = a b + beta c for element [i][j], and the magnitude of all terms. */
static double naive_element(const struct product *p, struct matrix a, struct matrix b, double c,
                            size_t i, size_t j, double *magnitude) {
    double sum = p->beta == 0 ? 0 : (double)p->beta * c;
    *magnitude = fabs(sum);
    for (size_t l = 0; l < p->k; l++) {
        double term = element(a, p->form == TN, i, l) * element(b, p->form == NT, l, j);
        sum += term;
        *magnitude += fabs(term);
    }
    return sum;
}

/* A sum of k random terms, in an order that we do not know, is off by about sqrt(k) roundings. */
static void check_product(struct rng *rng, const struct product *p) {
    size_t a_columns = p->form == TN ? p->m : p->k, b_columns = p->form == NT ? p->k : p->n;
    size_t a_rows = p->form == TN ? p->k : p->m, b_rows = p->form == NT ? p->n : p->k;
    size_t c_stride = p->n + p->gap, c_values = p->m * c_stride;
    struct matrix a = {random_floats(rng, a_rows * (a_columns + p->gap), -1, 1),
                       a_columns + p->gap};
    struct matrix b = {random_floats(rng, b_rows * (b_columns + p->gap), -1, 1),
                       b_columns + p->gap};
    float *before = random_floats(rng, c_values, -1, 1);
    for (size_t i = 0; p->beta == 0 && i < c_values; i++)
        before[i] = NAN; /* what is there before does not count */
    float *c = copy_floats(before, c_values);
    (p->form == NN   ? matmul_nn
     : p->form == NT ? matmul_nt
                     : matmul_tn)(p->m, p->n, p->k, a, b, p->beta, c, c_stride);
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double magnitude, expected = naive_element(p, a, b, (double)before[i * c_stride + j], i,
                                                       j, &magnitude);
            double allowed = ROUNDING * (2 + sqrt((double)p->k)) * magnitude;
            check_close("matmul", &c[i * c_stride + j], &expected, 1, allowed, 0);
        }
        ck_assert_mem_eq(c + i * c_stride + p->n, before + i * c_stride + p->n, p->gap * sizeof *c);
    }
    free((float *)a.at);
    free((float *)b.at);
    free(before);
    free(c);
}

START_TEST(products_of_all_forms) {
    static const size_t sizes[][3] = {{1, 1, 1},     {1, 7, 3},    {7, 1, 5},    {2, 3, 4},
                                      {5, 16, 8},    {17, 33, 65}, {49, 49, 32}, {71, 256, 16},
                                      {256, 64, 56}, {3, 100, 1},  {64, 3, 257}};
    static const float betas[] = {0, 1, -0.5f};
    struct rng rng = {1};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t gap = 0; gap <= 5; gap += 5)
            for (size_t beta = 0; beta < 3; beta++)
                check_product(&rng, &(struct product){(enum form)_i, sizes[s][0], sizes[s][1],
                                                      sizes[s][2], gap, betas[beta]});
}
END_TEST

/* Small whole numbers: every order of summation gives the same, exactly. */
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
            for (size_t i = 0; i < values; i++)
                expected[i] *= 2;
            linear_accumulate(&linear, x, rows[r], y);
            check_close("linear_accumulate", y, expected, values, 0, 0);
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
    tcase_add_loop_test(cases, products_of_all_forms, 0, 3);
    tcase_add_test(cases, linear_is_torch_nn_linear);
    tcase_add_test(cases, nothing_times_nothing);
    suite_add_tcase(suite, cases);
    return suite;
}
