#include "server/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/routes.h"

/* ---- what is kept ------------------------------------------------------------------------ */

static const double BOUNDS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,      2.5,   5,    10,    30,   60};

enum { BOUND_COUNT = sizeof BOUNDS / sizeof *BOUNDS, CODES_MAX = 32 };

/* In seconds; the last bucket is for what is above all bounds. */
struct histogram {
    _Atomic uint64_t buckets[BOUND_COUNT + 1];
    _Atomic uint64_t sum_ns;
};

/* A status code takes the first free place when it comes for the first time. */
struct code {
    atomic_int status;
    _Atomic uint64_t count;
};

struct route_metrics {
    struct code codes[CODES_MAX];
    struct histogram seconds;
};

struct metrics {
    _Atomic uint64_t received, sent;
    _Atomic uint64_t problems[PROBLEM_TYPE_COUNT];
    struct histogram durations[DURATION_COUNT];
    struct route_metrics routes[][2]; /* by index; by GET, or whatever its method is, and by HEAD */
};

struct metrics *metrics_create(void) {
    return calloc(1, sizeof(struct metrics) + routes_count() * sizeof(struct route_metrics[2]));
}

void metrics_free(struct metrics *metrics) {
    free(metrics);
}

/* ---- counting ---------------------------------------------------------------------------- */

static void observe(struct histogram *histogram, double milliseconds) {
    const double seconds = milliseconds * 1e-3;
    int bucket = 0;
    while (bucket < BOUND_COUNT && seconds > BOUNDS[bucket])
        bucket++;
    atomic_fetch_add(&histogram->buckets[bucket], 1);
    atomic_fetch_add(&histogram->sum_ns,
                     (uint64_t)(milliseconds > 0 ? milliseconds * 1e6 + 0.5 : 0));
}

static void count_code(struct code codes[CODES_MAX], int status) {
    for (int i = 0; i < CODES_MAX; i++) {
        int there = 0;
        if (atomic_compare_exchange_strong(&codes[i].status, &there, status) || there == status) {
            atomic_fetch_add(&codes[i].count, 1);
            return;
        }
    }
}

/* What nginx logs of clients that leave before they are answered. */
enum { STATUS_CLIENT_LEFT = 499 };

void metrics_count_request(struct metrics *metrics, const struct metrics_request *request) {
    struct route_metrics *route = &metrics->routes[request->route][request->head];
    count_code(route->codes, request->status ? request->status : STATUS_CLIENT_LEFT);
    observe(&route->seconds, request->milliseconds);
    atomic_fetch_add(&metrics->received, request->received);
    atomic_fetch_add(&metrics->sent, request->sent);
}

void metrics_count_problem(struct metrics *metrics, enum problem_type type) {
    atomic_fetch_add(&metrics->problems[type], 1);
}

void metrics_measure(struct metrics *metrics, enum duration duration, double milliseconds) {
    observe(&metrics->durations[duration], milliseconds);
}

/* ---- writing ----------------------------------------------------------------------------- */

void metrics_head(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The count is the sum of the buckets, so that it is also when others are counting. */
static void write_histogram(FILE *out, const char *name, const char *labels,
                            const struct histogram *histogram) {
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t count = 0;
    for (int i = 0; i < BOUND_COUNT; i++) {
        count += atomic_load(&histogram->buckets[i]);
        fprintf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma, BOUNDS[i],
                (unsigned long long)count);
    }
    count += atomic_load(&histogram->buckets[BOUND_COUNT]);
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
            (unsigned long long)count);
    fprintf(out, "%s_sum%s%s%s %.9f\n", name, open, labels, close,
            (double)atomic_load(&histogram->sum_ns) * 1e-9);
    fprintf(out, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)count);
}

static void route_labels(size_t index, int head, char *labels, size_t size) {
    const struct route *route = routes_at(index);
    snprintf(labels, size, "route=\"%s\",method=\"%s\"", route ? route->path : "none",
             !route ? "other"
             : head ? "HEAD"
                    : route->method);
}

static bool has_come(const struct route_metrics *route) {
    return atomic_load(&route->codes[0].status) != 0;
}

static void write_requests(const struct metrics *metrics, FILE *out) {
    char labels[128];
    metrics_head(out, "maskd_requests_total", "counter",
                 "Requests, by route, method and status code.");
    for (size_t i = 0; i < 2 * routes_count(); i++) {
        const struct code *codes = metrics->routes[i / 2][i % 2].codes;
        route_labels(i / 2, i % 2, labels, sizeof labels);
        for (int j = 0; j < CODES_MAX && atomic_load(&codes[j].status) != 0; j++)
            fprintf(out, "maskd_requests_total{%s,code=\"%d\"} %llu\n", labels,
                    atomic_load(&codes[j].status),
                    (unsigned long long)atomic_load(&codes[j].count));
    }
    metrics_head(out, "maskd_request_seconds", "histogram",
                 "From a request's headers until its answer was sent.");
    for (size_t i = 0; i < 2 * routes_count(); i++) {
        const struct route_metrics *route = &metrics->routes[i / 2][i % 2];
        route_labels(i / 2, i % 2, labels, sizeof labels);
        if (has_come(route))
            write_histogram(out, "maskd_request_seconds", labels, &route->seconds);
    }
}

static void write_rejected(const struct metrics *metrics, FILE *out) {
    static const struct {
        enum problem_type type;
        const char *reason;
    } reasons[] = {{PROBLEM_UNAUTHORIZED, "unauthorized"},
                   {PROBLEM_TOO_MANY_REQUESTS, "rate"},
                   {PROBLEM_OVERLOADED, "overloaded"},
                   {PROBLEM_DEADLINE, "deadline"},
                   {PROBLEM_DRAINING, "draining"}};
    metrics_head(out, "maskd_rejected_total", "counter",
                 "Requests that were answered with 401, 429 or 503, by reason.");
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        fprintf(out, "maskd_rejected_total{reason=\"%s\"} %llu\n", reasons[i].reason,
                (unsigned long long)atomic_load(&metrics->problems[reasons[i].type]));
}

static void write_durations(const struct metrics *metrics, FILE *out) {
    const struct histogram *durations = metrics->durations;
    metrics_head(out, "maskd_queue_seconds", "histogram", "Waiting for a worker, by lane.");
    write_histogram(out, "maskd_queue_seconds", "lane=\"interactive\"",
                    &durations[DURATION_PROMPT_QUEUE]);
    write_histogram(out, "maskd_queue_seconds", "lane=\"bulk\"", &durations[DURATION_UPLOAD_QUEUE]);
    metrics_head(out, "maskd_decode_seconds", "histogram", "An image file to pixels.");
    write_histogram(out, "maskd_decode_seconds", "", &durations[DURATION_DECODE]);
    metrics_head(out, "maskd_encode_seconds", "histogram", "Pixels to an embedding.");
    write_histogram(out, "maskd_encode_seconds", "", &durations[DURATION_ENCODE]);
    metrics_head(out, "maskd_segment_seconds", "histogram", "One prompt to its masks.");
    write_histogram(out, "maskd_segment_seconds", "", &durations[DURATION_SEGMENT]);
    metrics_head(out, "maskd_everything_seconds", "histogram", "An embedding to all its masks.");
    write_histogram(out, "maskd_everything_seconds", "", &durations[DURATION_EVERYTHING]);
}

void metrics_write(const struct metrics *metrics, FILE *out) {
    write_requests(metrics, out);
    metrics_head(out, "maskd_received_bytes_total", "counter", "Of request bodies.");
    fprintf(out, "maskd_received_bytes_total %llu\n",
            (unsigned long long)atomic_load(&metrics->received));
    metrics_head(out, "maskd_sent_bytes_total", "counter", "Of answers' bodies.");
    fprintf(out, "maskd_sent_bytes_total %llu\n", (unsigned long long)atomic_load(&metrics->sent));
    write_rejected(metrics, out);
    write_durations(metrics, out);
}
