/* What options may be: numbers and their limits, sizes with units, words, texts. */
#include <check.h>
#include <string.h>

#include "tests/unit/server/options_fixture.h"
#include "tests/unit/suites.h"

static struct reading read_flag(const char *flag, const char *value) {
    /* Bodies of any size may be wanted: their memory must not be the fault. */
    return read_options("--upload-memory", "1024T", flag, value);
}

START_TEST(sizes) {
    static const struct {
        const char *value;
        long long bytes;
    } good[] = {
        {"1024", 1024},       {"1K", 1024},      {"3K", 3072},    {"1M", 1 << 20},
        {"2048M", 1LL << 31}, {"2G", 1LL << 31}, {"1G", 1 << 30}, {"2147483648", 1LL << 31},
        {"+5K", 5120},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct reading reading = read_flag("--max-body", good[i].value);
        check_no_fault(&reading);
        ck_assert_int_eq(reading.options.max_body, good[i].bytes);
    }
    struct reading reading = read_options("--store-memory", "1T");
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.store_memory, 1LL << 40);
}
END_TEST

static void check_refused(const char *flag, const char *value, const char *why) {
    char line[1400];
    struct reading reading = read_flag(flag, value);
    snprintf(line, sizeof line, "%s = '%s': %s", flag, value, why);
    check_only_fault(&reading, line);
    ck_assert_int_eq(reading.options.max_body, 32 << 20);
    ck_assert_int_eq(reading.options.port, 8080);
    ck_assert_int_eq(reading.options.store_memory, 1 << 30);
}

START_TEST(sizes_that_cannot_be_read) {
    static const char *const values[] = {"",
                                         "K",
                                         "1KB",
                                         "1k",
                                         "1.5M",
                                         "1 M",
                                         "0x10",
                                         "M1",
                                         "1KK",
                                         "1P",
                                         "--1",
                                         "1e6",
                                         "99999999999999999999"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_refused("--max-body", values[i], "not a size: a number, or one with K, M, G or T");
}
END_TEST

START_TEST(sizes_above_the_limit) {
    static const char *const values[] = {
        "2147483649",          "2097153K", "2049M", "3G", "1T", "9223372036854775807",
        "9223372036854775807T"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_refused("--max-body", values[i], "not between 1024 and 2147483648");
}
END_TEST

START_TEST(sizes_below_the_limit) {
    static const char *const values[] = {"0",  "1",   "1023", "0K",
                                         "-1", "-1K", "-1T",  "-9223372036854775808T"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_refused("--max-body", values[i], "not between 1024 and 2147483648");
    check_refused("--store-memory", "4095K", "not between 4194304 and 1125899906842624");
    check_refused("--store-memory", "3M", "not between 4194304 and 1125899906842624");
}
END_TEST

/* Where the limit is no multiple of the unit. */
START_TEST(sizes_below_the_limit_in_larger_units) {
    check_refused("--max-body", "0M", "not between 1024 and 2147483648");
    check_refused("--max-body", "0G", "not between 1024 and 2147483648");
    check_refused("--store-memory", "0G", "not between 4194304 and 1125899906842624");
    check_refused("--store-memory", "0T", "not between 4194304 and 1125899906842624");
}
END_TEST

START_TEST(numbers) {
    struct reading reading = read_options("--port", "0", "--max-side", "65535", "--workers", "256",
                                          "--drain-seconds", "0");
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 0);
    ck_assert_int_eq(reading.options.max_side, 65535);
    ck_assert_int_eq(reading.options.workers, 256);
    ck_assert_int_eq(reading.options.drain_seconds, 0);
    check_refused("--port", "1K", "not a whole number");
    check_refused("--port", "", "not a whole number");
    check_refused("--port", "80.0", "not a whole number");
    check_refused("--port", "65536", "not between 0 and 65535");
    check_refused("--port", "-1", "not between 0 and 65535");
    check_refused("--header-timeout", "0", "not between 1 and 1000000000");
    check_refused("--idle-timeout", "10s", "not a whole number");
}
END_TEST

START_TEST(words) {
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no",
                                                                                "off", "0"};
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    for (size_t i = 0; i < 4; i++) {
        struct reading reading = read_options("--access-log", yes[i], "--log-level", levels[i]);
        check_no_fault(&reading);
        ck_assert(reading.options.access_log);
        ck_assert_int_eq(reading.options.log_level, (int)i);
        reading = read_options("--access-log", no[i]);
        check_no_fault(&reading);
        ck_assert(!reading.options.access_log);
    }
    struct reading json = read_options("--log-format", "json"),
                   text = read_options("--log-format", "text");
    ck_assert_int_eq(json.options.log_format, LOG_JSON);
    ck_assert_int_eq(text.options.log_format, LOG_TEXT);
    check_refused("--log-format", "JSON", "not text or json");
    check_refused("--log-level", "warn", "not debug, info, warning or error");
    check_refused("--access-log", "2", "not true or false");
    check_refused("--access-log", "", "not true or false");
}
END_TEST

START_TEST(texts) {
    char longest[OPTION_TEXT_MAX + 1];
    memset(longest, 'a', sizeof longest);
    longest[OPTION_TEXT_MAX - 1] = '\0';
    struct reading reading = read_options("--model", longest);
    check_no_fault(&reading);
    ck_assert_str_eq(reading.options.model, longest);
    longest[OPTION_TEXT_MAX - 1] = 'a';
    longest[OPTION_TEXT_MAX] = '\0';
    check_refused("--model", longest, "longer than 1023 bytes");
    check_refused("--host", "", "must not be empty");
}
END_TEST

START_TEST(upload_memory_holds_a_body) {
    struct reading reading = read_options("--max-body", "64M", "--upload-memory", "64M");
    check_no_fault(&reading);
    reading = read_options("--max-body", "64M", "--upload-memory", "65535K");
    check_only_fault(&reading,
                     "upload_memory: less than max_body: no request of that size could be read");
}
END_TEST

Suite *options_values_suite(void) {
    Suite *suite = suite_create("options_values");
    TCase *cases = tcase_create("values");
    tcase_add_checked_fixture(cases, options_set_up, options_tear_down);
    tcase_add_test(cases, sizes);
    tcase_add_test(cases, sizes_that_cannot_be_read);
    tcase_add_test(cases, sizes_above_the_limit);
    tcase_add_test(cases, sizes_below_the_limit);
    tcase_add_test(cases, sizes_below_the_limit_in_larger_units);
    tcase_add_test(cases, numbers);
    tcase_add_test(cases, words);
    tcase_add_test(cases, texts);
    tcase_add_test(cases, upload_memory_holds_a_body);
    suite_add_tcase(suite, cases);
    return suite;
}
