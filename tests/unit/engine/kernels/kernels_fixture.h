/* What the tests of kernels share: a loop test runs once for each instruction set of this CPU. */
#ifndef TESTS_UNIT_ENGINE_KERNELS_KERNELS_FIXTURE_H
#define TESTS_UNIT_ENGINE_KERNELS_KERNELS_FIXTURE_H

#include <check.h>

#include "engine/kernels/kernels.h"

static inline int isa_count(void) {
    int count = 0;
    while (kernels_at((size_t)count))
        count++;
    return count;
}

#define add_isa_test(cases, test) tcase_add_loop_test(cases, test, 0, isa_count())

#endif
