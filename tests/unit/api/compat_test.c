#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/compat_read.h"
#include "tests/unit/suites.h"

/* The small mask of docs/formats.md: 000000 / 001100 / 011110 / 001000. */
static uint32_t small_counts[] = {6, 1, 2, 3, 1, 2, 3, 1, 5};
static uint32_t empty_counts[] = {24};

struct fixture {
    struct prompt_item item;
    struct prompt_list prompts;
    struct segmentation result;
    struct timing timing;
    struct segment_answer answer;
};

static struct segment_answer *make_answer(struct fixture *fixture, bool empty) {
    *fixture = (struct fixture){.prompts = {1, &fixture->item}};
    fixture->result.count = 1;
    fixture->result.segments[0] = (struct segment){
        .mask = {4, 6, empty ? 1 : 9, empty ? empty_counts : small_counts},
        .area = empty ? 0 : 7,
        .bbox = {empty ? 0 : 1, empty ? 0 : 1, empty ? 0 : 4, empty ? 0 : 3},
        .predicted_iou = 1.25f,
    };
    fixture->answer = (struct segment_answer){.image_id = "a",
                                              .model = "m",
                                              .width = 6,
                                              .height = 4,
                                              .prompts = &fixture->prompts,
                                              .results = &fixture->result,
                                              .timing = &fixture->timing};
    return &fixture->answer;
}

/* The document must be strict JSON, and exactly this one. Frees it. */
static void assert_json(char *json, const char *wanted) {
    struct problem problem = {0};
    ck_assert_ptr_nonnull(json);
    ck_assert_msg(json_check(json, strlen(json), &problem), "%s: %s", json, problem.detail);
    ck_assert_str_eq(json, wanted);
    free(json);
}

/* ---- what all share ---------------------------------------------------------------------- */

static void assert_dropped(const char *text, size_t size, const char *wanted) {
    static const char *const names[] = {"a", "long"};
    char *json = malloc(size ? size : 1); /* so that a sanitizer sees each byte too many */
    ck_assert_ptr_nonnull(json);
    memcpy(json, text, size);
    const size_t left = compat_drop_members(json, size, names, 2);
    ck_assert_uint_le(left, size);
    if (wanted) {
        ck_assert_uint_eq(left, strlen(wanted));
        ck_assert_mem_eq(json, wanted, left);
    }
    free(json);
}

START_TEST(test_dropped_members) {
    static const char *const cases[][2] = {
        {"{}", "{}"},
        {"{\"a\":[1,2],\"b\":[3]}", "{\"a\":[],\"b\":[3]}"},
        {"{\"a\" : {\"a\":[\"]}\\\"\"]},\"b\":1}", "{\"a\":[],\"b\":1}"},
        {"[{\"long\":[[[]],{}]},{\"long\":\"[\"}]", "[{\"long\":[]},{\"long\":\"[\"}]"},
        {"{\"a\":1,\"aa\":[1],\"b\":\"a\"}", "{\"a\":1,\"aa\":[1],\"b\":\"a\"}"},
        {"[\"a\",[1],\"a\"]", "[\"a\",[1],\"a\"]"},
        {"{\"\\\"a\":[1],\"a\\\\\":[2]}", "{\"\\\"a\":[1],\"a\\\\\":[2]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_dropped(cases[i][0], strlen(cases[i][0]), cases[i][1]);
        for (size_t size = 0; size < strlen(cases[i][0]); size++)
            assert_dropped(cases[i][0], size, NULL);
    }
}
END_TEST

START_TEST(test_marks_are_placed) {
    struct marks marks = {.point_count = 3,
                          .points = {{-1, 50}, {100, 100}, {25, 1e300}},
                          .labels = {1, 0, 1},
                          .has_box = true,
                          .box = {150, 50, -5, 25}};
    struct compat_request request = {.count = 1, .marks = &marks, .percent = true};
    struct prompt_limits limits = {200, 100, 1};
    struct prompt_list prompts;
    struct problem problem = {0};
    ck_assert(compat_prompts(&request, &limits, &prompts, &problem));
    const struct prompt *prompt = &prompts.items[0].prompt;
    const float points[3][2] = {{0, 50}, {200, 100}, {50, 100}};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            ck_assert_float_le(prompt->points[i][k], points[i][k]);
            ck_assert_float_gt(prompt->points[i][k], points[i][k] - 0.001f);
            ck_assert_float_lt(prompt->points[i][k], k ? 100 : 200);
        }
    const float box[4] = {0, 25, 200, 50};
    ck_assert_mem_eq(prompt->box, box, sizeof box);
    ck_assert_mem_eq(prompt->labels, marks.labels, 3);
    prompt_list_free(&prompts);

    marks.box[0] = marks.box[2] = 150; /* beyond the edge */
    ck_assert(!compat_prompts(&request, &limits, &prompts, &problem));
    ck_assert_int_eq(problem.type, PROBLEM_INVALID_PROMPT);
    ck_assert_ptr_null(prompts.items);
    limits.max_prompts = 0;
    problem = (struct problem){0};
    ck_assert(!compat_prompts(&request, &limits, &prompts, &problem));
}
END_TEST

START_TEST(test_too_many_marks) {
    struct compat_request request = {0};
    struct problem problem = {0};
    for (int i = 0; i < COMPAT_MARKS_MAX; i++)
        ck_assert_ptr_nonnull(compat_add_marks(&request, &problem));
    ck_assert_ptr_null(compat_add_marks(&request, &problem));
    ck_assert_int_eq(problem.type, PROBLEM_INVALID_PROMPT);
    compat_request_free(&request);
}
END_TEST

/* ---- Label Studio ------------------------------------------------------------------------ */

#define CONFIG                                                                                     \
    "<View><Header value='a &amp; b'/><Image name='other' value='$x'/>"                            \
    "<BrushLabels name='tag' toName='img'/><BrushLabels name='later' toName='other'/>"             \
    "<Image name='img' value='$photo'/></View>"
#define CLICK                                                                                      \
    "{\"type\":\"keypointlabels\",\"is_positive\":true,"                                           \
    "\"value\":{\"x\":50,\"y\":25.5,\"keypointlabels\":[\"Cat\"]}}"
#define RECTANGLE                                                                                  \
    "{\"type\":\"rectanglelabels\",\"value\":{\"x\":10,\"y\":20,\"width\":30,\"height\":40,"       \
    "\"rectanglelabels\":[\"Dog\"]}}"
#define TASK(config, regions)                                                                      \
    "{\"tasks\":[{\"id\":1,\"annotations\":[[1]],\"data\":{\"photo\":\"/data/a.jpg\"}}],"          \
    "\"label_config\":\"" config "\",\"project\":\"1.2\","                                         \
    "\"params\":{\"context\":{\"result\":[" regions "]}}}"

static bool parse_labelstudio(const char *text, size_t size, struct labelstudio_request *request,
                              struct problem *problem) {
    char *json = malloc(size + 1);
    ck_assert_ptr_nonnull(json);
    memcpy(json, text, size);
    memset(request, 0x5a, sizeof *request);
    *problem = (struct problem){0};
    bool good = labelstudio_parse(json, size, request, problem);
    free(json);
    ck_assert(good == (problem->type == PROBLEM_NONE));
    return good;
}

START_TEST(test_labelstudio) {
    static const char text[] = TASK(CONFIG, CLICK "," RECTANGLE ",{\"type\":\"choices\"}");
    struct labelstudio_request request;
    struct problem problem;
    ck_assert_msg(parse_labelstudio(text, strlen(text), &request, &problem), "%s", problem.detail);
    ck_assert_str_eq(request.from_name, "tag");
    ck_assert_str_eq(request.to_name, "img");
    ck_assert_str_eq(request.common.url, "/data/a.jpg");
    ck_assert_uint_eq(request.common.count, 1);
    ck_assert_uint_eq(request.label_count, 1);
    ck_assert_str_eq(request.labels[0], "Dog");
    ck_assert(request.common.percent);
    const struct marks *marks = request.common.marks;
    const double box[4] = {10, 20, 40, 60};
    ck_assert_mem_eq(marks->box, box, sizeof box);
    ck_assert_int_eq(marks->point_count, 1);
    ck_assert_double_eq(marks->points[0][1], 25.5);
    ck_assert_int_eq(marks->labels[0], 1);
    labelstudio_request_free(&request);
    for (size_t size = 0; size < strlen(text); size++)
        ck_assert(!parse_labelstudio(text, size, &request, &problem));
}
END_TEST

START_TEST(test_labelstudio_answer) {
    struct fixture fixture;
    char *label = (char *)"a\"b";
    const struct labelstudio_request request = {
        .from_name = (char *)"tag", .to_name = (char *)"img", .label_count = 1, .labels = &label};
    char *json = labelstudio_answer_json(make_answer(&fixture, false), &request, "m-1");
    ck_assert_ptr_nonnull(json);
    char *id = strstr(json, "maskd-");
    ck_assert_ptr_nonnull(id);
    memset(id + 6, '0', 10);
    assert_json(json,
                "{\"results\":[{\"result\":[{\"id\":\"maskd-0000000000\","
                "\"from_name\":\"tag\",\"to_name\":\"img\",\"original_width\":6,"
                "\"original_height\":4,\"image_rotation\":0,\"type\":\"brushlabels\","
                "\"readonly\":false,\"score\":1.25,\"value\":{\"format\":\"rle\","
                "\"brushlabels\":[\"a\\\"b\"],\"rle\":[0,0,0,96,57,27,254,31,0,159,254,216,"
                "5,255,251,96,17,255,219,0,0]}}],\"model_version\":\"m-1\",\"score\":1.25}]}");
}
END_TEST

START_TEST(test_labelstudio_hostile) {
    static const char *const texts[] = {
        TASK("<View/>", CLICK),
        TASK("<a>", CLICK),
        TASK("", CLICK),
        TASK("<!DOCTYPE a><View/>", CLICK),
        TASK("<View><BrushLabels toName='img'/><Image name='img' value='$a'/></View>", CLICK),
        TASK("<View><BrushLabels name='tag' toName='img'/><Image name='img' value='a'/></View>",
             CLICK),
        TASK(CONFIG, "{\"type\":\"keypointlabels\"}"),
        TASK(CONFIG, "{\"type\":\"rectanglelabels\",\"value\":[]}"),
        TASK(CONFIG, CLICK ",{\"image_rotation\":90}"),
        "[]",
        "{\"params\":{\"context\":{\"result\":{}}}}",
        "{\"params\":{\"context\":{\"result\":[" CLICK "]}}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct labelstudio_request request;
        struct problem problem;
        ck_assert_msg(!parse_labelstudio(texts[i], strlen(texts[i]), &request, &problem), "%s",
                      texts[i]);
        ck_assert_int_eq(problem.type, PROBLEM_INVALID_REQUEST);
        ck_assert(!request.labels && !request.common.marks && !request.from_name);
    }
}
END_TEST

/* ---- the others -------------------------------------------------------------------------- */

START_TEST(test_cvat) {
    static const char text[] = "{\"image\":\"AAEC\",\"pos_points\":[[1,2],[3,4.5]],"
                               "\"neg_points\":[[5,6]],\"obj_bbox\":[[9,8],[7,6]],\"roi\":[1]}";
    struct cvat_request request = {.crop = true};
    struct problem problem = {0};
    ck_assert(cvat_parse(text, strlen(text), &request, &problem));
    const struct marks *marks = request.common.marks;
    ck_assert_int_eq(marks->point_count, 3);
    ck_assert_mem_eq(marks->labels, "\1\1\0", 3);
    ck_assert_double_eq(marks->points[1][1], 4.5);
    ck_assert_double_eq(marks->box[2], 7);
    ck_assert_uint_eq(request.common.image_size, 3);
    ck_assert(request.crop && !request.embedding);
    compat_request_free(&request.common);
    for (size_t size = 0; size < strlen(text); size++) {
        problem = (struct problem){0};
        ck_assert(!cvat_parse(text, size, &request, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
    }
}
END_TEST

START_TEST(test_cvat_answers) {
    struct fixture fixture;
    make_answer(&fixture, false);
    assert_json(cvat_answer_json(&fixture.answer, false),
                "{\"mask\":[[0,0,0,0,0,0],[0,0,1,1,0,0],[0,1,1,1,1,0],[0,0,1,0,0,0]]}");
    assert_json(cvat_answer_json(&fixture.answer, true),
                "{\"mask\":[[0,1,1,0],[1,1,1,1],[0,1,0,0]],\"bounds\":[1,1,4,3]}");
    make_answer(&fixture, true);
    assert_json(cvat_answer_json(&fixture.answer, true), "{\"mask\":[[0]],\"bounds\":[0,0,0,0]}");
}
END_TEST

/* A row of more cells than are written at once. */
START_TEST(test_cvat_wide) {
    enum { WIDTH = 1000 };
    uint32_t counts[] = {0, 3, WIDTH - 4, 1};
    struct fixture fixture;
    make_answer(&fixture, false);
    fixture.answer.width = WIDTH;
    fixture.answer.height = 1;
    fixture.result.segments[0].mask = (struct mask){1, WIDTH, 4, counts};
    char wanted[2 * WIDTH + 32] = "{\"mask\":[[";
    for (int i = 0; i < WIDTH; i++)
        strcat(wanted, i < 3 ? "1," : i < WIDTH - 1 ? "0," : "1]]}");
    assert_json(cvat_answer_json(&fixture.answer, false), wanted);
}
END_TEST

START_TEST(test_roboflow_answer) {
    struct fixture fixture;
    make_answer(&fixture, true);
    assert_json(roboflow_answer_json(&fixture.answer, 0.5),
                "{\"masks\":[],\"low_res_masks\":[],\"time\":0.5}");
    make_answer(&fixture, false);
    char *json = roboflow_answer_json(&fixture.answer, 0.5);
    ck_assert_ptr_nonnull(json);
    static const char *const corners[] = {"[2,1]", "[4,1]", "[4,2]", "[5,2]", "[5,3]", "[3,4]"};
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
        ck_assert_msg(strstr(json, corners[i]) != NULL, "%s in %s", corners[i], json);
    ck_assert_ptr_nonnull(strstr(json, "[213,85]")); /* [5,2] in the square of 256 */
    free(json);
}
END_TEST

START_TEST(test_xanylabeling_answer) {
    struct fixture fixture;
    assert_json(
        xanylabeling_answer_json(NULL, 0),
        "{\"success\":true,\"data\":{\"shapes\":[],\"description\":\"\",\"replace\":false}}");
    make_answer(&fixture, true);
    assert_json(
        xanylabeling_answer_json(&fixture.answer, 0),
        "{\"success\":true,\"data\":{\"shapes\":[],\"description\":\"\",\"replace\":false}}");
    make_answer(&fixture, false);
    char *json = xanylabeling_answer_json(&fixture.answer, 0);
    ck_assert_ptr_nonnull(json);
    ck_assert_ptr_nonnull(strstr(json, "\"score\":1}")); /* its schema has no more */
    ck_assert_ptr_null(strstr(strstr(json, "shape_type") + 1, "shape_type"));
    free(json);
}
END_TEST

START_TEST(test_xanylabeling_problem) {
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_UNSUPPORTED_IMAGE, "not \"an\" image");
    assert_json(xanylabeling_problem_json(&problem),
                "{\"success\":false,\"error\":{\"code\":\"INVALID_IMAGE\","
                "\"message\":\"not \\\"an\\\" image\"}}");
    problem = (struct problem){0};
    problem_add(&problem, PROBLEM_INVALID_REQUEST, "/image", "must be a string");
    assert_json(xanylabeling_problem_json(&problem),
                "{\"success\":false,\"error\":{\"code\":\"INVALID_REQUEST\","
                "\"message\":\"/image must be a string\"}}");
}
END_TEST

START_TEST(test_random_damage) {
    static const char cvat[] =
        "{\"image\":\"AAEC\",\"pos_points\":[[1,2]],\"obj_bbox\":[[9,8],[7,6]]}";
    static const char robo[] = "{\"image\":{\"type\":\"base64\",\"value\":\"AAEC\"},"
                               "\"point_coords\":[[1,2],[0,0]],\"point_labels\":[1,-1]}";
    static const char xany[] = "{\"model\":\"m\",\"image\":\"AAEC\",\"params\":{\"marks\":["
                               "{\"type\":\"rectangle\",\"data\":[1,2,3,4]}]}}";
    static const char label[] = TASK(CONFIG, CLICK "," RECTANGLE);
    static const char *const texts[] = {cvat, robo, xany, label};
    uint64_t state = 5;
    for (int round = 0; round < 40000; round++) {
        char json[sizeof label];
        const char *text = texts[round % 4];
        const size_t size = strlen(text);
        memcpy(json, text, size + 1);
        for (int k = 0; k <= round % 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            json[(state >> 33) % size] ^= (char)(1 << (state >> 20) % 8);
        }
        struct problem problem = {0};
        struct cvat_request cvat_request = {0};
        struct roboflow_request robo_request;
        struct xanylabeling_request xany_request;
        struct labelstudio_request label_request;
        if (round % 4 == 0 && cvat_parse(json, size, &cvat_request, &problem))
            compat_request_free(&cvat_request.common);
        if (round % 4 == 1 && roboflow_parse(json, size, true, &robo_request, &problem))
            compat_request_free(&robo_request.common);
        if (round % 4 == 2 && xanylabeling_parse(json, size, "m", &xany_request, &problem))
            compat_request_free(&xany_request.common);
        if (round % 4 == 3 && labelstudio_parse(json, size, &label_request, &problem))
            labelstudio_request_free(&label_request);
    }
}
END_TEST

Suite *compat_suite(void) {
    Suite *suite = suite_create("compat");
    TCase *tests = tcase_create("compat");
    tcase_set_timeout(tests, 60); /* for the sanitizers */
    tcase_add_test(tests, test_dropped_members);
    tcase_add_test(tests, test_marks_are_placed);
    tcase_add_test(tests, test_too_many_marks);
    tcase_add_test(tests, test_labelstudio);
    tcase_add_test(tests, test_labelstudio_answer);
    tcase_add_test(tests, test_labelstudio_hostile);
    tcase_add_test(tests, test_cvat);
    tcase_add_test(tests, test_cvat_answers);
    tcase_add_test(tests, test_cvat_wide);
    tcase_add_test(tests, test_roboflow_answer);
    tcase_add_test(tests, test_xanylabeling_answer);
    tcase_add_test(tests, test_xanylabeling_problem);
    tcase_add_test(tests, test_random_damage);
    suite_add_tcase(suite, tests);
    return suite;
}
