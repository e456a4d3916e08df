/* Tags, and lists of them in If-Match and If-None-Match. */
#include <check.h>
#include <string.h>

#include "server/conditional.h"
#include "tests/unit/suites.h"

START_TEST(a_tag_is_of_the_content) {
    char tag[ETAG_SIZE], other[ETAG_SIZE];
    etag_of(tag, "abc", 3);
    ck_assert_str_eq(tag, "\"ba7816bf8f01cfea414140de5dae2223\"");
    etag_of(other, "abd", 3);
    ck_assert_str_ne(tag, other);
    etag_of(other, "", 0);
    ck_assert_str_eq(other, "\"e3b0c44298fc1c149afbf4c8996fb924\"");
}
END_TEST

static const struct {
    const char *line, *etag;
    bool strong, weak; /* whether it is listed, by either comparison */
} lists[] = {
    {"\"a\"", "\"a\"", true, true},
    {"\"a\"", "\"b\"", false, false},
    {"\"a\"", "\"ab\"", false, false},
    {"\"ab\"", "\"a\"", false, false},
    {"\"b\", \"a\"", "\"a\"", true, true},
    {"\"b\",\t\"c\" , \"a\"  ", "\"a\"", true, true},
    {", ,\"b\",,\"a\",", "\"a\"", true, true}, /* empty elements: RFC 9110, 5.6.1.2 */
    {"\"a,b\", \"c\"", "\"c\"", true, true},   /* a comma may be part of a tag */
    {"\"a,b\", \"c\"", "\"a,b\"", true, true},
    {"W/\"a\"", "\"a\"", false, true},
    {"\"a\"", "W/\"a\"", false, true},
    {"W/\"a\"", "W/\"a\"", false, true},
    {"W/\"b\", \"a\"", "\"a\"", true, true},
    {"W/\"a\", \"a\"", "\"a\"", true, true},
    {"w/\"a\"", "\"a\"", false, false}, /* case matters */
    {"*", "\"a\"", true, true},
    {" * ", "W/\"a\"", true, true},
    {"*", NULL, false, false},
    {"\"a\"", NULL, false, false},
    {"\"*\"", "\"a\"", false, false},
    {"", "\"a\"", false, false},
    {"a", "\"a\"", false, false},
    {"\"a", "\"a\"", false, false},
    {"b, \"a\"", "\"a\"", false, false}, /* what is not a list ends it */
    {"*, \"b\"", "\"a\"", false, false},
};

START_TEST(tags_are_listed) {
    const char *line = lists[_i].line, *etag = lists[_i].etag;
    ck_assert_msg(etag_listed(line, etag, true) == lists[_i].strong, "strong: %s", line);
    ck_assert_msg(etag_listed(line, etag, false) == lists[_i].weak, "weak: %s", line);
}
END_TEST

Suite *conditional_suite(void) {
    Suite *suite = suite_create("conditional");
    TCase *cases = tcase_create("conditional");
    tcase_add_test(cases, a_tag_is_of_the_content);
    tcase_add_loop_test(cases, tags_are_listed, 0, (int)(sizeof lists / sizeof *lists));
    suite_add_tcase(suite, cases);
    return suite;
}
