/* depthwise3x3 against the convolution as it is defined. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

struct shape {
    size_t width, channels, stride;
    bool above, below, bias;
    bool left, right; /* the row goes on there */
    enum activation activation;
};

/* The output row in the middle of three input rows, some of which may be outside the image. The sum
 * of the terms' magnitudes is what rounding errors are measured by. */
static void naive_row(const struct depthwise_row *row, double *output, double *magnitudes) {
    const float *inputs[3] = {row->above, row->centre, row->below};
    for (size_t x = 0; x < row->output_width; x++) {
        for (size_t c = 0; c < row->channels; c++) {
            double sum = row->bias ? (double)row->bias[c] : 0, magnitude = fabs(sum);
            for (size_t i = 0; i < 3; i++) {
                for (size_t j = 0; j < 3; j++) {
                    ptrdiff_t column = (ptrdiff_t)(x * row->stride + j) - 1;
                    if (!inputs[i] || (column < 0 && !row->goes_on_left) ||
                        (column >= (ptrdiff_t)row->width && !row->goes_on_right))
                        continue;
                    double term =
                        (double)inputs[i][column * (ptrdiff_t)row->channels + (ptrdiff_t)c] *
                        (double)row->weights[(i * 3 + j) * row->channels + c];
                    sum += term;
                    magnitude += fabs(term);
                }
            }
            output[x * row->channels + c] = naive_activation(sum, row->activation);
            magnitudes[x * row->channels + c] = magnitude;
        }
    }
}

static void check_shape(const struct kernels *kernels, struct rng *rng, const struct shape *shape) {
    size_t width = shape->width, channels = shape->channels, values = (width + 2) * channels;
    size_t output_width = (width - 1) / shape->stride + 1, outputs = output_width * channels;
    float *above = random_floats(rng, values, -2, 2), *centre = random_floats(rng, values, -2, 2);
    float *below = random_floats(rng, values, -2, 2),
          *weights = random_floats(rng, 9 * channels, -1, 1);
    float *bias = random_floats(rng, channels, -1, 1), *output = obtain(outputs * sizeof *output);
    double *expected = obtain(outputs * sizeof *expected),
           *magnitudes = obtain(outputs * sizeof *magnitudes);
    struct depthwise_row row = {
        .above = shape->above ? above + channels : NULL,
        .centre = centre + channels,
        .below = shape->below ? below + channels : NULL,
        .width = width,
        .goes_on_left = shape->left,
        .goes_on_right = shape->right,
        .activation = shape->activation,
        .output_width = output_width,
        .channels = channels,
        .stride = shape->stride,
        .weights = weights,
        .bias = shape->bias ? bias : NULL,
        .output = output,
    };
    for (size_t i = 0; i < channels; i++) { /* what must not be read where the row ends */
        if (!shape->left)
            above[i] = centre[i] = below[i] = NAN;
        if (!shape->right)
            above[values - 1 - i] = centre[values - 1 - i] = below[values - 1 - i] = NAN;
    }
    naive_row(&row, expected, magnitudes);
    kernels->depthwise3x3(&row);
    for (size_t i = 0; i < outputs; i++)
        check_close("depthwise3x3", output + i, expected + i, 1,
                    5 * ROUNDING * magnitudes[i] + (shape->activation ? GELU_ERROR : 0),
                    shape->activation ? GELU_ERROR : 0);
    free(above);
    free(centre);
    free(below);
    free(weights);
    free(bias);
    free(output);
    free(expected);
    free(magnitudes);
}

START_TEST(depthwise_of_every_width) {
    static const size_t channels[] = {16, 32, 48, 160};
    struct rng rng = {1};
    for (size_t width = 1; width <= 20; width++)
        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
            for (size_t stride = 1; stride <= 2; stride++)
                for (int edges = 0; edges < 16; edges++)
                    for (int bias = 0; bias < 2; bias++)
                        check_shape(isa_at(_i), &rng,
                                    &(struct shape){width, channels[c], stride, edges & 1,
                                                    edges >> 1 & 1, bias, edges >> 2 & 1,
                                                    edges >> 3 & 1,
                                                    (enum activation)((width + c) % 3)});
}
END_TEST

Suite *kernels_depthwise_suite(void) {
    Suite *suite = suite_create("kernels_depthwise");
    TCase *cases = tcase_create("depthwise");
    add_isa_test(cases, depthwise_of_every_width);
    suite_add_tcase(suite, cases);
    return suite;
}
