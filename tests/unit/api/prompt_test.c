#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "tests/unit/suites.h"

static const struct prompt_limits truck = {.width = 1800, .height = 1200, .max_prompts = 4};
static const struct prompt_limits tiny = {.width = 6, .height = 4, .max_prompts = 4};

/* Parses a copy of exactly this size, without a terminating zero. The verdict, the problem and the
 * list must agree. */
static bool parse(const char *bytes, size_t size, const struct prompt_limits *limits,
                  struct prompt_list *list, struct problem *problem) {
    char *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    *problem = (struct problem){0};
    memset(list, 0x5a, sizeof *list);
    bool good = prompt_list_parse(copy, size, limits, list, problem);
    free(copy);
    ck_assert(good ? problem->type == PROBLEM_NONE
                   : problem_status(problem->type) >= 400 && list->count == 0 && !list->items);
    return good;
}

static struct prompt_list assert_good(const char *json, const struct prompt_limits *limits,
                                      size_t count) {
    struct prompt_list list;
    struct problem problem;
    bool good = parse(json, strlen(json), limits, &list, &problem);
    ck_assert_msg(good, "%s: %s %s %s", json, problem.detail, problem.faults[0].pointer,
                  problem.faults[0].detail);
    ck_assert_uint_eq(list.count, count);
    return list;
}

/* wanted is a line for each fault: its pointer, a space, its detail. */
static void assert_faults(const char *json, const struct prompt_limits *limits,
                          const char *wanted) {
    struct prompt_list list;
    struct problem problem;
    ck_assert_msg(!parse(json, strlen(json), limits, &list, &problem), "%s", json);
    ck_assert_msg(problem.type == PROBLEM_INVALID_PROMPT, "%s: %s", json, problem.detail);
    char found[8192] = "";
    for (size_t i = 0; i < problem.fault_count && i < PROBLEM_FAULTS_MAX; i++) {
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s %s\n", problem.faults[i].pointer,
                 problem.faults[i].detail);
    }
    ck_assert_str_eq(found, wanted);
}

static void assert_problem(const char *json, const struct prompt_limits *limits,
                           enum problem_type type, const char *detail) {
    struct prompt_list list;
    struct problem problem;
    ck_assert_msg(!parse(json, strlen(json), limits, &list, &problem), "%s", json);
    ck_assert_int_eq(problem.type, type);
    ck_assert_msg(strstr(problem.detail, detail) != NULL, "%s: %s", json, problem.detail);
}

/* ---- what is right ----------------------------------------------------------------------- */

START_TEST(test_points) {
    struct prompt_list list = assert_good("{\"points\":[[500,375],[0,0.5]]}", &truck, 1);
    const struct prompt *prompt = &list.items[0].prompt;
    ck_assert_int_eq(prompt->point_count, 2);
    ck_assert_float_eq(prompt->points[0][0], 500);
    ck_assert_float_eq(prompt->points[0][1], 375);
    ck_assert_float_eq(prompt->points[1][1], 0.5f);
    ck_assert(prompt->labels[0] == 1 && prompt->labels[1] == 1);
    ck_assert(!prompt->has_box && !prompt->mask && prompt->multimask == MULTIMASK_AUTO);
    ck_assert_float_eq(prompt->threshold, 0);
    ck_assert_int_eq(list.items[0].format, FORMAT_COCO_RLE);
    prompt_list_free(&list);
    ck_assert(list.count == 0 && !list.items);

    list = assert_good("{\"labels\":[0,1.0],\"points\":[[1,2],[3,4]]}", &truck, 1);
    ck_assert(list.items[0].prompt.labels[0] == 0 && list.items[0].prompt.labels[1] == 1);
    prompt_list_free(&list);
}
END_TEST

/* A double below the edge that the nearest float would put onto it. */
START_TEST(test_points_stay_inside_as_floats) {
    struct prompt_list list =
        assert_good("{\"points\":[[1799.9999999999,1199.9999999999]]}", &truck, 1);
    const float *point = list.items[0].prompt.points[0];
    ck_assert(point[0] < 1800 && point[0] > 1799.99f && point[1] < 1200 && point[1] > 1199.99f);
    prompt_list_free(&list);
}
END_TEST

START_TEST(test_all_the_points_that_fit) {
    char json[2048] = "{\"points\":[";
    for (int i = 0; i < PROMPT_POINTS_MAX; i++)
        sprintf(json + strlen(json), "%s[%d,7]", i ? "," : "", i);
    strcat(json, "]}");
    struct prompt_list list = assert_good(json, &truck, 1);
    ck_assert_int_eq(list.items[0].prompt.point_count, PROMPT_POINTS_MAX);
    ck_assert_float_eq(list.items[0].prompt.points[PROMPT_POINTS_MAX - 1][0],
                       PROMPT_POINTS_MAX - 1);
    prompt_list_free(&list);
}
END_TEST

START_TEST(test_box) {
    struct prompt_list list = assert_good("{\"box\":[0,275.5,1800,1200]}", &truck, 1);
    const struct prompt *prompt = &list.items[0].prompt;
    ck_assert(prompt->has_box && prompt->point_count == 0);
    ck_assert(prompt->box[0] == 0 && prompt->box[1] == 275.5f);
    ck_assert(prompt->box[2] == 1800 && prompt->box[3] == 1200);
    prompt_list_free(&list);
}
END_TEST

/* The mask of the other forms: 1 bit a pixel. */
#define VECTOR_PNG                                                                                 \
    "iVBORw0KGgoAAAANSUhEUgAAAAYAAAAEAQAAAACFf3PuAAAAEElEQVR42mNgYDBg8mB+"                         \
    "AgACwgFiNTTGKQAAAABJRU5ErkJg"                                                                 \
    "gg=="

START_TEST(test_prior_mask) {
    static const char *const forms[] = {
        "{\"mask\":{\"size\":[4,6],\"counts\":\"6122OO2O2\"}}",
        "{\"mask\":{\"counts\":[6,1,2,3,1,2,3,1,5],\"size\":[4,6]}}",
        "{\"mask\":{\"size\":[4,6],\"counts\":[6,1,2,3,0,0,1,2,3,1,4,0,1,0]}}",
        "{\"prompts\":[{\"mask\":{\"size\":[4,6],\"counts\":\"6122OO2O2\"}}]}",
        "{\"mask\":{\"size\":[4,6],\"cvat_rle\":[1,2,1,4,1,1,2,1,1,4,3]}}",
        "{\"mask\":{\"size\":[4,6],\"labelstudio_rle\":[0,0,0,96,57,27,254,31,0,159,254,216,5,255,"
        "251,96,17,255,219,0,0]}}",
        "{\"mask\":{\"png\":\"" VECTOR_PNG "\"}}",
        "{\"mask\":{\"png\":\"data:image/png;base64," VECTOR_PNG "\",\"size\":[4,6]}}",
    };
    static const uint32_t counts[] = {6, 1, 2, 3, 1, 2, 3, 1, 5};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct prompt_list list = assert_good(forms[i], &tiny, 1);
        const struct mask *mask = list.items[0].prompt.mask;
        ck_assert_ptr_eq(mask, &list.items[0].prior);
        ck_assert(mask->height == 4 && mask->width == 6);
        ck_assert_uint_eq(mask->count, 9);
        ck_assert_mem_eq(mask->counts, counts, sizeof counts);
        prompt_list_free(&list);
    }
}
END_TEST

START_TEST(test_settings) {
    struct prompt_list list =
        assert_good("{\"box\":[1,2,3,4],\"multimask\":true,\"format\":\"coco_rle_uncompressed\","
                    "\"threshold\":-0.5,\"min_area\":0,\"fill_holes\":false,\"simplify\":0.0}",
                    &truck, 1);
    ck_assert_int_eq(list.items[0].prompt.multimask, MULTIMASK_ALL);
    ck_assert_int_eq(list.items[0].format, FORMAT_COCO_RLE_UNCOMPRESSED);
    ck_assert_float_eq(list.items[0].prompt.threshold, -0.5f);
    prompt_list_free(&list);
    list =
        assert_good("{\"box\":[1,2,3,4],\"multimask\":false,\"format\":\"coco_rle\"}", &truck, 1);
    ck_assert_int_eq(list.items[0].prompt.multimask, MULTIMASK_SINGLE);
    prompt_list_free(&list);
}
END_TEST

START_TEST(test_formats_and_cleaning) {
    static const char *const formats[FORMAT_COUNT] = {
        "coco_rle", "coco_rle_uncompressed", "polygon", "polygon_holes",
        "png",      "labelstudio_rle",       "cvat_rle"};
    for (int i = 0; i < FORMAT_COUNT; i++) {
        char json[200];
        snprintf(json, sizeof json,
                 "{\"box\":[1,2,3,4],\"format\":\"%s\",\"min_area\":%d,\"fill_holes\":true,"
                 "\"simplify\":1.5}",
                 formats[i], i);
        struct prompt_list list = assert_good(json, &truck, 1);
        const struct prompt_item *item = &list.items[0];
        ck_assert_int_eq(item->format, i);
        ck_assert_uint_eq(item->cleaning.min_area, (size_t)i);
        ck_assert(item->cleaning.fill_holes);
        ck_assert_double_eq(item->simplify, 1.5);
        prompt_list_free(&list);
    }
    assert_faults("{\"box\":[1,2,3,4],\"min_area\":0.5,\"simplify\":1e6}", &truck,
                  "/min_area must be a whole number of pixels\n"
                  "/simplify must be between 0 and 100000 pixels\n");
}
END_TEST

/* Few numbers that are many runs: each mask is small enough, all together are not. */
START_TEST(test_prior_masks_share_a_limit) {
    enum { SIDE = 1600, PROMPTS = 2 };
    const struct prompt_limits limits = {.width = SIDE, .height = SIDE, .max_prompts = PROMPTS};
    const size_t room = PROMPTS * (SIDE * 6 + 200);
    char *json = malloc(room), *at = json;
    ck_assert_ptr_nonnull(json);
    at += sprintf(at, "{\"prompts\":[");
    for (int i = 0; i < PROMPTS; i++) {
        at += sprintf(at, "%s{\"mask\":{\"size\":[%d,%d],\"cvat_rle\":[", i ? "," : "", SIDE, SIDE);
        for (int row = 0; row < SIDE; row++)
            at += sprintf(at, "%d,", SIDE);
        at += sprintf(at, "0,0,%d,%d]}}", SIDE - 1, SIDE - 1);
    }
    sprintf(at, "]}");
    assert_faults(json, &limits,
                  "/prompts/1/mask/cvat_rle the request's masks have more than 4194304 runs\n");
    free(json);
    /* and few bytes that are many pixels: the second is not even looked at */
    const struct prompt_limits large = {.width = 8192, .height = 4097, .max_prompts = 2};
    assert_faults("{\"prompts\":[{\"mask\":{\"png\":\"AAAA\"}},{\"mask\":{\"png\":\"AAAA\"}}]}",
                  &large,
                  "/prompts/0/mask/png the PNG is cut short\n"
                  "/prompts/1/mask/png the request's PNG masks have more than 67108864 pixels\n");
}
END_TEST

START_TEST(test_defaults_of_a_list) {
    struct prompt_list list = assert_good(
        "{\"format\":\"coco_rle_uncompressed\",\"threshold\":2,\"multimask\":true,\"prompts\":["
        "{\"points\":[[1,2]]},"
        "{\"box\":[1,2,3,4],\"format\":\"coco_rle\",\"multimask\":\"auto\",\"threshold\":0}]}",
        &truck, 2);
    ck_assert_int_eq(list.items[0].format, FORMAT_COCO_RLE_UNCOMPRESSED);
    ck_assert_int_eq(list.items[0].prompt.multimask, MULTIMASK_ALL);
    ck_assert_float_eq(list.items[0].prompt.threshold, 2);
    ck_assert_int_eq(list.items[1].format, FORMAT_COCO_RLE);
    ck_assert_int_eq(list.items[1].prompt.multimask, MULTIMASK_AUTO);
    ck_assert_float_eq(list.items[1].prompt.threshold, 0);
    ck_assert(!list.items[0].prompt.has_box && list.items[1].prompt.has_box);
    ck_assert_int_eq(list.items[1].prompt.point_count, 0);
    prompt_list_free(&list);

    list = assert_good("{\"boxes\":[[1,2,3,4],[5,6,7,8]],\"multimask\":false}", &truck, 2);
    ck_assert_float_eq(list.items[1].prompt.box[3], 8);
    ck_assert(list.items[0].prompt.has_box && list.items[1].prompt.has_box);
    ck_assert_int_eq(list.items[1].prompt.multimask, MULTIMASK_SINGLE);
    prompt_list_free(&list);
}
END_TEST

/* ---- what is wrong ----------------------------------------------------------------------- */

START_TEST(test_faults) {
    static const struct {
        const char *json, *faults;
    } cases[] = {
        {"[]", " must be an object\n"},
        {"null", " must be an object\n"},
        {"{}", " must have at least one of points, box, mask and refine\n"},
        {"{\"multimask\":true}", " must have at least one of points, box, mask and refine\n"},
        {"{\"points\":[[500,375]],\"pionts\":1,\"a/b\":2}",
         "/pionts unknown member\n/a~1b unknown member\n"},
        {"{\"points\":[[1,2]],\"points\":[[3,4]]}", "/points duplicate member\n"},
        {"{\"points\":null}", "/points must be an array\n"},
        {"{\"points\":[]}", "/points must hold 1 to 64 points, not 0\n"},
        {"{\"points\":[500,375]}", "/points/0 must be [x, y]\n/points/1 must be [x, y]\n"},
        {"{\"points\":[[1,2,3],[1],{},[]]}",
         "/points/0 must be [x, y]\n/points/1 must be [x, y]\n/points/2 must be [x, y]\n"
         "/points/3 must be [x, y]\n"},
        {"{\"points\":[[1,\"2\"],[null,1e999],[true,-1e999]]}",
         "/points/0/1 must be a finite number\n/points/1/0 must be a finite number\n"
         "/points/1/1 must be a finite number\n/points/2/0 must be a finite number\n"
         "/points/2/1 must be a finite number\n"},
        {"{\"points\":[[1800,0],[0,1200],[-0.001,1199],[1e308,-1e308]]}",
         "/points/0/0 outside the image (1800 x 1200)\n/points/1/1 outside the image (1800 x "
         "1200)\n/points/2/0 outside the image (1800 x 1200)\n/points/3/0 outside the image (1800 "
         "x 1200)\n/points/3/1 outside the image (1800 x 1200)\n"},
        {"{\"points\":[[1,2]],\"labels\":[1,0]}", "/labels holds 2 labels for 1 points\n"},
        {"{\"points\":[[1,2]],\"labels\":[]}", "/labels holds 0 labels for 1 points\n"},
        {"{\"points\":[[1,2]],\"labels\":1}", "/labels must be an array\n"},
        {"{\"points\":[[1,2]],\"labels\":[2]}",
         "/labels/0 must be 1 (foreground) or 0 (background)\n"},
        {"{\"points\":[[1,2],[1,2]],\"labels\":[true,0.5]}",
         "/labels/0 must be 1 (foreground) or 0 (background)\n"
         "/labels/1 must be 1 (foreground) or 0 (background)\n"},
        {"{\"labels\":[1],\"box\":[1,2,3,4]}", "/labels labels without points\n"},
        {"{\"box\":[1,2,3]}", "/box must be [x1, y1, x2, y2]\n"},
        {"{\"box\":{\"x1\":1}}", "/box must be [x1, y1, x2, y2]\n"},
        {"{\"box\":[1,2,null,\"4\"]}",
         "/box/2 must be a finite number\n/box/3 must be a finite number\n"},
        {"{\"box\":[3,4,3,2]}", "/box x1 must be less than x2\n/box y1 must be less than y2\n"},
        {"{\"box\":[3,4,3.00000001,5]}", "/box x1 must be less than x2\n"},
        {"{\"box\":[-1,2,1800.5,1201]}",
         "/box/0 outside the image (1800 x 1200)\n/box/2 outside the image (1800 x 1200)\n"
         "/box/3 outside the image (1800 x 1200)\n"},
        {"{\"box\":[1,2,3,4],\"multimask\":\"yes\",\"format\":\"rle\",\"threshold\":\"0\"}",
         "/multimask must be \"auto\", true or false\n"
         "/format must be \"coco_rle\", \"coco_rle_uncompressed\", \"polygon\", "
         "\"polygon_holes\", \"png\", \"labelstudio_rle\" or \"cvat_rle\"\n"
         "/threshold must be a finite number\n"},
        {"{\"box\":[1,2,3,4],\"multimask\":1,\"format\":null,\"threshold\":1000001}",
         "/multimask must be \"auto\", true or false\n/format must be a string\n"
         "/threshold must be between -1000000 and 1000000\n"},
        {"{\"box\":[1,2,3,4],\"text\":5,\"refine\":[],\"min_area\":-1,\"fill_holes\":0,"
         "\"simplify\":null}",
         "/text must be a string\n/refine must be a string\n/min_area must be a whole number of "
         "pixels\n"
         "/fill_holes must be true or false\n/simplify must be a finite number\n"},
        {"{\"prompts\":[]}", "/prompts must not be empty\n"},
        {"{\"boxes\":[]}", "/boxes must not be empty\n"},
        {"{\"prompts\":{}}", "/prompts must be an array\n"},
        {"{\"boxes\":\"\"}", "/boxes must be an array\n"},
        {"{\"prompts\":[1,{},[]]}",
         "/prompts/0 must be an object\n"
         "/prompts/1 must have at least one of points, box, mask and refine\n"
         "/prompts/2 must be an object\n"},
        {"{\"prompts\":[1,2,3,4,5]}", "/prompts holds 5 prompts; the limit is 4 (max_prompts)\n"},
        {"{\"boxes\":[1,2,3,4,5]}", "/boxes holds 5 prompts; the limit is 4 (max_prompts)\n"},
        {"{\"boxes\":[[1,2,3,4],[1,2,3,\"4\"],{}]}",
         "/boxes/1/3 must be a finite number\n/boxes/2 must be [x1, y1, x2, y2]\n"},
        {"{\"prompts\":[{\"prompts\":[],\"boxes\":[],\"box\":[1,2,3,4]}]}",
         "/prompts/0/prompts unknown member\n/prompts/0/boxes unknown member\n"},
        {"{\"prompts\":[{\"points\":[[1,2]]},{\"points\":[[1,2],[3,4]],\"labels\":[2,1]}],"
         "\"points\":[[1,2]],\"box\":0,\"text\":0,\"boxes\":0}",
         "/points cannot be combined with prompts\n/box cannot be combined with prompts\n"
         "/text cannot be combined with prompts\n/boxes cannot be combined with prompts\n"
         "/prompts/1/labels/0 must be 1 (foreground) or 0 (background)\n"},
        {"{\"boxes\":[[1,2,3,4]],\"labels\":[],\"mask\":{},\"refine\":\"\",\"threshold\":[]}",
         "/labels cannot be combined with boxes\n/mask cannot be combined with boxes\n"
         "/refine cannot be combined with boxes\n/threshold must be a finite number\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_faults(cases[i].json, &truck, cases[i].faults);
}
END_TEST

START_TEST(test_faults_of_prior_masks) {
    static const struct {
        const char *json, *faults;
    } cases[] = {
        {"{\"mask\":\"6122OO2O2\"}", "/mask must be an object\n"},
        {"{\"mask\":{}}", "/mask/size is missing\n/mask must have one of counts, labelstudio_rle, "
                          "cvat_rle and png\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":\"6122OO2O2\",\"png\":1}}",
         "/mask/png cannot be combined with counts\n"},
        {"{\"mask\":{\"size\":[4,6],\"labelstudio_rle\":[256,-1,0.5],\"cvat_rle\":[]}}",
         "/mask/labelstudio_rle/0 must be a whole number, 255 at most\n"
         "/mask/labelstudio_rle/1 must be a whole number, 255 at most\n"
         "/mask/labelstudio_rle/2 must be a whole number, 255 at most\n"
         "/mask/cvat_rle cannot be combined with labelstudio_rle\n"},
        {"{\"mask\":{\"size\":[4,6],\"labelstudio_rle\":\"\"}}",
         "/mask/labelstudio_rle must be an array\n"},
        {"{\"mask\":{\"size\":[4,6],\"cvat_rle\":[1,2,3]}}",
         "/mask/cvat_rle must end with the four numbers of a box\n"},
        {"{\"mask\":{\"png\":\"data:image/png,xx\"}}",
         "/mask/png must be base64 or a data URI of a PNG\n"},
        {"{\"mask\":{\"png\":\"AAAA\"}}", "/mask/png the PNG is cut short\n"},
        {"{\"mask\":{\"png\":[]}}", "/mask/png must be a string\n"},
        {"{\"mask\":{\"size\":[6,4],\"counts\":\"6122OO2O2\"}}",
         "/mask/size must be [4, 6], the image's height and width\n"},
        {"{\"mask\":{\"size\":[4,1e999],\"counts\":\"6122OO2O2\"}}",
         "/mask/size/1 must be a finite number\n"},
        {"{\"mask\":{\"size\":24,\"counts\":null}}",
         "/mask/size must be [height, width]\n"
         "/mask/counts must be a string or an array of numbers\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":\"6122OO2O3\"}}",
         "/mask/counts the runs cover 25 pixels, not 4 x 6\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":\"\"}}",
         "/mask/counts the runs cover 0 pixels, not 4 x 6\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":[]}}",
         "/mask/counts the runs cover 0 pixels, not 4 x 6\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":[23,2]}}",
         "/mask/counts the runs cover 25 pixels, not 4 x 6\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":[4294967295,4294967295]}}",
         "/mask/counts the runs cover 8589934590 pixels, not 4 x 6\n"},
        {"{\"mask\":{\"size\":[4,6],\"counts\":[24,-1,0.5,\"0\",4294967296,1e999]}}",
         "/mask/counts/1 must be a whole number, 4294967295 at most\n"
         "/mask/counts/2 must be a whole number, 4294967295 at most\n"
         "/mask/counts/3 must be a whole number, 4294967295 at most\n"
         "/mask/counts/4 must be a whole number, 4294967295 at most\n"
         "/mask/counts/5 must be a whole number, 4294967295 at most\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_faults(cases[i].json, &tiny, cases[i].faults);
}
END_TEST

/* An earlier mask by its ID, alone or with more. */
START_TEST(test_refine) {
    static const char id[] = "m_0123456789abcdef";
    struct prompt_list list = assert_good("{\"refine\":\"m_0123456789abcdef\"}", &tiny, 1);
    ck_assert_str_eq(list.items[0].refine.text, id);
    ck_assert(!list.numbered && !list.items[0].prompt.logits && !list.items[0].prompt.mask);
    prompt_list_free(&list);
    list = assert_good("{\"prompts\":[{\"points\":[[1,2]]},{\"refine\":\"m_0123456789abcdef\","
                       "\"points\":[[1,2]],\"box\":[1,1,3,3],\"multimask\":true}]}",
                       &tiny, 2);
    ck_assert(list.numbered);
    ck_assert_str_eq(list.items[0].refine.text, "");
    ck_assert_str_eq(list.items[1].refine.text, id);
    ck_assert_int_eq(list.items[1].prompt.point_count, 1);
    prompt_list_free(&list);

    static const char *const wrong[] = {"",
                                        "m_",
                                        "m_0123456789abcde",
                                        "m_0123456789abcdef0",
                                        "M_0123456789abcdef",
                                        "m-0123456789abcdef",
                                        "m_0123456789ABCDEF",
                                        " m_0123456789abcdef",
                                        "m_0123456789abcdeg"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[100];
        snprintf(json, sizeof json, "{\"refine\":\"%s\"}", wrong[i]);
        assert_faults(json, &tiny, "/refine must be a mask's ID, m_[0-9a-f]{16}\n");
    }
    assert_faults("{\"prompts\":[{\"refine\":\"m_0123456789abcdef\",\"mask\":{\"size\":[4,6],"
                  "\"counts\":[24]}}]}",
                  &tiny, "/prompts/0/refine cannot be combined with mask\n");
}
END_TEST

START_TEST(test_what_this_version_lacks) {
    assert_problem("{\"text\":\"the red truck\"}", &truck, PROBLEM_NOT_INSTALLED,
                   "text prompts need a CLIP model, which is not installed");
    /* all of them are listed, with their places; the first one is told */
    struct prompt_list list;
    struct problem problem;
    const char *json = "{\"prompts\":[{\"text\":\"a\"},{\"text\":\"b\"}]}";
    ck_assert(!parse(json, strlen(json), &truck, &list, &problem));
    ck_assert_int_eq(problem.type, PROBLEM_NOT_INSTALLED);
    ck_assert_uint_eq(problem.fault_count, 2);
    ck_assert_str_eq(problem.faults[1].pointer, "/prompts/1/text");

    /* what is wrong comes first */
    assert_faults("{\"text\":\"a\",\"format\":\"png\",\"threshold\":true}", &truck,
                  "/threshold must be a finite number\n");
}
END_TEST

START_TEST(test_not_json) {
    static const char *const bodies[] = {"",
                                         "points",
                                         "{\"points\":[[NaN,1]]}",
                                         "{\"points\":[[1,2]]}x",
                                         "{\"points\":[[Infinity,1]]}",
                                         "{\"text\":\"\xff\"}",
                                         "{\"text\":\"\\ud800\"}",
                                         "{\"box\\u0000\":[1,2,3,4]}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_problem(bodies[i], &truck, PROBLEM_BAD_REQUEST, "");
}
END_TEST

/* ---- hostile bodies ---------------------------------------------------------------------- */

START_TEST(test_many_points) {
    static const struct {
        size_t count;
        enum problem_type type;
    } cases[] = {{PROMPT_POINTS_MAX + 1, PROBLEM_INVALID_PROMPT},
                 {80000, PROBLEM_INVALID_PROMPT},
                 {1000000, PROBLEM_TOO_LARGE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t count = cases[i].count;
        char *json = malloc(6 * count + 32);
        ck_assert_ptr_nonnull(json);
        char *at = json + sprintf(json, "{\"points\":[");
        for (size_t k = 0; k < count; k++, at += 6)
            memcpy(at, "[1,9],", 6);
        at += sprintf(at - 1, "]}") - 1;
        struct prompt_list list;
        struct problem problem;
        ck_assert(!parse(json, (size_t)(at - json), &truck, &list, &problem));
        ck_assert_int_eq(problem.type, cases[i].type);
        if (problem.type == PROBLEM_INVALID_PROMPT) {
            ck_assert_uint_eq(problem.fault_count, 1);
            ck_assert_ptr_nonnull(strstr(problem.faults[0].detail, "must hold 1 to 64 points"));
        }
        free(json);
    }
}
END_TEST

START_TEST(test_many_faults) {
    const size_t count = 50000;
    char *json = malloc(14 * count + 32);
    ck_assert_ptr_nonnull(json);
    char *at = json + sprintf(json, "{\"box\":[1,2,3,4]");
    for (size_t k = 0; k < count; k++)
        at += sprintf(at, ",\"x%zu\":0", k);
    at += sprintf(at, "}");
    struct prompt_list list;
    struct problem problem;
    ck_assert(!parse(json, (size_t)(at - json), &truck, &list, &problem));
    ck_assert_uint_eq(problem.fault_count, count);
    ck_assert_str_eq(problem.faults[PROBLEM_FAULTS_MAX - 1].pointer, "/x31");
    free(json);
}
END_TEST

static const char rich_body[] =
    "{\"format\":\"coco_rle\",\"prompts\":[{\"points\":[[5,3.5],[1e0,2]],\"labels\":[1,0],"
    "\"mask\":{\"size\":[4,6],\"counts\":\"6122OO2O2\"}},{\"box\":[1,0,5,4],\"multimask\":true,"
    "\"mask\":{\"size\":[4,6],\"counts\":[6,1,2,3,1,2,3,1,5]},\"threshold\":-1.5}]}";

START_TEST(test_every_truncation) {
    struct prompt_list list;
    struct problem problem;
    for (size_t size = 0; size < sizeof rich_body - 1; size++) {
        ck_assert(!parse(rich_body, size, &tiny, &list, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
    }
    ck_assert(parse(rich_body, sizeof rich_body - 1, &tiny, &list, &problem));
    prompt_list_free(&list);
}
END_TEST

/* Whatever a damaged body turns into, what is accepted is within the bounds that the engine relies
 * on. */
static void assert_within_bounds(const struct prompt_list *list) {
    ck_assert(list->count >= 1 && list->count <= tiny.max_prompts);
    for (size_t i = 0; i < list->count; i++) {
        const struct prompt *prompt = &list->items[i].prompt;
        ck_assert(prompt->point_count > 0 || prompt->has_box || prompt->mask);
        ck_assert(prompt->point_count >= 0 && prompt->point_count <= PROMPT_POINTS_MAX);
        for (int k = 0; k < prompt->point_count; k++) {
            ck_assert(prompt->points[k][0] >= 0 && prompt->points[k][0] < 6);
            ck_assert(prompt->points[k][1] >= 0 && prompt->points[k][1] < 4);
            ck_assert(prompt->labels[k] <= 1);
        }
        ck_assert(!prompt->has_box ||
                  (0 <= prompt->box[0] && prompt->box[0] < prompt->box[2] && prompt->box[2] <= 6 &&
                   0 <= prompt->box[1] && prompt->box[1] < prompt->box[3] && prompt->box[3] <= 4));
        ck_assert(isfinite(prompt->threshold));
        if (prompt->mask) {
            uint64_t sum = 0;
            for (size_t k = 0; k < prompt->mask->count; k++)
                sum += prompt->mask->counts[k];
            ck_assert_uint_eq(sum, 24);
        }
    }
}

START_TEST(test_random_damage) {
    uint64_t state = 7;
    static const char alphabet[] = "{}[]\",:0123456789eE+-. \\utrnaf";
    for (int round = 0; round < 100000; round++) {
        char body[sizeof rich_body];
        memcpy(body, rich_body, sizeof body);
        for (int k = 0; k <= round % 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(state >> 33) % (sizeof body - 1);
            if (round % 2)
                body[at] ^= (char)(1 << (state >> 20) % 8);
            else
                body[at] = alphabet[(state >> 20) % (sizeof alphabet - 1)];
        }
        struct prompt_list list;
        struct problem problem;
        if (parse(body, sizeof body - 1, &tiny, &list, &problem)) {
            assert_within_bounds(&list);
        } else {
            char *json = problem_json(&problem);
            ck_assert_ptr_nonnull(json);
            free(json);
        }
        prompt_list_free(&list);
    }
}
END_TEST

Suite *prompt_suite(void) {
    Suite *suite = suite_create("prompt");
    TCase *right = tcase_create("right");
    tcase_add_test(right, test_points);
    tcase_add_test(right, test_points_stay_inside_as_floats);
    tcase_add_test(right, test_all_the_points_that_fit);
    tcase_add_test(right, test_box);
    tcase_add_test(right, test_prior_mask);
    tcase_add_test(right, test_settings);
    tcase_add_test(right, test_formats_and_cleaning);
    tcase_add_test(right, test_prior_masks_share_a_limit);
    tcase_add_test(right, test_defaults_of_a_list);
    suite_add_tcase(suite, right);
    TCase *wrong = tcase_create("wrong");
    tcase_add_test(wrong, test_faults);
    tcase_add_test(wrong, test_faults_of_prior_masks);
    tcase_add_test(wrong, test_refine);
    tcase_add_test(wrong, test_what_this_version_lacks);
    tcase_add_test(wrong, test_not_json);
    suite_add_tcase(suite, wrong);
    TCase *hostile = tcase_create("hostile");
    tcase_set_timeout(hostile, 60); /* for the sanitizers */
    tcase_add_test(hostile, test_many_points);
    tcase_add_test(hostile, test_many_faults);
    tcase_add_test(hostile, test_every_truncation);
    tcase_add_test(hostile, test_random_damage);
    suite_add_tcase(suite, hostile);
    return suite;
}
