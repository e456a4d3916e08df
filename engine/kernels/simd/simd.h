/* simd: one vector type for every instruction set, by GCC's vector extensions.
 *
 * Each source of this folder is compiled once for each instruction set with KERNEL_ISA set to its
 * name; what it exports is named KERNEL(name). On the portable path the same code becomes SSE2 or
 * NEON or plain scalars. */
#ifndef ENGINE_KERNELS_SIMD_SIMD_H
#define ENGINE_KERNELS_SIMD_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "engine/kernels/kernels.h"

#define KERNEL_JOIN2(name, isa) name##_##isa
#define KERNEL_JOIN(name, isa) KERNEL_JOIN2(name, isa)
#define KERNEL(name) KERNEL_JOIN(name, KERNEL_ISA)

#if defined(WIDTH) /* the unit tests' stand-in for AVX-512 */
#elif defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#else
#define WIDTH 4
#endif

typedef float vfloat __attribute__((vector_size(WIDTH * sizeof(float))));
typedef int32_t vint __attribute__((vector_size(WIDTH * sizeof(int32_t))));

static inline vfloat load(const float *from) {
    vfloat v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void store(float *to, vfloat v) {
    memcpy(to, &v, sizeof v);
}

/* The first n < WIDTH values; the others are zero. */
static inline vfloat load_part(const float *from, size_t n) {
    vfloat v = {0};
    memcpy(&v, from, n * sizeof *from);
    return v;
}

static inline void store_part(float *to, vfloat v, size_t n) {
    memcpy(to, &v, n * sizeof *to);
}

static inline vfloat splat(float value) {
    return value - (vfloat){0};
}

/* The compiler does not find these instructions by itself. */
#if defined(__AVX512F__)
static inline vfloat vmax(vfloat a, vfloat b) {
    return (vfloat)_mm512_max_ps((__m512)a, (__m512)b);
}
static inline vfloat vmin(vfloat a, vfloat b) {
    return (vfloat)_mm512_min_ps((__m512)a, (__m512)b);
}
#elif WIDTH == 8
static inline vfloat vmax(vfloat a, vfloat b) {
    return (vfloat)_mm256_max_ps((__m256)a, (__m256)b);
}
static inline vfloat vmin(vfloat a, vfloat b) {
    return (vfloat)_mm256_min_ps((__m256)a, (__m256)b);
}
#else
static inline vfloat vmax(vfloat a, vfloat b) {
    vint more = a > b;
    return (vfloat)((more & (vint)a) | (~more & (vint)b));
}
static inline vfloat vmin(vfloat a, vfloat b) {
    vint less = a < b;
    return (vfloat)((less & (vint)a) | (~less & (vint)b));
}
#endif

static inline float sum_of(vfloat v) {
    float sum = 0;
    for (int i = 0; i < WIDTH; i++)
        sum += v[i];
    return sum;
}

static inline float max_of(vfloat v) {
    float max = v[0];
    for (int i = 1; i < WIDTH; i++)
        max = v[i] > max ? v[i] : max;
    return max;
}

/* e^x to about 1 ulp: x = n ln2 + r with |r| <= ln2 / 2, a polynomial for e^r (Cephes, expf.c), n
 * into the exponent. Below -87.3 the result is the smallest normal number, about 1e-38, which
 * stands for zero here. */
static inline vfloat vexp(vfloat x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = vmin(vmax(x, splat(-87.3f)), splat(88.3f));
    vfloat biased = x * 1.44269504088896341f + shift;
    vfloat n = biased - shift;
    vfloat r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vfloat p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vint exponent = ((vint)biased - (vint)splat(shift)) << 23;
    return (vfloat)((vint)p + exponent);
}

#endif
