#include "engine/kernels/simd/activation.h"
#include "engine/kernels/simd/kernels_isa.h"

static inline vfloat identity(vfloat x) {
    return x;
}

#define DEFINE_BIAS(name, activation)                                                              \
    void KERNEL(name)(float *x, size_t rows, size_t n, const float *bias) {                        \
        size_t whole = n / WIDTH * WIDTH;                                                          \
        for (size_t row = 0; row < rows; row++, x += n) {                                          \
            for (size_t i = 0; i < whole; i += WIDTH)                                              \
                store(x + i, activation(load(x + i) + load(bias + i)));                            \
            if (whole < n) {                                                                       \
                vfloat rest = load_part(x + whole, n - whole);                                     \
                rest = activation(rest + load_part(bias + whole, n - whole));                      \
                store_part(x + whole, rest, n - whole);                                            \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_BIAS(bias_gelu, gelu)
DEFINE_BIAS(bias_add, identity)

void KERNEL(add)(const float *a, const float *b, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}
