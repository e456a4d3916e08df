/* mask_upsample against SAM's two interpolations, pixel by pixel in double precision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/mask_upsample.h"
#include "engine/sam/prompt_encoder.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

enum { LOW = SAM_LOW_RES, SQUARE = 1024 };

/* ---- the naive way ----------------------------------------------------------------------- */

/* torch.nn.functional.interpolate, mode="bilinear", align_corners=False: the value of output pixel
 * (y, x) of height x width, from the top left in_height x in_width of an image. */
static double bilinear(const double *image, size_t stride, int in_height, int in_width, int height,
                       int width, int y, int x) {
    double at_y = fmax((y + 0.5) * in_height / height - 0.5, 0);
    double at_x = fmax((x + 0.5) * in_width / width - 0.5, 0);
    size_t top = (size_t)at_y, left = (size_t)at_x;
    size_t bottom = top + 1 < (size_t)in_height ? top + 1 : top;
    size_t right = left + 1 < (size_t)in_width ? left + 1 : left;
    double down = at_y - (double)top, across = at_x - (double)left;
    return (1 - down) *
               ((1 - across) * image[top * stride + left] + across * image[top * stride + right]) +
           down * ((1 - across) * image[bottom * stride + left] +
                   across * image[bottom * stride + right]);
}

/* The logits of the image's pixels, [width][height]: 256 -> 1024, crop, -> the image's size. */
static double *naive_logits(const float *low, const struct geometry *geometry) {
    int width = geometry->width, height = geometry->height;
    double *wide = doubles_of(low, LOW * LOW), *square = obtain(SQUARE * SQUARE * sizeof *square);
    double *logits = obtain((size_t)width * (size_t)height * sizeof *logits);
    for (int y = 0; y < SQUARE; y++)
        for (int x = 0; x < SQUARE; x++)
            square[y * SQUARE + x] = bilinear(wide, LOW, LOW, LOW, SQUARE, SQUARE, y, x);
    for (int x = 0; x < width; x++)
        for (int y = 0; y < height; y++)
            logits[(size_t)x * (size_t)height + (size_t)y] =
                bilinear(square, SQUARE, geometry->scaled_height, geometry->scaled_width, height,
                         width, y, x);
    free(wide);
    free(square);
    return logits;
}

/* ---- checks ------------------------------------------------------------------------------ */

/* A pixel may go either way when its logit is this close to the threshold: some roundings of logits
 * up to 20. */
static const double UNDECIDED = 1e-5;

/* No run is zero but the first, and they cover the image. Returns the pixels. */
static uint8_t *pixels_of(const struct mask *mask, const struct geometry *geometry) {
    size_t total = (size_t)geometry->width * (size_t)geometry->height, at = 0;
    uint8_t *pixels = obtain(total);
    ck_assert_int_eq(mask->width, geometry->width);
    ck_assert_int_eq(mask->height, geometry->height);
    for (size_t run = 0; run < mask->count; run++) {
        if (mask->counts[run] == 0 && run > 0)
            ck_abort_msg("run %zu of %zu is 0", run, mask->count);
        if (mask->counts[run] > total - at)
            ck_abort_msg("the runs exceed the image");
        memset(pixels + at, run % 2, mask->counts[run]);
        at += mask->counts[run];
    }
    ck_assert_msg(at == total, "the runs cover %zu of %zu pixels", at, total);
    return pixels;
}

static void check_mask(const uint8_t *pixels, const double *logits, size_t total,
                       double threshold) {
    for (size_t i = 0; i < total; i++)
        if (pixels[i] != (logits[i] > threshold) && fabs(logits[i] - threshold) > UNDECIDED)
            ck_abort_msg("pixel %zu is %d, but its logit is %.9g, the threshold %g", i, pixels[i],
                         logits[i], threshold);
}

static void check_numbers(const struct segment *segment, const uint8_t *pixels) {
    int width = segment->mask.width, height = segment->mask.height;
    int left = width, right = -1, top = height, bottom = -1;
    size_t area = 0;
    for (int x = 0; x < width; x++) {
        for (int y = 0; y < height; y++) {
            if (!pixels[(size_t)x * (size_t)height + (size_t)y])
                continue;
            area++;
            left = x < left ? x : left;
            right = x;
            top = y < top ? y : top;
            bottom = y > bottom ? y : bottom;
        }
    }
    int box[4] = {left, top, right - left + 1, bottom - top + 1}, none[4] = {0};
    ck_assert_uint_eq(segment->area, area);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(segment->bbox[i], area ? box[i] : none[i]);
}

static double count_above(const double *logits, size_t total, double threshold) {
    size_t count = 0;
    for (size_t i = 0; i < total; i++)
        count += logits[i] > threshold;
    return (double)count;
}

/* calculate_stability_score with offset 1; undecided pixels may count or not. */
static void check_stability(float score, const double *logits, size_t total, double threshold) {
    double least_loose = count_above(logits, total, threshold - 1 + UNDECIDED);
    double most_loose = count_above(logits, total, threshold - 1 - UNDECIDED);
    double least = count_above(logits, total, threshold + 1 + UNDECIDED) / fmax(most_loose, 1);
    double most = count_above(logits, total, threshold + 1 - UNDECIDED) / fmax(least_loose, 1);
    ck_assert_double_ge((double)score, least * (1 - 3 * ROUNDING));
    ck_assert_double_le((double)score, most * (1 + 3 * ROUNDING));
}

static void check(const float *low, const struct geometry *geometry, const double *logits,
                  double threshold) {
    size_t total = (size_t)geometry->width * (size_t)geometry->height;
    struct segment segment;
    struct error error = {0};
    memset(&segment, 0x55, sizeof segment);
    ck_assert_int_eq(upsample_mask(low, geometry, (float)threshold, &segment, &error), STATUS_OK);
    uint8_t *pixels = pixels_of(&segment.mask, geometry);
    check_mask(pixels, logits, total, threshold);
    check_numbers(&segment, pixels);
    check_stability(segment.stability_score, logits, total, threshold);
    free(pixels);
    mask_free(&segment.mask);
}

static void check_thresholds(const float *low, int width, int height) {
    static const double thresholds[] = {0, 1.25, -3, 100, -100};
    struct geometry geometry;
    geometry_fit(width, height, SQUARE, &geometry);
    double *logits = naive_logits(low, &geometry);
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++)
        check(low, &geometry, logits, thresholds[i]);
    free(logits);
}

/* ---- tests ------------------------------------------------------------------------------- */

static const int SIZES[][2] = {
    {1, 1},    {2, 2},     {1, 5000},   {5000, 1},    {37, 1999},   {800, 3},     {3, 800},
    {5, 7},    {256, 256}, {255, 257},  {640, 427},   {1024, 1024}, {1025, 1023}, {683, 1024},
    {999, 77}, {341, 512}, {1500, 998}, {2250, 1500}, {1024, 320},
};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

START_TEST(smooth_fields) {
    float *low = obtain(LOW * LOW * sizeof *low);
    for (int y = 0; y < LOW; y++)
        for (int x = 0; x < LOW; x++)
            low[y * LOW + x] =
                (float)(9 * sin(x * 0.083 + 0.3 * sin(y * 0.11)) * cos(y * 0.047 + 0.2) +
                        4 * sin((x + 2 * y) * 0.31));
    check_thresholds(low, SIZES[_i][0], SIZES[_i][1]);
    free(low);
}
END_TEST

START_TEST(noise) {
    struct rng rng = {(uint64_t)_i};
    float *low = random_floats(&rng, LOW * LOW, -20, 20);
    check_thresholds(low, SIZES[_i][0], SIZES[_i][1]);
    free(low);
}
END_TEST

/* What the padding holds must not be seen, but for what the first interpolation draws in. */
START_TEST(nothing_of_the_padding) {
    struct geometry geometry;
    geometry_fit(1000, 300, SQUARE, &geometry); /* scaled height 307: rows 0 .. 76 */
    float *low = obtain(LOW * LOW * sizeof *low);
    struct segment segment;
    for (int i = 0; i < LOW * LOW; i++)
        low[i] = i / LOW < 78 ? -1.5f : 9;
    ck_assert_int_eq(upsample_mask(low, &geometry, 0, &segment, NULL), STATUS_OK);
    ck_assert_uint_eq(segment.area, 0);
    ck_assert_uint_eq(segment.mask.count, 1);
    ck_assert_uint_eq(segment.mask.counts[0], 300000);
    ck_assert_float_eq(segment.stability_score, 0);
    mask_free(&segment.mask);
    ck_assert_ptr_null(segment.mask.counts);
    mask_free(&segment.mask); /* again */
    free(low);
}
END_TEST

START_TEST(all_above_and_all_below) {
    static float low[LOW * LOW];
    static const struct {
        float value;
        size_t count, area;
        float stability;
    } cases[] = {
        {2, 2, 30000, 1}, {0.5f, 2, 30000, 0}, {0, 1, 0, 0}, {-0.5f, 1, 0, 0}, {-2, 1, 0, 0}};
    struct geometry geometry;
    geometry_fit(200, 150, SQUARE, &geometry);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct segment segment;
        for (int j = 0; j < LOW * LOW; j++)
            low[j] = cases[i].value;
        ck_assert_int_eq(upsample_mask(low, &geometry, 0, &segment, NULL), STATUS_OK);
        ck_assert_uint_eq(segment.mask.count, cases[i].count);
        ck_assert_uint_eq(segment.mask.counts[0], cases[i].area ? 0 : 30000);
        ck_assert_uint_eq(segment.area, cases[i].area);
        ck_assert_int_eq(segment.bbox[2], cases[i].area ? 200 : 0);
        ck_assert_int_eq(segment.bbox[3], cases[i].area ? 150 : 0);
        ck_assert_float_eq(segment.stability_score, cases[i].stability);
        mask_free(&segment.mask);
    }
}
END_TEST

static struct segment upsample(const float *low, const struct geometry *geometry) {
    struct segment segment;
    ck_assert_int_eq(upsample_mask(low, geometry, 0.25f, &segment, NULL), STATUS_OK);
    return segment;
}

static void check_same(const struct segment *found, const struct segment *expected) {
    ck_assert_uint_eq(found->area, expected->area);
    ck_assert_mem_eq(found->bbox, expected->bbox, sizeof found->bbox);
    ck_assert_float_eq(found->stability_score, expected->stability_score);
    ck_assert_uint_eq(found->mask.count, expected->mask.count);
    ck_assert_mem_eq(found->mask.counts, expected->mask.counts,
                     expected->mask.count * sizeof(uint32_t));
}

/* A logit without a number rules out all that is concluded from extremes, also where no pixel sees
 * it: what is left is interpolation, and that gives the same mask. */
START_TEST(conclusions_from_extremes_are_exact) {
    struct geometry geometry;
    geometry_fit(1000, 300, SQUARE, &geometry);
    for (int k = 0; k < 4; k++) {
        struct rng rng = {(uint64_t)k};
        float *low = random_floats(&rng, LOW * LOW, k % 2 ? 0.2 : -9, k % 2 ? 1.3 : 1);
        for (int i = 0; k >= 2 && i < LOW * LOW; i++) /* one float apart, around the threshold */
            low[i] = rng_below(&rng, 2) ? 0.25f : nextafterf(0.25f, (float)(k == 2));
        struct segment expected = upsample(low, &geometry);
        low[79 * LOW] = (float[]){NAN, INFINITY, -INFINITY, NAN}[k];
        struct segment found = upsample(low, &geometry);
        check_same(&found, &expected);
        mask_free(&found.mask);
        mask_free(&expected.mask);
        free(low);
    }
}
END_TEST

/* No pixel that sees one is above, or all are that see nothing else but infinity; the others do not
 * change. */
START_TEST(logits_that_are_not_finite) {
    static const float strange[] = {NAN, -INFINITY, INFINITY};
    static float low[LOW * LOW];
    struct geometry geometry;
    geometry_fit(1024, 1024, SQUARE, &geometry);
    for (size_t k = 0; k < sizeof strange / sizeof *strange; k++) {
        for (int i = 0; i < LOW * LOW; i++)
            low[i] = 1;
        low[100 * LOW + 50] = strange[k];
        struct segment segment = upsample(low, &geometry);
        uint8_t *pixels = pixels_of(&segment.mask, &geometry);
        check_numbers(&segment, pixels);
        for (int x = 0; x < 1024; x++)
            for (int y = 0; y < 1024; y++)
                if ((abs(x - 202) > 8 || abs(y - 402) > 8) && !pixels[x * 1024 + y])
                    ck_abort_msg("%g changed pixel %d, %d", (double)strange[k], x, y);
        ck_assert_int_eq(pixels[202 * 1024 + 402], k == 2);
        free(pixels);
        mask_free(&segment.mask);
        for (int i = 0; i < LOW * LOW; i++)
            low[i] = strange[k];
        segment = upsample(low, &geometry);
        pixels = pixels_of(&segment.mask, &geometry);
        check_numbers(&segment, pixels);
        free(pixels);
        mask_free(&segment.mask);
    }
}
END_TEST

Suite *mask_upsample_suite(void) {
    Suite *suite = suite_create("mask_upsample");
    TCase *cases = tcase_create("upsample");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, smooth_fields, 0, SIZE_COUNT);
    tcase_add_loop_test(cases, noise, 0, SIZE_COUNT);
    tcase_add_test(cases, nothing_of_the_padding);
    tcase_add_test(cases, all_above_and_all_below);
    tcase_add_test(cases, conclusions_from_extremes_are_exact);
    tcase_add_test(cases, logits_that_are_not_finite);
    suite_add_tcase(suite, cases);
    return suite;
}
