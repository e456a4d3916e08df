/* The packed linears, in float and in bfloat16, against a linear layer, or a 3x3 convolution, as it
 * is defined. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

enum { STEP = KERNEL_CHANNEL_STEP };

static float *pack(const float *weight, size_t in, size_t out) {
    float *panels = obtain(in * out * sizeof *panels);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            panels[(o / STEP * in + i) * STEP + o % STEP] = weight[o * in + i];
    return panels;
}

/* The same in bfloat16, of which small whole numbers are. */
static uint16_t *pack_bf16(const struct kernels *kernels, const float *weight, size_t in,
                           size_t out) {
    uint16_t *panels = obtain(in * out * sizeof *panels);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            kernels->to_bf16(weight + o * in + i,
                             panels + ((o / STEP * in + i) / 2 * STEP + o % STEP) * 2 + i % 2, 1);
    return panels;
}

struct shape {
    size_t rows, in, out, pieces;
    size_t x_gap, y_gap; /* beyond a row's values */
    bool bias, added, in_place;
    enum activation activation;
};

/* What is in memory, and the same in double precision. */
struct matrices {
    float *weight, *panels, *bias, *x[LINEAR_PIECES_MAX], *added, *y;
    double *rows, *expected;
};

static struct matrices make_matrices(struct rng *rng, const struct shape *shape) {
    size_t length = shape->in / shape->pieces, x_stride = length + shape->x_gap,
           y_stride = shape->out + shape->y_gap;
    struct matrices m = {
        .weight = random_integers(rng, shape->in * shape->out, -9, 9),
        .bias = random_integers(rng, shape->out, -9, 9),
        .added = random_integers(rng, shape->rows * y_stride, -9, 9),
        .y = obtain(shape->rows * y_stride * sizeof *m.y),
        .rows = obtain(shape->rows * shape->in * sizeof *m.rows),
        .expected = obtain(shape->rows * shape->out * sizeof *m.expected),
    };
    m.panels = pack(m.weight, shape->in, shape->out);
    for (size_t piece = 0; piece < shape->pieces; piece++) {
        m.x[piece] = random_integers(rng, shape->rows * x_stride, -9, 9);
        for (size_t row = 0; row < shape->rows; row++)
            for (size_t i = 0; i < length; i++)
                m.rows[row * shape->in + piece * length + i] =
                    (double)m.x[piece][row * x_stride + i];
    }
    return m;
}

static void free_matrices(struct matrices *m) {
    free(m->weight);
    free(m->panels);
    free(m->bias);
    for (size_t i = 0; i < LINEAR_PIECES_MAX; i++)
        free(m->x[i]);
    free(m->added);
    free(m->y);
    free(m->rows);
    free(m->expected);
}

static void check_result(const struct kernels *kernels, const struct packed_linear *linear,
                         const struct shape *shape, struct matrices *m) {
    size_t length = shape->in / shape->pieces, y_stride = shape->out + shape->y_gap;
    double tolerance = shape->activation == ACTIVATION_GELU ? GELU_ERROR : 0;
    struct linear_rows rows = {
        .x = {m->x[0], m->x[1], m->x[2]},
        .pieces = shape->pieces,
        .x_stride = length + shape->x_gap,
        .added = shape->in_place ? m->y
                 : shape->added  ? m->added
                                 : NULL,
        .added_stride = y_stride,
        .y = m->y,
        .y_stride = y_stride,
        .rows = shape->rows,
        .activation = shape->activation,
    };
    for (size_t i = 0; i < shape->rows * y_stride; i++)
        m->y[i] = shape->in_place ? m->added[i] : NAN;
    naive_linear(m->weight, linear->bias, shape->in, shape->out, m->rows, shape->rows, m->expected);
    kernels->linear(linear, &rows);
    for (size_t row = 0; row < shape->rows; row++) {
        double *expected = m->expected + row * shape->out;
        for (size_t i = 0; i < shape->out; i++)
            expected[i] = naive_activation(
                expected[i] + (rows.added ? (double)m->added[row * y_stride + i] : 0),
                shape->activation);
        check_close("linear", m->y + row * y_stride, expected, shape->out, tolerance, tolerance);
        for (size_t i = shape->out; i < y_stride; i++) /* between the rows nothing is written */
            ck_assert(isnan(m->y[row * y_stride + i]) || shape->in_place);
    }
}

/* In whole numbers, so that the result is exact; GELU of most of them is 0 or the identity. */
static void check_linear(const struct kernels *kernels, struct rng *rng,
                         const struct shape *shape) {
    struct matrices m = make_matrices(rng, shape);
    struct packed_linear linear = {
        .panels = m.panels,
        .bias = shape->bias ? m.bias : NULL,
        .in = shape->in,
        .out = shape->out,
    };
    check_result(kernels, &linear, shape, &m);
    if (shape->in / shape->pieces % 2 == 0) {
        uint16_t *panels = pack_bf16(kernels, m.weight, shape->in, shape->out);
        linear.panels = NULL;
        linear.panels_bf16 = panels;
        check_result(kernels, &linear, shape, &m);
        free(panels);
    }
    free_matrices(&m);
}

START_TEST(every_number_of_rows) {
    struct rng rng = {1};
    for (size_t rows = 0; rows <= 40; rows++) {
        size_t odd = rows % 2, third = rows % 3;
        check_linear(isa_at(_i), &rng,
                     &(struct shape){rows, 5 + rows, STEP * (1 + rows % 5), 1, odd, third, !odd,
                                     third == 1, third == 2, (enum activation)(rows % 3)});
    }
}
END_TEST

/* Deeper than the cache: the product is made in parts. */
START_TEST(every_depth) {
    static const size_t depths[] = {1, 2, 159, 160, 161, 319, 320, 321, 640, 641, 1280, 2304};
    struct rng rng = {2};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        for (int added = 0; added < 3; added++)
            check_linear(isa_at(_i), &rng,
                         &(struct shape){13, depths[i], 48, 1, 3, 1, true, added == 1, added == 2,
                                         (enum activation)(i % 3)});
}
END_TEST

START_TEST(three_pieces_and_missing_ones) {
    static const size_t lengths[] = {1, 9, 96, 107, 321, 768};
    struct rng rng = {3};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_linear(
            isa_at(_i), &rng,
            &(struct shape){10, 3 * lengths[i], 64, 3, 0, 0, true, false, false, ACTIVATION_RELU});
    for (size_t missing = 0; missing < 3; missing++) {
        for (size_t length = 96; length <= 768; length *= 8) {
            struct shape shape = {7, 3 * length, 32, 3, 0, 0, true, false, false, ACTIVATION_NONE};
            struct matrices m = make_matrices(&rng, &shape);
            uint16_t *rounded = pack_bf16(isa_at(_i), m.weight, shape.in, shape.out);
            struct packed_linear linear = {m.panels, NULL, m.bias, shape.in, shape.out};
            for (size_t row = 0; row < shape.rows; row++)
                memset(m.rows + row * shape.in + missing * length, 0, length * sizeof *m.rows);
            free(m.x[missing]);
            m.x[missing] = NULL;
            check_result(isa_at(_i), &linear, &shape, &m);
            linear.panels_bf16 = rounded;
            check_result(isa_at(_i), &linear, &shape, &m);
            free(rounded);
            free_matrices(&m);
        }
    }
}
END_TEST

/* To nearest, ties to even, as the definition has it: from the bits. */
static uint16_t naive_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t low = bits & 0xffff, high = bits >> 16;
    return (uint16_t)(high + (low > 0x8000 || (low == 0x8000 && high % 2 == 1)));
}

START_TEST(bf16_is_rounded_to_nearest_even) {
    static const uint32_t bits[] = {0x3f800000, 0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000,
                                    0xbf818000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x80000000};
    enum { KNOWN = sizeof bits / sizeof *bits, ALL = 1000 + KNOWN };
    struct rng rng = {4};
    float *x = random_floats(&rng, ALL, -1e3, 1e3);
    memcpy(x, bits, sizeof bits);
    for (size_t n = 0; n <= ALL; n = n < 40 ? n + 1 : 3 * n) {
        uint16_t *rounded = obtain(n * sizeof *rounded);
        isa_at(_i)->to_bf16(x, rounded, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(rounded[i], naive_to_bf16(x[i]));
        free(rounded);
    }
    uint32_t nan_bits[] = {0x7f800001, 0x7fffffff, 0xffffffff};
    uint16_t nans[3];
    memcpy(x, nan_bits, sizeof nan_bits);
    isa_at(_i)->to_bf16(x, nans, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert((nans[i] & 0x7f80) == 0x7f80 && (nans[i] & 0x7f) != 0);
    free(x);
}
END_TEST

Suite *kernels_packed_linear_suite(void) {
    Suite *suite = suite_create("kernels_packed_linear");
    TCase *cases = tcase_create("packed_linear");
    add_isa_test(cases, every_number_of_rows);
    add_isa_test(cases, every_depth);
    add_isa_test(cases, bf16_is_rounded_to_nearest_even);
    add_isa_test(cases, three_pieces_and_missing_ones);
    suite_add_tcase(suite, cases);
    return suite;
}
