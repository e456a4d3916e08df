#include <math.h>

#include "engine/kernels/simd/kernels_isa.h"

static float row_sum(const float *x, size_t n) {
    size_t whole = n / WIDTH * WIDTH;
    vfloat sum = load_part(x + whole, n - whole);
    for (size_t i = 0; i < whole; i += WIDTH)
        sum += load(x + i);
    return sum_of(sum);
}

/* Sum of (x - mean)^2: two passes over a row that is in L1, for the precision of PyTorch's. */
static float row_square_sum(const float *x, size_t n, float mean) {
    size_t whole = n / WIDTH * WIDTH;
    vfloat sum = {0};
    for (size_t i = 0; i < whole; i += WIDTH) {
        vfloat d = load(x + i) - mean;
        sum += d * d;
    }
    float total = sum_of(sum);
    for (size_t i = whole; i < n; i++)
        total += (x[i] - mean) * (x[i] - mean);
    return total;
}

void KERNEL(layer_norm)(const float *x, size_t rows, size_t n, const float *weight,
                        const float *bias, float epsilon, float *y) {
    size_t whole = n / WIDTH * WIDTH;
    for (size_t row = 0; row < rows; row++, x += n, y += n) {
        float mean = row_sum(x, n) / (float)n;
        float variance = row_square_sum(x, n, mean) / (float)n;
        float scale = 1.0f / sqrtf(variance + epsilon);
        for (size_t i = 0; i < whole; i += WIDTH)
            store(y + i, (load(x + i) - mean) * scale * load(weight + i) + load(bias + i));
        for (size_t i = whole; i < n; i++)
            y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
    }
}
