/* box_nms against its definition: of the boxes that are left, the best is kept and takes those away
 * that it covers. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/sam/box_nms.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

enum { BOXES = 200 };

static double naive_overlap(const float a[4], const float b[4]) {
    double width = fmin(a[2], b[2]) - fmax(a[0], b[0]);
    double height = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    double both = width > 0 && height > 0 ? width * height : 0;
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

static size_t naive_nms(const struct scored_box *boxes, size_t count, double threshold,
                        size_t *kept) {
    bool gone[BOXES] = {false};
    for (size_t made = 0;; made++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++)
            if (!gone[i] && (best == count || boxes[i].score > boxes[best].score))
                best = i;
        if (best == count)
            return made;
        kept[made] = best;
        gone[best] = true;
        for (size_t i = 0; i < count; i++)
            gone[i] |= naive_overlap(boxes[best].corners, boxes[i].corners) > threshold;
    }
}

START_TEST(keeps_what_the_definition_keeps) {
    struct rng rng = {(uint64_t)_i + 1};
    struct scored_box boxes[BOXES];
    size_t kept[BOXES], expected[BOXES], count;
    const float threshold = 0.1f * (float)(_i % 10);
    for (int i = 0; i < BOXES; i++) { /* whole numbers: the overlaps are the same in both ways */
        const float x = (float)rng_below(&rng, 12), y = (float)rng_below(&rng, 12);
        boxes[i] = (struct scored_box){
            {x, y, x + (float)rng_below(&rng, 9), y + (float)rng_below(&rng, 9)},
            (float)rng_below(&rng, 20) / 16};
    }
    ck_assert_int_eq(box_nms(boxes, BOXES, threshold + 0.003f, NULL, kept, &count, NULL),
                     STATUS_OK);
    ck_assert_uint_eq(count, naive_nms(boxes, BOXES, (double)threshold + 0.003, expected));
    ck_assert_uint_gt(count, 5);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(kept[i], expected[i]);
}
END_TEST

START_TEST(boxes_at_the_threshold_stay) {
    const struct scored_box boxes[] = {{{0, 0, 2, 1}, 0.5f}, {{0, 0, 1, 1}, 0.6f}};
    size_t kept[2], count;
    ck_assert_int_eq(box_nms(boxes, 2, 0.5f, NULL, kept, &count, NULL), STATUS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(kept[0], 1);
    ck_assert_uint_eq(kept[1], 0);
    ck_assert_int_eq(box_nms(boxes, 2, 0.49f, NULL, kept, &count, NULL), STATUS_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(kept[0], 1);
}
END_TEST

/* Points and lines have no area; a score may be anything. */
START_TEST(odd_boxes_are_kept) {
    const struct scored_box boxes[] = {
        {{3, 3, 3, 3}, NAN}, {{3, 3, 3, 3}, 0.1f}, {{1, 3, 9, 3}, 0.2f}, {{0, 0, 9, 9}, INFINITY}};
    size_t kept[4], count;
    ck_assert_int_eq(box_nms(boxes, 4, 0.5f, NULL, kept, &count, NULL), STATUS_OK);
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(kept[i], 3 - i);
    ck_assert_int_eq(box_nms(NULL, 0, 0.5f, NULL, kept, &count, NULL), STATUS_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

Suite *box_nms_suite(void) {
    Suite *suite = suite_create("box_nms");
    TCase *cases = tcase_create("boxes");
    tcase_add_loop_test(cases, keeps_what_the_definition_keeps, 0, 20);
    tcase_add_test(cases, boxes_at_the_threshold_stay);
    tcase_add_test(cases, odd_boxes_are_kept);
    suite_add_tcase(suite, cases);
    return suite;
}
