/* Products, norms and transpositions of matrices whose columns come in panels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

enum { STEP = KERNEL_CHANNEL_STEP };

/* ---- products ---------------------------------------------------------------------------- */

struct shape {
    size_t rows, depth, pieces, panels;
    bool plain; /* b and c are plain matrices, not panels one after the other */
    bool bias, accumulate;
    bool scaled; /* with one panel only */
    enum activation activation;
};

static double naive_element(const struct panel_product *job, size_t row, size_t column) {
    double sum = job->bias ? (double)job->bias[row] : 0;
    if (job->scaled)
        sum += (double)job->scaled[row * STEP + column] * (double)job->scale[column];
    const float *b = job->b + column / STEP * job->b_panel + column % STEP;
    for (size_t piece = 0; piece < job->pieces; piece++)
        for (size_t k = 0; k < job->depth; k++)
            sum += (double)job->a[row * job->a_stride + piece * job->a_piece + k] *
                   (double)b[(piece * job->depth + k) * job->b_stride];
    return sum;
}

/* In whole numbers, so that the result is exact; what lies between c's values is not touched. */
static void check_product(const struct kernels *kernels, struct rng *rng,
                          const struct shape *shape) {
    enum { GAP = 3 };
    size_t columns = shape->panels * STEP, depth = shape->pieces * shape->depth;
    struct panel_product job = {
        .rows = shape->rows,
        .a_stride = shape->depth + 1,
        .depth = shape->depth,
        .pieces = shape->pieces,
        .a_piece = shape->rows * (shape->depth + 1) + 2,
        .b_stride = shape->plain ? columns + 1 : STEP,
        .b_panel = shape->plain ? STEP : STEP * depth,
        .panels = shape->panels,
        .c_stride = shape->plain ? columns + GAP : STEP,
        .c_panel = shape->plain ? STEP : STEP * shape->rows + GAP,
        .accumulate = shape->accumulate,
        .activation = shape->activation,
    };
    size_t c_size = shape->rows * shape->panels * STEP + (shape->rows + shape->panels) * GAP;
    float *a = random_integers(rng, shape->pieces * job.a_piece, -9, 9);
    float *b = random_integers(rng, depth * (columns + 1), -9, 9);
    float *bias = random_integers(rng, shape->rows, -9, 9), *c = random_integers(rng, c_size, 1, 9);
    float *before = copy_floats(c, c_size), *expected = copy_floats(c, c_size);
    float *scaled = random_integers(rng, shape->rows * STEP, -9, 9),
          *scale = random_integers(rng, STEP, -9, 9);
    if (shape->scaled)
        job.scaled = scaled, job.scale = scale;
    job.a = a, job.b = b, job.c = c, job.bias = shape->bias ? bias : NULL;
    for (size_t row = 0; row < shape->rows; row++) {
        for (size_t column = 0; column < columns; column++) {
            size_t at = row * job.c_stride + column / STEP * job.c_panel + column % STEP;
            double sum =
                naive_element(&job, row, column) + (shape->accumulate ? (double)before[at] : 0);
            expected[at] = (float)naive_activation(sum, shape->activation);
        }
    }
    kernels->panel_product(&job);
    double *wide = doubles_of(expected, c_size);
    double error = shape->activation == ACTIVATION_GELU ? GELU_ERROR : 0;
    check_close("panel_product", c, wide, c_size, error, error);
    free(a);
    free(b);
    free(bias);
    free(scaled);
    free(scale);
    free(c);
    free(before);
    free(expected);
    free(wide);
}

START_TEST(products_of_every_number_of_rows) {
    struct rng rng = {1};
    for (size_t rows = 0; rows <= 40; rows++)
        for (size_t panels = 0; panels <= 5; panels++)
            check_product(isa_at(_i), &rng,
                          &(struct shape){rows, 3 + rows, 1, panels, rows % 2, panels % 2,
                                          rows / 2 % 2, false,
                                          (enum activation)((rows + panels) % 3)});
}
END_TEST

START_TEST(what_is_scaled_is_added) {
    struct rng rng = {10};
    for (size_t rows = 0; rows <= 40; rows++)
        check_product(isa_at(_i), &rng,
                      &(struct shape){rows, 16, 1, 1, false, rows % 2, rows / 2 % 2, true,
                                      (enum activation)(rows % 3)});
}
END_TEST

START_TEST(products_of_every_depth) {
    static const size_t depths[] = {0, 1, 2, 7, 16, 56, 128, 256, 600};
    struct rng rng = {2};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        for (size_t pieces = 0; pieces <= 9; pieces += 3)
            check_product(isa_at(_i), &rng,
                          &(struct shape){13, depths[i], pieces, 3, i % 2, true, i / 2 % 2, false,
                                          (enum activation)(i % 3)});
}
END_TEST

/* Groups are so many products, each with its own a, b and c. */
START_TEST(groups_are_products_of_their_own) {
    enum {
        GROUPS = 5,
        ROWS = 7,
        DEPTH = 16,
        A = ROWS * DEPTH + 3,
        B = DEPTH * STEP,
        C = ROWS * STEP
    };
    struct rng rng = {9};
    float *a = random_integers(&rng, GROUPS * A, -9, 9),
          *b = random_integers(&rng, GROUPS * B, -9, 9);
    float *c = random_integers(&rng, GROUPS * C, -9, 9), *expected = copy_floats(c, GROUPS * C);
    float *scaled = random_integers(&rng, GROUPS * C, -9, 9);
    struct panel_product job = {
        .a = a,
        .rows = ROWS,
        .a_stride = DEPTH,
        .depth = DEPTH,
        .pieces = 1,
        .b = b,
        .b_stride = STEP,
        .panels = 1,
        .c = c,
        .c_stride = STEP,
        .accumulate = true,
        .groups = GROUPS,
        .a_group = A,
        .b_group = B,
        .c_group = C,
        .scaled = scaled,
        .scale = b,
        .scaled_group = C,
        .activation = ACTIVATION_RELU,
    };
    isa_at(_i)->panel_product(&job);
    job.groups = 1;
    for (size_t group = 0; group < GROUPS; group++) {
        job.a = a + group * A, job.b = b + group * B, job.c = expected + group * C;
        job.scaled = scaled + group * C;
        isa_at(_i)->panel_product(&job);
    }
    ck_assert_mem_eq(c, expected, GROUPS * C * sizeof *c);
    free(a);
    free(b);
    free(scaled);
    free(c);
    free(expected);
}
END_TEST

/* ---- scales and sums --------------------------------------------------------------------- */

/* In whole numbers: exact. */
START_TEST(scales_and_dots_of_every_size) {
    enum { STRIDE = STEP + 5 };
    struct rng rng = {10};
    for (size_t n = 0; n <= 20; n++) {
        for (int with = 0; with < 2; with++) {
            float *x = random_integers(&rng, n * STEP, -9, 9),
                  *added = random_integers(&rng, n * STEP, -9, 9);
            float *weights = random_integers(&rng, STEP, -9, 9),
                  *y = random_integers(&rng, n * STRIDE, -9, 9);
            float *before = copy_floats(y, n * STRIDE), dot[STEP];
            isa_at(_i)->panel_scale(x, n, weights, with ? added : NULL, y, STRIDE);
            isa_at(_i)->panel_dot(x, added, n, dot);
            for (size_t j = 0; j < STRIDE; j++) {
                float sum = 0;
                for (size_t i = 0; i < n; i++) {
                    const float expected =
                        j >= STEP ? before[i * STRIDE + j]
                                  : x[i * STEP + j] * weights[j] + (with ? added[i * STEP + j] : 0);
                    ck_assert_float_eq(y[i * STRIDE + j], expected);
                    sum += j < STEP ? x[i * STEP + j] * added[i * STEP + j] : 0;
                }
                ck_assert(j >= STEP || dot[j] == sum);
            }
            isa_at(_i)->panel_scale(x, n, weights, NULL, x, STEP); /* in place */
            for (size_t i = 0; i < n * STEP && !with; i++)
                ck_assert_float_eq(x[i], y[i / STEP * STRIDE + i % STEP]);
            free(x);
            free(added);
            free(weights);
            free(y);
            free(before);
        }
    }
}
END_TEST

/* ---- norms ------------------------------------------------------------------------------- */

/* The allowance is layer_norm's: see norm_test.c. */
static void check_norm(const struct kernels *kernels, struct rng *rng, size_t n, double low,
                       double high, float epsilon, enum activation activation) {
    float *x = random_floats(rng, n * STEP, low, high), *y = copy_floats(x, n * STEP);
    float *weight = random_floats(rng, n, -2, 2), *bias = random_floats(rng, n, -1, 1);
    double *values = obtain(n * sizeof *values), *expected = obtain(n * sizeof *expected);
    kernels->panel_norm(y, n, weight, bias, epsilon, activation);
    for (size_t position = 0; position < STEP; position++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++)
            mean += (values[i] = (double)x[i * STEP + position]) / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += (values[i] - mean) * (values[i] - mean) / (double)n;
        double mean_error = ROUNDING * largest_magnitude(values, n) * (2 + sqrt((double)n) / 2);
        naive_layer_norm(values, n, weight, bias, (double)epsilon, expected);
        for (size_t i = 0; i < n; i++) {
            double scaled = fabs(expected[i] - (double)bias[i]);
            double allowed =
                fabs((double)weight[i]) * mean_error / sqrt(variance + (double)epsilon) +
                ROUNDING * (6 * scaled + fabs((double)bias[i])) +
                (activation == ACTIVATION_GELU ? GELU_ERROR * (1 + fabs(expected[i])) : 0);
            expected[i] = naive_activation(expected[i], activation);
            check_close("panel_norm", y + i * STEP + position, expected + i, 1, 1.2 * allowed, 0);
        }
    }
    free(x);
    free(y);
    free(weight);
    free(bias);
    free(values);
    free(expected);
}

START_TEST(norms_of_every_size) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 8, 63, 64, 65, 256, 257};
    struct rng rng = {3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int activation = 0; activation < 3; activation++) {
            check_norm(isa_at(_i), &rng, sizes[i], -2, 2, 1e-5f, (enum activation)activation);
            check_norm(isa_at(_i), &rng, sizes[i], 999, 1001, 1e-6f, (enum activation)activation);
            check_norm(isa_at(_i), &rng, sizes[i], -3e-3, 3e-3, 1e-5f, (enum activation)activation);
        }
    }
}
END_TEST

/* ---- sums -------------------------------------------------------------------------------- */

START_TEST(weighted_sums_of_every_size) {
    struct rng rng = {4};
    for (size_t n = 0; n <= 9; n++) {
        float *sum = random_integers(&rng, n * STEP, -9, 9),
              *x = random_integers(&rng, n * STEP, -9, 9);
        float *weights = random_integers(&rng, STEP, -9, 9);
        double *expected = doubles_of(sum, n * STEP);
        for (size_t i = 0; i < n * STEP; i++)
            expected[i] += (double)weights[i % STEP] * (double)x[i];
        isa_at(_i)->panel_add_weighted(sum, x, n, weights);
        check_close("panel_add_weighted", sum, expected, n * STEP, 0, 0);
        free(sum);
        free(x);
        free(weights);
        free(expected);
    }
}
END_TEST

/* ---- transposition ----------------------------------------------------------------------- */

START_TEST(transpositions_of_every_size) {
    enum { MAX = 37 };
    for (size_t rows = 0; rows <= MAX; rows++) {
        for (size_t columns = 0; columns <= MAX; columns++) {
            size_t x_stride = columns + rows % 3, y_stride = rows + columns % 2;
            float *x = obtain(rows * x_stride * sizeof *x),
                  *y = obtain(columns * y_stride * sizeof *y);
            for (size_t i = 0; i < rows * x_stride; i++)
                x[i] = (float)i;
            for (size_t i = 0; i < columns * y_stride; i++)
                y[i] = -1;
            isa_at(_i)->transpose(x, x_stride, rows, columns, y, y_stride);
            for (size_t column = 0; column < columns; column++)
                for (size_t row = 0; row < y_stride; row++)
                    ck_assert_float_eq(y[column * y_stride + row],
                                       row < rows ? x[row * x_stride + column] : -1);
            free(x);
            free(y);
        }
    }
}
END_TEST

Suite *kernels_panels_suite(void) {
    Suite *suite = suite_create("kernels_panels");
    TCase *cases = tcase_create("panels");
    add_isa_test(cases, products_of_every_number_of_rows);
    add_isa_test(cases, what_is_scaled_is_added);
    add_isa_test(cases, products_of_every_depth);
    add_isa_test(cases, groups_are_products_of_their_own);
    add_isa_test(cases, scales_and_dots_of_every_size);
    add_isa_test(cases, norms_of_every_size);
    add_isa_test(cases, weighted_sums_of_every_size);
    add_isa_test(cases, transpositions_of_every_size);
    suite_add_tcase(suite, cases);
    return suite;
}
