/* The header Prefer. */
#include <check.h>

#include "server/prefer.h"
#include "tests/unit/suites.h"

static const struct {
    const char *line;
    bool listed;
} lines[] = {
    {"respond-async", true},
    {"Respond-Async", true},
    {" respond-async ", true},
    {"respond-async, wait=5", true},
    {"wait=5,respond-async", true},
    {"wait=5 ,, respond-async;foo=bar", true},
    {"respond-async ; foo", true},
    {"handling=lenient; x=\"a, \\\", b\", respond-async", true},
    {"", false},
    {"wait=5", false},
    {"respond-asynchronous", false},
    {"respond", false},
    {"respond-async=no", false},
    {"respond-async = \"\"", false},
    {"return=respond-async", false},
    {"foo; respond-async", false},
    {"foo=\"x, respond-async\"", false},
    {"foo=\"x\\\", respond-async\"", false},
    {"foo=\"respond-async, respond-async", false},
    {"foo=\"\\", false},
};

START_TEST(preferences_are_listed) {
    ck_assert_msg(prefer_listed(lines[_i].line, PREFER_ASYNC) == lines[_i].listed, "%s",
                  lines[_i].line);
}
END_TEST

Suite *prefer_suite(void) {
    Suite *suite = suite_create("prefer");
    TCase *cases = tcase_create("prefer");
    tcase_add_loop_test(cases, preferences_are_listed, 0, (int)(sizeof lines / sizeof *lines));
    suite_add_tcase(suite, cases);
    return suite;
}
