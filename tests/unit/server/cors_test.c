/* Lists of origins. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "server/cors.h"
#include "tests/unit/suites.h"

START_TEST(lists_of_origins) {
    static const char *const good[] = {
        "",
        "*",
        "https://example.org",
        "http://localhost:3000",
        "http://localhost:3000, https://a.example.org  https://b.example.org,",
        "http://[::1]:8080",
        "http://192.0.2.1",
        "https://xn--bcher-kva.example",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct error error = {0};
        ck_assert_msg(cors_check(good[i], &error) == STATUS_OK, "%s", error.message);
    }
}
END_TEST

START_TEST(what_is_no_origin) {
    static const char *const bad[] = {
        "example.org",           "https://",
        "https:example.org",     "https://example.org/",
        "https://example.org/a", "https://Example.org",
        "HTTPS://example.org",   "null",
        "https://*.example.org", "https://u@example.org",
        "https://a?b",           "**",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};
        char list[128];
        snprintf(list, sizeof list, "https://first.example, %s", bad[i]);
        ck_assert_msg(cors_check(list, &error) == STATUS_INVALID, "%s", bad[i]);
        ck_assert_msg(strstr(error.message, bad[i]), "%s", error.message);
    }
    char long_list[1000] = "https://";
    memset(long_list + 8, 'a', sizeof long_list - 9);
    ck_assert_int_eq(cors_check(long_list, NULL), STATUS_INVALID);
}
END_TEST

START_TEST(who_is_on_the_list) {
    const char *list = "https://example.org http://localhost:3000,https://b.example.org";
    static const char *const others[] = {
        "",
        "https://example.or",
        "https://example.org:443",
        "https://example.orgs",
        "http://example.org",
        "http://localhost",
        "http://localhost:3000,https://b.example.org",
        "null",
        "*",
        "https://evil.example/https://example.org",
    };
    ck_assert(cors_allows(list, "https://example.org"));
    ck_assert(cors_allows(list, "http://localhost:3000"));
    ck_assert(cors_allows(list, "https://b.example.org"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_msg(!cors_allows(list, others[i]), "%s", others[i]);
        ck_assert(!cors_allows("", others[i]));
        ck_assert(cors_allows("*", others[i]));
    }
}
END_TEST

Suite *cors_suite(void) {
    Suite *suite = suite_create("cors");
    TCase *tests = tcase_create("cors");
    tcase_add_test(tests, lists_of_origins);
    tcase_add_test(tests, what_is_no_origin);
    tcase_add_test(tests, who_is_on_the_list);
    suite_add_tcase(suite, tests);
    return suite;
}
