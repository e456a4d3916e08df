/* engine/weights/mobile_sam_tensors.h: the list of MobileSAM's weights, and the check by it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/tensor.h"
#include "tests/unit/suites.h"

static struct tensor_spec *specs;
static struct tensor *tensors; /* one more than the specs, for what does not belong */
static size_t count;

static void set_up(void) {
    count = mobile_sam_tensors(NULL, 0);
    specs = calloc(count, sizeof *specs);
    tensors = calloc(count + 1, sizeof *tensors);
    ck_assert(specs && tensors);
    ck_assert_uint_eq(mobile_sam_tensors(specs, count), count);
    for (size_t i = 0; i < count; i++) {
        tensors[i].name = specs[i].name;
        tensors[i].rank = specs[i].rank;
        memcpy(tensors[i].shape, specs[i].shape, sizeof specs[i].shape);
    }
    qsort(tensors, count, sizeof *tensors, tensor_compare_names);
}

static void tear_down(void) {
    free(specs);
    free(tensors);
}

static struct tensor *find(const char *name) {
    const struct tensor key = {.name = name};
    struct tensor *found = bsearch(&key, tensors, count, sizeof key, tensor_compare_names);
    ck_assert_msg(found, "%s", name);
    return found;
}

static void refused(size_t given, const char *message) {
    struct error error = {0};
    ck_assert_int_eq(mobile_sam_check_tensors(tensors, given, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, message);
}

/* Numbers of the published model: 9.8 million values without batch norms and classifier. */
START_TEST(the_list_is_the_models) {
    size_t values = 0;
    ck_assert_uint_eq(count, 327);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(tensor_name_valid(specs[i].name), "%s", specs[i].name);
        ck_assert_msg(i == 0 || strcmp(tensors[i - 1].name, tensors[i].name) < 0, "%s twice",
                      tensors[i].name);
        values += tensor_values(specs[i].rank, specs[i].shape, TENSOR_F32);
    }
    ck_assert_uint_eq(values, 9803780);

    static const struct {
        const char *name, *shape;
    } known[] = {
        {"image_encoder.patch_embed.seq.0.c.weight", "[32, 3, 3, 3]"},
        {"image_encoder.layers.0.blocks.1.conv2.c.weight", "[256, 1, 3, 3]"},
        {"image_encoder.layers.2.downsample.conv1.c.bias", "[320]"},
        {"image_encoder.layers.2.blocks.5.attn.attention_biases", "[5, 196]"},
        {"image_encoder.layers.3.blocks.1.attn.qkv.weight", "[960, 320]"},
        {"image_encoder.neck.2.weight", "[256, 256, 3, 3]"},
        {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "[2, 128]"},
        {"prompt_encoder.mask_downscaling.6.weight", "[256, 16, 1, 1]"},
        {"mask_decoder.mask_tokens.weight", "[4, 256]"},
        {"mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.weight",
         "[256, 128]"},
        {"mask_decoder.output_upscaling.3.weight", "[64, 32, 2, 2]"},
        {"mask_decoder.output_hypernetworks_mlps.3.layers.2.weight", "[32, 256]"},
        {"mask_decoder.iou_prediction_head.layers.2.bias", "[4]"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct tensor *tensor = find(known[i].name);
        char text[TENSOR_SHAPE_TEXT];
        ck_assert_str_eq(tensor_shape_text(text, tensor->rank, tensor->shape), known[i].shape);
    }
}
END_TEST

START_TEST(a_short_array_is_not_overrun) {
    struct tensor_spec three[3];
    memset(three, 0x55, sizeof three);
    ck_assert_uint_eq(mobile_sam_tensors(three, 2), count);
    ck_assert_str_eq(three[1].name, specs[1].name);
    ck_assert_int_eq(three[2].rank, 0x55555555);
}
END_TEST

START_TEST(the_whole_list_is_accepted) {
    struct error error = {0};
    ck_assert_int_eq(mobile_sam_check_tensors(tensors, count, &error), STATUS_OK);
    ck_assert_str_eq(error.message, "");
}
END_TEST

START_TEST(a_missing_tensor_is_named) {
    for (size_t gone = 0; gone < count; gone++) {
        char message[200];
        struct tensor left_out = tensors[gone];
        snprintf(message, sizeof message, "tensor '%s' is missing", left_out.name);
        memmove(&tensors[gone], &tensors[gone + 1], (count - 1 - gone) * sizeof *tensors);
        refused(count - 1, message);
        memmove(&tensors[gone + 1], &tensors[gone], (count - 1 - gone) * sizeof *tensors);
        tensors[gone] = left_out;
    }
}
END_TEST

START_TEST(an_unexpected_tensor_is_named) {
    static const char *const names[] = {"a", "mask_decoder.x", "zzz"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char message[200];
        snprintf(message, sizeof message, "tensor '%s' is not one of MobileSAM's", names[i]);
        tensors[count] = (struct tensor){.name = names[i]};
        qsort(tensors, count + 1, sizeof *tensors, tensor_compare_names);
        refused(count + 1, message);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(a_wrong_type_or_shape_is_named) {
    struct tensor *token = find("mask_decoder.iou_token.weight");
    token->type = TENSOR_F16;
    refused(count, "tensor 'mask_decoder.iou_token.weight' is F16, not F32");
    token->type = TENSOR_F32;
    token->rank = 1;
    refused(count, "tensor 'mask_decoder.iou_token.weight' is [1], not [1, 256]");
    token->rank = 2;
    token->shape[1] = 255;
    refused(count, "tensor 'mask_decoder.iou_token.weight' is [1, 255], not [1, 256]");
}
END_TEST

START_TEST(a_file_is_checked) {
    static const float value = 1;
    const struct tensor alone = {"a", TENSOR_F32, 1, {1}, sizeof value, &value};
    uint8_t *bytes;
    size_t size;
    struct safetensors *file;
    struct error error = {0};
    for (size_t given = 0; given < 2; given++) {
        ck_assert_int_eq(safetensors_encode(&alone, given, NULL, 0, &bytes, &size, NULL),
                         STATUS_OK);
        ck_assert_int_eq(safetensors_parse(bytes, size, &file, NULL), STATUS_OK);
        ck_assert_int_eq(mobile_sam_check(file, &error), STATUS_INVALID);
        ck_assert_ptr_nonnull(strstr(error.message, given ? "'a' is not" : "is missing"));
        safetensors_free(file);
        free(bytes);
    }
}
END_TEST

Suite *mobile_sam_tensors_suite(void) {
    Suite *suite = suite_create("mobile_sam_tensors");
    TCase *cases = tcase_create("check");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, the_list_is_the_models);
    tcase_add_test(cases, a_short_array_is_not_overrun);
    tcase_add_test(cases, the_whole_list_is_accepted);
    tcase_add_test(cases, a_missing_tensor_is_named);
    tcase_add_test(cases, an_unexpected_tensor_is_named);
    tcase_add_test(cases, a_wrong_type_or_shape_is_named);
    tcase_add_test(cases, a_file_is_checked);
    suite_add_tcase(suite, cases);
    return suite;
}
