#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "api/api.h"
#include "api/text.h"
#include "tests/unit/suites.h"

static void assert_json(const struct problem *problem, const char *wanted) {
    char *json = problem_json(problem);
    ck_assert_ptr_nonnull(json);
    ck_assert_str_eq(json, wanted);
    free(json);
}

static void assert_utf8(const char *string) {
    ck_assert_msg(!u8_check((const uint8_t *)string, strlen(string)), "not UTF-8: %s", string);
}

START_TEST(test_document) {
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_UNKNOWN_IMAGE, "no image %s: upload it again", "\"a\"\n\\\x01");
    assert_json(&problem,
                "{\"type\":\"/problems/unknown-image\",\"title\":\"No image has this ID\","
                "\"status\":404,\"detail\":\"no image \\\"a\\\"\\n\\\\\\u0001: upload it "
                "again\"}");
}
END_TEST

START_TEST(test_faults) {
    struct problem problem = {0};
    problem_add(&problem, PROBLEM_INVALID_PROMPT, "/points/0/1", "must be a %s number", "finite");
    assert_json(
        &problem,
        "{\"type\":\"/problems/invalid-prompt\",\"title\":\"The prompt is not valid\","
        "\"status\":422,\"detail\":\"/points/0/1: must be a finite number\","
        "\"errors\":[{\"pointer\":\"/points/0/1\",\"detail\":\"must be a finite number\"}]}");
    problem_add(&problem, PROBLEM_INVALID_REQUEST, "", "again");
    ck_assert_int_eq(problem.type, PROBLEM_INVALID_PROMPT);
    assert_json(&problem,
                "{\"type\":\"/problems/invalid-prompt\",\"title\":\"The prompt is not valid\","
                "\"status\":422,\"detail\":\"/points/0/1: must be a finite number (2 faults)\","
                "\"errors\":[{\"pointer\":\"/points/0/1\",\"detail\":\"must be a finite number\"},"
                "{\"pointer\":\"\",\"detail\":\"again\"}]}");
}
END_TEST

START_TEST(test_more_faults_than_kept) {
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_INVALID_REQUEST, "the query");
    for (int i = 0; i < 100; i++)
        problem_add(&problem, PROBLEM_INVALID_REQUEST, "?x", "fault %d", i);
    ck_assert_uint_eq(problem.fault_count, 100);
    char *json = problem_json(&problem);
    ck_assert_ptr_nonnull(
        strstr(json, "\"detail\":\"the query (100 faults; the first 32 are listed)\""));
    ck_assert_ptr_nonnull(strstr(json, "{\"pointer\":\"?x\",\"detail\":\"fault 31\"}]}"));
    ck_assert_ptr_null(strstr(json, "fault 32"));
    free(json);
}
END_TEST

START_TEST(test_first_cause_wins) {
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_DRAINING, "first");
    problem_set(&problem, PROBLEM_INTERNAL, "second");
    ck_assert_int_eq(problem.type, PROBLEM_DRAINING);
    ck_assert_str_eq(problem.detail, "first");
}
END_TEST

START_TEST(test_every_type_has_a_status_a_slug_and_a_title) {
    static const int statuses[PROBLEM_TYPE_COUNT] = {
        [PROBLEM_NONE] = 200,
        [PROBLEM_BAD_REQUEST] = 400,
        [PROBLEM_UNAUTHORIZED] = 401,
        [PROBLEM_UNKNOWN_IMAGE] = 404,
        [PROBLEM_UNKNOWN_RUN] = 404,
        [PROBLEM_UNKNOWN_ROUTE] = 404,
        [PROBLEM_METHOD_NOT_ALLOWED] = 405,
        [PROBLEM_ID_CONFLICT] = 409,
        [PROBLEM_MODEL_MISMATCH] = 409,
        [PROBLEM_LENGTH_REQUIRED] = 411,
        [PROBLEM_PRECONDITION_FAILED] = 412,
        [PROBLEM_TOO_LARGE] = 413,
        [PROBLEM_UNSUPPORTED_IMAGE] = 415,
        [PROBLEM_UNSUPPORTED_EMBEDDING] = 415,
        [PROBLEM_INVALID_IMAGE] = 422,
        [PROBLEM_INVALID_EMBEDDING] = 422,
        [PROBLEM_INVALID_PROMPT] = 422,
        [PROBLEM_INVALID_REQUEST] = 422,
        [PROBLEM_TOO_MANY_REQUESTS] = 429,
        [PROBLEM_INTERNAL] = 500,
        [PROBLEM_NOT_INSTALLED] = 501,
        [PROBLEM_NOT_IMPLEMENTED] = 501,
        [PROBLEM_FETCH_FAILED] = 502,
        [PROBLEM_OVERLOADED] = 503,
        [PROBLEM_DEADLINE] = 503,
        [PROBLEM_DRAINING] = 503,
    };
    for (int type = 0; type < PROBLEM_TYPE_COUNT; type++) {
        ck_assert_int_eq(problem_status((enum problem_type)type), statuses[type]);
        struct problem problem = {.type = (enum problem_type)type};
        char *json = problem_json(&problem);
        ck_assert_ptr_null(strstr(json, "(null)"));
        ck_assert_ptr_null(strstr(json, "problems/\""));
        free(json);
    }
    ck_assert_int_eq(problem_status((enum problem_type)PROBLEM_TYPE_COUNT), 500);
    ck_assert_int_eq(problem_status((enum problem_type) - 1), 500);
}
END_TEST

/* Texts of one- to four-byte code points, cut at every possible place. */
START_TEST(test_cuts_are_between_code_points) {
    static const char *const letters[] = {"a", "\u00e9", "\u20ac", "\U0001F600"};
    for (size_t letter = 0; letter < 4; letter++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char string[2048] = "";
            memset(string, 'x', shift);
            for (size_t i = 0; i < 300; i++)
                strcat(string, letters[letter]);
            struct problem problem = {0};
            problem_set(&problem, PROBLEM_BAD_REQUEST, "%s", string);
            problem_add(&problem, PROBLEM_BAD_REQUEST, string, "%s", string);
            const struct problem_fault *fault = &problem.faults[0];
            const char *const cuts[] = {problem.detail, fault->pointer, fault->detail};
            const size_t sizes[] = {sizeof problem.detail, sizeof fault->pointer,
                                    sizeof fault->detail};
            for (size_t i = 0; i < 3; i++) {
                size_t size = strlen(cuts[i]);
                assert_utf8(cuts[i]);
                ck_assert(size < sizes[i] && size + 4 >= sizes[i]);
                ck_assert_str_eq(cuts[i] + size - 3, "\u2026");
                ck_assert_int_eq(strncmp(cuts[i], string, size - 3), 0);
            }
        }
    }
}
END_TEST

START_TEST(test_what_fits_is_not_cut) {
    struct problem problem = {0};
    char string[sizeof problem.faults[0].pointer];
    memset(string, 'x', sizeof string - 1);
    string[sizeof string - 1] = '\0';
    problem_add(&problem, PROBLEM_BAD_REQUEST, string, "%s", string);
    ck_assert_str_eq(problem.faults[0].pointer, string);
    ck_assert_str_eq(problem.faults[0].detail, string);
}
END_TEST

START_TEST(test_bytes_that_are_not_utf8) {
    static const char *const broken[] = {
        "\xff",   "\x80", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
        "a\xe2(b"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct problem problem = {0};
        problem_set(&problem, PROBLEM_UNKNOWN_ROUTE, "%s", broken[i]);
        problem_add(&problem, PROBLEM_UNKNOWN_ROUTE, broken[i], "%s", broken[i]);
        char *json = problem_json(&problem);
        assert_utf8(json);
        ck_assert_ptr_nonnull(strstr(json, "\uFFFD"));
        free(json);
    }
    char noise[1000];
    memset(noise, 0x80, sizeof noise - 1); /* no place to cut in it */
    noise[sizeof noise - 1] = '\0';
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_UNKNOWN_ROUTE, "%s", noise);
    assert_utf8(problem.detail);
}
END_TEST

/* ---- the buffer that the documents are written with -------------------------------------- */

START_TEST(test_text_numbers) {
    struct text text = {0};
    static const double values[] = {0, 0.1, 14.2, 431, 9.8004, 9.9996, 100, 1e300 * 1e300, -0.25};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        text_fixed(&text, values[i], 3);
        text_add(&text, " ");
    }
    text_fixed(&text, 120, 0);
    text_add(&text, " ");
    text_float(&text, 0.9998f);
    text_add(&text, " ");
    text_float(&text, (float)strtod("nan", NULL));
    text_add(&text, " ");
    text_unsigned(&text, 0);
    text_unsigned(&text, UINT64_MAX);
    char *string = text_finish(&text);
    ck_assert_str_eq(string, "0 0.1 14.2 431 9.8 10 100 0 -0.25 120 0.9998 0 "
                             "018446744073709551615");
    free(string);
    text_fixed(&text, 1.7976931348623157e308, 3);
    string = text_finish(&text);
    ck_assert_uint_eq(strlen(string), 309);
    free(string);
}
END_TEST

START_TEST(test_text_grows) {
    struct text text = {0};
    char piece[1000];
    memset(piece, 'y', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    for (size_t i = 1; i < sizeof piece; i++) {
        text_append(&text, piece, i);
        text_format(&text, "<%s>", piece + i);
    }
    ck_assert_uint_eq(text.size, (sizeof piece - 1) * (sizeof piece + 1));
    char *string = text_finish(&text);
    ck_assert_uint_eq(strlen(string), (sizeof piece - 1) * (sizeof piece + 1));
    free(string);
    string = text_finish(&text);
    ck_assert_str_eq(string, "");
    free(string);
}
END_TEST

START_TEST(test_text_failure_sticks) {
    struct text text = {0};
    text_add(&text, "some");
    text_reserve(&text, SIZE_MAX - 8);
    text_add(&text, "more");
    text_format(&text, "%d", 1);
    text_string(&text, "\x01");
    text_fixed(&text, 1, 3);
    ck_assert_ptr_null(text_finish(&text));
    text_add(&text, "anew");
    char *string = text_finish(&text);
    ck_assert_str_eq(string, "anew");
    free(string);
}
END_TEST

Suite *problem_suite(void) {
    Suite *suite = suite_create("problem");
    TCase *tests = tcase_create("problem");
    tcase_add_test(tests, test_document);
    tcase_add_test(tests, test_faults);
    tcase_add_test(tests, test_more_faults_than_kept);
    tcase_add_test(tests, test_first_cause_wins);
    tcase_add_test(tests, test_every_type_has_a_status_a_slug_and_a_title);
    tcase_add_test(tests, test_cuts_are_between_code_points);
    tcase_add_test(tests, test_what_fits_is_not_cut);
    tcase_add_test(tests, test_bytes_that_are_not_utf8);
    suite_add_tcase(suite, tests);
    TCase *text = tcase_create("text");
    tcase_add_test(text, test_text_numbers);
    tcase_add_test(text, test_text_grows);
    tcase_add_test(text, test_text_failure_sticks);
    suite_add_tcase(suite, text);
    return suite;
}
