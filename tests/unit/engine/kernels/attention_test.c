/* window_attention against attention as it is defined. */
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/kernels/attention.h"
#include "tests/unit/engine/kernels/kernels_fixture.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/suites.h"

/* The values are within [-1, 1], and so is each output, an average of them: what the roundings do
 * to the weights, which sum to one, mostly cancels. */
static const double TOLERANCE = 8 * ROUNDING;

static void check_window(const struct kernels *kernels, struct rng *rng, size_t tokens,
                         size_t heads, size_t dim) {
    size_t stride = 3 * heads * dim, values = tokens * heads * dim;
    float *qkv = random_floats(rng, tokens * stride, -1, 1);
    float *bias = random_floats(rng, heads * tokens * tokens, -5, 5);
    float *scores = obtain(tokens * tokens * sizeof *scores), *out = obtain(values * sizeof *out);
    double *wide = doubles_of(qkv, tokens * stride), *expected = obtain(values * sizeof *expected);
    double *wide_bias = doubles_of(bias, heads * tokens * tokens);
    struct window_attention attention = {tokens, heads, dim, bias};
    window_attention(kernels, &attention, qkv, scores, out);
    for (size_t head = 0; head < heads; head++) {
        double *q = wide + head * 3 * dim, *k = q + dim, *v = k + dim;
        naive_attention(tokens, tokens, dim, (struct rows_of){q, stride},
                        (struct rows_of){k, stride}, (struct rows_of){v, stride},
                        wide_bias + head * tokens * tokens,
                        (struct rows_of){expected + head * dim, heads * dim});
    }
    check_close("window_attention", out, expected, values, TOLERANCE, 0);
    free(qkv);
    free(bias);
    free(scores);
    free(out);
    free(wide);
    free(expected);
    free(wide_bias);
}

START_TEST(attention_within_a_window) {
    static const size_t shapes[][3] = {{1, 1, 1},   {2, 1, 3},    {5, 3, 7},    {9, 2, 32},
                                       {49, 4, 32}, {49, 10, 32}, {196, 5, 32}, {50, 1, 64}};
    struct rng rng = {1};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_window(kernels_at((size_t)_i), &rng, shapes[i][0], shapes[i][1], shapes[i][2]);
}
END_TEST

Suite *attention_suite(void) {
    Suite *suite = suite_create("attention");
    TCase *cases = tcase_create("window");
    tcase_add_unchecked_fixture(cases, engine_init, NULL);
    add_isa_test(cases, attention_within_a_window);
    suite_add_tcase(suite, cases);
    return suite;
}
