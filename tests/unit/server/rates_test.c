/* Token buckets, at times of the test's choice. */
#include <check.h>
#include <string.h>

#include "server/rates.h"
#include "tests/unit/suites.h"

#define SECOND 1000000000LL
#define START (1000 * SECOND)

static struct rates *rates;

static void set_up(void) {
    rates = rates_create(10, 5); /* a token each 0.1 s */
    ck_assert_ptr_nonnull(rates);
}

static void tear_down(void) {
    rates_free(rates);
}

static int64_t take(uint32_t client, int64_t now_ns) {
    uint8_t bytes[16] = {0};
    memcpy(bytes, &client, sizeof client);
    return rates_take(rates, bytes, now_ns);
}

/* How many it gets at this time before it is refused. */
static int take_all(uint32_t client, int64_t now_ns) {
    int count = 0;
    while (take(client, now_ns) == 0)
        ck_assert_int_lt(++count, 1000);
    return count;
}

START_TEST(a_burst_and_then_the_rate) {
    ck_assert_int_eq(take_all(1, START), 5);
    ck_assert_int_eq(take(1, START), SECOND / 10);
    ck_assert_int_eq(take(1, START + SECOND / 10 - 1), 1);
    ck_assert_int_eq(take(1, START + SECOND / 10), 0);
    ck_assert_int_eq(take(1, START + SECOND / 10), SECOND / 10);
    ck_assert_int_eq(take_all(1, START + 4 * SECOND / 10), 3);
    int count = 0;
    for (int64_t now = START + SECOND; now < START + 101 * SECOND; now += SECOND / 100)
        count += take(1, now) == 0;
    ck_assert_int_ge(count, 1000);
    ck_assert_int_le(count, 1005);
}
END_TEST

START_TEST(a_rest_gives_a_burst_and_no_more) {
    ck_assert_int_eq(take_all(1, START), 5);
    ck_assert_int_eq(take_all(1, START + SECOND), 5);
    ck_assert_int_eq(take_all(1, START + 1000000 * SECOND), 5);
}
END_TEST

START_TEST(what_is_refused_does_not_count) {
    ck_assert_int_eq(take_all(1, START), 5);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(take(1, START + 1), SECOND / 10 - 1);
    ck_assert_int_eq(take(1, START + SECOND / 10), 0);
}
END_TEST

START_TEST(clients_do_not_share) {
    for (uint32_t client = 1; client < 100; client++)
        ck_assert_int_eq(take_all(client, START), 5);
    for (uint32_t client = 1; client < 100; client++)
        ck_assert_int_gt(take(client, START), 0);
    uint8_t late_byte[16] = {[15] = 1};
    ck_assert_int_eq(rates_take(rates, late_byte, START), 0);
}
END_TEST

START_TEST(any_number_of_clients) {
    for (uint32_t client = 1; client < 200000; client++)
        ck_assert_int_eq(take(client, START + client), 0);
    ck_assert_int_ge(take_all(199999, START + SECOND / 100), 4); /* the last one's is kept */
}
END_TEST

START_TEST(whoever_has_taken_most_is_remembered) {
    ck_assert_int_eq(take_all(1, START), 5);
    for (uint32_t client = 2; client < 100000; client++) /* one each: theirs are full sooner */
        take(client, START);
    ck_assert_int_gt(take(1, START), 0);
}
END_TEST

Suite *rates_suite(void) {
    Suite *suite = suite_create("rates");
    TCase *tests = tcase_create("rates");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_burst_and_then_the_rate);
    tcase_add_test(tests, a_rest_gives_a_burst_and_no_more);
    tcase_add_test(tests, what_is_refused_does_not_count);
    tcase_add_test(tests, clients_do_not_share);
    tcase_add_test(tests, any_number_of_clients);
    tcase_add_test(tests, whoever_has_taken_most_is_remembered);
    suite_add_tcase(suite, tests);
    return suite;
}
