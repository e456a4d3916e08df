/* Weighted sums of samples. Each kernel is written once, with GCC's vector types and plain loops,
 * and compiled twice: for the x86-64 baseline and for AVX2, whose multiplication of 32-bit lanes
 * the baseline lacks. */
#include "engine/image/resample.h"

#include <string.h>

#define KERNEL static inline __attribute__((always_inline))

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "red is the lowest byte of a pixel");

enum { PIXEL = 3, HALF = 1 << (RESAMPLE_WEIGHT_BITS - 1) };

/* Four bytes are one access where three are two. All pixels of a row but the last may be read so,
 * for unpack() ignores the fourth byte, and written so, for the next pixel overwrites it. */
KERNEL uint32_t load_four(const uint8_t *pixel) {
    uint32_t bits;
    memcpy(&bits, pixel, 4);
    return bits;
}

KERNEL uint32_t load_three(const uint8_t *pixel) {
    uint32_t bits = 0;
    memcpy(&bits, pixel, PIXEL);
    return bits;
}

KERNEL void store_four(uint8_t *pixel, uint32_t bits) {
    memcpy(pixel, &bits, 4);
}

KERNEL void store_three(uint8_t *pixel, uint32_t bits) {
    memcpy(pixel, &bits, PIXEL);
}

KERNEL void unpack(struct resample_column *column, resample_lanes pixels) {
    column->red = pixels & 255;
    column->green = pixels >> 8 & 255;
    column->blue = pixels >> 16 & 255;
}

/* The integer part of weighted sums. Rounding thousands of weights up may make it 256: then a mask
 * of ones makes its lowest byte 255. */
KERNEL resample_lanes whole_part(resample_lanes sum) {
    sum >>= RESAMPLE_WEIGHT_BITS;
    return (sum | (resample_lanes)(sum > 255)) & 255;
}

/* One output pixel of each row. */
KERNEL resample_lanes sum_columns(const uint32_t *weights, int taps,
                                  const struct resample_column *column) {
    resample_lanes red = (resample_lanes){0} + HALF, green = red, blue = red;
    for (int tap = 0; tap < taps; tap++) {
        red += weights[tap] * column[tap].red;
        green += weights[tap] * column[tap].green;
        blue += weights[tap] * column[tap].blue;
    }
    return whole_part(red) | whole_part(green) << 8 | whole_part(blue) << 16;
}

KERNEL void horizontal(const struct resample_filter *filter, struct resample_column *columns,
                       const uint8_t *const in[RESAMPLE_ROWS], int inputs,
                       uint8_t *const out[RESAMPLE_ROWS]) {
    const uint8_t *in0 = in[0], *in1 = in[1], *in2 = in[2], *in3 = in[3];
    size_t at = 0;
    for (int x = 0; x < inputs - 1; x++, at += PIXEL)
        unpack(&columns[x], (resample_lanes){load_four(in0 + at), load_four(in1 + at),
                                             load_four(in2 + at), load_four(in3 + at)});
    unpack(&columns[inputs - 1], (resample_lanes){load_three(in0 + at), load_three(in1 + at),
                                                  load_three(in2 + at), load_three(in3 + at)});

    uint8_t *out0 = out[0], *out1 = out[1], *out2 = out[2], *out3 = out[3];
    const uint32_t *weights = filter->weights;
    resample_lanes pixels;
    at = 0;
    for (int x = 0; x < filter->outputs - 1; x++, at += PIXEL, weights += filter->taps) {
        pixels = sum_columns(weights, filter->taps, &columns[filter->first[x]]);
        store_four(out0 + at, pixels[0]);
        store_four(out1 + at, pixels[1]);
        store_four(out2 + at, pixels[2]);
        store_four(out3 + at, pixels[3]);
    }
    pixels = sum_columns(weights, filter->taps, &columns[filter->first[filter->outputs - 1]]);
    store_three(out0 + at, pixels[0]);
    store_three(out1 + at, pixels[1]);
    store_three(out2 + at, pixels[2]);
    store_three(out3 + at, pixels[3]);
}

KERNEL void vertical(const uint32_t *weights, int taps, const uint8_t *const *rows, uint8_t *out,
                     size_t length) {
    enum { SPAN = 32 }; /* the sums of so many samples stay in registers */
    size_t at = 0;
    for (; at + SPAN <= length; at += SPAN) {
        uint32_t sums[SPAN];
        for (int i = 0; i < SPAN; i++)
            sums[i] = HALF;
        for (int tap = 0; tap < taps; tap++) {
            uint32_t weight = weights[tap];
            const uint8_t *row = rows[tap] + at;
            for (int i = 0; i < SPAN; i++)
                sums[i] += weight * row[i];
        }
        for (int i = 0; i < SPAN; i++) {
            int whole = (int)(sums[i] >> RESAMPLE_WEIGHT_BITS);
            out[at + (size_t)i] = (uint8_t)(whole > 255 ? 255 : whole);
        }
    }
    for (; at < length; at++) {
        uint32_t sum = HALF;
        for (int tap = 0; tap < taps; tap++)
            sum += weights[tap] * rows[tap][at];
        sum >>= RESAMPLE_WEIGHT_BITS;
        out[at] = (uint8_t)(sum > 255 ? 255 : sum);
    }
}

#define INSTANCE(name, target)                                                                     \
    target static void horizontal_##name(                                                          \
        const struct resample_filter *filter, struct resample_column *columns,                     \
        const uint8_t *const in[RESAMPLE_ROWS], int inputs, uint8_t *const out[RESAMPLE_ROWS]) {   \
        horizontal(filter, columns, in, inputs, out);                                              \
    }                                                                                              \
    target static void vertical_##name(const uint32_t *weights, int taps,                          \
                                       const uint8_t *const *rows, uint8_t *out, size_t length) {  \
        vertical(weights, taps, rows, out, length);                                                \
    }

INSTANCE(portable, )
#ifdef __x86_64__
INSTANCE(avx2, __attribute__((target("avx2"))))
#endif

struct resample_kernels resample_kernels_portable(void) {
    return (struct resample_kernels){horizontal_portable, vertical_portable};
}

struct resample_kernels resample_kernels(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return (struct resample_kernels){horizontal_avx2, vertical_avx2};
#endif
    return resample_kernels_portable();
}
