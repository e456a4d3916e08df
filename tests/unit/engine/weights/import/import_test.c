/* engine/weights/import: what is made of a graph. */
#include <check.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/tensor.h"
#include "tests/unit/engine/weights/import/import_fixture.h"
#include "tests/unit/suites.h"

/* ---- rules ------------------------------------------------------------------------------- */

/* Imports what was built, and frees it. */
static struct import imported(struct builder *builder) {
    size_t size;
    uint8_t *bytes = builder_pack(builder, &size);
    struct import import = {0};
    struct error error = {0};
    enum status status = import_onnx_bytes(&import, bytes, size, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.message);
    free(bytes);
    builder_free(builder);
    return import;
}

static void has(const struct import *import, size_t index, const char *name, const char *shape) {
    char text[TENSOR_SHAPE_TEXT];
    ck_assert_uint_lt(index, import->count);
    const struct tensor *tensor = &import->tensors[index];
    ck_assert_str_eq(tensor->name, name);
    ck_assert_str_eq(tensor_shape_text(text, tensor->rank, tensor->shape), shape);
    ck_assert_uint_eq(tensor->bytes, 4 * tensor_values(tensor->rank, tensor->shape, TENSOR_F32));
}

START_TEST(the_encoders_weights_take_the_name_of_their_consumer) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    builder_initialiser(builder, "neck.0.weight", SHAPE(2, 3, 1, 1), NULL);
    builder_weight(builder, "Conv", "/patch_embed/seq/seq.0/c/Conv", 1, SHAPE(2, 3, 3, 3), NULL);
    builder_weight(builder, "Conv", "/patch_embed/seq/seq.0/c/Conv", 2, SHAPE(2), NULL);
    builder_weight(builder, "Mul", "/neck/neck.1/Mul", 0, SHAPE(2, 1, 1), NULL);
    builder_weight(builder, "Add", "/neck/neck.1/Add_1", 1, SHAPE(2, 1, 1), NULL);
    struct import import = imported(builder);
    ck_assert_uint_eq(import.count, 5);
    has(&import, 0, "image_encoder.patch_embed.seq.0.c.weight", "[2, 3, 3, 3]");
    has(&import, 1, "image_encoder.patch_embed.seq.0.c.bias", "[2]");
    has(&import, 2, "image_encoder.neck.1.weight", "[2]");
    has(&import, 3, "image_encoder.neck.1.bias", "[2]");
    has(&import, 4, "image_encoder.neck.0.weight", "[2, 3, 1, 1]");
    for (size_t i = 0; i < import.count; i++) {
        const float *values = import.tensors[i].data;
        for (size_t j = 0; j < import.tensors[i].bytes / sizeof *values; j++) {
            ck_assert_float_eq(values[j], (float)j);
        }
    }
    import_free(&import);
}
END_TEST

START_TEST(a_linear_layers_matrix_is_turned) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    builder_weight(builder, "MatMul", "/layers.1/blocks.0/mlp/fc1/MatMul", 1, SHAPE(2, 3), NULL);
    struct import import = imported(builder);
    has(&import, 0, "image_encoder.layers.1.blocks.0.mlp.fc1.weight", "[3, 2]");
    static const float turned[] = {0, 3, 1, 4, 2, 5};
    ck_assert_mem_eq(import.tensors[0].data, turned, sizeof turned);
    import_free(&import);
}
END_TEST

START_TEST(the_decoders_weights_find_their_owner) {
    struct builder *builder = builder_new(IMPORT_DECODER);
    builder_weight(builder, "Mul", "/mask_downscaling/mask_downscaling.1/Mul", 0, SHAPE(2, 1, 1),
                   NULL);
    builder_weight(builder, "Add", "/output_upscaling/output_upscaling.1/Add_1", 1, SHAPE(2, 1, 1),
                   NULL);
    builder_weight(builder, "MatMul", "/transformer/layers.0/self_attn/q_proj/MatMul", 1,
                   SHAPE(2, 2), NULL);
    builder_weight(builder, "Mul", "/Mul_9", 1, SHAPE(1, 4, 1, 1), NULL);
    builder_weight(builder, "Expand", "/Expand_1", 0, SHAPE(1, 3, 2), NULL);
    builder_initialiser(builder, "model.prompt_encoder.point_embeddings.0.weight", SHAPE(1, 2),
                        NULL);
    builder_initialiser(builder, "mask_decoder.transformer.norm_final_attn.bias", SHAPE(2), NULL);
    struct import import = imported(builder);
    ck_assert_uint_eq(import.count, 8);
    has(&import, 0, "prompt_encoder.mask_downscaling.1.weight", "[2]");
    has(&import, 1, "mask_decoder.output_upscaling.1.bias", "[2]");
    has(&import, 2, "mask_decoder.transformer.layers.0.self_attn.q_proj.weight", "[2, 2]");
    has(&import, 3, "prompt_encoder.no_mask_embed.weight", "[1, 4]");
    has(&import, 4, "mask_decoder.iou_token.weight", "[1, 2]");
    has(&import, 5, "mask_decoder.mask_tokens.weight", "[2, 2]");
    has(&import, 6, "mask_decoder.transformer.norm_final_attn.bias", "[2]");
    has(&import, 7, "prompt_encoder.point_embeddings.0.weight", "[1, 2]");
    ck_assert_float_eq(((const float *)import.tensors[4].data)[1], 1);
    ck_assert_float_eq(((const float *)import.tensors[5].data)[0], 2);
    import_free(&import);
}
END_TEST

START_TEST(a_weight_that_two_nodes_share_is_two_weights) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    builder_weight(builder, "Conv", "/a/c/Conv", 2, SHAPE(2), NULL);
    builder_node(builder, "Conv", "/b/c/Conv", "z", 3,
                 (const char *const[]){"x", "x", builder->graph.initializer[0]->name});
    struct import import = imported(builder);
    ck_assert_uint_eq(import.count, 2);
    has(&import, 0, "image_encoder.a.c.bias", "[2]");
    has(&import, 1, "image_encoder.b.c.bias", "[2]");
    import_free(&import);
}
END_TEST

START_TEST(a_windows_biases_are_found) {
    /* 2 x 2 positions: the bias of (dy, dx) is 10 dy + dx. */
    static const float table[] = {0, 1, 10, 11, 1, 0, 11, 10, 10, 11, 0, 1, 11, 10, 1, 0};
    struct builder *builder = builder_new(IMPORT_ENCODER);
    const char *const other[] = {"x", "other"}, *const inputs[] = {"scores", "table"};
    builder_constant(builder, "table", SHAPE(1, 4, 4), table);
    builder_constant(builder, "other", SHAPE(2, 2, 2), NULL);
    builder_node(builder, "Add", "/layers.1/blocks.0/attn/Add", "y", 2, inputs);
    builder_node(builder, "Add", "/layers.1/blocks.0/mlp/Add", "z", 2, other);
    builder_node(builder, "Mul", "/layers.1/blocks.0/attn/Mul", "w", 2, other);
    struct import import = imported(builder);
    ck_assert_uint_eq(import.count, 1);
    has(&import, 0, "image_encoder.layers.1.blocks.0.attn.attention_biases", "[1, 4]");
    ck_assert_mem_eq(import.tensors[0].data, table, 4 * sizeof *table);
    import_free(&import);
}
END_TEST

START_TEST(values_may_be_a_list_of_floats) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    Onnx__TensorProto *tensor = builder_initialiser(builder, "a", SHAPE(2, 3), NULL);
    tensor->float_data = (float *)tensor->raw_data.data;
    tensor->n_float_data = 6;
    tensor->has_raw_data = 0;
    struct import import = imported(builder);
    has(&import, 0, "image_encoder.a", "[2, 3]");
    ck_assert_float_eq(((const float *)import.tensors[0].data)[5], 5);
    import_free(&import);
}
END_TEST

/* ---- the whole model --------------------------------------------------------------------- */

static enum status import_builder(struct import *import, struct builder *builder,
                                  struct error *error) {
    size_t size;
    uint8_t *bytes = builder_pack(builder, &size);
    enum status status = import_onnx_bytes(import, bytes, size, error);
    free(bytes);
    builder_free(builder);
    return status;
}

/* A whole synthetic model, but for one tensor. */
static struct import import_without(const char *name) {
    struct import import = {0};
    struct error error = {0};
    import_builder(&import, synthetic_graph(IMPORT_ENCODER, name), &error);
    import_builder(&import, synthetic_graph(IMPORT_DECODER, name), &error);
    ck_assert_str_eq(error.message, "");
    return import;
}

START_TEST(a_whole_model_is_imported_in_either_order) {
    for (int turn = 0; turn < 2; turn++) {
        struct import import = {0};
        struct error error = {0};
        enum import_part first = turn ? IMPORT_DECODER : IMPORT_ENCODER;
        enum import_part second = turn ? IMPORT_ENCODER : IMPORT_DECODER;
        import_builder(&import, synthetic_graph(first, NULL), &error);
        import_builder(&import, synthetic_graph(second, NULL), &error);
        ck_assert_msg(import_finish(&import, &error) == STATUS_OK, "%s", error.message);
        ck_assert_uint_eq(import.count, mobile_sam_tensors(NULL, 0));
        for (size_t i = 0; i < import.count; i++) {
            const struct tensor *tensor = &import.tensors[i];
            const float *values = tensor->data;
            const uint32_t seed = synthetic_seed(tensor->name);
            for (size_t j = 0; j < tensor->bytes / sizeof *values; j++) {
                if (values[j] != synthetic_value(seed, j)) {
                    ck_abort_msg("%s: value %zu", tensor->name, j);
                }
            }
        }
        import_free(&import);
        import_free(&import);
    }
}
END_TEST

START_TEST(a_missing_graph_is_named) {
    struct import import = {0};
    struct error error = {0};
    ck_assert_int_eq(import_finish(&import, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "the graph of the encoder is missing");
    import_builder(&import, synthetic_graph(IMPORT_ENCODER, NULL), &error);
    ck_assert_int_eq(import_finish(&import, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "the graph of the decoder is missing");
    import_free(&import);
}
END_TEST

START_TEST(a_missing_tensor_is_named) {
    static const char *const names[] = {
        "image_encoder.layers.1.blocks.0.attn.attention_biases",
        "prompt_encoder.no_mask_embed.weight",
        "mask_decoder.iou_prediction_head.layers.2.bias",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char message[200];
        snprintf(message, sizeof message, "tensor '%s' is missing", names[i]);
        struct import import = import_without(names[i]);
        struct error error = {0};
        ck_assert_int_eq(import_finish(&import, &error), STATUS_INVALID);
        ck_assert_str_eq(error.message, message);
        import_free(&import);
    }
}
END_TEST

START_TEST(a_tensor_that_comes_twice_is_named) {
    struct import import = {0};
    struct error error = {0};
    struct builder *builder = synthetic_graph(IMPORT_DECODER, NULL);
    builder_initialiser(builder, "model.mask_decoder.iou_token.weight", SHAPE(1, 256), NULL);
    import_builder(&import, builder, &error);
    import_builder(&import, synthetic_graph(IMPORT_ENCODER, NULL), &error);
    ck_assert_int_eq(import_finish(&import, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "tensor 'mask_decoder.iou_token.weight' is there twice");
    import_free(&import);
}
END_TEST

START_TEST(a_wrong_shape_is_named) {
    struct import import = {0};
    struct error error = {0};
    static const char name[] = "image_encoder.layers.2.blocks.3.mlp.fc1.bias";
    struct builder *builder = synthetic_graph(IMPORT_ENCODER, name);
    builder_initialiser(builder, name + strlen("image_encoder."), SHAPE(639), NULL);
    import_builder(&import, builder, &error);
    import_builder(&import, synthetic_graph(IMPORT_DECODER, NULL), &error);
    ck_assert_int_eq(import_finish(&import, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message,
                     "tensor 'image_encoder.layers.2.blocks.3.mlp.fc1.bias' is [639], not [640]");
    import_free(&import);
}
END_TEST

/* ---- the real graphs, where they are ----------------------------------------------------- */

/* The hash that models/manifest.json gives for the converted data. */
static void read_manifest(char sha256[65]) {
    static char text[1 << 16];
    FILE *stream = fopen("models/manifest.json", "r");
    ck_assert_ptr_nonnull(stream);
    size_t length = fread(text, 1, sizeof text, stream);
    fclose(stream);
    cJSON *manifest = cJSON_ParseWithLength(text, length);
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(manifest, "models");
    const cJSON *file = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(models, 0), "file");
    const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, "data_sha256"));
    ck_assert_ptr_nonnull(hash);
    snprintf(sha256, 65, "%s", hash);
    cJSON_Delete(manifest);
}

/* MASKD_ONNX_DIR names the directory of encoder.onnx and sam.onnx (dist/ in the npm package). */
START_TEST(the_real_graphs_give_the_manifests_weights) {
    const char *directory = getenv("MASKD_ONNX_DIR");
    if (!directory) {
        return;
    }
    struct import import = {0};
    struct error error = {0};
    static const char *const files[] = {"sam.onnx", "encoder.onnx"};
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        ck_assert_msg(import_onnx(&import, path, &error) == STATUS_OK, "%s: %s", path,
                      error.message);
    }
    ck_assert_msg(import_finish(&import, &error) == STATUS_OK, "%s", error.message);

    uint8_t *bytes;
    size_t size;
    struct safetensors *file;
    ck_assert_int_eq(
        safetensors_encode(import.tensors, import.count, NULL, 0, &bytes, &size, &error),
        STATUS_OK);
    ck_assert_int_eq(safetensors_parse(bytes, size, &file, &error), STATUS_OK);
    ck_assert_int_eq(mobile_sam_check(file, &error), STATUS_OK);
    char expected[65], found[65];
    read_manifest(expected);
    safetensors_data_sha256(file, found);
    ck_assert_str_eq(found, expected);
    safetensors_free(file);
    free(bytes);
    import_free(&import);
}
END_TEST

Suite *import_suite(void) {
    Suite *suite = suite_create("import");

    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, the_encoders_weights_take_the_name_of_their_consumer);
    tcase_add_test(rules, a_linear_layers_matrix_is_turned);
    tcase_add_test(rules, the_decoders_weights_find_their_owner);
    tcase_add_test(rules, a_weight_that_two_nodes_share_is_two_weights);
    tcase_add_test(rules, a_windows_biases_are_found);
    tcase_add_test(rules, values_may_be_a_list_of_floats);
    suite_add_tcase(suite, rules);

    TCase *model = tcase_create("model");
    tcase_set_timeout(model, 120);
    tcase_add_test(model, a_whole_model_is_imported_in_either_order);
    tcase_add_test(model, a_missing_graph_is_named);
    tcase_add_test(model, a_missing_tensor_is_named);
    tcase_add_test(model, a_tensor_that_comes_twice_is_named);
    tcase_add_test(model, a_wrong_shape_is_named);
    tcase_add_test(model, the_real_graphs_give_the_manifests_weights);
    suite_add_tcase(suite, model);
    return suite;
}
