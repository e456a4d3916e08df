/* What is done to runs, against the same on bitmaps. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/bitmap.h"
#include "tests/unit/suites.h"

enum { ROUNDS = 3000, MOST = 40 };

/* ---- area and bbox ----------------------------------------------------------------------- */

static void assert_description(const struct bitmap *bitmap) {
    int left = bitmap->width, right = -1, top = bitmap->height, bottom = -1;
    size_t area = 0, found_area;
    for (int i = 0; i < bitmap->height * bitmap->width; i++) {
        if (!bitmap->pixels[i])
            continue;
        const int x = i % bitmap->width, y = i / bitmap->width;
        left = x < left ? x : left;
        right = x > right ? x : right;
        top = y < top ? y : top;
        bottom = y > bottom ? y : bottom;
        area++;
    }
    const int bbox[4] = {left, top, right - left + 1, bottom - top + 1}, none[4] = {0};
    int found[4];
    struct mask mask = bitmap_mask(bitmap);
    mask_describe(&mask, &found_area, found);
    ck_assert_uint_eq(found_area, area);
    ck_assert_mem_eq(found, area ? bbox : none, sizeof found);
    mask_free(&mask);
}

START_TEST(test_describe) {
    struct rng rng = {1};
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        assert_description(&bitmap);
        bitmap_free(&bitmap);
    }
    /* a run that goes on in the next column, and nothing else */
    struct bitmap bitmap = bitmap_of("0010 0000 0100");
    assert_description(&bitmap);
    bitmap_free(&bitmap);
    const struct mask nothing = {0};
    size_t area;
    int bbox[4];
    mask_describe(&nothing, &area, bbox);
    ck_assert(area == 0 && bbox[0] == 0 && bbox[3] == 0);
}
END_TEST

/* ---- regions ----------------------------------------------------------------------------- */

/* remove_small_regions of utils/amg.py. Says whether there were small ones. */
static bool remove_small(struct bitmap *bitmap, int area_thresh, enum region region) {
    const int pixels = bitmap->height * bitmap->width, colour = region == REGION_ISLANDS;
    int *labels = calloc((size_t)pixels, sizeof *labels),
        *areas = calloc((size_t)pixels + 1, sizeof *areas);
    ck_assert(labels && areas);
    const int count = bitmap_label(bitmap, colour, true, labels);
    for (int i = 0; i < pixels; i++)
        areas[labels[i]]++;
    int small = 0, largest = 1;
    for (int i = 1; i <= count; i++) {
        small += areas[i] < area_thresh;
        if (areas[i] > areas[largest])
            largest = i;
    }
    for (int i = 0; i < pixels; i++) {
        const bool saved = region == REGION_ISLANDS && small == count && labels[i] == largest;
        if (labels[i] > 0 && areas[labels[i]] < area_thresh && !saved)
            bitmap->pixels[i] = !colour;
    }
    free(labels);
    free(areas);
    return small > 0;
}

/* Whether several regions are the largest: OpenCV looks at blocks of pixels, and may take another
 * than the first of them. */
static bool is_tie(const struct bitmap *bitmap) {
    const int pixels = bitmap->height * bitmap->width;
    int *labels = calloc((size_t)pixels, sizeof *labels),
        *areas = calloc((size_t)pixels + 1, sizeof *areas), most = 0, times = 0;
    ck_assert(labels && areas);
    const int count = bitmap_label(bitmap, 1, true, labels);
    for (int i = 0; i < pixels; i++)
        areas[labels[i]]++;
    for (int i = 1; i <= count; i++) {
        times = areas[i] > most ? 1 : times + (areas[i] == most);
        most = areas[i] > most ? areas[i] : most;
    }
    free(labels);
    free(areas);
    return times > 1;
}

START_TEST(test_small_regions) {
    struct rng rng = {2};
    int changed_masks = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        const enum region region = round % 2 ? REGION_HOLES : REGION_ISLANDS;
        int area_thresh = (int)(rng_bits(&rng) % (round % 3 ? 12 : 2 * MOST * MOST));
        if (region == REGION_ISLANDS && is_tie(&bitmap))
            area_thresh = (int)(rng_bits(&rng) % 2);
        struct mask mask = bitmap_mask(&bitmap);
        bool changed = round % 5 == 0;
        ck_assert_int_eq(
            mask_remove_small_regions(&mask, (size_t)area_thresh, region, &changed, NULL),
            STATUS_OK);
        ck_assert_int_eq(changed, remove_small(&bitmap, area_thresh, region));
        assert_mask_is(&mask, &bitmap);
        changed_masks += changed;
        mask_free(&mask);
        bitmap_free(&bitmap);
    }
    ck_assert_int_gt(changed_masks, ROUNDS / 4);
}
END_TEST

static void assert_becomes(const char *before, enum region region, size_t area_thresh,
                           const char *after, bool told) {
    struct bitmap bitmap = bitmap_of(before), wanted = bitmap_of(after);
    struct mask mask = bitmap_mask(&bitmap);
    bool changed = !told;
    ck_assert_int_eq(mask_remove_small_regions(&mask, area_thresh, region, &changed, NULL),
                     STATUS_OK);
    assert_mask_is(&mask, &wanted);
    ck_assert_int_eq(changed, told);
    mask_free(&mask);
    bitmap_free(&bitmap);
    bitmap_free(&wanted);
}

START_TEST(test_small_regions_by_hand) {
    /* corners connect */
    assert_becomes("1000 0100 0000 0001", REGION_ISLANDS, 2, "1000 0100 0000 0000", true);
    assert_becomes("1111 1011 1101 1111", REGION_HOLES, 2, "1111 1011 1101 1111", false);
    /* the largest stays, even when nothing is left to remove */
    assert_becomes("0110 0000 1000", REGION_ISLANDS, 9, "0110 0000 0000", true);
    assert_becomes("0110 0000 0000", REGION_ISLANDS, 9, "0110 0000 0000", true);
    /* of two that are as large, the one that OpenCV meets first: here in the upper row of blocks */
    assert_becomes("00001 00000 11000 00001", REGION_ISLANDS, 9, "00000 00000 11000 00000", true);
    assert_becomes("00001 10000 00000 00000", REGION_ISLANDS, 9, "00000 10000 00000 00000", true);
    assert_becomes("00001 00000 10000 00000", REGION_ISLANDS, 9, "00001 00000 00000 00000", true);
    /* holes at the border, and all that is around the mask */
    assert_becomes("011 111 110", REGION_HOLES, 2, "111 111 111", true);
    assert_becomes("000 010 000", REGION_HOLES, 9, "111 111 111", true);
    assert_becomes("000 000", REGION_HOLES, 7, "111 111", true);
    assert_becomes("000 000", REGION_ISLANDS, 7, "000 000", false);
    assert_becomes("111 111", REGION_HOLES, 7, "111 111", false);
    assert_becomes("111 111", REGION_ISLANDS, 7, "111 111", true);
    assert_becomes("101", REGION_ISLANDS, 0, "101", false);
}
END_TEST

/* Sets what is not connected to the border. */
static bool fill_holes(struct bitmap *bitmap) {
    const int pixels = bitmap->height * bitmap->width, width = bitmap->width;
    int *labels = calloc((size_t)pixels, sizeof *labels);
    bool *outside = calloc((size_t)pixels + 1, sizeof *outside), filled = false;
    ck_assert(labels && outside);
    bitmap_label(bitmap, 0, true, labels);
    for (int i = 0; i < pixels; i++)
        if (i % width == 0 || i % width == width - 1 || i < width || i >= pixels - width)
            outside[labels[i]] = true;
    for (int i = 0; i < pixels; i++) {
        const bool hole = !outside[labels[i]] && labels[i] > 0;
        filled |= hole;
        bitmap->pixels[i] |= hole;
    }
    free(labels);
    free(outside);
    return filled;
}

START_TEST(test_fill_holes) {
    struct rng rng = {3};
    int filled = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        struct mask mask = bitmap_mask(&bitmap);
        bool changed;
        ck_assert_int_eq(mask_fill_holes(&mask, &changed, NULL), STATUS_OK);
        ck_assert_int_eq(changed, fill_holes(&bitmap));
        assert_mask_is(&mask, &bitmap);
        filled += changed;
        mask_free(&mask);
        bitmap_free(&bitmap);
    }
    ck_assert_int_gt(filled, ROUNDS / 20);
}
END_TEST

/* ---- transposition ----------------------------------------------------------------------- */

START_TEST(test_transpose) {
    struct rng rng = {4};
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST),
                      turned = bitmap_make(bitmap.width, bitmap.height);
        for (int y = 0; y < bitmap.height; y++)
            for (int x = 0; x < bitmap.width; x++)
                turned.pixels[x * bitmap.height + y] = bitmap.pixels[y * bitmap.width + x];
        struct mask mask = bitmap_mask(&bitmap), transposed;
        ck_assert_int_eq(mask_transpose(&mask, SIZE_MAX, &transposed, NULL), STATUS_OK);
        assert_mask_is(&transposed, &turned);
        mask_free(&mask);
        mask_free(&transposed);
        bitmap_free(&bitmap);
        bitmap_free(&turned);
    }
}
END_TEST

/* As many pixels as a mask may have, in a few runs. */
START_TEST(test_the_widest_mask) {
    const uint32_t side = 65535;
    for (uint32_t first = 0; first < 2; first++) {
        uint32_t *counts = calloc(4, sizeof *counts);
        ck_assert_ptr_nonnull(counts);
        counts[0] = first;
        counts[1] = side * side - 2 * first - 1;
        counts[2] = 1;
        counts[3] = first;
        struct mask mask = {(int)side, (int)side, 3 + first, counts}, transposed;
        size_t area;
        int bbox[4];
        mask_describe(&mask, &area, bbox);
        ck_assert_uint_eq(area, counts[1] + counts[3]);
        ck_assert(bbox[2] == (int)side && bbox[3] == (int)side);
        ck_assert_int_eq(mask_transpose(&mask, SIZE_MAX, &transposed, NULL), STATUS_OK);
        ck_assert_uint_eq(transposed.count, 3 + first);
        mask_free(&transposed);
        ck_assert_int_eq(mask_remove_small_regions(&mask, 2, REGION_HOLES, NULL, NULL), STATUS_OK);
        ck_assert_uint_eq(mask.count, 2);
        ck_assert_uint_eq(mask.counts[1], side * side);
        mask_free(&mask);
    }
}
END_TEST

Suite *mask_suite(void) {
    Suite *suite = suite_create("mask");
    TCase *tests = tcase_create("mask");
    tcase_add_test(tests, test_describe);
    tcase_add_test(tests, test_small_regions);
    tcase_add_test(tests, test_small_regions_by_hand);
    tcase_add_test(tests, test_fill_holes);
    tcase_add_test(tests, test_transpose);
    tcase_add_test(tests, test_the_widest_mask);
    suite_add_tcase(suite, tests);
    return suite;
}
