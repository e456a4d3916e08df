/* Bodies of forms, split and refused. Every body is read from a copy of exactly its size. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"
#include "tests/unit/suites.h"

/* All parts as "name=content|name=content", or "! why". */
static const char *split_type(const char *type, const char *body, size_t size) {
    static char told[1024];
    struct multipart multipart;
    struct multipart_part part;
    const char *why = "nothing was said";
    uint8_t *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, body, size);
    told[0] = '\0';
    enum multipart_step step = MULTIPART_BROKEN;
    if (multipart_begin(&multipart, type, copy, size, &why))
        while ((step = multipart_next(&multipart, &part, &why)) == MULTIPART_PART)
            snprintf(told + strlen(told), sizeof told - strlen(told), "%s%s=%.*s", *told ? "|" : "",
                     part.name, (int)part.size, (const char *)part.bytes);
    if (step == MULTIPART_BROKEN)
        snprintf(told, sizeof told, "! %s", why);
    free(copy);
    return told;
}

static const char *split(const char *body) {
    return split_type("multipart/form-data; boundary=XX", body, strlen(body));
}

#define NAMED(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

START_TEST(test_parts) {
    ck_assert_str_eq(
        split("--XX\r\n" NAMED("a") "\r\none\r\n--XX\r\n" NAMED("b") "\r\ntwo\r\n--XX--"),
        "a=one|b=two");
    ck_assert_str_eq(split("--XX\r\n" NAMED("a") "\r\n\r\n--XX--\r\n"), "a=");
    ck_assert_str_eq(split("--XX\r\n" NAMED("a") "\r\n\r\n\r\n--XX--\r\n"), "a=\r\n");
    ck_assert_str_eq(split("--XX\r\n" NAMED("a") "\r\n--XX--\r\n"), "a=");
}
END_TEST

START_TEST(test_preamble_and_epilogue) {
    ck_assert_str_eq(split("for old clients\r\n--XX\r\n" NAMED("a") "\r\n1\r\n--XX--\r\nand more"),
                     "a=1");
    ck_assert_str_eq(split("\r\n--XX\r\n" NAMED("a") "\r\n1\r\n--XX--\r\n--XX\r\n"), "a=1");
    ck_assert_str_eq(
        split("--XX \t\r\n" NAMED("a") "\r\n1\r\n--XX  \r\n" NAMED("b") "\r\n2\r\n--XX--  "),
        "a=1|b=2");
}
END_TEST

START_TEST(test_what_looks_like_a_boundary) {
    ck_assert_str_eq(
        split("--XX\r\n" NAMED("a") "\r\n--XX\r\n--X\r\n--XXX\r\n-XX--\n--XX--\r\n--XX--"),
        "! a part of the multipart body has no Content-Disposition with a name");
    ck_assert_str_eq(
        split("--XX\r\n" NAMED("a") "\r\n.--XX\r\n--X\r\n--XXX\r\n-XX--\n--XX--\r\n--XX--"),
        "a=.--XX\r\n--X\r\n--XXX\r\n-XX--\n--XX--");
}
END_TEST

START_TEST(test_headers) {
    static const struct {
        const char *headers, *name;
    } cases[] = {
        {"content-disposition:form-data;name=a\r\n", "a"},
        {"CONTENT-DISPOSITION: form-data; NAME=\"a\"; filename=\"b\"\r\n", "a"},
        {"Content-Disposition: form-data; filename=\"name=b; name=c\"; name=a\r\n", "a"},
        {"Content-Disposition: form-data; filename=\"\\\"; name=c\"; name=\"\\\"a\\\\\"\r\n",
         "\"a\\"},
        {"Content-Disposition: form-data; other; names=c; name=a\r\n", "a"},
        {"Content-Type: x; name=b\r\nContent-Disposition: form-data; name=a\r\nX: y\r\n", "a"},
        {"Content-Disposition: form-data; name=\"\"\r\n", ""},
        {"Content-Disposition: form-data; name=\"a\r\n", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256], expected[64];
        snprintf(body, sizeof body, "--XX\r\n%s\r\n1\r\n--XX--", cases[i].headers);
        snprintf(expected, sizeof expected, "%s=1", cases[i].name);
        ck_assert_str_eq(split(body), expected);
    }
}
END_TEST

START_TEST(test_long_names_are_cut) {
    char body[512], name[300], expected[300];
    memset(name, 'n', sizeof name);
    snprintf(body, sizeof body,
             "--XX\r\nContent-Disposition: form-data; name=%.200s\r\n\r\n1\r\n--XX--", name);
    snprintf(expected, sizeof expected, "%.*s=1", MULTIPART_NAME_MAX, name);
    ck_assert_str_eq(split(body), expected);
}
END_TEST

START_TEST(test_boundaries) {
    static const struct {
        const char *type, *boundary;
    } cases[] = {
        {"multipart/form-data; boundary=XX; charset=utf-8", "XX"},
        {"multipart/form-data; charset=utf-8;  boundary=XX", "XX"},
        {"multipart/form-data;BOUNDARY=\"X X\"", "X X"},
        {"multipart/form-data; x=\"; boundary=no\"; boundary='()+_,-./:=?", "'()+_,-./:=?"},
        {"multipart/form-data; boundary="
         "0123456789012345678901234567890123456789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123456789"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        snprintf(body, sizeof body, "--%s\r\n" NAMED("a") "\r\n1\r\n--%s--", cases[i].boundary,
                 cases[i].boundary);
        ck_assert_str_eq(split_type(cases[i].type, body, strlen(body)), "a=1");
    }
}
END_TEST

START_TEST(test_no_boundary) {
    static const char *const types[] = {"multipart/form-data",
                                        "multipart/form-data; boundary",
                                        "multipart/form-data; boundary=",
                                        "multipart/form-data; boundary=\"\"",
                                        ";",
                                        ""};
    const char *body = "--\r\n" NAMED("a") "\r\n1\r\n----";
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        ck_assert_str_eq(split_type(types[i], body, strlen(body)),
                         "! the Content-Type of the multipart body names no boundary");
}
END_TEST

START_TEST(test_broken_bodies) {
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"", "does not begin with the boundary"},
        {"--XX", "does not begin with the boundary"},
        {"--XX--\r\n", "does not begin with the boundary"},
        {"--XY\r\n" NAMED("a") "\r\n1\r\n--XY--", "does not begin with the boundary"},
        {"x--XX\r\n" NAMED("a") "\r\n1\r\n--XX--", "does not begin with the boundary"},
        {"--XX\r\n", "no Content-Disposition"},
        {"--XX\r\n\r\n1\r\n--XX--", "no Content-Disposition"},
        {"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", "no Content-Disposition"},
        {"--XX\r\n" NAMED("a"), "no Content-Disposition"},
        {"--XX\r\n" NAMED("a") "\r\n1", "ends before its last boundary"},
        {"--XX\r\n" NAMED("a") "\r\n1\r\n--XX", "ends before its last boundary"},
        {"--XX\r\n" NAMED("a") "\r\n1\r\n--XX-", "ends before its last boundary"},
        {"--XX\r\n" NAMED("a") "\r\n1\n--XX--", "ends before its last boundary"},
        {"--XX\r\n" NAMED("a") "\r\n1\r\n--XX\r\n", "no Content-Disposition"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *told = split(cases[i].body);
        ck_assert_msg(told[0] == '!' && strstr(told, cases[i].why), "case %zu: %s", i, told);
    }
}
END_TEST

/* Whatever is cut off, nothing is read behind the end, and only the closing boundary is enough. */
START_TEST(test_every_cut) {
    const char *body = "--XX\r\n" NAMED("a") "\r\none\r\n--XX\r\n" NAMED("b") "\r\ntwo\r\n--XX--";
    for (size_t size = 0; size <= strlen(body); size++) {
        const char *told = split_type("multipart/form-data; boundary=XX", body, size);
        ck_assert_msg((told[0] == '!') == (size < strlen(body)), "%zu: %s", size, told);
    }
}
END_TEST

Suite *multipart_suite(void) {
    Suite *suite = suite_create("multipart");
    TCase *cases = tcase_create("multipart");
    tcase_add_test(cases, test_parts);
    tcase_add_test(cases, test_preamble_and_epilogue);
    tcase_add_test(cases, test_what_looks_like_a_boundary);
    tcase_add_test(cases, test_headers);
    tcase_add_test(cases, test_long_names_are_cut);
    tcase_add_test(cases, test_boundaries);
    tcase_add_test(cases, test_no_boundary);
    tcase_add_test(cases, test_broken_bodies);
    tcase_add_test(cases, test_every_cut);
    suite_add_tcase(suite, cases);
    return suite;
}
