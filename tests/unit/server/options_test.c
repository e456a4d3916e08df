/* Where options come from: defaults, the file, the environment, flags; and what they are called. */
#include <check.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/server/options_fixture.h"
#include "tests/unit/suites.h"

/* ---- defaults ---------------------------------------------------------------------------- */

START_TEST(defaults_need_nothing) {
    struct reading reading = read_options(NULL);
    check_no_fault(&reading);
    ck_assert_str_eq(reading.options.host, "127.0.0.1");
    ck_assert_int_eq(reading.options.port, 8080);
    ck_assert_int_eq(reading.options.max_body, 32 << 20);
    ck_assert_int_eq(reading.options.store_memory, 1 << 30);
    ck_assert_int_eq(reading.options.log_format, LOG_TEXT);
    ck_assert_int_eq(reading.options.log_level, LOG_INFO);
    ck_assert(reading.options.access_log);
    ck_assert(!reading.options.help && !reading.options.version && !reading.options.check_config);
}
END_TEST

/* Collects "section.key" lines. */
static int note_key(void *user, const char *section, const char *key, const char *value) {
    (void)value;
    return fprintf(user, "%s.%s\n", section, key) > 0;
}

static char *keys_of_file(const char *path) {
    char *keys = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&keys, &size);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(ini_parse(path, note_key, out), 0);
    fclose(out);
    return keys;
}

/* It names every option once, in the order of the table, with its default. */
START_TEST(the_configuration_file_holds_the_defaults) {
    struct reading defaults = read_options(NULL);
    write_file("printed.ini", printed(&defaults.options));
    char *expected = keys_of_file("printed.ini");
    ck_assert_ptr_nonnull(strstr(expected, "server.host\nserver.port\n"));
    go_to_the_repository();
    struct reading file = read_options("--config", "config/maskd.ini");
    char *keys = keys_of_file("config/maskd.ini");
    check_no_fault(&file);
    ck_assert_str_eq(keys, expected);
    char *values = strdup(printed(&defaults.options));
    ck_assert_str_eq(printed(&file.options), values);
    free(values);
    free(expected);
    free(keys);
}
END_TEST

/* ---- what wins --------------------------------------------------------------------------- */

START_TEST(flags_win_over_the_environment_over_the_file) {
    write_file("a.ini",
               "[server]\nport = 1\nhost = file\nhttp_threads = 11\n[log]\nlog_level = debug\n");
    setenv("MASKD_PORT", "2", 1);
    setenv("MASKD_HOST", "environment", 1);
    setenv("MASKD_MAX_BODY", "2K", 1);
    struct reading reading = read_options("--config", "a.ini", "--port", "3", "--max-prompts=4");
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 3);
    ck_assert_str_eq(reading.options.host, "environment");
    ck_assert_int_eq(reading.options.http_threads, 11);
    ck_assert_int_eq(reading.options.log_level, LOG_DEBUG);
    ck_assert_int_eq(reading.options.max_body, 2048);
    ck_assert_int_eq(reading.options.max_prompts, 4);
    ck_assert_int_eq(reading.options.max_side, 32767);
}
END_TEST

START_TEST(the_file_is_the_one_that_is_named) {
    write_file("flag.ini", "[server]\nport = 1\n");
    write_file("environment.ini", "[server]\nport = 2\n");
    ck_assert_int_eq(mkdir("config", 0700), 0);
    write_file("config/maskd.ini", "[server]\nport = 3\n");
    setenv("MASKD_CONFIG", "environment.ini", 1);
    struct reading reading = read_options("--config", "flag.ini");
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 1);
    ck_assert_str_eq(reading.options.config, "flag.ini");
    reading = read_options(NULL);
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 2);
    ck_assert_str_eq(reading.options.config, "environment.ini");
    unsetenv("MASKD_CONFIG");
    reading = read_options(NULL);
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 3);
    ck_assert_str_eq(reading.options.config, "config/maskd.ini");
}
END_TEST

START_TEST(a_file_that_is_named_must_be_there) {
    struct reading reading = read_options("--config", "gone.ini");
    check_only_fault(&reading, "gone.ini: the configuration file: No such file or directory");
}
END_TEST

/* What a container's mount makes of a file that is not there. */
START_TEST(a_directory_is_no_configuration_file) {
    ck_assert_int_eq(mkdir("directory.ini", 0700), 0);
    struct reading reading = read_options("--config=directory.ini");
    ck_assert_int_eq(reading.count, 1);
    ck_assert_msg(strstr(reading.faults, "directory.ini"), "%s", reading.faults);
}
END_TEST

/* ---- faults in the file ------------------------------------------------------------------ */

START_TEST(faults_of_a_file_name_the_place) {
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"[server]\nprot = 1\n", "a.ini: [server] prot: no such option"},
        {"[server]\nmax_body = 1M\n", "a.ini: [server] max_body: belongs into section [limits]"},
        {"port = 1\n", "a.ini: [] port: belongs into section [server]"},
        {"[server]\nport = x\n", "a.ini: [server] port = 'x': not a whole number"},
        {"[server]\nhost =\n", "a.ini: [server] host = '': must not be empty"},
        {"[server]\n\nnonsense\nport = 4\n",
         "a.ini: line 3: not a [section], a key = value, or a comment"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file("a.ini", cases[i].text);
        struct reading reading = read_options("--config", "a.ini");
        check_only_fault(&reading, cases[i].fault);
    }
}
END_TEST

/* ---- the environment --------------------------------------------------------------------- */

START_TEST(every_line_of_a_file_is_read_by_itself) {
    char text[1024];
    snprintf(
        text, sizeof text,
        "[server]\nnonsense\n  port = 81\n\thost = ::1\n[broken\n; fine\nmodel = %0300d\nmore\n",
        1);
    write_file("a.ini", text);
    struct reading reading = read_options("--config", "a.ini");
    ck_assert_str_eq(reading.faults,
                     "a.ini: line 2: not a [section], a key = value, or a comment\n"
                     "a.ini: line 5: not a [section], a key = value, or a comment\n"
                     "a.ini: line 7: too long\n"
                     "a.ini: line 8: not a [section], a key = value, or a comment\n");
    ck_assert_int_eq(reading.count, 4);
    ck_assert_int_eq(reading.options.port, 81);
    ck_assert_str_eq(reading.options.host, "::1");
}
END_TEST

START_TEST(faults_of_the_environment_name_the_variable) {
    setenv("MASKD_PROT", "1", 1);
    struct reading reading = read_options(NULL);
    check_only_fault(&reading, "environment: MASKD_PROT: no such option");
    unsetenv("MASKD_PROT");
    setenv("MASKD_PORT", "99999", 1);
    reading = read_options(NULL);
    check_only_fault(&reading, "environment: MASKD_PORT = '99999': not between 0 and 65535");
    ck_assert_int_eq(reading.options.port, 8080);
}
END_TEST

/* Kubernetes sets these for a service that is called maskd. */
START_TEST(service_links_are_not_options) {
    static const char *const links[][2] = {
        {"MASKD_SERVICE_HOST", "10.0.0.1"},
        {"MASKD_SERVICE_PORT", "8080"},
        {"MASKD_SERVICE_PORT_HTTP", "8080"},
        {"MASKD_PORT", "tcp://10.0.0.1:8080"},
        {"MASKD_PORT_8080_TCP", "tcp://10.0.0.1:8080"},
        {"MASKD_PORT_8080_TCP_PROTO", "tcp"},
        {"MASKD_PORT_8080_TCP_PORT", "8080"},
        {"MASKD_PORT_8080_TCP_ADDR", "10.0.0.1"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        setenv(links[i][0], links[i][1], 1);
    struct reading reading = read_options(NULL);
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 8080);
    setenv("MASKD_PORT", "9000", 1);
    reading = read_options(NULL);
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 9000);
    setenv("MASKD_PORTX", "1", 1);
    reading = read_options(NULL);
    check_only_fault(&reading, "environment: MASKD_PORTX: no such option");
}
END_TEST

/* And these for one that is called maskd-canary. */
START_TEST(service_links_of_neighbours_are_not_options) {
    static const char *const links[][2] = {
        {"MASKD_CANARY_SERVICE_HOST", "10.0.0.2"},
        {"MASKD_CANARY_SERVICE_PORT", "8080"},
        {"MASKD_CANARY_PORT", "tcp://10.0.0.2:8080"},
        {"MASKD_CANARY_PORT_8080_TCP", "tcp://10.0.0.2:8080"},
        {"MASKD_CANARY_PORT_8080_TCP_ADDR", "10.0.0.2"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        setenv(links[i][0], links[i][1], 1);
    struct reading reading = read_options(NULL);
    check_no_fault(&reading);
}
END_TEST

START_TEST(other_variables_are_not_looked_at) {
    setenv("MASKDPORT", "x", 1);
    setenv("MASK_PORT", "x", 1);
    setenv("XMASKD_PORT", "x", 1);
    struct reading reading = read_options(NULL);
    check_no_fault(&reading);
    unsetenv("MASKDPORT");
    unsetenv("MASK_PORT");
    unsetenv("XMASKD_PORT");
}
END_TEST

/* ---- flags ------------------------------------------------------------------------------- */

START_TEST(flags_that_are_not_options) {
    struct reading reading = read_options("--help");
    check_no_fault(&reading);
    ck_assert(reading.options.help && !reading.options.version && !reading.options.check_config);
    reading = read_options("-h");
    ck_assert(reading.options.help);
    reading = read_options("--version");
    ck_assert(!reading.options.help && reading.options.version && !reading.options.check_config);
    reading = read_options("--check-config", "--port=1");
    check_no_fault(&reading);
    ck_assert(!reading.options.help && !reading.options.version && reading.options.check_config);
}
END_TEST

START_TEST(faults_of_flags_name_the_flag) {
    struct reading reading = read_options("--prot", "1");
    ck_assert_str_eq(reading.faults, "--prot: no such flag, or not with a value\n1: not a flag\n");
    ck_assert_int_eq(reading.count, 2);
    reading = read_options("--version=1");
    check_only_fault(&reading, "--version=1: no such flag, or not with a value");
    reading = read_options("--port");
    check_only_fault(&reading, "--port: needs a value");
    reading = read_options("serve");
    check_only_fault(&reading, "serve: not a flag");
    reading = read_options("--port", "x");
    check_only_fault(&reading, "--port = 'x': not a whole number");
    reading = read_options("--port=1", "--port=2");
    check_no_fault(&reading);
    ck_assert_int_eq(reading.options.port, 2);
}
END_TEST

/* ---- all faults at once ------------------------------------------------------------------ */

START_TEST(every_fault_is_reported) {
    write_file(
        "a.ini",
        "[server]\nport = -1\nprot = 2\n[log]\nlog_format = xml\n[store]\nstore_memory = 5Q\n");
    setenv("MASKD_WORKERS", "many", 1);
    setenv("MASKD_NOTHING", "1", 1);
    setenv("MASKD_MAX_BODY", "512M", 1);
    struct reading reading = read_options("--config", "a.ini", "--max-side", "0", "--access-log",
                                          "maybe", "--wrong", "x");
    static const char *const lines[] = {
        "a.ini: [server] port = '-1': not between 0 and 65535\n",
        "a.ini: [server] prot: no such option\n",
        "a.ini: [log] log_format = 'xml': not text or json\n",
        "a.ini: [store] store_memory = '5Q': not a size: a number, or one with K, M, G or T\n",
        "environment: MASKD_WORKERS = 'many': not a whole number\n",
        "environment: MASKD_NOTHING: no such option\n",
        "--max-side = '0': not between 1 and 65535\n",
        "--access-log = 'maybe': not true or false\n",
        "--wrong: no such flag, or not with a value\n",
        "x: not a flag\n",
        "upload_memory: less than max_body: no request of that size could be read\n",
    };
    int count = sizeof lines / sizeof *lines;
    for (int i = 0; i < count; i++)
        ck_assert_msg(strstr(reading.faults, lines[i]), "not there: %sbut:\n%s", lines[i],
                      reading.faults);
    ck_assert_int_eq(reading.count, count);
    int newlines = 0;
    for (const char *c = reading.faults; *c; c++)
        newlines += *c == '\n';
    ck_assert_int_eq(newlines, count);
}
END_TEST

/* ---- what is printed --------------------------------------------------------------------- */

START_TEST(what_is_printed_can_be_read_again) {
    struct reading before =
        read_options("--host", "::1", "--log-format", "json", "--log-level", "error",
                     "--access-log", "no", "--max-body", "5M", "--upload-memory", "2G",
                     "--drain-seconds", "0", "--model", "a path/with = signs.safetensors");
    check_no_fault(&before);
    char *text = strdup(printed(&before.options));
    write_file("again.ini", text);
    struct reading after = read_options("--config", "again.ini");
    check_no_fault(&after);
    ck_assert_str_eq(printed(&after.options), text);
    ck_assert_str_eq(after.options.model, "a path/with = signs.safetensors");
    ck_assert_int_eq(after.options.upload_memory, 2LL << 30);
    ck_assert(!after.options.access_log);
    free(text);
}
END_TEST

START_TEST(help_names_every_option) {
    char text[16384] = "", flag[64];
    FILE *out = fmemopen(text, sizeof text, "w");
    options_help(out);
    fclose(out);
    struct reading reading = read_options(NULL);
    write_file("printed.ini", printed(&reading.options));
    char *keys = keys_of_file("printed.ini"), *rest = keys;
    for (const char *key; (key = strsep(&rest, "\n")) && *key;) {
        snprintf(flag, sizeof flag, "  --%s ", strchr(key, '.') + 1);
        for (char *c = flag; *c; c++)
            *c = *c == '_' ? '-' : *c;
        ck_assert_msg(strstr(text, flag), "%s", flag);
    }
    ck_assert_ptr_nonnull(strstr(text, "[32M]"));
    ck_assert_ptr_nonnull(strstr(text, "--check-config"));
    free(keys);
}
END_TEST

Suite *options_suite(void) {
    Suite *suite = suite_create("options");
    TCase *cases = tcase_create("sources");
    tcase_add_checked_fixture(cases, options_set_up, options_tear_down);
    tcase_add_test(cases, defaults_need_nothing);
    tcase_add_test(cases, the_configuration_file_holds_the_defaults);
    tcase_add_test(cases, flags_win_over_the_environment_over_the_file);
    tcase_add_test(cases, the_file_is_the_one_that_is_named);
    tcase_add_test(cases, a_file_that_is_named_must_be_there);
    tcase_add_test(cases, a_directory_is_no_configuration_file);
    tcase_add_test(cases, faults_of_a_file_name_the_place);
    tcase_add_test(cases, every_line_of_a_file_is_read_by_itself);
    tcase_add_test(cases, faults_of_the_environment_name_the_variable);
    tcase_add_test(cases, service_links_are_not_options);
    tcase_add_test(cases, service_links_of_neighbours_are_not_options);
    tcase_add_test(cases, other_variables_are_not_looked_at);
    tcase_add_test(cases, flags_that_are_not_options);
    tcase_add_test(cases, faults_of_flags_name_the_flag);
    tcase_add_test(cases, every_fault_is_reported);
    tcase_add_test(cases, what_is_printed_can_be_read_again);
    tcase_add_test(cases, help_names_every_option);
    suite_add_tcase(suite, cases);
    return suite;
}
