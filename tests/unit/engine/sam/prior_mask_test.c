/* prior_mask_logits against areas that are added up pixel by pixel. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/sam/prompt_encoder.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/suites.h"

enum { CELLS = SAM_LOW_RES };

/* The length that two stretches have in common. */
static double overlap(double a_from, double a_to, double b_from, double b_to) {
    double length = fmin(a_to, b_to) - fmax(a_from, b_from);
    return length > 0 ? length : 0;
}

/* For each cell the share of its part on the image that is covered by set pixels; less than 0 for
 * a cell that is not on the image. pixels is [width][height], as masks are. A cell is four pixels
 * of the 1024 square. */
static void naive_shares(const uint8_t *pixels, const struct geometry *geometry, double *shares) {
    double cell_width = 4.0 * geometry->width / geometry->scaled_width; /* in image pixels */
    double cell_height = 4.0 * geometry->height / geometry->scaled_height;
    for (int row = 0; row < CELLS; row++) {
        for (int column = 0; column < CELLS; column++) {
            double left = column * cell_width, right = fmin(left + cell_width, geometry->width);
            double top = row * cell_height, bottom = fmin(top + cell_height, geometry->height);
            double area = 0;
            for (int x = (int)left; x < geometry->width && x < right; x++)
                for (int y = (int)top; y < geometry->height && y < bottom; y++)
                    if (pixels[(size_t)x * (size_t)geometry->height + (size_t)y])
                        area += overlap(left, right, x, x + 1) * overlap(top, bottom, y, y + 1);
            bool outside =
                4 * column >= geometry->scaled_width || 4 * row >= geometry->scaled_height;
            shares[row * CELLS + column] = outside ? -1 : area / ((right - left) * (bottom - top));
        }
    }
}

static struct mask mask_of(const uint8_t *pixels, int width, int height) {
    size_t count = 0, total = (size_t)width * (size_t)height;
    struct mask mask = {
        .width = width, .height = height, .counts = obtain((total + 1) * sizeof(uint32_t))};
    for (size_t i = 0; i < total; count++) {
        uint32_t run = 0;
        while (i < total && !pixels[i] == !(count % 2)) {
            i++;
            run++;
        }
        mask.counts[count] = run;
    }
    mask.count = count;
    return mask;
}

/* Logits are compared as what they are logits of. Shares are sums of up to a few hundred floats. */
static void check_logits(const float *logits, const double *shares) {
    for (size_t i = 0; i < CELLS * CELLS; i++) {
        double found = 1 / (1 + exp(-(double)logits[i]));
        double expected = shares[i] < 0 ? 0.5 : fmin(fmax(shares[i], 0.001), 0.999);
        if (!(fabs(found - expected) <= 64 * ROUNDING))
            ck_abort_msg("row %zu, column %zu: share %.9g, not %.9g", i / CELLS, i % CELLS, found,
                         expected);
        if (shares[i] < 0 && logits[i] != 0)
            ck_abort_msg("row %zu, column %zu: not 0 in the padding", i / CELLS, i % CELLS);
    }
}

static void check_pixels(const uint8_t *pixels, int width, int height) {
    struct geometry geometry;
    geometry_fit(width, height, 1024, &geometry);
    struct mask mask = mask_of(pixels, width, height);
    struct guarded logits = guarded_make(CELLS * CELLS);
    double *shares = obtain(CELLS * CELLS * sizeof *shares);
    naive_shares(pixels, &geometry, shares);
    prior_mask_logits(&mask, &geometry, logits.at);
    check_logits(logits.at, shares);
    free(shares);
    guarded_free(&logits);
    mask_free(&mask);
}

static const int SIZES[][2] = {
    {1, 1},      {1, 5000},    {5000, 1},   {2, 3},       {37, 1999},
    {100, 80},   {255, 256},   {256, 256},  {300, 200},   {800, 3},
    {1023, 517}, {1024, 1024}, {1025, 700}, {2250, 1500}, {3000, 999},
};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

START_TEST(noise_and_shapes) {
    int width = SIZES[_i][0], height = SIZES[_i][1];
    size_t total = (size_t)width * (size_t)height;
    uint8_t *pixels = obtain(total);
    struct rng rng = {(uint64_t)_i};
    for (size_t i = 0; i < total; i++)
        pixels[i] = rng_below(&rng, 2) == 1;
    check_pixels(pixels, width, height);
    for (size_t i = 0; i < total; i++) { /* a disc */
        double x = ((double)(i / (size_t)height) + 0.5) / width - 0.5,
               y = ((double)(i % (size_t)height) + 0.5) / height - 0.4;
        pixels[i] = x * x + y * y < 0.09;
    }
    check_pixels(pixels, width, height);
    free(pixels);
}
END_TEST

START_TEST(all_and_nothing) {
    int width = SIZES[_i][0], height = SIZES[_i][1];
    size_t total = (size_t)width * (size_t)height;
    uint8_t *pixels = obtain(total);
    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < total; i++)
            pixels[i] = (uint8_t)value;
        check_pixels(pixels, width, height);
    }
    for (size_t i = 0; i < total; i++) /* the last row and the last column */
        pixels[i] =
            i % (size_t)height == (size_t)height - 1 || i / (size_t)height == (size_t)width - 1;
    check_pixels(pixels, width, height);
    free(pixels);
}
END_TEST

/* Runs of zero pixels in the middle, and counts that end before the image does. */
START_TEST(odd_counts_are_read_safely) {
    uint32_t counts[] = {0, 5, 0, 3, 2, 0, 4}, short_counts[] = {2, 3};
    uint8_t pixels[24] = {1, 1, 1, 1, 1, 1, 1, 1}, short_pixels[24] = {0, 0, 1, 1, 1};
    double *shares = obtain(CELLS * CELLS * sizeof *shares);
    struct guarded logits = guarded_make(CELLS * CELLS);
    struct geometry geometry;
    geometry_fit(6, 4, 1024, &geometry);
    struct mask mask = {.width = 6, .height = 4, .count = 7, .counts = counts};
    prior_mask_logits(&mask, &geometry, logits.at);
    naive_shares(pixels, &geometry, shares);
    check_logits(logits.at, shares);
    mask = (struct mask){.width = 6, .height = 4, .count = 2, .counts = short_counts};
    prior_mask_logits(&mask, &geometry, logits.at);
    naive_shares(short_pixels, &geometry, shares);
    check_logits(logits.at, shares);
    mask.count = 0;
    prior_mask_logits(&mask, &geometry, logits.at);
    guarded_free(&logits);
    free(shares);
}
END_TEST

Suite *prior_mask_suite(void) {
    Suite *suite = suite_create("prior_mask");
    TCase *cases = tcase_create("logits");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, noise_and_shapes, 0, SIZE_COUNT);
    tcase_add_loop_test(cases, all_and_nothing, 0, SIZE_COUNT);
    tcase_add_test(cases, odd_counts_are_read_safely);
    suite_add_tcase(suite, cases);
    return suite;
}
