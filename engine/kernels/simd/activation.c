#include "engine/kernels/simd/kernels_isa.h"

/* x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, with erfc by Abramowitz and Stegun 7.1.26:
 * absolute error below 1.5e-7, and the left tail keeps its small values. */
static inline vfloat gelu(vfloat x) {
    vfloat magnitude = vmax(x, -x);
    vfloat z = magnitude * 0.70710678118654752f;
    vfloat t = 1.0f / (1.0f + 0.3275911f * z);
    vfloat p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vfloat erfc = p * t * vexp(-z * z);
    return vmax(x, splat(0.0f)) - 0.5f * magnitude * erfc;
}

static inline vfloat relu(vfloat x) {
    return vmax(x, splat(0.0f));
}

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
DEFINE_BIAS(bias_relu, relu)
DEFINE_BIAS(bias_add, identity)

void KERNEL(add)(const float *a, const float *b, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}
