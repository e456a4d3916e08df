/* window_attention against attention as it is defined; the last tokens ask for nothing. */
#include <stdlib.h>

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
    size_t queries = tokens - tokens / 4;
    float *scratch = obtain(window_attention_scratch(tokens, dim) * sizeof *scratch);
    float *out = obtain(queries * heads * dim * sizeof *out);
    double *wide = doubles_of(qkv, tokens * stride), *expected = obtain(values * sizeof *expected);
    double *wide_bias = doubles_of(bias, heads * tokens * tokens);
    struct window_attention attention = {tokens, heads, dim, bias, qkv, queries, scratch, out};
    kernels->window_attention(&attention);
    for (size_t head = 0; head < heads; head++) {
        double *q = wide + head * 3 * dim, *k = q + dim, *v = k + dim;
        naive_attention(tokens, tokens, dim, (struct rows_of){q, stride},
                        (struct rows_of){k, stride}, (struct rows_of){v, stride},
                        wide_bias + head * tokens * tokens,
                        (struct rows_of){expected + head * dim, heads * dim});
    }
    check_close("window_attention", out, expected, queries * heads * dim, TOLERANCE, 0);
    free(qkv);
    free(bias);
    free(scratch);
    free(out);
    free(wide);
    free(expected);
    free(wide_bias);
}

START_TEST(attention_within_a_window) {
    static const size_t shapes[][3] = {{1, 1, 16},  {2, 1, 32},   {5, 3, 48},   {9, 2, 32},
                                       {49, 4, 32}, {49, 10, 32}, {196, 5, 32}, {50, 1, 64}};
    struct rng rng = {1};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_window(isa_at(_i), &rng, shapes[i][0], shapes[i][1], shapes[i][2]);
}
END_TEST

Suite *kernels_attention_suite(void) {
    Suite *suite = suite_create("kernels_attention");
    TCase *cases = tcase_create("window");
    add_isa_test(cases, attention_within_a_window);
    suite_add_tcase(suite, cases);
    return suite;
}
