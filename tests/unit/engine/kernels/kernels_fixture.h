/* What the tests of kernels share: a loop test runs once for each instruction set of this CPU, and
 * for the code of the widest vectors even where the CPU has none. */
#ifndef TESTS_UNIT_ENGINE_KERNELS_KERNELS_FIXTURE_H
#define TESTS_UNIT_ENGINE_KERNELS_KERNELS_FIXTURE_H

#include <check.h>
#include <math.h>

#include "engine/kernels/kernels.h"
#include "tests/unit/engine/naive.h"

#if defined(__x86_64__)
extern const struct kernels kernels_wide; /* 16 floats side by side, made of AVX2's 8 */
#endif

/* NULL past the end. */
static inline const struct kernels *isa_at(int index) {
    int count = 0;
    while (kernels_at((size_t)count))
        count++;
#if defined(__x86_64__)
    if (index == count && count > 1) /* there is AVX2 */
        return &kernels_wide;
#endif
    return index < count ? kernels_at((size_t)index) : NULL;
}

static inline int isa_count(void) {
    int count = 0;
    while (isa_at(count))
        count++;
    return count;
}

/* What the formula of GELU promises, 1.5e-7, and the roundings of its evaluation: both absolute and
 * relative. */
#define GELU_ERROR 3e-7

static inline double naive_activation(double x, enum activation activation) {
    return activation == ACTIVATION_GELU   ? naive_gelu(x)
           : activation == ACTIVATION_RELU ? fmax(x, 0)
                                           : x;
}

#define add_isa_test(cases, test) tcase_add_loop_test(cases, test, 0, isa_count())

#endif
