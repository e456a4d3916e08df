#include "engine/kernels/simd/kernels_isa.h"
#include "engine/kernels/simd/linear_block.h"

/* Pairs of bfloat16, the earlier one in the lower half. */
typedef uint32_t vpair __attribute__((vector_size(WIDTH * sizeof(uint32_t))));

#if defined(__AVX512BF16__)

static inline vfloat add_products(vfloat sum, vpair a, vpair b) {
    return (vfloat)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

static inline void round_vector(const float *x, uint16_t *rounded) {
    __m256bh narrow = _mm512_cvtneps_pbh(_mm512_loadu_ps(x));
    memcpy(rounded, &narrow, sizeof narrow);
}

#else

static inline vfloat add_products(vfloat sum, vpair a, vpair b) {
    sum += (vfloat)(a << 16) * (vfloat)(b << 16);
    return sum + (vfloat)(a & 0xffff0000u) * (vfloat)(b & 0xffff0000u);
}

static inline void round_vector(const float *x, uint16_t *rounded) {
    vpair bits;
    memcpy(&bits, x, sizeof bits);
    vpair is_nan = (vpair)((bits << 1) > 0xff000000u);
    vpair even = bits + 0x7fff + ((bits >> 16) & 1);
    bits = ((is_nan & (bits | 0x400000)) | (~is_nan & even)) >> 16;
    for (size_t i = 0; i < WIDTH; i++)
        rounded[i] = (uint16_t)bits[i];
}

#endif

void KERNEL(to_bf16)(const float *x, uint16_t *rounded, size_t n) {
    size_t whole = n / WIDTH * WIDTH;
    for (size_t i = 0; i < whole; i += WIDTH)
        round_vector(x + i, rounded + i);
    if (whole < n) {
        float rest[WIDTH] = {0};
        uint16_t rounded_rest[WIDTH];
        memcpy(rest, x + whole, (n - whole) * sizeof *x);
        round_vector(rest, rounded_rest);
        memcpy(rounded + whole, rounded_rest, (n - whole) * sizeof *rounded);
    }
}

/* A block's rows of x, rounded: BLOCK_ROWS x LINEAR_BF16_DEPTH_MAX at most. */
struct rounded_rows {
    uint16_t x[BLOCK_ROWS * LINEAR_BF16_DEPTH_MAX];
};

static void round_rows(const struct packed_linear *linear, const struct linear_rows *job,
                       size_t row, size_t rows, struct rounded_rows *rounded) {
    size_t length = linear->in / job->pieces;
    for (size_t i = 0; i < rows; i++) {
        for (size_t piece = 0; piece < job->pieces; piece++) {
            uint16_t *to = rounded->x + i * linear->in + piece * length;
            if (job->x[piece])
                KERNEL(to_bf16)(job->x[piece] + (row + i) * job->x_stride, to, length);
            else
                memset(to, 0, length * sizeof *to);
        }
    }
}

static inline vpair load_pairs(const uint16_t *from) {
    vpair pairs;
    memcpy(&pairs, from, sizeof pairs);
    return pairs;
}

static inline vpair splat_pair(const uint16_t *from) {
    uint32_t pair;
    memcpy(&pair, from, sizeof pair);
    return pair - (vpair){0};
}

/* The weights stream through from the second-level cache, half as wide as floats. */
static ALWAYS_INLINE void block(size_t rows, size_t panels, const struct packed_linear *linear,
                                const struct linear_rows *job, const struct rounded_rows *rounded,
                                size_t row, size_t out) {
    vfloat sums[BLOCK_ROWS][BLOCK_VECTORS];
    const uint16_t *weights = linear->panels_bf16 + out * linear->in;
    clear_block(rows, panels, sums);
    for (size_t k = 0; k < linear->in; k += 2, weights += 2 * PANEL) {
        vpair columns[BLOCK_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
            columns[v] = load_pairs(weights + v / PANEL_VECTORS * PANEL * linear->in +
                                    v % PANEL_VECTORS * 2 * WIDTH);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; i++) {
            vpair value = splat_pair(rounded->x + i * linear->in + k);
#pragma GCC unroll 8
            for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
                sums[i][v] = add_products(sums[i][v], value, columns[v]);
        }
    }
    finish_block(rows, panels, linear, job, (struct position){row, out, true}, sums);
}

void KERNEL(linear_bf16)(const struct packed_linear *linear, const struct linear_rows *job) {
    struct rounded_rows rounded;
    for (size_t row = 0, rows; row < job->rows; row += rows) {
        rows = block_rows(job->rows - row);
        round_rows(linear, job, row, rows, &rounded);
        for (size_t out = 0, panels; out < linear->out; out += panels * PANEL) {
            panels = linear->out - out >= BLOCK_PANELS * PANEL ? BLOCK_PANELS : 1;
            if (panels == BLOCK_PANELS)
                WITH_CONSTANT_ROWS(rows, block, BLOCK_PANELS, linear, job, &rounded, row, out)
            else
                WITH_CONSTANT_ROWS(rows, block, 1, linear, job, &rounded, row, out)
            activate_block(job, rows, panels, row, out);
        }
    }
}
