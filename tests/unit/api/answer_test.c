#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/json.h"
#include "tests/unit/suites.h"

/* The document must be strict JSON, and exactly this one. Frees it. */
static void assert_json(char *json, const char *wanted) {
    ck_assert_ptr_nonnull(json);
    struct problem problem = {0};
    ck_assert_msg(json_check(json, strlen(json), &problem), "%s: %s", json, problem.detail);
    ck_assert_str_eq(json, wanted);
    free(json);
}

START_TEST(test_image) {
    const struct timing timing = {
        .queue_ms = 0.1, .decode_ms = 14.2, .encode_ms = 431.0004, .segment_ms = -1};
    struct image_answer answer = {.id = "9f86d081884c7d65",
                                  .model = "mobile_sam",
                                  .width = 1800,
                                  .height = 1200,
                                  .status = IMAGE_READY,
                                  .timing = &timing};
    assert_json(image_answer_json(&answer),
                "{\"id\":\"9f86d081884c7d65\",\"width\":1800,\"height\":1200,"
                "\"model\":\"mobile_sam\",\"status\":\"ready\",\"cached\":false,"
                "\"timing_ms\":{\"queue\":0.1,\"decode\":14.2,\"encode\":431}}");
    answer.status = IMAGE_ENCODING;
    answer.cached = true;
    answer.timing = NULL;
    answer.id = "a\"\\\x02\u00e9";
    assert_json(image_answer_json(&answer),
                "{\"id\":\"a\\\"\\\\\\u0002\u00e9\",\"width\":1800,\"height\":1200,"
                "\"model\":\"mobile_sam\",\"status\":\"encoding\",\"cached\":true}");
    const struct problem problem = {.type = PROBLEM_DEADLINE, .detail = "it waited"};
    answer.status = IMAGE_FAILED;
    answer.cached = false;
    answer.problem = &problem;
    answer.id = "a";
    assert_json(image_answer_json(&answer),
                "{\"id\":\"a\",\"width\":1800,\"height\":1200,\"model\":\"mobile_sam\","
                "\"status\":\"failed\",\"cached\":false,\"problem\":{"
                "\"type\":\"/problems/deadline\",\"title\":\"The request waited for too long\","
                "\"status\":503,\"detail\":\"it waited\"}}");
}
END_TEST

START_TEST(test_image_list) {
    const struct image_answer images[2] = {{.id = "a", .model = "m", .width = 1, .height = 2},
                                           {.id = "b", .model = "m", .width = 3, .height = 4}};
    assert_json(image_list_json(NULL, 0, NULL), "{\"images\":[],\"next\":null}");
    assert_json(image_list_json(images, 2, "c/\""),
                "{\"images\":[{\"id\":\"a\",\"width\":1,\"height\":2,\"model\":\"m\","
                "\"status\":\"encoding\",\"cached\":false},"
                "{\"id\":\"b\",\"width\":3,\"height\":4,\"model\":\"m\","
                "\"status\":\"encoding\",\"cached\":false}],\"next\":\"c/\\\"\"}");
}
END_TEST

START_TEST(test_models) {
    struct model_info info = {.name = "mobile_sam",
                              .architecture = "mobile_sam",
                              .weights_sha256 = "00ff",
                              .licence = "Apache-2.0",
                              .parameter_count = 10130092,
                              .input_size = 1024};
    const struct model_answer models[2] = {{&info, true}, {&info, false}};
    assert_json(model_list_json(NULL, 0), "{\"models\":[]}");
    assert_json(
        model_list_json(models, 1),
        "{\"models\":[{\"name\":\"mobile_sam\",\"architecture\":\"mobile_sam\","
        "\"weights_sha256\":\"00ff\",\"licence\":\"Apache-2.0\",\"parameters\":10130092,"
        "\"input_size\":1024,\"default\":true,\"prompts\":[\"points\",\"box\",\"mask\"]}]}");
    char *json = model_list_json(models, 2);
    ck_assert_ptr_nonnull(strstr(json, "},{\"name\""));
    ck_assert_ptr_nonnull(strstr(json, "\"default\":false"));
    free(json);
}
END_TEST

/* ---- masks ------------------------------------------------------------------------------- */

static uint32_t vector_counts[] = {6, 1, 2, 3, 1, 2, 3, 1, 5};
static const struct timing no_wait = {
    .queue_ms = 0, .decode_ms = -1, .encode_ms = -1, .segment_ms = 9.8};

static struct segment vector_segment(void) {
    return (struct segment){.mask = {4, 6, 9, vector_counts},
                            .area = 7,
                            .bbox = {1, 1, 4, 3},
                            .predicted_iou = 0.9998f,
                            .stability_score = 0.981f};
}

static const struct mask_id some_ids[2][3] = {{{"m_00"}}, {{"m_10"}, {"m_11"}, {"m_12"}}};

static struct segment_answer answer_of(const struct prompt_list *prompts,
                                       const struct segmentation *results) {
    return (struct segment_answer){.image_id = "truck",
                                   .model = "mobile_sam",
                                   .width = 6,
                                   .height = 4,
                                   .prompts = prompts,
                                   .results = results,
                                   .ids = some_ids,
                                   .timing = &no_wait};
}

START_TEST(test_segment_answer) {
    struct prompt_item items[2] = {{.format = FORMAT_COCO_RLE},
                                   {.format = FORMAT_COCO_RLE_UNCOMPRESSED}};
    const struct prompt_list prompts = {2, items, true};
    struct segmentation results[2] = {{.count = 1, .segments = {vector_segment()}}, {.count = 3}};
    for (int i = 0; i < 3; i++)
        results[1].segments[i] = vector_segment();
    results[1].segments[1].predicted_iou = NAN;
    results[1].segments[1].stability_score = -INFINITY;
    results[1].segments[2] =
        (struct segment){.mask = {4, 6, 1, (uint32_t[]){24}}, .predicted_iou = 1e-7f};
    const struct segment_answer answer = answer_of(&prompts, results);
    assert_json(
        segment_answer_json(&answer),
        "{\"image_id\":\"truck\",\"model\":\"mobile_sam\",\"width\":6,\"height\":4,\"masks\":["
        "{\"id\":\"m_00\",\"prompt\":0,\"segmentation\":{\"size\":[4,6],\"counts\":\"6122OO2O2\"},"
        "\"bbox\":[1,1,4,3],\"area\":7,\"predicted_iou\":0.9998,\"stability_score\":0.981},"
        "{\"id\":\"m_10\",\"prompt\":1,\"segmentation\":{\"size\":[4,6],"
        "\"counts\":[6,1,2,3,1,2,3,1,5]},"
        "\"bbox\":[1,1,4,3],\"area\":7,\"predicted_iou\":0.9998,\"stability_score\":0.981},"
        "{\"id\":\"m_11\",\"prompt\":1,\"segmentation\":{\"size\":[4,6],"
        "\"counts\":[6,1,2,3,1,2,3,1,5]},"
        "\"bbox\":[1,1,4,3],\"area\":7,\"predicted_iou\":0,\"stability_score\":0},"
        "{\"id\":\"m_12\",\"prompt\":1,\"segmentation\":{\"size\":[4,6],\"counts\":[24]},"
        "\"bbox\":[0,0,0,0],\"area\":0,\"predicted_iou\":1e-07,\"stability_score\":0}],"
        "\"timing_ms\":{\"queue\":0,\"segment\":9.8}}");
}
END_TEST

/* Every character of the RLE alphabet, the backslash among them, survives the way through JSON. */
START_TEST(test_counts_survive_json) {
    const size_t count = 4000;
    uint32_t *counts = calloc(count, sizeof *counts);
    ck_assert_ptr_nonnull(counts);
    uint32_t sum = 0, state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        counts[i] = 1 + (state >> 8) % (1u << (i % 16));
        sum += counts[i];
    }
    struct prompt_item items[1] = {{.format = FORMAT_COCO_RLE}};
    const struct prompt_list prompts = {1, items, false};
    struct segmentation result = {.count = 1, .segments = {vector_segment()}};
    result.segments[0].mask = (struct mask){1, (int)sum, count, counts};
    const struct segment_answer answer = answer_of(&prompts, &result);
    char *json = segment_answer_json(&answer);
    ck_assert_ptr_nonnull(strstr(json, "\\\\"));
    cJSON *root = cJSON_Parse(json);
    const cJSON *mask = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "masks"), 0);
    const char *string = cJSON_GetStringValue(
        cJSON_GetObjectItem(cJSON_GetObjectItem(mask, "segmentation"), "counts"));
    struct mask again;
    ck_assert_int_eq(coco_rle_decode(string, strlen(string), 1, (int)sum, &again, NULL), STATUS_OK);
    ck_assert_uint_eq(again.count, count);
    ck_assert_mem_eq(again.counts, counts, count * sizeof *counts);
    mask_free(&again);
    cJSON_Delete(root);
    free(json);
    free(counts);
}
END_TEST

Suite *answer_suite(void) {
    Suite *suite = suite_create("answer");
    TCase *tests = tcase_create("answer");
    tcase_add_test(tests, test_image);
    tcase_add_test(tests, test_image_list);
    tcase_add_test(tests, test_models);
    tcase_add_test(tests, test_segment_answer);
    tcase_add_test(tests, test_counts_survive_json);
    suite_add_tcase(suite, tests);
    return suite;
}
