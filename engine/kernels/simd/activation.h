/* The activations, a vector at a time. */
#ifndef ENGINE_KERNELS_SIMD_ACTIVATION_H
#define ENGINE_KERNELS_SIMD_ACTIVATION_H

#include "engine/kernels/simd/simd.h"

enum { GELU_VECTORS = 4 };

/* Some vectors at once, in place, for one alone is a chain of operations that each wait for the
 * last; count is a constant where this is inlined.
 *
 * x Phi(x) = max(x, 0) - |x| Phi(-|x|), with Phi(-a) = 0.5 / (1 + p(a))^8, in the manner of
 * Abramowitz and Stegun 7.1.28; tools/fit_gelu.py makes the polynomial. The absolute error is below
 * 1.5e-7 but for the rounding of what is larger than 1; the relative error is below 1e-6 near zero,
 * and the left tail keeps its small values. */
static inline __attribute__((always_inline)) void gelu_vectors(vfloat *x, size_t count) {
    static const float coefficients[] = {
        1.008279256e-07f, -1.347885473e-06f, 9.781047083e-06f, -3.205878966e-05f, 1.051026120e-04f,
        1.436112507e-04f, 9.124920471e-04f,  8.647478186e-03f, 4.476844147e-02f,  9.973510355e-02f,
    };
    vfloat magnitude[GELU_VECTORS], p[GELU_VECTORS];
#pragma GCC unroll 4
    for (size_t v = 0; v < count; v++) {
        magnitude[v] = vmax(x[v], -x[v]);
        p[v] = splat(0.0f);
    }
#pragma GCC unroll 10
    for (size_t i = 0; i < sizeof coefficients / sizeof *coefficients; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < count; v++)
            p[v] = p[v] * magnitude[v] + coefficients[i];
#pragma GCC unroll 4
    for (size_t v = 0; v < count; v++)
        p[v] = p[v] * magnitude[v] + 1.0f;
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < count; v++)
            p[v] = p[v] * p[v];
#pragma GCC unroll 4
    for (size_t v = 0; v < count; v++)
        x[v] = vmax(x[v], splat(0.0f)) - 0.5f * magnitude[v] / p[v];
}

static inline vfloat gelu(vfloat x) {
    gelu_vectors(&x, 1);
    return x;
}

static inline vfloat relu(vfloat x) {
    return vmax(x, splat(0.0f));
}

static inline vfloat activate(vfloat x, enum activation activation) {
    return activation == ACTIVATION_GELU ? gelu(x) : activation == ACTIVATION_RELU ? relu(x) : x;
}

#endif
