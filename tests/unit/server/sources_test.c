#include <stdio.h>

#include "server/sources.h"
#include "tests/unit/suites.h"

#define SECOND INT64_C(1000000000)

static struct sources *sources;

static void setup(void) {
    sources = sources_create();
    ck_assert_ptr_nonnull(sources);
}

static void teardown(void) {
    sources_free(sources);
}

START_TEST(test_noted) {
    char id[IMAGE_ID_MAX + 1] = "";
    ck_assert(!sources_find(sources, "http://a/", 0, id));
    sources_note(sources, "http://a/", "one", 1);
    sources_note(sources, "http://b/", "two", 2);
    ck_assert(sources_find(sources, "http://a/", 3, id));
    ck_assert_str_eq(id, "one");
    sources_note(sources, "http://a/", "three", 4);
    ck_assert(sources_find(sources, "http://a/", 5, id));
    ck_assert_str_eq(id, "three");
    ck_assert(sources_find(sources, "http://a/", SOURCE_SECONDS * SECOND, id));
    ck_assert(!sources_find(sources, "http://a/", SOURCE_SECONDS * SECOND + 4, id));
}
END_TEST

START_TEST(test_the_least_recently_used_goes) {
    char id[IMAGE_ID_MAX + 1], address[32];
    for (int i = 0; i < SOURCES_MAX; i++) {
        snprintf(address, sizeof address, "http://%d/", i);
        sources_note(sources, address, "x", i);
    }
    ck_assert(sources_find(sources, "http://0/", SOURCES_MAX, id));
    sources_note(sources, "http://new/", "y", SOURCES_MAX + 1);
    ck_assert(sources_find(sources, "http://0/", SOURCES_MAX + 2, id));
    ck_assert(!sources_find(sources, "http://1/", SOURCES_MAX + 2, id));
    ck_assert(sources_find(sources, "http://2/", SOURCES_MAX + 2, id));
    ck_assert(sources_find(sources, "http://new/", SOURCES_MAX + 2, id));
    ck_assert_str_eq(id, "y");
}
END_TEST

Suite *sources_suite(void) {
    Suite *suite = suite_create("sources");
    TCase *tests = tcase_create("sources");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_noted);
    tcase_add_test(tests, test_the_least_recently_used_goes);
    suite_add_tcase(suite, tests);
    return suite;
}
