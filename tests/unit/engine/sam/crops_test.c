/* crops: against numbers that utils/amg.py of Segment Anything gives. */
#include <stdlib.h>

#include "engine/sam/crops.h"
#include "tests/unit/suites.h"

enum { LAYERS_MAX = 3 };

static const double OVERLAP = 512.0 / 1500;

static void check_crops(int width, int height, int layers, const int (*expected)[4], size_t count) {
    struct crop crops[CROPS_MAX];
    ck_assert_uint_eq(crops_make(width, height, layers, OVERLAP, crops), count);
    for (size_t i = 0; i < count; i++) {
        const int found[4] = {crops[i].x, crops[i].y, crops[i].x + crops[i].width,
                              crops[i].y + crops[i].height};
        for (int k = 0; k < 4; k++)
            ck_assert_msg(found[k] == expected[i][k], "crop %zu: corner %d is %d, not %d", i, k,
                          found[k], expected[i][k]);
        ck_assert_int_eq(crops[i].layer, i == 0 ? 0 : i < 5 ? 1 : 2);
    }
}

#define CHECK_CROPS(width, height, layers, expected)                                               \
    check_crops(width, height, layers, expected, sizeof expected / sizeof *expected)

START_TEST(crops_are_the_originals) {
    static const int photo[][4] = {{0, 0, 1800, 1200},
                                   {0, 0, 1105, 805},
                                   {0, 396, 1105, 1200},
                                   {696, 0, 1800, 805},
                                   {696, 396, 1800, 1200}};
    /* an overlap of 512 pixels, if the ratio is precise */
    static const int larger[][4] = {{0, 0, 2250, 1500},
                                    {0, 0, 1381, 1006},
                                    {0, 494, 1381, 1500},
                                    {869, 0, 2250, 1006},
                                    {869, 494, 2250, 1500}};
    static const int upright[][4] = {
        {0, 0, 37, 61},   {0, 0, 25, 37},   {0, 25, 25, 61}, {13, 0, 37, 37},  {13, 25, 37, 61},
        {0, 0, 14, 20},   {0, 14, 14, 34},  {0, 28, 14, 48}, {0, 42, 14, 61},  {8, 0, 22, 20},
        {8, 14, 22, 34},  {8, 28, 22, 48},  {8, 42, 22, 61}, {16, 0, 30, 20},  {16, 14, 30, 34},
        {16, 28, 30, 48}, {16, 42, 30, 61}, {24, 0, 37, 20}, {24, 14, 37, 34}, {24, 28, 37, 48},
        {24, 42, 37, 61}};
    check_crops(1800, 1200, 0, photo, 1);
    CHECK_CROPS(1800, 1200, 1, photo);
    CHECK_CROPS(2250, 1500, 1, larger);
    CHECK_CROPS(37, 61, 2, upright);
}
END_TEST

START_TEST(crops_lie_in_the_image_and_cover_it) {
    for (int width = 1; width < 70; width += 3) {
        const int height = 1 + width * 7 % 50;
        uint8_t *seen = calloc((size_t)width * (size_t)height, LAYERS_MAX + 1);
        struct crop crops[CROPS_MAX];
        const size_t count = crops_make(width, height, LAYERS_MAX, OVERLAP, crops);
        ck_assert_uint_le(count, CROPS_MAX);
        for (size_t i = 0; i < count; i++) {
            const struct crop *crop = &crops[i];
            ck_assert(crop->x >= 0 && crop->y >= 0 && crop->width > 0 && crop->height > 0);
            ck_assert(crop->x + crop->width <= width && crop->y + crop->height <= height);
            for (int y = crop->y; y < crop->y + crop->height; y++)
                for (int x = crop->x; x < crop->x + crop->width; x++)
                    seen[(y * width + x) * (LAYERS_MAX + 1) + crop->layer] = 1;
        }
        for (int i = 0; i < width * height * (LAYERS_MAX + 1); i++)
            ck_assert(seen[i]);
        free(seen);
    }
}
END_TEST

START_TEST(points_are_the_originals) {
    const struct crop photo = {.width = 1800, .height = 1200}, part = {3, 5, 6, 60, 1};
    static const float expected[][3] = {
        {0, 28.125f, 18.75f}, {33, 84.375f, 56.25f}, {1023, 1771.875f, 1181.25f}};
    float point[2];
    for (int i = 0; i < 3; i++) {
        grid_point(&photo, 32, (size_t)expected[i][0], point);
        ck_assert_float_eq(point[0], expected[i][1]);
        ck_assert_float_eq(point[1], expected[i][2]);
    }
    grid_point(&part, 3, 5, point); /* in the crop's own pixels */
    ck_assert_float_eq(point[0], 5);
    ck_assert_float_eq(point[1], 30);
    grid_point(&part, 1, 0, point);
    ck_assert_float_eq(point[0], 3);
    ck_assert_float_eq(point[1], 30);
    ck_assert_int_eq(grid_side(32, 0, 3), 32);
    ck_assert_int_eq(grid_side(32, 1, 3), 10);
    ck_assert_int_eq(grid_side(32, 2, 3), 3);
    ck_assert_int_eq(grid_side(32, 3, 4), 0);
}
END_TEST

START_TEST(boxes_are_cut_near_the_edge_of_a_crop) {
    const struct crop right = {100, 0, 200, 200, 1}, image = {0, 0, 400, 300, 0};
    static const int boxes[][5] = {
        /* x, y, width, height, cut */
        {120, 5, 81, 96, 1},   {121, 30, 80, 71, 0},  {130, 21, 151, 80, 1},
        {121, 21, 159, 80, 0}, {121, 30, 50, 150, 0}, {121, 30, 50, 151, 1},
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        ck_assert_msg(crop_cuts_box(&right, boxes[i], 400, 300) == boxes[i][4], "box %zu", i);
        ck_assert(!crop_cuts_box(&image, boxes[i], 400, 300));
    }
}
END_TEST

Suite *crops_suite(void) {
    Suite *suite = suite_create("crops");
    TCase *cases = tcase_create("crops");
    tcase_add_test(cases, crops_are_the_originals);
    tcase_add_test(cases, crops_lie_in_the_image_and_cover_it);
    tcase_add_test(cases, points_are_the_originals);
    tcase_add_test(cases, boxes_are_cut_near_the_edge_of_a_crop);
    suite_add_tcase(suite, cases);
    return suite;
}
