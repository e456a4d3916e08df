/* The steps of a softmax over the values of one row. */
#ifndef ENGINE_KERNELS_SIMD_ROW_SOFTMAX_H
#define ENGINE_KERNELS_SIMD_ROW_SOFTMAX_H

#include <math.h>

#include "engine/kernels/simd/simd.h"

/* x = x * scale + bias, which may be NULL; gives the largest. */
static inline float scale_row(float *x, size_t n, float scale, const float *bias) {
    size_t whole = n / WIDTH * WIDTH;
    vfloat max = splat(-INFINITY);
    for (size_t i = 0; i < whole; i += WIDTH) {
        vfloat v = load(x + i) * scale;
        if (bias)
            v += load(bias + i);
        store(x + i, v);
        max = vmax(max, v);
    }
    float largest = max_of(max);
    for (size_t i = whole; i < n; i++) {
        x[i] = x[i] * scale + (bias ? bias[i] : 0.0f);
        largest = x[i] > largest ? x[i] : largest;
    }
    return largest;
}

/* x = exp(x - max); gives the sum. */
static inline float exp_row(float *x, size_t n, float max) {
    size_t whole = n / WIDTH * WIDTH, rest = n - whole;
    vfloat sum = {0};
    for (size_t i = 0; i < whole; i += WIDTH) {
        vfloat e = vexp(load(x + i) - max);
        store(x + i, e);
        sum += e;
    }
    float total = sum_of(sum);
    if (rest) {
        store_part(x + whole, vexp(load_part(x + whole, rest) - max), rest);
        for (size_t i = whole; i < n; i++)
            total += x[i];
    }
    return total;
}

#endif
