/* The log's lines, as text and as JSON. */
#include <check.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/unit/suites.h"

/* ---- standard error, kept ---------------------------------------------------------------- */

static FILE *captured;
static int standard_error;

static void set_up(void) {
    captured = tmpfile();
    ck_assert_ptr_nonnull(captured);
    standard_error = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fileno(captured), STDERR_FILENO), 0);
}

static void tear_down(void) {
    log_configure(LOG_INFO, LOG_TEXT);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    fclose(captured);
}

/* The next line that was logged, without its end; NULL: none. */
static const char *next_line(void) {
    static char line[8192];
    if (!fgets(line, sizeof line, captured))
        return NULL;
    size_t length = strlen(line);
    ck_assert_int_eq(line[length - 1], '\n');
    line[length - 1] = '\0';
    return line;
}

static void from_the_start(void) {
    rewind(captured);
}

/* "2026-01-31T23:59:59.123Z" */
static void check_stamp(const char *text) {
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; form[i]; i++)
        ck_assert_msg(form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i], "%s",
                      text);
}

enum { STAMP = 24 };

/* ---- text -------------------------------------------------------------------------------- */

START_TEST(text_quotes_only_what_needs_it) {
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"/v1/images?id=a", "\"/v1/images?id=a\""}, /* an equals sign */
        {"a,b;c:{d}[e]'f'", "a,b;c:{d}[e]'f'"},
        {"", "\"\""},
        {NULL, "\"\""},
        {"two words", "\"two words\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"new\nline", "\"new\\u000aline\""},
        {"\x1b[31m", "\"\\u001b[31m\""},
        {"\x7f", "\"\\u007f\""},
        {"caf\xc3\xa9", "\"caf\\u00c3\\u00a9\""},
        {"\xff\xfe", "\"\\u00ff\\u00fe\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        log_event(LOG_INFO, "event", LOG_STRING("key", cases[i].value));
    from_the_start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[128];
        const char *line = next_line();
        snprintf(expected, sizeof expected, " info    event key=%s", cases[i].shown);
        ck_assert_ptr_nonnull(line);
        check_stamp(line);
        ck_assert_str_eq(line + STAMP, expected);
    }
    ck_assert_ptr_null(next_line());
}
END_TEST

START_TEST(text_of_numbers_and_several_fields) {
    log_event(LOG_WARNING, "many words", LOG_INTEGER("i", INT64_MIN), LOG_NUMBER("n", 1.23456),
              LOG_STRING("s", "x"), LOG_INTEGER("j", 0));
    log_event(LOG_ERROR, "e", LOG_NUMBER("a", NAN), LOG_NUMBER("b", -INFINITY),
              LOG_NUMBER("c", -0.0005), LOG_NUMBER("d", 1e9));
    from_the_start();
    ck_assert_str_eq(next_line() + STAMP,
                     " warning many words i=-9223372036854775808 n=1.235 s=x j=0");
    const char *line = next_line() + STAMP;
    ck_assert_msg(strncmp(line, " error   e a=0.000 b=0.000 c=-0.00", 34) == 0, "%s", line);
    ck_assert_ptr_nonnull(strstr(line, " d=1000000000.000"));
}
END_TEST

START_TEST(what_is_less_than_the_level_is_not_logged) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        log_configure((enum log_level)level, LOG_TEXT);
        for (int of = LOG_DEBUG; of <= LOG_ERROR; of++)
            log_event((enum log_level)of, "e", LOG_INTEGER("level", level));
    }
    from_the_start();
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        for (int of = level; of <= LOG_ERROR; of++) {
            char expected[64];
            snprintf(expected, sizeof expected, " %-7s e level=%d", names[of], level);
            ck_assert_str_eq(next_line() + STAMP, expected);
        }
    }
    ck_assert_ptr_null(next_line());
}
END_TEST

START_TEST(at_first_it_is_text_from_info_on) {
    log_event(LOG_DEBUG, "no", LOG_INTEGER("i", 1));
    log_event(LOG_INFO, "yes", LOG_INTEGER("i", 1));
    from_the_start();
    ck_assert_str_eq(next_line() + STAMP, " info    yes i=1");
    ck_assert_ptr_null(next_line());
}
END_TEST

/* ---- JSON -------------------------------------------------------------------------------- */

/* The next line, which must be one JSON object in ASCII. */
static cJSON *next_object(void) {
    const char *line = next_line();
    ck_assert_ptr_nonnull(line);
    for (const char *c = line; *c; c++)
        if (*c < 0x20 || *c >= 0x7f)
            ck_abort_msg("%s", line);
    cJSON *object = cJSON_ParseWithOpts(line, NULL, true);
    ck_assert_msg(cJSON_IsObject(object), "%s", line);
    return object;
}

static const char *string_of(const cJSON *object, const char *key) {
    const char *string = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    ck_assert_msg(string, "%s", key);
    return string;
}

START_TEST(json_has_every_field) {
    log_configure(LOG_DEBUG, LOG_JSON);
    log_event(LOG_DEBUG, "an \"event\"", LOG_STRING("s", "a=b c"), LOG_INTEGER("i", -5),
              LOG_NUMBER("n", 2.5), LOG_NUMBER("nan", NAN), LOG_STRING("none", NULL));
    from_the_start();
    cJSON *object = next_object();
    ck_assert_int_eq(cJSON_GetArraySize(object), 8);
    check_stamp(string_of(object, "time"));
    ck_assert_uint_eq(strlen(string_of(object, "time")), STAMP);
    ck_assert_str_eq(string_of(object, "level"), "debug");
    ck_assert_str_eq(string_of(object, "event"), "an \"event\"");
    ck_assert_str_eq(string_of(object, "s"), "a=b c");
    ck_assert_str_eq(string_of(object, "none"), "");
    ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(object, "i")), -5);
    ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(object, "n")), 2.5);
    ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(object, "nan")), 0);
    cJSON_Delete(object);
}
END_TEST

/* ASCII reads back as it is; other bytes, whatever they were, as the code point of their number. */
START_TEST(json_takes_any_byte) {
    log_configure(LOG_INFO, LOG_JSON);
    for (int byte = 1; byte < 256; byte++) {
        char text[4] = {'<', (char)byte, '>'};
        log_event(LOG_INFO, text, LOG_STRING("text", text));
    }
    from_the_start();
    for (int byte = 1; byte < 256; byte++) {
        char expected[5] = "<";
        size_t at = 1;
        if (byte >= 0x80)
            expected[at++] = (char)(0xc0 | byte >> 6);
        expected[at++] = (char)(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
        expected[at] = '>';
        cJSON *object = next_object();
        ck_assert_mem_eq(string_of(object, "text"), expected, at + 1);
        ck_assert_uint_eq(strlen(string_of(object, "text")), at + 1);
        ck_assert_mem_eq(string_of(object, "event"), expected, at + 1);
        cJSON_Delete(object);
    }
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------- */

enum { THREADS = 4, LINES = 300 };

static void *log_lines(void *argument) {
    char filling[1000];
    int number = *(int *)argument;
    memset(filling, 'a' + number, sizeof filling);
    filling[sizeof filling - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        log_event(LOG_INFO, "line", LOG_INTEGER("thread", number), LOG_STRING("filling", filling));
    return NULL;
}

START_TEST(lines_of_threads_do_not_mix) {
    pthread_t threads[THREADS];
    int numbers[THREADS], counts[THREADS] = {0};
    log_configure(LOG_INFO, LOG_JSON);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    from_the_start();
    for (int i = 0; i < THREADS * LINES; i++) {
        cJSON *object = next_object();
        int number = (int)cJSON_GetNumberValue(cJSON_GetObjectItem(object, "thread"));
        const char *filling = string_of(object, "filling");
        ck_assert(number >= 0 && number < THREADS);
        char letter[2] = {(char)('a' + number)};
        ck_assert_uint_eq(strspn(filling, letter), 999);
        ck_assert_uint_eq(strlen(filling), 999);
        counts[number]++;
        cJSON_Delete(object);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(counts[i], LINES);
    ck_assert_ptr_null(next_line());
}
END_TEST

Suite *log_suite(void) {
    Suite *suite = suite_create("log");
    TCase *cases = tcase_create("log");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 30);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, at_first_it_is_text_from_info_on);
    tcase_add_test(cases, text_quotes_only_what_needs_it);
    tcase_add_test(cases, text_of_numbers_and_several_fields);
    tcase_add_test(cases, what_is_less_than_the_level_is_not_logged);
    tcase_add_test(cases, json_has_every_field);
    tcase_add_test(cases, json_takes_any_byte);
    tcase_add_test(cases, lines_of_threads_do_not_mix);
    suite_add_tcase(suite, cases);
    return suite;
}
