/* What is counted, and how it is written. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/metrics.h"
#include "server/process.h"
#include "server/routes.h"
#include "tests/unit/suites.h"

static struct metrics *metrics;
static char *text; /* what written() gave last */

static void set_up(void) {
    metrics = metrics_create();
    ck_assert_ptr_nonnull(metrics);
}

static void tear_down(void) {
    metrics_free(metrics);
    free(text);
    text = NULL;
}

static const char *written(void) {
    size_t size;
    free(text);
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    metrics_write(metrics, out);
    fclose(out);
    return text;
}

static void check_line(const char *line) {
    char whole[256];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg(strstr(written(), whole), "no %s", line);
}

static void count(size_t route, bool head, int status) {
    const struct metrics_request request = {.route = route,
                                            .head = head,
                                            .status = status,
                                            .received = 3,
                                            .sent = 5,
                                            .milliseconds = 2};
    metrics_count_request(metrics, &request);
}

static size_t index_of(const char *method, const char *path) {
    char id[IMAGE_ID_MAX + 1], allow[ALLOW_MAX];
    const struct route *route = routes_find(method, path, id, allow);
    ck_assert_ptr_nonnull(route);
    return routes_index(route);
}

START_TEST(requests_by_route_method_and_code) {
    const size_t models = index_of("GET", "/v1/models"), image = index_of("DELETE", "/v1/images/x");
    const size_t none = routes_index(NULL);
    ck_assert_ptr_null(strstr(written(), "maskd_requests_total{"));
    for (int i = 0; i < 3; i++)
        count(models, false, 200);
    count(models, true, 200);
    count(models, false, 429);
    count(image, false, 0);
    count(none, false, 404);
    count(index_of("OPTIONS", "/v1/models"), false, 204);
    check_line("maskd_requests_total{route=\"/v1/models\",method=\"GET\",code=\"200\"} 3");
    check_line("maskd_requests_total{route=\"/v1/models\",method=\"GET\",code=\"429\"} 1");
    check_line("maskd_requests_total{route=\"/v1/models\",method=\"HEAD\",code=\"200\"} 1");
    check_line("maskd_requests_total{route=\"/v1/images/{id}\",method=\"DELETE\",code=\"499\"} 1");
    check_line("maskd_requests_total{route=\"none\",method=\"other\",code=\"404\"} 1");
    check_line("maskd_requests_total{route=\"*\",method=\"OPTIONS\",code=\"204\"} 1");
    check_line("maskd_request_seconds_count{route=\"/v1/models\",method=\"GET\"} 4");
    check_line("maskd_request_seconds_sum{route=\"/v1/models\",method=\"GET\"} 0.008000000");
    check_line("maskd_received_bytes_total 24");
    check_line("maskd_sent_bytes_total 40");
}
END_TEST

START_TEST(any_number_of_codes) {
    const size_t healthz = index_of("GET", "/healthz");
    for (int status = 100; status < 1000; status++)
        count(healthz, false, status);
    count(healthz, false, 100);
    check_line("maskd_requests_total{route=\"/healthz\",method=\"GET\",code=\"100\"} 2");
    check_line("maskd_request_seconds_count{route=\"/healthz\",method=\"GET\"} 901");
}
END_TEST

START_TEST(a_duration_is_in_all_buckets_from_its_own) {
    metrics_measure(metrics, DURATION_ENCODE, 0.5);
    metrics_measure(metrics, DURATION_ENCODE, 1); /* a bound is within */
    metrics_measure(metrics, DURATION_ENCODE, 1.001);
    metrics_measure(metrics, DURATION_ENCODE, 600);
    metrics_measure(metrics, DURATION_ENCODE, 1e6);
    metrics_measure(metrics, DURATION_ENCODE, -1); /* a clock's mistake */
    check_line("maskd_encode_seconds_bucket{le=\"0.001\"} 3");
    check_line("maskd_encode_seconds_bucket{le=\"0.0025\"} 4");
    check_line("maskd_encode_seconds_bucket{le=\"0.5\"} 4");
    check_line("maskd_encode_seconds_bucket{le=\"1\"} 5");
    check_line("maskd_encode_seconds_bucket{le=\"60\"} 5");
    check_line("maskd_encode_seconds_bucket{le=\"+Inf\"} 6");
    check_line("maskd_encode_seconds_count 6");
    check_line("maskd_encode_seconds_sum 1000.602501000");
    check_line("maskd_segment_seconds_count 0");
}
END_TEST

START_TEST(refusals_by_reason) {
    metrics_count_problem(metrics, PROBLEM_TOO_MANY_REQUESTS);
    metrics_count_problem(metrics, PROBLEM_OVERLOADED);
    metrics_count_problem(metrics, PROBLEM_OVERLOADED);
    metrics_count_problem(metrics, PROBLEM_INVALID_PROMPT);
    check_line("maskd_rejected_total{reason=\"rate\"} 1");
    check_line("maskd_rejected_total{reason=\"overloaded\"} 2");
    check_line("maskd_rejected_total{reason=\"unauthorized\"} 0");
    ck_assert_ptr_null(strstr(written(), "prompt\"}"));
}
END_TEST

static void *count_many(void *unused) {
    const size_t readyz = index_of("GET", "/readyz");
    for (int i = 0; i < 20000; i++) {
        count(readyz, false, 200 + i % 4);
        metrics_measure(metrics, DURATION_SEGMENT, i % 50);
    }
    return unused;
}

START_TEST(from_many_threads) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 20; i++)
        written();
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        char line[128];
        snprintf(line, sizeof line,
                 "maskd_requests_total{route=\"/readyz\",method=\"GET\",code=\"%d\"} 20000",
                 200 + i);
        check_line(line);
    }
    check_line("maskd_request_seconds_count{route=\"/readyz\",method=\"GET\"} 80000");
    check_line("maskd_segment_seconds_count 80000");
}
END_TEST

START_TEST(the_process) {
    struct process process;
    struct rusage usage;
    struct rlimit limit;
    ck_assert(process_look(&process));
    const int fd = dup(0);
    const uint64_t files = process.open_files;
    ck_assert(process_look(&process));
    ck_assert_uint_eq(process.open_files, files + (fd >= 0));
    close(fd);
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_uint_eq(process.files_limit, limit.rlim_cur);
    ck_assert_double_eq_tol(process.cpu_seconds,
                            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
                            0.1);
    ck_assert_uint_le(process.resident_bytes, process.virtual_bytes);
    ck_assert_uint_gt(process.resident_bytes, 1 << 20);
    ck_assert_double_le(process.start_seconds, (double)time(NULL) + 2);
    ck_assert_double_ge(process.start_seconds, (double)time(NULL) - 3600);
}
END_TEST

Suite *metrics_suite(void) {
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_set_tags(tests, "concurrency");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, requests_by_route_method_and_code);
    tcase_add_test(tests, any_number_of_codes);
    tcase_add_test(tests, a_duration_is_in_all_buckets_from_its_own);
    tcase_add_test(tests, refusals_by_reason);
    tcase_add_test(tests, from_many_threads);
    tcase_add_test(tests, the_process);
    suite_add_tcase(suite, tests);
    return suite;
}
