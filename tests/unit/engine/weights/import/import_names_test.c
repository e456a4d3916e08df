/* engine/weights/import: the pieces below the rules: names of modules, biases of windows. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/import/attention_bias.h"
#include "engine/weights/import/names.h"
#include "tests/unit/suites.h"

/* ---- names ------------------------------------------------------------------------------- */

static const struct {
    const char *node, *module; /* NULL: not a scope */
} scopes[] = {
    {"/layers.0/blocks.0/conv1/c/Conv", "layers.0.blocks.0.conv1.c"},
    {"/patch_embed/seq/seq.0/c/Conv", "patch_embed.seq.0.c"},
    {"/neck/neck.1/Mul", "neck.1"},
    {"/mask_downscaling/mask_downscaling.1/Add_1", "mask_downscaling.1"},
    {"/transformer/layers.1/self_attn/q_proj/MatMul", "transformer.layers.1.self_attn.q_proj"},
    {"/a/a.0/a.0.1/Conv", "a.0.1"},
    {"/seq/sequence/Conv", "seq.sequence"}, /* not a child of seq */
    {"/seq/seq/Conv", "seq.seq"},
    {"/neck/neck.Conv", ""}, /* the last part is the operator, whatever it is called */
    {"/Mul_9", ""},
    {"Mul_9", NULL},
    {"Constant_686", NULL},
    {"", NULL},
    {"/", NULL},
    {"//Mul", NULL},
    {"/a//Mul", NULL},
    {"/a/", NULL},
};

START_TEST(a_scope_is_a_module) {
    char module[64];
    bool found = name_of_scope(scopes[_i].node, module, sizeof module);
    ck_assert_int_eq(found, scopes[_i].module != NULL);
    if (found) {
        ck_assert_str_eq(module, scopes[_i].module);
    }
}
END_TEST

START_TEST(a_module_is_not_cut) {
    char module[8] = "";
    ck_assert(name_of_scope("/abc/efg/Conv", module, 8));
    ck_assert_str_eq(module, "abc.efg");
    ck_assert(!name_of_scope("/abc/efgh/Conv", module, 8));
    ck_assert(!name_of_scope("/abcdefgh/Conv", module, 8));
    ck_assert(!name_of_scope("/Conv", module, 0));
}
END_TEST

START_TEST(anonymous_is_what_the_exporter_named) {
    ck_assert(name_is_anonymous("onnx::Conv_2293"));
    ck_assert(name_is_anonymous("onnx::"));
    ck_assert(!name_is_anonymous("onnx.Conv"));
    ck_assert(!name_is_anonymous("neck.0.weight"));
    ck_assert(!name_is_anonymous(""));
}
END_TEST

/* ---- attention biases -------------------------------------------------------------------- */

enum { SIDE = 3, POSITIONS = SIDE * SIDE, HEADS = 2 };

static void spread(float table[HEADS][POSITIONS][POSITIONS]) {
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < POSITIONS; i++) {
            for (int j = 0; j < POSITIONS; j++) {
                int dy = abs(i / SIDE - j / SIDE), dx = abs(i % SIDE - j % SIDE);
                table[h][i][j] = (float)(100 * h + 10 * dy + dx);
            }
        }
    }
}

START_TEST(biases_are_recovered_by_distance) {
    float table[HEADS][POSITIONS][POSITIONS], biases[HEADS][POSITIONS];
    spread(table);
    const struct tensor tensor = {"t",          TENSOR_F32, 3, {HEADS, POSITIONS, POSITIONS},
                                  sizeof table, table};
    struct error error = {0};
    int64_t shape[2];
    ck_assert_int_eq(attention_bias_shape(&tensor, shape, &error), STATUS_OK);
    ck_assert_int_eq(shape[0], HEADS);
    ck_assert_int_eq(shape[1], POSITIONS);
    ck_assert_int_eq(attention_bias_recover(&tensor, biases[0], &error), STATUS_OK);
    for (int h = 0; h < HEADS; h++) {
        for (int dy = 0; dy < SIDE; dy++) {
            for (int dx = 0; dx < SIDE; dx++) {
                ck_assert_float_eq(biases[h][dy * SIDE + dx], (float)(100 * h + 10 * dy + dx));
            }
        }
    }
}
END_TEST

START_TEST(a_table_that_is_not_of_biases_is_refused) {
    float table[HEADS][POSITIONS][POSITIONS], biases[HEADS][POSITIONS];
    const struct tensor tensor = {"t",          TENSOR_F32, 3, {HEADS, POSITIONS, POSITIONS},
                                  sizeof table, table};
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < POSITIONS; i++) {
            for (int j = 0; j < POSITIONS; j++) {
                struct error error = {0};
                spread(table);
                table[h][i][j] += 0.5f;
                ck_assert_int_eq(attention_bias_recover(&tensor, biases[0], &error),
                                 STATUS_INVALID);
                ck_assert_ptr_nonnull(strstr(error.message, "is not the bias of its distance"));
                table[h][i][j] = NAN;
                ck_assert_int_eq(attention_bias_recover(&tensor, biases[0], &error),
                                 STATUS_INVALID);
            }
        }
    }
    static const struct tensor shapes[] = {
        {.name = "t", .rank = 2, .shape = {9, 9}},
        {.name = "t", .rank = 3, .shape = {2, 9, 4}},
        {.name = "t", .rank = 3, .shape = {2, 8, 8}},
        {.name = "t", .rank = 3, .shape = {2, 65 * 65, 65 * 65}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct error error = {0};
        int64_t shape[2];
        ck_assert_int_eq(attention_bias_shape(&shapes[i], shape, &error), STATUS_INVALID);
        ck_assert_ptr_nonnull(strstr(error.message, "not a table of biases"));
    }
}
END_TEST

Suite *import_names_suite(void) {
    Suite *suite = suite_create("import_names");
    TCase *names = tcase_create("names");
    tcase_add_loop_test(names, a_scope_is_a_module, 0, sizeof scopes / sizeof *scopes);
    tcase_add_test(names, a_module_is_not_cut);
    tcase_add_test(names, anonymous_is_what_the_exporter_named);
    suite_add_tcase(suite, names);

    TCase *biases = tcase_create("biases");
    tcase_add_test(biases, biases_are_recovered_by_distance);
    tcase_add_test(biases, a_table_that_is_not_of_biases_is_refused);
    suite_add_tcase(suite, biases);
    return suite;
}
