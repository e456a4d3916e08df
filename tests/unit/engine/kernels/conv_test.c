/* conv3x3_columns: together with a product, a 3x3 convolution. */
#include <math.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/kernels/conv.h"
#include "engine/kernels/linear.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

/* weight is torch's, [out][in][3][3]; a product with columns wants [out][3][3][in]. */
static float *repacked(const float *weight, size_t out, size_t in) {
    float *packed = obtain(out * in * 9 * sizeof *packed);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t tap = 0; tap < 9; tap++)
                packed[(o * 9 + tap) * in + i] = weight[(o * in + i) * 9 + tap];
    return packed;
}

/* A whole image; in whole numbers, so that both give exactly the same. */
static void check_image(struct rng *rng, size_t height, size_t width, size_t channels,
                        size_t stride) {
    enum { OUT = 3 };
    size_t output_height = (height - 1) / stride + 1, output_width = (width - 1) / stride + 1;
    float *image = random_integers(rng, height * width * channels, -9, 9);
    float *weight = random_integers(rng, OUT * channels * 9, -9, 9),
          *packed = repacked(weight, OUT, channels);
    float *columns = obtain(output_width * 9 * channels * sizeof *columns);
    float *output = obtain(output_width * OUT * sizeof *output);
    double *expected = obtain(output_width * OUT * sizeof *expected);
    struct linear linear = {.weight = packed, .in = 9 * channels, .out = OUT};
    for (size_t y = 0; y < output_height; y++) {
        const float *rows[3];
        for (size_t i = 0; i < 3; i++) {
            ptrdiff_t row = (ptrdiff_t)(y * stride + i) - 1;
            rows[i] =
                row < 0 || row >= (ptrdiff_t)height ? NULL : image + (size_t)row * width * channels;
        }
        for (size_t i = 0; i < output_width * 9 * channels; i++)
            columns[i] = NAN;
        conv3x3_columns(rows, width, channels, stride, output_width, columns);
        linear_product(&linear, columns, output_width, output);
        for (size_t x = 0; x < output_width; x++)
            for (size_t o = 0; o < OUT; o++)
                expected[x * OUT + o] = naive_conv3x3(image, height, width, channels,
                                                      weight + o * channels * 9, stride, y, x);
        check_close("convolution", output, expected, output_width * OUT, 0, 0);
    }
    free(image);
    free(weight);
    free(packed);
    free(columns);
    free(output);
    free(expected);
}

START_TEST(columns_make_a_convolution) {
    static const size_t channels[] = {1, 3, 4, 16, 33};
    struct rng rng = {1};
    for (size_t width = 1; width <= 20; width++)
        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
            for (size_t stride = 1; stride <= 2; stride++)
                check_image(&rng, 1 + width % 5, width, channels[c], stride);
}
END_TEST

Suite *conv_suite(void) {
    Suite *suite = suite_create("conv");
    TCase *cases = tcase_create("columns");
    tcase_add_unchecked_fixture(cases, engine_init, NULL);
    tcase_add_test(cases, columns_make_a_convolution);
    suite_add_tcase(suite, cases);
    return suite;
}
