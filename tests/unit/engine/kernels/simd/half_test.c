/* to_half and from_half against IEEE 754's definition of binary16. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

enum { HALVES = 65536 };

/* Down to the sign of zero; any NaN is like any other. */
static bool same_value(double a, double b) {
    return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b);
}

START_TEST(every_half_becomes_its_float_and_itself_again) {
    const struct kernels *kernels = isa_at(_i);
    uint16_t *halves = obtain(HALVES * sizeof *halves), *again = obtain(HALVES * sizeof *again);
    float *floats = obtain(HALVES * sizeof *floats);
    for (int i = 0; i < HALVES; i++)
        halves[i] = (uint16_t)i;
    kernels->from_half(halves, floats, HALVES);
    kernels->to_half(floats, again, HALVES);
    for (int i = 0; i < HALVES; i++) {
        double expected = naive_from_half((uint16_t)i);
        if (!same_value((double)floats[i], expected))
            ck_abort_msg("%04x became %g, not %g", i, (double)floats[i], expected);
        if (again[i] != i && !(isnan(expected) && isnan(naive_from_half(again[i]))))
            ck_abort_msg("%04x became %04x", i, again[i]);
    }
    free(halves);
    free(again);
    free(floats);
}
END_TEST

static void check_floats(const struct kernels *kernels, const float *x, size_t n) {
    uint16_t *halves = obtain(n * sizeof *halves);
    kernels->to_half(x, halves, n);
    for (size_t i = 0; i < n; i++) {
        uint16_t expected = naive_to_half(x[i]);
        if (halves[i] != expected && !(isnan(x[i]) && isnan(naive_from_half(halves[i]))))
            ck_abort_msg("%a became %04x, not %04x", (double)x[i], halves[i], expected);
    }
    free(halves);
}

/* Half-way between each half and the next, and the floats beside it. */
START_TEST(ties_go_to_the_even_half) {
    float *x = obtain((size_t)HALVES * 3 * sizeof *x);
    size_t n = 0;
    for (int i = 0; i < HALVES; i++) {
        if ((i & 0x7fff) >= 0x7bff) /* the largest finite one and all that is not finite */
            continue;
        double middle = (naive_from_half((uint16_t)i) + naive_from_half((uint16_t)(i + 1))) / 2;
        x[n++] = (float)middle;
        x[n++] = nextafterf((float)middle, INFINITY);
        x[n++] = nextafterf((float)middle, -INFINITY);
    }
    check_floats(isa_at(_i), x, n);
    free(x);
}
END_TEST

START_TEST(random_floats_of_all_magnitudes) {
    enum { COUNT = 1 << 20 };
    struct rng rng = {1};
    float *x = obtain(COUNT * sizeof *x);
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t bits = (uint32_t)rng_bits(&rng);
        memcpy(&x[i], &bits, sizeof bits);
        if (i % 2) /* of the magnitudes that halves have */
            x[i] = (float)ldexp(rng_between(&rng, -1, 1), (int)rng_below(&rng, 44) - 26);
    }
    check_floats(isa_at(_i), x, COUNT);
    free(x);
}
END_TEST

START_TEST(beyond_the_range_is_infinity) {
    static const float x[] = {65504,     65519.996f, 65520,     -65520,   65536,    1e10f,
                              -3e38f,    INFINITY,   -INFINITY, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f,
                              -0x1p-26f, 1e-45f,     0,         -0.0f};
    static const uint16_t halves[] = {0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00, 0x7c00,
                                      0xfc00, 0x7c00, 0xfc00, 0x0001, 0x0000, 0x0001,
                                      0x8000, 0x0000, 0x0000, 0x8000};
    enum { COUNT = sizeof x / sizeof *x };
    uint16_t found[COUNT];
    isa_at(_i)->to_half(x, found, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_msg(found[i] == halves[i], "%a became %04x, not %04x", (double)x[i], found[i],
                      halves[i]);
        ck_assert_int_eq(naive_to_half(x[i]), halves[i]);
        isa_at(_i)->to_half(&x[i], found, 1);
        ck_assert_int_eq(found[0], halves[i]);
    }
}
END_TEST

START_TEST(halves_of_every_size) {
    const struct kernels *kernels = isa_at(_i);
    struct rng rng = {2};
    for (size_t n = 0; n <= 70; n++) {
        float *x = random_floats(&rng, n, -70000, 70000), *y = obtain(n * sizeof *y);
        uint16_t *halves = obtain(n * sizeof *halves);
        check_floats(kernels, x, n);
        kernels->to_half(x, halves, n);
        kernels->from_half(halves, y, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_double_eq((double)y[i], naive_from_half(halves[i]));
        free(x);
        free(y);
        free(halves);
    }
}
END_TEST

Suite *kernels_half_suite(void) {
    Suite *suite = suite_create("kernels_half");
    TCase *cases = tcase_create("half");
    add_isa_test(cases, every_half_becomes_its_float_and_itself_again);
    add_isa_test(cases, ties_go_to_the_even_half);
    add_isa_test(cases, random_floats_of_all_magnitudes);
    add_isa_test(cases, beyond_the_range_is_infinity);
    add_isa_test(cases, halves_of_every_size);
    suite_add_tcase(suite, cases);
    return suite;
}
