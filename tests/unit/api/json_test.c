#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "tests/unit/suites.h"

/* Parses a copy of exactly this size, without a terminating zero. The verdict and the problem must
 * agree. */
static cJSON *parse(const char *bytes, size_t size, struct problem *problem) {
    char *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    *problem = (struct problem){0};
    cJSON *root = json_parse(copy, size, problem);
    free(copy);
    ck_assert_int_eq(root == NULL, problem->type != PROBLEM_NONE);
    return root;
}

/* "\0" in a C string is said with its size. */
#define BYTES(literal) literal, sizeof(literal) - 1

START_TEST(test_json_is_taken) {
    static const char *const good[] = {
        "null",
        " \t\r\n{ } \n",
        "[]",
        "[ 1 , -0 , 0.5 , 1e5 , 1E+5 , 2e-7 , -12.25e3 ]",
        "{\"a\":{\"b\":[true,false,null]},\"\":\"\"}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00 \u00e9\U0001F600\"",
        "1e999",
        "\"\x7f\"",
        "123456789012345678901234567890123456789012345678901234567890123",   /* 63 digits */
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", /* 32 levels */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct problem problem;
        cJSON *root = parse(good[i], strlen(good[i]), &problem);
        ck_assert_msg(root != NULL, "%s: %s", good[i], problem.detail);
        cJSON_Delete(root);
    }
}
END_TEST

START_TEST(test_what_is_not_json_is_refused) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *detail;
    } cases[] = {
        {BYTES(""), "empty body"},
        {BYTES("  "), "expected a value at byte 2, where the body ends"},
        {BYTES("\0"), "expected a value at byte 0"},
        {BYTES("1\0"), "expected the end of the body at byte 1"},
        {BYTES("{}\0{}"), "expected the end of the body at byte 2"},
        {BYTES("{} {}"), "expected the end of the body at byte 3"},
        {BYTES("\"a\0b\""), "expected the end of a string at byte 2"},
        {BYTES("\"a\nb\""), "expected the end of a string at byte 2"},
        {BYTES("\"a\\u0000b\""), "U+0000 in a string at byte 8"},
        {BYTES("\"\\ud800\""), "half a surrogate pair"},
        {BYTES("\"\\ud800x\""), "half a surrogate pair"},
        {BYTES("\"\\ud800\\u0041\""), "half a surrogate pair"},
        {BYTES("\"\\ud800\\ud800\""), "half a surrogate pair"},
        {BYTES("\"\\udc00\""), "half a surrogate pair"},
        {BYTES("\"\\u12g4\""), "expected four hex digits at byte 5"},
        {BYTES("\"\\u:000\""), "expected four hex digits at byte 3"},
        {BYTES("\"\\u+123\""), "expected four hex digits at byte 3"},
        {BYTES("\"\\x41\""), "unknown escape at byte 2"},
        {BYTES("\"\\\0\""), "unknown escape at byte 2"},
        {BYTES("\"abc"), "expected the end of a string at byte 4, where"},
        {BYTES("\"abc\\\""), "expected the end of a string at byte 6, where"},
        {BYTES("NaN"), "expected a value at byte 0"},
        {BYTES("[Infinity]"), "expected a value at byte 1"},
        {BYTES("-Infinity"), "expected a value at byte 1"},
        {BYTES("nul"), "expected a value at byte 0"},
        {BYTES("nope"), "expected a value at byte 0"},
        {BYTES("nulll"), "expected the end of the body at byte 4"},
        {BYTES("01"), "expected the end of the body at byte 1"},
        {BYTES("-"), "expected a value at byte 1, where"},
        {BYTES("+1"), "expected a value at byte 0"},
        {BYTES(".5"), "expected a value at byte 0"},
        {BYTES("5."), "expected a digit at byte 2"},
        {BYTES("5.e1"), "expected a digit at byte 2"},
        {BYTES("5e"), "expected a digit at byte 2"},
        {BYTES("5e+-1"), "expected a digit at byte 3"},
        {BYTES("0x10"), "expected the end of the body at byte 1"},
        {BYTES("1234567890123456789012345678901234567890123456789012345678901234"),
         "a number too long to read at byte 64"},
        {BYTES("[1,]"), "expected a value at byte 3"},
        {BYTES("[,1]"), "expected a value at byte 1"},
        {BYTES("[1 2]"), "expected ',' or ']' at byte 3"},
        {BYTES("[1"), "expected ',' or ']' at byte 2, where"},
        {BYTES("[1}"), "expected ',' or ']' at byte 2"},
        {BYTES("{\"a\":1,}"), "expected a string at byte 7"},
        {BYTES("{a:1}"), "expected a string at byte 1"},
        {BYTES("{\"a\" 1}"), "expected ':' at byte 5"},
        {BYTES("{\"a\":}"), "expected a value at byte 5"},
        {BYTES("{\"a\":1 \"b\":2}"), "expected ',' or '}' at byte 7"},
        {BYTES("{1:1}"), "expected a string at byte 1"},
        {BYTES("/* */1"), "expected a value at byte 0"},
        {BYTES("\v1"), "expected a value at byte 0"},
        {BYTES("\xef\xbb\xbf{}"), "expected a value at byte 0"}, /* a byte order mark */
        {BYTES("\"\xff\""), "not UTF-8 at byte 1"},
        {BYTES("\"\xc0\xaf\""), "not UTF-8 at byte 1"},
        {BYTES("\"\xed\xa0\x80\""), "not UTF-8 at byte 1"},
        {BYTES("\"\xe2\x82"), "not UTF-8 at byte 1"},
        {BYTES("\"\xf4\x90\x80\x80\""), "not UTF-8 at byte 1"},
        {BYTES("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
         "nested too deeply at byte 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem problem;
        cJSON *root = parse(cases[i].bytes, cases[i].size, &problem);
        ck_assert_msg(root == NULL, "%s", cases[i].bytes);
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
        ck_assert_msg(strstr(problem.detail, cases[i].detail) != NULL, "%s: %s", cases[i].bytes,
                      problem.detail);
    }
}
END_TEST

START_TEST(test_deep_nesting) {
    static const char *const units[] = {"[", "{\"a\":", "[{\"a\":"};
    for (size_t i = 0; i < 3; i++) {
        const size_t size = strlen(units[i]), count = 100000;
        char *deep = malloc(size * count);
        ck_assert_ptr_nonnull(deep);
        for (size_t k = 0; k < count; k++)
            memcpy(deep + k * size, units[i], size);
        struct problem problem;
        ck_assert_ptr_null(parse(deep, size * count, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
        ck_assert_ptr_nonnull(strstr(problem.detail, "nested too deeply"));
        free(deep);
    }
}
END_TEST

/* [0,0,...]: the limit of values is for what the tree would take, and is named. */
START_TEST(test_too_many_values) {
    const size_t most = JSON_VALUES_MAX - 1; /* the array is one itself */
    for (size_t count = most; count <= most + 1; count++) {
        char *wide = malloc(2 * count + 1);
        ck_assert_ptr_nonnull(wide);
        for (size_t i = 0; i < count; i++)
            memcpy(wide + 2 * i, i == 0 ? "[0" : ",0", 2);
        wide[2 * count] = ']';
        struct problem problem;
        cJSON *root = parse(wide, 2 * count + 1, &problem);
        ck_assert_int_eq(root != NULL, count == most);
        if (!root) {
            ck_assert_int_eq(problem.type, PROBLEM_TOO_LARGE);
            ck_assert_ptr_nonnull(strstr(problem.detail, "262144"));
        }
        cJSON_Delete(root);
        free(wide);
    }
}
END_TEST

/* ---- reading values ---------------------------------------------------------------------- */

START_TEST(test_members) {
    static const char *const names[] = {"a", "b", "c"};
    const cJSON *values[3];
    struct problem problem;
    const struct json_reader reader = {&problem, PROBLEM_INVALID_REQUEST};
    cJSON *root = parse(BYTES("{\"b\":1,\"d~/\":0,\"b\":2,\"A\":3,\"a\":4}"), &problem);
    ck_assert(json_members(&reader, NULL, root, names, 3, values));
    ck_assert_double_eq(values[0]->valuedouble, 4);
    ck_assert_double_eq(values[1]->valuedouble, 1);
    ck_assert_ptr_null(values[2]);
    ck_assert_uint_eq(problem.fault_count, 3);
    ck_assert_str_eq(problem.faults[0].pointer, "/d~0~1");
    ck_assert_str_eq(problem.faults[0].detail, "unknown member");
    ck_assert_str_eq(problem.faults[1].pointer, "/b");
    ck_assert_str_eq(problem.faults[1].detail, "duplicate member");
    ck_assert_str_eq(problem.faults[2].pointer, "/A");
    cJSON_Delete(root);

    root = parse(BYTES("[]"), &problem);
    ck_assert(!json_members(&reader, NULL, root, names, 3, values));
    ck_assert_ptr_null(values[0]);
    ck_assert_str_eq(problem.faults[0].detail, "must be an object");
    cJSON_Delete(root);
}
END_TEST

START_TEST(test_pointers) {
    struct problem problem = {0};
    const struct json_reader reader = {&problem, PROBLEM_INVALID_PROMPT};
    const struct json_path prompts = {NULL, "prompts", 0};
    const struct json_path third = {&prompts, NULL, 3};
    json_fault(&reader, NULL, "root");
    json_fault(&reader, &(struct json_path){&third, "labels", 0}, "%d", 7);
    json_fault(&reader, &(struct json_path){&third, "", 0}, "empty name");
    ck_assert_int_eq(problem.type, PROBLEM_INVALID_PROMPT);
    ck_assert_str_eq(problem.faults[0].pointer, "");
    ck_assert_str_eq(problem.faults[1].pointer, "/prompts/3/labels");
    ck_assert_str_eq(problem.faults[1].detail, "7");
    ck_assert_str_eq(problem.faults[2].pointer, "/prompts/3/");

    char name[5000]; /* longer than a pointer may be */
    memset(name, '~', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    json_fault(&reader, &(struct json_path){&third, name, 0}, "%s", name);
    const struct problem_fault *fault = &problem.faults[3];
    ck_assert_uint_ge(strlen(fault->pointer), sizeof fault->pointer - 4);
    ck_assert_int_eq(strncmp(fault->pointer, "/prompts/3/~0~0~0", 17), 0);
    ck_assert_str_eq(fault->pointer + strlen(fault->pointer) - 3, "\u2026");
    ck_assert_str_eq(fault->detail + strlen(fault->detail) - 3, "\u2026");
}
END_TEST

START_TEST(test_types) {
    static const char *const texts[] = {"1",    "1e999",   "-1e999", "\"1\"", "true",
                                        "null", "[1,2,3]", "{}",     "[]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct problem problem;
        const struct json_reader reader = {&problem, PROBLEM_INVALID_REQUEST};
        cJSON *root = parse(texts[i], strlen(texts[i]), &problem);
        double number = 0;
        bool boolean = false;
        const char *string = "";
        size_t count = 77;
        ck_assert_int_eq(json_number(&reader, NULL, root, &number), i == 0);
        ck_assert_int_eq(json_string(&reader, NULL, root, &string), i == 3);
        ck_assert_int_eq(json_boolean(&reader, NULL, root, &boolean), i == 4);
        ck_assert_int_eq(json_array(&reader, NULL, root, &count), i == 6 || i == 8);
        ck_assert_uint_eq(problem.fault_count, i == 1 || i == 2 || i == 5 || i == 7 ? 4 : 3);
        ck_assert_double_eq(number, i == 0);
        ck_assert_str_eq(string, i == 3 ? "1" : "");
        ck_assert_int_eq(boolean, i == 4);
        ck_assert_uint_eq(count, i == 6 ? 3 : i == 8 ? 0 : 77);
        cJSON_Delete(root);
    }
}
END_TEST

Suite *json_suite(void) {
    Suite *suite = suite_create("json");
    TCase *tests = tcase_create("json");
    tcase_add_test(tests, test_json_is_taken);
    tcase_add_test(tests, test_what_is_not_json_is_refused);
    tcase_add_test(tests, test_deep_nesting);
    tcase_add_test(tests, test_too_many_values);
    tcase_add_test(tests, test_members);
    tcase_add_test(tests, test_pointers);
    tcase_add_test(tests, test_types);
    suite_add_tcase(suite, tests);
    return suite;
}
