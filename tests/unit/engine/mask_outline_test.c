/* Outlines: drawn again they are the mask, and they are such rings as polygons are made of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/bitmap.h"
#include "tests/unit/suites.h"

enum { ROUNDS = 400, MOST = 24 };

static struct outline outline_of(const struct bitmap *bitmap) {
    struct mask mask = bitmap_mask(bitmap);
    struct outline outline;
    ck_assert_int_eq(mask_outline(&mask, &outline, NULL), STATUS_OK);
    mask_free(&mask);
    return outline;
}

static const int32_t *ring_point(const struct outline *outline, const struct ring *ring, size_t i) {
    return outline->points[ring->first + i % ring->count];
}

/* Twice the area within, by the sum that the header tells. */
static int64_t twice_area(const struct outline *outline, const struct ring *ring) {
    int64_t sum = 0;
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *a = ring_point(outline, ring, i), *b = ring_point(outline, ring, i + 1);
        sum += (int64_t)a[0] * b[1] - (int64_t)b[0] * a[1];
    }
    return sum;
}

/* The even-odd rule: flips the pixels to whose left, at their middle, a vertical side passes. */
static void draw(const struct outline *outline, const struct ring *ring, struct bitmap *bitmap) {
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *a = ring_point(outline, ring, i), *b = ring_point(outline, ring, i + 1);
        for (int y = a[1] < b[1] ? a[1] : b[1]; y < (a[1] < b[1] ? b[1] : a[1]); y++)
            for (int x = a[0]; x < bitmap->width; x++)
                bitmap->pixels[y * bitmap->width + x] ^= 1;
    }
}

static void assert_same(const struct bitmap *a, const struct bitmap *b) {
    ck_assert_mem_eq(a->pixels, b->pixels, (size_t)a->height * (size_t)a->width);
}

/* No side goes on in the direction of the one before it, and no corner is there twice. */
static void assert_simple(const struct outline *outline, const struct ring *ring) {
    ck_assert_uint_ge(ring->count, 4);
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *a = ring_point(outline, ring, i), *b = ring_point(outline, ring, i + 1),
                      *c = ring_point(outline, ring, i + 2);
        const bool down = a[0] == b[0] && a[1] != b[1], across = a[0] != b[0] && a[1] == b[1];
        ck_assert(down != across);
        ck_assert(down ? b[1] == c[1] : b[0] == c[0]);
        for (size_t k = 0; k < i; k++)
            ck_assert(memcmp(a, ring_point(outline, ring, k), 2 * sizeof *a) != 0);
    }
}

static void assert_outline(const struct bitmap *bitmap, const struct outline *outline) {
    int *labels = calloc((size_t)bitmap->height * (size_t)bitmap->width, sizeof *labels);
    struct bitmap drawn = bitmap_make(bitmap->height, bitmap->width);
    int parts = 0;
    size_t points = 0;
    ck_assert_ptr_nonnull(labels);
    for (size_t i = 0; i < outline->ring_count; i++) {
        const struct ring *ring = &outline->rings[i];
        assert_simple(outline, ring);
        ck_assert(twice_area(outline, ring) > 0 ? !ring->hole : ring->hole && i > 0);
        ck_assert(!ring->hole || !ring->covered);
        draw(outline, ring, &drawn);
        parts += !ring->hole;
        points += ring->count;
    }
    assert_same(&drawn, bitmap);
    ck_assert_uint_eq(points, outline->point_count);
    ck_assert_int_eq(parts, bitmap_label(bitmap, 1, false, labels));
    free(labels);
    bitmap_free(&drawn);
}

/* Each polygon, drawn alone, is one of the mask's parts. */
static void assert_polygons(const struct bitmap *bitmap, const struct outline *outline) {
    int *labels = calloc((size_t)bitmap->height * (size_t)bitmap->width, sizeof *labels);
    ck_assert_ptr_nonnull(labels);
    bitmap_label(bitmap, 1, false, labels);
    for (size_t i = 0; i < outline->ring_count;) {
        struct bitmap part = bitmap_make(bitmap->height, bitmap->width);
        do
            draw(outline, &outline->rings[i++], &part);
        while (i < outline->ring_count && outline->rings[i].hole);
        int label = 0;
        for (int k = 0; k < bitmap->height * bitmap->width; k++)
            if (part.pixels[k] && label == 0)
                label = labels[k];
        ck_assert_int_gt(label, 0);
        for (int k = 0; k < bitmap->height * bitmap->width; k++)
            ck_assert_int_eq(part.pixels[k], labels[k] == label);
        bitmap_free(&part);
    }
    free(labels);
}

/* The outer rings that are not covered are all that there is, when holes are filled; and drawn
 * together they do not cut holes into one another. */
static void assert_covered(const struct bitmap *bitmap, const struct outline *outline) {
    struct bitmap together = bitmap_make(bitmap->height, bitmap->width),
                  filled = bitmap_make(bitmap->height, bitmap->width);
    for (size_t i = 0; i < outline->ring_count; i++) {
        struct bitmap alone = bitmap_make(bitmap->height, bitmap->width);
        const struct ring *ring = &outline->rings[i];
        if (!ring->hole)
            draw(outline, ring, &alone);
        if (!ring->hole && !ring->covered)
            draw(outline, ring, &together);
        for (int k = 0; k < bitmap->height * bitmap->width; k++)
            filled.pixels[k] |= alone.pixels[k];
        bitmap_free(&alone);
    }
    assert_same(&together, &filled);
    bitmap_free(&together);
    bitmap_free(&filled);
}

START_TEST(test_random_masks) {
    struct rng rng = {6};
    size_t holes = 0, covered = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        struct outline outline = outline_of(&bitmap);
        assert_outline(&bitmap, &outline);
        if (round % 8 == 0)
            assert_polygons(&bitmap, &outline);
        assert_covered(&bitmap, &outline);
        for (size_t i = 0; i < outline.ring_count; i++) {
            holes += outline.rings[i].hole;
            covered += outline.rings[i].covered;
        }
        outline_free(&outline);
        bitmap_free(&bitmap);
    }
    ck_assert_msg(holes > ROUNDS / 4 && covered > 0, "%zu holes, %zu covered", holes, covered);
}
END_TEST

static void assert_rings(const char *rows, size_t parts, size_t holes, size_t covered) {
    struct bitmap bitmap = bitmap_of(rows);
    struct outline outline = outline_of(&bitmap);
    assert_outline(&bitmap, &outline);
    assert_polygons(&bitmap, &outline);
    assert_covered(&bitmap, &outline);
    for (size_t i = 0; i < outline.ring_count; i++) {
        parts -= !outline.rings[i].hole;
        holes -= outline.rings[i].hole;
        covered -= outline.rings[i].covered;
    }
    ck_assert(parts == 0 && holes == 0 && covered == 0);
    outline_free(&outline);
    bitmap_free(&bitmap);
}

START_TEST(test_corners) {
    assert_rings("10 01", 2, 0, 0);
    assert_rings("01 10", 2, 0, 0);
    assert_rings("111 101 111", 1, 1, 0);
    /* the hole and the outside meet at a corner of the same part */
    assert_rings("111 101 110", 1, 1, 0);
    assert_rings("011 101 111", 1, 1, 0);
    /* the hole is open between parts that meet at corners */
    assert_rings("010 101 010", 4, 0, 0);
    /* two holes that meet at a corner */
    assert_rings("1111 1011 1101 1111", 1, 2, 0);
    /* a part in a hole, and one in its hole */
    assert_rings("11111 10001 10101 10001 11111", 2, 1, 1);
    assert_rings("1111111 1000001 1011101 1010101 1011101 1000001 1111111", 2, 2, 1);
}
END_TEST

/* ---- simplified -------------------------------------------------------------------------- */

static double distance(const int32_t *p, const int32_t *a, const int32_t *b) {
    const double dx = b[0] - a[0], dy = b[1] - a[1];
    double t = ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(p[0] - a[0] - t * dx, p[1] - a[1] - t * dy);
}

/* Whether the simplified ring has the point; and otherwise how far the nearest side is. */
static double distance_to_ring(const struct outline *outline, const struct ring *ring,
                               const int32_t *p) {
    double least = INFINITY;
    for (size_t i = 0; i < ring->count; i++)
        least = fmin(least,
                     distance(p, ring_point(outline, ring, i), ring_point(outline, ring, i + 1)));
    return least;
}

START_TEST(test_simplified) {
    static const double tolerances[] = {0.1, 0.5, 0.75, 1, 2.5, 1e6};
    struct rng rng = {7};
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        const double tolerance = tolerances[round % 6];
        struct outline exact = outline_of(&bitmap), simple = outline_of(&bitmap);
        ck_assert_int_eq(outline_simplify(&simple, tolerance, NULL), STATUS_OK);
        ck_assert_uint_eq(simple.ring_count, exact.ring_count);
        ck_assert(simple.point_count <= exact.point_count);
        for (size_t i = 0; i < exact.ring_count; i++) {
            const struct ring *ring = &simple.rings[i], *whole = &exact.rings[i];
            ck_assert(ring->count >= 3 && ring->hole == whole->hole);
            ck_assert(twice_area(&simple, ring) != 0);
            ck_assert(tolerance < 1e6 || ring->count == 3);
            size_t at = 0;
            for (size_t k = 0; k < whole->count; k++) {
                const int32_t *p = ring_point(&exact, whole, k);
                ck_assert(distance_to_ring(&simple, ring, p) <= tolerance + 1e-9);
                if (at < ring->count &&
                    memcmp(p, ring_point(&simple, ring, at), 2 * sizeof *p) == 0)
                    at++;
            }
            ck_assert_uint_eq(at, ring->count); /* its points are the ring's, in their order */
        }
        outline_free(&exact);
        outline_free(&simple);
        bitmap_free(&bitmap);
    }
}
END_TEST

START_TEST(test_a_staircase_becomes_a_line) {
    enum { STEPS = 200 };
    struct bitmap bitmap = bitmap_make(STEPS, STEPS);
    for (int i = 0; i < STEPS * STEPS; i++)
        bitmap.pixels[i] = i % STEPS <= i / STEPS;
    struct outline outline = outline_of(&bitmap);
    ck_assert_uint_eq(outline.point_count, 2 * STEPS + 2);
    ck_assert_int_eq(outline_simplify(&outline, 1, NULL), STATUS_OK);
    ck_assert_uint_le(outline.point_count, 5);
    ck_assert(llabs(twice_area(&outline, outline.rings) - STEPS * STEPS) < 4 * STEPS);
    outline_free(&outline);
    bitmap_free(&bitmap);
}
END_TEST

Suite *mask_outline_suite(void) {
    Suite *suite = suite_create("mask_outline");
    TCase *tests = tcase_create("mask_outline");
    tcase_add_test(tests, test_random_masks);
    tcase_add_test(tests, test_corners);
    tcase_add_test(tests, test_simplified);
    tcase_add_test(tests, test_a_staircase_becomes_a_line);
    suite_add_tcase(suite, tests);
    return suite;
}
