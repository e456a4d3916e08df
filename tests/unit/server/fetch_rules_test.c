#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/fetch_rules.h"
#include "tests/unit/suites.h"

static struct fetch_rules *make(const char *hosts, const char *base, const char *token) {
    struct fetch_rules *rules;
    struct error error = {0};
    enum status status = fetch_rules_create(hosts, base, token, &rules, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.message);
    return rules;
}

/* What would be asked for; "" when it is refused. */
static void resolve(const struct fetch_rules *rules, const char *text, char out[256]) {
    const char *authorization;
    struct problem problem = {0};
    CURLU *address = fetch_rules_resolve(rules, text, &authorization, &problem);
    char *url = NULL;
    ck_assert((address == NULL) == (problem.type == PROBLEM_INVALID_REQUEST));
    out[0] = '\0';
    if (address && curl_url_get(address, CURLUPART_URL, &url, 0) == CURLUE_OK)
        snprintf(out, 256, "%s%s%s", url, authorization ? " " : "",
                 authorization ? authorization : "");
    curl_free(url);
    curl_url_cleanup(address);
}

static void assert_resolved(const struct fetch_rules *rules, const char *text, const char *wanted) {
    char found[256];
    resolve(rules, text, found);
    ck_assert_msg(strcmp(found, wanted) == 0, "%s: %s, not %s", text, found, wanted);
}

START_TEST(test_hosts) {
    struct fetch_rules *rules = make(" a.example, B.example:8080\tc.example:443,", "", "");
    static const char *const allowed[] = {"http://a.example/x.png", "https://A.Example/x.png?y=1",
                                          "http://a.example:80/",   "http://b.example:8080/",
                                          "https://c.example/",     "http://c.example:443/"};
    static const char *const refused[] = {"http://a.example:81/",
                                          "https://a.example:80/",
                                          "http://b.example/",
                                          "https://b.example/",
                                          "http://c.example/",
                                          "http://x.a.example/",
                                          "http://a.example.x/",
                                          "http://a.example./",
                                          "http://a.example@x.example/",
                                          "http://x.example#a.example/",
                                          "http://x.example/a.example",
                                          "http://u:p@a.example/",
                                          "ftp://a.example/",
                                          "file://a.example/etc",
                                          "file:///etc/passwd",
                                          "//a.example/x",
                                          "/x.png",
                                          "x.png",
                                          "",
                                          "http://",
                                          "http:///x",
                                          "http://a.example:99999/",
                                          "http://[::1]/",
                                          "javascript:1",
                                          "http://a.example\n.x/",
                                          "gopher://a.example/"};
    char found[256];
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        resolve(rules, allowed[i], found);
        ck_assert_msg(found[0] && !strchr(found, ' '), "%s", allowed[i]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        resolve(rules, refused[i], found);
        ck_assert_msg(!found[0], "%s: %s", refused[i], found);
    }
    fetch_rules_free(rules);
}
END_TEST

START_TEST(test_nothing_is_allowed_by_default) {
    struct fetch_rules *rules = make("", "", "");
    assert_resolved(rules, "http://localhost/", "");
    assert_resolved(rules, "http://127.0.0.1/", "");
    fetch_rules_free(rules);
}
END_TEST

START_TEST(test_base_and_token) {
    char path[] = "/tmp/maskd-token-XXXXXX";
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "secret\r\n", 8), 8);
    close(fd);
    struct fetch_rules *rules = make("cdn.example", "http://ls.example:8080/label/", path);
    const char *token = " Authorization: Token secret";
    char wanted[256];
    snprintf(wanted, sizeof wanted, "http://ls.example:8080/data/upload/1/a%%20b.jpg%s", token);
    assert_resolved(rules, "/data/upload/1/a b.jpg", wanted);
    snprintf(wanted, sizeof wanted, "http://ls.example:8080/label/c.png%s", token);
    assert_resolved(rules, "c.png", wanted);
    snprintf(wanted, sizeof wanted, "http://LS.example:8080/%s", token);
    assert_resolved(rules, "http://LS.example:8080/", wanted);
    assert_resolved(rules, "http://cdn.example/d.png", "http://cdn.example/d.png");
    assert_resolved(rules, "http://ls.example/", "");
    assert_resolved(rules, "https://ls.example:8080/", "https://ls.example:8080/");
    assert_resolved(rules, "//evil.example/", "");
    fetch_rules_free(rules);
    unlink(path);
}
END_TEST

START_TEST(test_faults) {
    char path[] = "/tmp/maskd-token-XXXXXX";
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "one\ntwo\n", 8), 8);
    close(fd);
    const struct {
        const char *hosts, *base, *token, *named;
    } cases[] = {
        {"http://a.example", "", "", "fetch_hosts"},
        {"a b@c", "", "", "fetch_hosts"},
        {"", "a.example", "", "fetch_base"},
        {"", "ftp://a.example/", "", "fetch_base"},
        {"a", "", path, "fetch_token_file"},
        {"", "http://a.example", path, "fetch_token_file"},
        {"", "http://a.example", "/nowhere/token", "fetch_token_file"},
        {"", "http://a.example", "/dev/null", "fetch_token_file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fetch_rules *rules;
        struct error error = {0};
        ck_assert(fetch_rules_create(cases[i].hosts, cases[i].base, cases[i].token, &rules,
                                     &error) != STATUS_OK);
        ck_assert_ptr_null(rules);
        ck_assert_msg(strstr(error.message, cases[i].named) == error.message, "%s", error.message);
    }
    unlink(path);
}
END_TEST

Suite *fetch_rules_suite(void) {
    Suite *suite = suite_create("fetch_rules");
    TCase *tests = tcase_create("fetch_rules");
    tcase_add_test(tests, test_hosts);
    tcase_add_test(tests, test_nothing_is_allowed_by_default);
    tcase_add_test(tests, test_base_and_token);
    tcase_add_test(tests, test_faults);
    suite_add_tcase(suite, tests);
    return suite;
}
