#include "server/accept.h"
#include "tests/unit/suites.h"

START_TEST(test_choices) {
    static const char *const types[] = {"application/json", "image/png"};
    static const struct {
        const char *accept;
        size_t chosen;
        bool json, png; /* taken */
    } cases[] = {
        {NULL, 0, true, true},
        {"*/*", 0, true, true},
        {"image/png", 1, false, true},
        {"Image/PNG", 1, false, true},
        {"image/*", 1, false, true},
        {"image/png, */*", 1, true, true},
        {"image/*;q=0.5, */*;q=0.1", 1, true, true},
        {"*/*;q=0.1,image/*;q=0.5", 1, true, true},
        {"image/png;q=0, */*", 0, true, false},
        {"image/*, image/png;q=0", 0, false, false},
        {"application/json, image/png", 0, true, true},
        {"application/json;q=0.1 , image/png ; q=0.125", 1, true, true},
        {"application/json; q=1.000, image/png;level=1;Q=0.3", 0, true, true},
        {"image/png;q=0.9, */*", 0, true, true},
        {"text/html, application/xhtml+xml, image/avif", 0, false, false},
        {"image/pngx, image/pn, ximage/png", 0, false, false},
        {"image/png;q=2, application/json", 0, true, true},
        {"image/png;q=nan", 0, false, false},
        {"", 0, false, false},
        {",,, ;q=0.5,", 0, false, false},
        {"image", 0, false, false},
        {"*", 0, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *accept = cases[i].accept;
        ck_assert_msg(accept_choose(accept, types, 2) == cases[i].chosen, "%s", accept);
        ck_assert_msg(accept_takes(accept, types[0]) == cases[i].json, "%s", accept);
        ck_assert_msg(accept_takes(accept, types[1]) == cases[i].png, "%s", accept);
    }
}
END_TEST

Suite *accept_suite(void) {
    Suite *suite = suite_create("accept");
    TCase *tests = tcase_create("accept");
    tcase_add_test(tests, test_choices);
    suite_add_tcase(suite, tests);
    return suite;
}
