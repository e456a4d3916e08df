/* Addresses of callers, from sockets and from proxies' headers. */
#include <check.h>
#include <netinet/in.h>
#include <string.h>

#include "server/caller.h"
#include "tests/unit/suites.h"

static struct caller from_ipv4(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return caller_of((const struct sockaddr *)&address);
}

static struct caller from_ipv6(const char *text) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    ck_assert_int_eq(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
    return caller_of((const struct sockaddr *)&address);
}

static void check_text(struct caller caller, const char *expected) {
    char text[INET6_ADDRSTRLEN];
    ck_assert_str_eq(caller_text(&caller, text), expected);
}

START_TEST(addresses_of_sockets) {
    check_text(from_ipv4("192.0.2.7"), "192.0.2.7");
    check_text(from_ipv6("2001:db8::7"), "2001:db8::7");
    check_text(from_ipv6("::ffff:192.0.2.7"), "192.0.2.7"); /* of a socket for both */
    struct sockaddr local = {.sa_family = AF_UNIX};
    check_text(caller_of(&local), "::");
    check_text(caller_of(NULL), "::");
}
END_TEST

START_TEST(loopback) {
    const struct caller here[] = {from_ipv4("127.0.0.1"), from_ipv4("127.255.0.9"),
                                  from_ipv6("::1"), from_ipv6("::ffff:127.0.0.1")};
    const struct caller elsewhere[] = {
        from_ipv4("0.0.0.0"), from_ipv4("128.0.0.1"), from_ipv4("10.0.0.1"), from_ipv6("::"),
        from_ipv6("::2"),     from_ipv6("fe80::1"),   from_ipv6("7f00::"),   caller_of(NULL)};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        ck_assert_msg(caller_is_loopback(&here[i]), "%zu", i);
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        ck_assert_msg(!caller_is_loopback(&elsewhere[i]), "%zu", i);
}
END_TEST

START_TEST(the_last_one_that_was_forwarded) {
    static const struct {
        const char *header, *expected;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"10.9.9.9, 192.0.2.1", "192.0.2.1"},
        {"nonsense,,  2001:DB8::1 \t", "2001:db8::1"},
        {"a,::ffff:192.0.2.1", "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct caller caller;
        ck_assert_msg(caller_forwarded(cases[i].header, &caller), "%s", cases[i].header);
        check_text(caller, cases[i].expected);
    }
}
END_TEST

START_TEST(what_is_no_address_changes_nothing) {
    static const char *const cases[] = {
        "",
        ",",
        "192.0.2.1,",
        "192.0.2.1, unknown",
        "192.0.2.1:80",
        "192.0.2.1 x",
        "192.0.2",
        "[2001:db8::1]",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct caller caller = from_ipv4("10.0.0.1");
        ck_assert_msg(!caller_forwarded(cases[i], &caller), "%s", cases[i]);
        check_text(caller, "10.0.0.1");
    }
}
END_TEST

Suite *caller_suite(void) {
    Suite *suite = suite_create("caller");
    TCase *tests = tcase_create("caller");
    tcase_add_test(tests, addresses_of_sockets);
    tcase_add_test(tests, loopback);
    tcase_add_test(tests, the_last_one_that_was_forwarded);
    tcase_add_test(tests, what_is_no_address_changes_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}
