/* Everything mode's requests and answers. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/json.h"
#include "tests/unit/suites.h"

static struct everything_request parsed(const char *json) {
    struct everything_request request;
    struct problem problem = {0};
    memset(&request, 0x5a, sizeof request);
    ck_assert_msg(everything_request_parse(json, strlen(json), &request, &problem), "%s: %s", json,
                  problem.faults[0].detail);
    return request;
}

static void check_fault(const char *json, const char *pointer, const char *detail) {
    struct everything_request request;
    struct problem problem = {0};
    ck_assert(!everything_request_parse(json, strlen(json), &request, &problem));
    ck_assert_int_eq(problem.type, PROBLEM_INVALID_REQUEST);
    ck_assert_uint_eq(problem.fault_count, 1);
    ck_assert_str_eq(problem.faults[0].pointer, pointer);
    ck_assert_msg(strstr(problem.faults[0].detail, detail), "%s: %s", json,
                  problem.faults[0].detail);
}

START_TEST(nothing_is_the_defaults) {
    static const char *const empty[] = {"", "{}"};
    for (size_t i = 0; i < 2; i++) {
        struct everything_request request = parsed(empty[i]);
        ck_assert_int_eq(request.options.points_per_side, 32);
        ck_assert_float_eq(request.options.pred_iou_thresh, 0.88f);
        ck_assert_float_eq(request.options.stability_score_thresh, 0.95f);
        ck_assert_double_eq(request.options.crop_overlap_ratio, 512.0 / 1500);
        ck_assert_int_eq(request.options.crop_n_points_downscale_factor, 1);
        ck_assert_int_eq(request.format, FORMAT_COCO_RLE);
        ck_assert_double_eq(request.simplify, 0);
    }
}
END_TEST

START_TEST(each_member_has_its_place) {
    struct everything_request request =
        parsed("{\"points_per_side\":1,\"pred_iou_thresh\":0.25,\"stability_score_thresh\":0.5,"
               "\"stability_score_offset\":2,\"box_nms_thresh\":0.125,\"crop_n_layers\":1,"
               "\"crop_nms_thresh\":0.75,\"crop_overlap_ratio\":0.0625,"
               "\"crop_n_points_downscale_factor\":1.0,\"min_mask_region_area\":7,"
               "\"format\":\"polygon\",\"simplify\":1.5}");
    const struct everything_options *options = &request.options;
    ck_assert_int_eq(options->points_per_side, 1);
    ck_assert_float_eq(options->pred_iou_thresh, 0.25f);
    ck_assert_float_eq(options->stability_score_thresh, 0.5f);
    ck_assert_float_eq(options->stability_score_offset, 2);
    ck_assert_float_eq(options->box_nms_thresh, 0.125f);
    ck_assert_int_eq(options->crop_n_layers, 1);
    ck_assert_float_eq(options->crop_nms_thresh, 0.75f);
    ck_assert_double_eq(options->crop_overlap_ratio, 0.0625);
    ck_assert_int_eq(options->crop_n_points_downscale_factor, 1);
    ck_assert_int_eq(options->min_mask_region_area, 7);
    ck_assert_int_eq(request.format, FORMAT_POLYGON);
    ck_assert_double_eq(request.simplify, 1.5);
}
END_TEST

START_TEST(faults_are_named) {
    check_fault("{\"points_per_side\":0}", "/points_per_side", "a whole number from 1 to 128");
    check_fault("{\"points_per_side\":1e300}", "/points_per_side", "a whole number from 1 to 128");
    check_fault("{\"crop_n_layers\":0.5}", "/crop_n_layers", "a whole number from 0 to 3");
    check_fault("{\"pred_iou_thresh\":1.01}", "/pred_iou_thresh", "must be from 0 to 1");
    check_fault("{\"box_nms_thresh\":1e999}", "/box_nms_thresh", "must be a finite number");
    check_fault("{\"point_per_side\":1}", "/point_per_side", "unknown member");
    check_fault("{\"format\":\"bmp\"}", "/format", "not the name of a format");
    check_fault("{\"simplify\":-1}", "/simplify", "must not be negative");
    check_fault("[]", "", "must be an object");
    check_fault("{\"points_per_side\":128,\"crop_n_layers\":3}", "", "points_per_side is 128");
}
END_TEST

START_TEST(queries) {
    struct everything_request request;
    struct problem problem = {0};
    ck_assert(everything_query_parse(NULL, NULL, &request, &problem));
    ck_assert_int_eq(request.format, FORMAT_COCO_RLE);
    for (enum mask_format format = 0; format < FORMAT_COUNT; format++) {
        ck_assert(everything_query_parse(mask_format_name(format), "0.5", &request, &problem));
        ck_assert_int_eq(request.format, format);
        ck_assert_double_eq(request.simplify, 0.5);
    }
    static const char *const wrong[] = {"", "-1", "nan", "inf", "1x", " ", "1e999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        problem = (struct problem){0};
        ck_assert(!everything_query_parse("bmp", wrong[i], &request, &problem));
        ck_assert_str_eq(problem.faults[0].pointer, "?format");
        ck_assert_str_eq(problem.faults[1].pointer, "?simplify");
    }
}
END_TEST

#define HEAD                                                                                       \
    "{\"image_id\":\"truck\",\"model\":\"mobile_sam\",\"width\":6,\"height\":4,\"parameters\":{"   \
    "\"points_per_side\":32,\"pred_iou_thresh\":0.88,\"stability_score_thresh\":0.95,"             \
    "\"stability_score_offset\":1,\"box_nms_thresh\":0.7,\"crop_n_layers\":0,"                     \
    "\"crop_nms_thresh\":0.7,\"crop_overlap_ratio\":0.341333,"                                     \
    "\"crop_n_points_downscale_factor\":1,\"min_mask_region_area\":0},"

static void check_json(const struct everything_answer *answer, const char *expected) {
    struct problem problem = {0};
    char *json = everything_answer_json(answer);
    ck_assert_ptr_nonnull(json);
    ck_assert(json_check(json, strlen(json), &problem));
    ck_assert_str_eq(json, expected);
    free(json);
}

START_TEST(answers) {
    uint32_t counts[] = {6, 1, 2, 3, 1, 2, 3, 1, 5};
    struct everything_mask mask = {
        .segment = {.mask = {4, 6, 9, counts},
                    .area = 7,
                    .bbox = {1, 1, 4, 3},
                    .predicted_iou = 0.9998f,
                    .stability_score = 0.981f},
        .point = {1.5f, 2},
        .crop_box = {0, 1, 2, 3},
    };
    const struct everything masks = {1, &mask}, none = {0};
    const struct timing timing = {1, -1, -1, 2.5};
    struct problem problem = {0};
    struct everything_answer answer = {.image_id = "truck",
                                       .model = "mobile_sam",
                                       .width = 6,
                                       .height = 4,
                                       .options = &EVERYTHING_DEFAULTS,
                                       .done = 12,
                                       .total = 1024};
    check_json(&answer, HEAD "\"status\":\"running\",\"done\":12,\"total\":1024}");
    problem_set(&problem, PROBLEM_DRAINING, "stopping");
    answer.problem = &problem;
    check_json(&answer, HEAD "\"status\":\"failed\",\"problem\":{\"type\":\"/problems/draining\","
                             "\"title\":\"The server is stopping\",\"status\":503,"
                             "\"detail\":\"stopping\"}}");
    answer.masks = &masks;
    answer.timing = &timing;
    check_json(&answer,
               HEAD "\"status\":\"ready\",\"cached\":false,\"masks\":[{\"segmentation\":{"
                    "\"size\":[4,6],\"counts\":\"6122OO2O2\"},\"bbox\":[1,1,4,3],\"area\":7,"
                    "\"predicted_iou\":0.9998,\"stability_score\":0.981,"
                    "\"point_coords\":[[1.5,2]],\"crop_box\":[0,1,2,3]}],"
                    "\"timing_ms\":{\"queue\":1,\"segment\":2.5}}");
    answer.masks = &none;
    answer.timing = NULL;
    answer.cached = true;
    check_json(&answer, HEAD "\"status\":\"ready\",\"cached\":true,\"masks\":[]}");
}
END_TEST

Suite *everything_api_suite(void) {
    Suite *suite = suite_create("everything_api");
    TCase *cases = tcase_create("everything_api");
    tcase_add_test(cases, nothing_is_the_defaults);
    tcase_add_test(cases, each_member_has_its_place);
    tcase_add_test(cases, faults_are_named);
    tcase_add_test(cases, queries);
    tcase_add_test(cases, answers);
    suite_add_tcase(suite, cases);
    return suite;
}
