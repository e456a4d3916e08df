#include <math.h>

#include "engine/kernels/simd/kernels_isa.h"
#include "engine/kernels/simd/row_softmax.h"

void KERNEL(softmax)(float *x, size_t rows, size_t n, float scale, const float *bias) {
    for (size_t row = 0; row < rows; row++, x += n) {
        float max = scale_row(x, n, scale, bias ? bias + row * n : NULL);
        float inverse = 1.0f / exp_row(x, n, max);
        for (size_t i = 0; i < n; i++)
            x[i] *= inverse;
    }
}

/* WIDTH columns side by side, of which the first `width` are there. */
static inline void column_block(float *x, size_t n, size_t columns, size_t width, float scale,
                                const float *offset) {
    vfloat max = splat(-INFINITY), sum = {0};
    for (size_t row = 0; row < n; row++) {
        vfloat v = (load_part(x + row * columns, width) + offset[row]) * scale;
        max = vmax(max, v);
    }
    for (size_t row = 0; row < n; row++) {
        vfloat v = (load_part(x + row * columns, width) + offset[row]) * scale;
        v = vexp(v - max);
        sum += v;
        store_part(x + row * columns, v, width);
    }
    vfloat inverse = 1.0f / sum;
    for (size_t row = 0; row < n; row++)
        store_part(x + row * columns, load_part(x + row * columns, width) * inverse, width);
}

void KERNEL(softmax_columns)(float *x, size_t n, size_t columns, float scale, const float *offset) {
    size_t i = 0;
    for (; i + WIDTH <= columns; i += WIDTH)
        column_block(x + i, n, columns, WIDTH, scale,
                     offset); /* WIDTH is a constant here: whole loads */
    if (i < columns)
        column_block(x + i, n, columns, columns - i, scale, offset);
}

void KERNEL(exp_partial)(float *x, size_t n, float scale, float *max, float *sum) {
    const float largest = scale_row(x, n, scale, NULL);
    *max = largest > *max ? largest : *max;
    *sum = exp_row(x, n, *max);
}
