#include "tests/unit/engine/naive.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs ------------------------------------------------------------------------------ */

uint64_t rng_bits(struct rng *rng) {
    uint64_t bits = rng->state += 0x9e3779b97f4a7c15;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
}

size_t rng_below(struct rng *rng, size_t end) {
    return (size_t)(rng_bits(rng) % end);
}

double rng_between(struct rng *rng, double low, double high) {
    return low + (high - low) * ((double)(rng_bits(rng) >> 11) * 0x1p-53);
}

void *obtain(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

float *random_floats(struct rng *rng, size_t n, double low, double high) {
    float *x = obtain(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_between(rng, low, high);
    return x;
}

float *random_integers(struct rng *rng, size_t n, int low, int high) {
    float *x = obtain(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(low + (int)rng_below(rng, (size_t)(high - low + 1)));
    return x;
}

float *copy_floats(const float *x, size_t n) {
    return memcpy(obtain(n * sizeof *x), x, n * sizeof *x);
}

double *doubles_of(const float *x, size_t n) {
    double *doubles = obtain(n * sizeof *doubles);
    for (size_t i = 0; i < n; i++)
        doubles[i] = x[i];
    return doubles;
}

/* ---- the maths --------------------------------------------------------------------------- */

double naive_gelu(double x) {
    return x * 0.5 * erfc(-x * M_SQRT1_2);
}

void naive_layer_norm(const double *x, size_t n, const float *weight, const float *bias,
                      double epsilon, double *y) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i];
}

void naive_softmax(double *x, size_t n) {
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    for (size_t i = 0; i < n; i++)
        x[i] = exp(x[i] - max) / sum;
}

/* The products of whole models go through here: the sums of all outputs grow together, so that the
 * compiler may keep several of them in one register. */
__attribute__((optimize("O3"))) void naive_linear(const float *weight, const float *bias, size_t in,
                                                  size_t out, const double *x, size_t rows,
                                                  double *restrict y) {
    double *restrict transposed = obtain(in * out * sizeof *transposed);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            transposed[i * out + o] = weight[o * in + i];
    for (size_t row = 0; row < rows; row++, x += in, y += out) {
        for (size_t o = 0; o < out; o++)
            y[o] = bias ? bias[o] : 0;
        for (size_t i = 0; i < in; i++)
            for (size_t o = 0; o < out; o++)
                y[o] += x[i] * transposed[i * out + o];
    }
    free(transposed);
}

void naive_attention(size_t queries, size_t keys, size_t dim, struct rows_of q, struct rows_of k,
                     struct rows_of v, const double *bias, struct rows_of out) {
    double *weights = obtain(keys * sizeof *weights);
    for (size_t i = 0; i < queries; i++) {
        for (size_t j = 0; j < keys; j++) {
            double product = 0;
            for (size_t d = 0; d < dim; d++)
                product += q.at[i * q.stride + d] * k.at[j * k.stride + d];
            weights[j] = product / sqrt((double)dim) + (bias ? bias[i * keys + j] : 0);
        }
        naive_softmax(weights, keys);
        for (size_t d = 0; d < dim; d++)
            out.at[i * out.stride + d] = 0;
        for (size_t j = 0; j < keys; j++)
            for (size_t d = 0; d < dim; d++)
                out.at[i * out.stride + d] += weights[j] * v.at[j * v.stride + d];
    }
    free(weights);
}

double naive_conv3x3(const float *image, size_t height, size_t width, size_t channels,
                     const float *weight, size_t stride, size_t y, size_t x) {
    double sum = 0;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            ptrdiff_t row = (ptrdiff_t)(y * stride + i) - 1,
                      column = (ptrdiff_t)(x * stride + j) - 1;
            if (row < 0 || row >= (ptrdiff_t)height || column < 0 || column >= (ptrdiff_t)width)
                continue;
            for (size_t c = 0; c < channels; c++)
                sum += (double)image[((size_t)row * width + (size_t)column) * channels + c] *
                       (double)weight[c * 9 + i * 3 + j];
        }
    }
    return sum;
}

uint16_t naive_to_half(float x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double magnitude = fabs((double)x);
    if (isnan(x))
        return sign | 0x7e00;
    if (magnitude >= 65520) /* half-way from the largest, 65504, to the next that would be */
        return sign | 0x7c00;
    int exponent = magnitude > 0 ? ilogb(magnitude) : -14;
    if (exponent < -14)
        exponent = -14;                                       /* subnormal */
    double steps = rint(ldexp(magnitude, 10 - exponent));     /* ties to even */
    return sign | (uint16_t)((exponent + 14) * 1024 + steps); /* a carry goes into the exponent */
}

double naive_from_half(uint16_t half) {
    double sign = half & 0x8000 ? -1 : 1, fraction = half & 0x3ff;
    int exponent = half >> 10 & 0x1f;
    if (exponent == 31)
        return fraction > 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25));
}

/* ---- the comparison ---------------------------------------------------------------------- */

double largest_magnitude(const double *x, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return largest;
}

void check_close(const char *what, const float *actual, const double *expected, size_t n,
                 double absolute, double relative) {
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)actual[i] - expected[i]);
        double allowed = absolute + relative * fabs(expected[i]);
        if (!(error <= allowed))
            ck_abort_msg("%s: value %zu of %zu is %.9g, not %.9g: off by %.3g, allowed are %.3g",
                         what, i, n, (double)actual[i], expected[i], error, allowed);
    }
}
