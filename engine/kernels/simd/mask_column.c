#include "engine/kernels/mask_column.h"

#include "engine/kernels/simd/kernels_isa.h"

enum { WORD = 64, WORD_BLOCKS = WORD / LOW_RES_BLOCK };

/* Bit i: whether lane i of a comparison's result is true. */
static inline uint64_t bits_of(vint truth) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)truth);
#elif WIDTH == 8
    return (uint64_t)(unsigned)_mm256_movemask_ps((__m256)truth);
#else
    uint64_t bits = 0;
    for (int i = 0; i < WIDTH; i++)
        bits |= (uint64_t)(truth[i] & 1) << i;
    return bits;
#endif
}

/* Bit i of above[k]: x[i] * weight[0] + x[stride + i] * weight[1] + x[2 * stride + i] * weight[2] >
 * thresholds[k], for i < n <= WORD. The higher bits are undefined. */
static inline void blend_above(const float *x, size_t stride, const float weight[3], int n,
                               const float thresholds[MASK_THRESHOLDS],
                               uint64_t above[MASK_THRESHOLDS]) {
    uint64_t mask = 0, tight = 0, loose = 0;
    for (int i = 0; i < n; i += WIDTH) {
        const float *at = x + i;
        vfloat sum = load(at) * weight[0] + load(at + stride) * weight[1] +
                     load(at + 2 * stride) * weight[2];
        mask |= bits_of(sum > thresholds[MASK_ITSELF]) << i;
        tight |= bits_of(sum > thresholds[MASK_TIGHT]) << i;
        loose |= bits_of(sum > thresholds[MASK_LOOSE]) << i;
    }
    above[MASK_ITSELF] = mask;
    above[MASK_TIGHT] = tight;
    above[MASK_LOOSE] = loose;
}

static inline float blend(const float *x, const float weight[3]) {
    return x[0] * weight[0] + x[LOW_RES] * weight[1] + x[2 * LOW_RES] * weight[2];
}

/* ---- the column at the low resolution ---------------------------------------------------- */

/* Four bits -> each of them 16 times. */
static inline uint64_t spread(uint64_t blocks) {
    return ((blocks & 0xf) * 0x0000200040008001 & 0x0001000100010001) * 0xffff;
}

/* Which rows are above each threshold; false: none. Rounding is monotone: the weighted sum of the
 * blocks' lowest values is a bound of all rows of a block, down to the last bit, and so is that of
 * the highest. Only a block that has a threshold between them is interpolated. */
static inline bool compare(const struct mask_logits *logits, const struct mask_taps *taps,
                           int blocks, const float thresholds[MASK_THRESHOLDS],
                           uint64_t above[MASK_THRESHOLDS][LOW_RES_WORDS]) {
    const float *column = logits->columns[taps->base];
    const uint64_t used = (UINT64_C(1) << blocks) - 1;
    uint64_t whole[MASK_THRESHOLDS] = {0}, part[MASK_THRESHOLDS], any = used, open = used;
    if (logits->finite) {
        blend_above(logits->lowest[taps->base], LOW_RES_BLOCKS, taps->weight, LOW_RES_BLOCKS,
                    thresholds, whole);
        blend_above(logits->highest[taps->base], LOW_RES_BLOCKS, taps->weight, LOW_RES_BLOCKS,
                    thresholds, part);
        any = open = 0;
        for (int k = 0; k < MASK_THRESHOLDS; k++) {
            any |= part[k] & used;
            open |= (part[k] ^ whole[k]) & used;
            whole[k] &= used;
        }
    }
    if (!any)
        return false;
    for (int k = 0; k < MASK_THRESHOLDS; k++)
        for (int i = 0; i < LOW_RES_WORDS; i++)
            above[k][i] = spread(whole[k] >> (i * WORD_BLOCKS));
    for (; open; open &= open - 1) {
        int row = __builtin_ctzll(open) * LOW_RES_BLOCK;
        blend_above(column + row, LOW_RES, taps->weight, LOW_RES_BLOCK, thresholds, part);
        for (int k = 0; k < MASK_THRESHOLDS; k++)
            above[k][row / WORD] |= part[k] << (row % WORD);
    }
    return true;
}

/* Of the bases that have image rows: those whose three values are all above a threshold, and those
 * that cross it: some are, some are not. */
struct sides {
    uint64_t above[LOW_RES_WORDS], crossing[LOW_RES_WORDS];
};

static inline void find_sides(const struct mask_rows *rows, const uint64_t above[LOW_RES_WORDS],
                              struct sides *sides) {
    for (int i = 0; i < LOW_RES_WORDS; i++) {
        uint64_t first = above[i], after = i + 1 < LOW_RES_WORDS ? above[i + 1] : 0;
        uint64_t second = first >> 1 | after << (WORD - 1),
                 third = first >> 2 | after << (WORD - 2);
        uint64_t all = first & second & third, some = first | second | third;
        sides->above[i] = all & rows->occupied[i];
        sides->crossing[i] = some & ~all & rows->occupied[i];
    }
}

/* How many image rows these bases have. */
static inline size_t count_rows(const struct mask_rows *rows, const uint64_t bases[LOW_RES_WORDS]) {
    size_t count = 0;
    uint64_t before = 0; /* the last bit of the word before */
    for (int i = 0; i < LOW_RES_WORDS; i++) {
        uint64_t edges = bases[i] ^ (bases[i] << 1 | before);
        for (before = bases[i] >> (WORD - 1); edges; edges &= edges - 1) {
            int bit = __builtin_ctzll(edges);
            size_t first = (size_t)rows->first[i * WORD + bit];
            count += bases[i] >> bit & 1 ? -first : first;
        }
    }
    return count;
}

/* ---- its rows in the image --------------------------------------------------------------- */

struct scan {
    const struct mask_rows *rows;
    const float *thresholds;
    int *edges; /* of the mask */
    size_t count;
    size_t *areas;
};

/* Whether the rows before this one were above. */
static inline bool inside(const struct scan *scan) {
    return scan->count % 2;
}

/* The rows of a base that crosses those thresholds for which `crossing` is all ones. */
static inline void scan_base(struct scan *scan, int base, const float values[3],
                             const uint64_t crossing[MASK_THRESHOLDS]) {
    const struct mask_rows *rows = scan->rows;
    for (int y = rows->first[base], end = rows->first[base + 1]; y < end; y += WORD) {
        uint64_t above[MASK_THRESHOLDS];
        int n = end - y < WORD ? end - y : WORD;
        uint64_t valid = UINT64_MAX >> (WORD - n);
        blend_above(rows->weights + y, rows->stride, values, n, scan->thresholds, above);
        for (int k = 0; k < MASK_THRESHOLDS; k++)
            scan->areas[k] += (size_t)__builtin_popcountll(above[k] & valid & crossing[k]);
        uint64_t edges = above[MASK_ITSELF] ^ (above[MASK_ITSELF] << 1 | inside(scan));
        for (edges &= valid & crossing[MASK_ITSELF]; edges; edges &= edges - 1)
            scan->edges[scan->count++] = y + __builtin_ctzll(edges);
    }
}

size_t KERNEL(mask_column)(const struct mask_logits *logits, const struct mask_rows *rows,
                           const struct mask_taps *taps, const float thresholds[MASK_THRESHOLDS],
                           int *edges, size_t areas[MASK_THRESHOLDS]) {
    uint64_t above[MASK_THRESHOLDS][LOW_RES_WORDS];
    struct sides sides[MASK_THRESHOLDS];
    struct scan scan = {rows, thresholds, edges, 0, areas};
    if (!compare(logits, taps, rows->blocks, thresholds, above))
        return 0;
    for (int k = 0; k < MASK_THRESHOLDS; k++) {
        find_sides(rows, above[k], &sides[k]);
        areas[k] += count_rows(rows, sides[k].above);
    }
    /* Neighbours share two values: the side changes only in a base that crosses the threshold, or
     * with the one after it. */
    uint64_t after = 1; /* the first base of all is visited too */
    for (int i = 0; i < LOW_RES_WORDS; i++) {
        const uint64_t whole = sides[MASK_ITSELF].above[i], mask = sides[MASK_ITSELF].crossing[i],
                       tight = sides[MASK_TIGHT].crossing[i], loose = sides[MASK_LOOSE].crossing[i],
                       crossing = mask | tight | loose;
        uint64_t visit = crossing | ((mask << 1 | after | rows->isolated[i]) & rows->occupied[i]);
        for (after = mask >> (WORD - 1); visit; visit &= visit - 1) {
            const int bit = __builtin_ctzll(visit), base = i * WORD + bit;
            if (!(mask >> bit & 1) && (whole >> bit & 1) != inside(&scan))
                scan.edges[scan.count++] = rows->first[base];
            if (!(crossing >> bit & 1))
                continue;
            const float *at = &logits->columns[taps->base][base];
            scan_base(&scan, base,
                      (float[]){blend(at, taps->weight), blend(at + 1, taps->weight),
                                blend(at + 2, taps->weight)},
                      (uint64_t[]){-(mask >> bit & 1), -(tight >> bit & 1), -(loose >> bit & 1)});
        }
    }
    if (inside(&scan))
        scan.edges[scan.count++] = rows->height;
    return scan.count;
}
