/* mask_column against its definition, pixel by pixel; every pixel must agree. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/mask_column.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

/* ---- the naive way ----------------------------------------------------------------------- */

/* In double precision the product of two floats is exact, and their sum exact enough that rounding
 * it to a float is rounding once. */
static float product(float a, float b) {
    return (float)((double)a * (double)b);
}

static float sum(float a, float b) {
    return (float)((double)a + (double)b);
}

static float blend(float a, float b, float c, const float weight[3]) {
    return sum(sum(product(a, weight[0]), product(b, weight[1])), product(c, weight[2]));
}

static bool naive_above(const struct mask_logits *logits, const struct mask_taps *across,
                        const struct mask_taps *down, float threshold) {
    float values[3];
    int count = 0;
    for (int i = 0; i < 3; i++) {
        const int y = down->base + i;
        values[i] = blend(logits->columns[across->base][y], logits->columns[across->base + 1][y],
                          logits->columns[across->base + 2][y], across->weight);
        count += values[i] > threshold;
    }
    if (count == 0 || count == 3)
        return count == 3;
    return blend(values[0], values[1], values[2], down->weight) > threshold;
}

/* ---- inputs ------------------------------------------------------------------------------ */

static struct mask_taps random_taps(struct rng *rng, int base) {
    const float share = (float)rng_between(rng, 0, 1), finer = (float)rng_between(rng, 0, 1);
    struct mask_taps taps = {base, {share * finer, share * (1 - finer), 1 - share}};
    if (rng_below(rng, 4) == 0) /* of a neighbour that has no share */
        taps.weight[rng_below(rng, 3)] = 0;
    return taps;
}

/* Rows, and what they are made of. */
struct image_rows {
    struct mask_rows rows;
    struct mask_taps *taps;
    float *weights;
};

/* So many rows for each base, or so many bases for each row; up to a base. */
static void make_rows(struct rng *rng, int rows_of_base, int step, int bases,
                      struct image_rows *image) {
    const int height = rows_of_base * ((bases + step - 1) / step);
    const size_t stride = (size_t)height + KERNEL_CHANNEL_STEP;
    *image = (struct image_rows){.rows = {.height = height, .stride = stride}};
    image->taps = obtain((size_t)height * sizeof *image->taps);
    image->weights = obtain(3 * stride * sizeof *image->weights);
    memset(image->weights, 0x55, 3 * stride * sizeof *image->weights);
    struct mask_rows *rows = &image->rows;
    for (int y = 0; y < height; y++) {
        image->taps[y] = random_taps(rng, y / rows_of_base * step);
        for (size_t k = 0; k < 3; k++)
            image->weights[k * stride + (size_t)y] = image->taps[y].weight[k];
        const int base = image->taps[y].base;
        rows->occupied[base / 64] |= UINT64_C(1) << (base % 64);
        rows->blocks = (base + 2) / LOW_RES_BLOCK + 1;
    }
    for (int base = 0; base <= LOW_RES; base++)
        for (int y = 0; y < height; y++)
            rows->first[base] += image->taps[y].base < base;
    if (step > 1)
        memcpy(rows->isolated, rows->occupied, sizeof rows->isolated);
    rows->weights = image->weights;
}

static void free_rows(struct image_rows *image) {
    free(image->taps);
    free(image->weights);
}

enum field { SMOOTH, NOISE, NEARLY_FLAT, STRANGE, BELOW, FIELD_COUNT };

static float random_logit(struct rng *rng, enum field field, int x, int y) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f};
    switch (field) {
    case SMOOTH:
        return (float)(9 * sin(x * 0.05 + 0.02 * y) * cos(y * 0.047) + 0.1 * sin(y * 1.7));
    case NEARLY_FLAT: /* one float apart, around the threshold */
        return rng_below(rng, 2) ? 0.5f : nextafterf(0.5f, (float)rng_below(rng, 2));
    case STRANGE:
        return rng_below(rng, 50) ? (float)rng_between(rng, -3, 3) : odd[rng_below(rng, 6)];
    case BELOW:
        return (float)rng_between(rng, -9, -1);
    default:
        return (float)rng_between(rng, -20, 20);
    }
}

static struct mask_logits *make_logits(struct rng *rng, enum field field) {
    struct mask_logits *logits = obtain(sizeof *logits);
    logits->finite = true;
    for (int x = 0; x < LOW_RES; x++) {
        float *column = logits->columns[x];
        for (int y = 0; y < LOW_RES; y++) {
            column[y] = random_logit(rng, field, x, y);
            logits->finite &= isfinite(column[y]);
        }
        for (int block = 0; block < LOW_RES_BLOCKS; block++) {
            float low = INFINITY, high = -INFINITY;
            for (int y = block * LOW_RES_BLOCK; y < (block + 1) * LOW_RES_BLOCK; y++) {
                low = fminf(low, column[y]);
                high = fmaxf(high, column[y]);
            }
            logits->lowest[x][block] = low;
            logits->highest[x][block] = high;
        }
    }
    return logits;
}

/* ---- checks ------------------------------------------------------------------------------ */

static void check_column(const struct kernels *kernels, const struct mask_logits *logits,
                         const struct image_rows *image, const struct mask_taps *across) {
    static const float thresholds[MASK_THRESHOLDS] = {0.5f, 1.5f, -0.5f};
    const int height = image->rows.height;
    size_t areas[MASK_THRESHOLDS] = {5, 6, 7}, expected[MASK_THRESHOLDS] = {5, 6, 7};
    int *edges = obtain(((size_t)height + 1) * sizeof *edges);
    size_t count = kernels->mask_column(logits, &image->rows, across, thresholds, edges, areas),
           at = 0;
    bool inside = false;
    for (int y = 0; y < height; y++) {
        const struct mask_taps *down = &image->taps[y];
        for (int k = 0; k < MASK_THRESHOLDS; k++)
            expected[k] += naive_above(logits, across, down, thresholds[k]);
        if (naive_above(logits, across, down, thresholds[MASK_ITSELF]) == inside)
            continue;
        inside = !inside;
        ck_assert_msg(at < count && edges[at] == y, "edge %zu of %zu is not at row %d", at, count,
                      y);
        at++;
    }
    if (inside)
        ck_assert(at < count && edges[at++] == height);
    ck_assert_uint_eq(at, count);
    ck_assert_mem_eq(areas, expected, sizeof areas);
    free(edges);
}

static void check_field(const struct kernels *kernels, enum field field, uint64_t seed) {
    static const struct {
        int rows_of_base, step, bases;
    } images[] = {{1, 1, 254}, {9, 1, 171},  {8, 1, 62},  {16, 1, 30}, {17, 1, 63},  {64, 1, 64},
                  {65, 1, 20}, {150, 1, 3},  {1, 2, 254}, {1, 3, 190}, {1, 64, 254}, {1, 1, 1},
                  {3, 1, 1},   {31, 1, 254}, {1, 1, 14},  {2, 1, 15}};
    struct rng rng = {seed};
    struct mask_logits *logits = make_logits(&rng, field);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        struct image_rows image;
        make_rows(&rng, images[i].rows_of_base, images[i].step, images[i].bases, &image);
        for (int k = 0; k < 12; k++) {
            const int base = k == 0 ? 0 : k == 1 ? LOW_RES - 3 : (int)rng_below(&rng, LOW_RES - 2);
            const struct mask_taps across = random_taps(&rng, base);
            check_column(kernels, logits, &image, &across);
        }
        free_rows(&image);
    }
    free(logits);
}

START_TEST(columns_of_all_sizes) {
    for (int field = 0; field < FIELD_COUNT; field++)
        for (uint64_t seed = 0; seed < 3; seed++)
            check_field(isa_at(_i), (enum field)field, seed);
}
END_TEST

Suite *kernels_mask_column_suite(void) {
    Suite *suite = suite_create("kernels_mask_column");
    TCase *cases = tcase_create("mask_column");
    tcase_set_timeout(cases, 60);
    add_isa_test(cases, columns_of_all_sizes);
    suite_add_tcase(suite, cases);
    return suite;
}
