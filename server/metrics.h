/* metrics: what is counted and measured of requests and jobs. Counting takes no lock.
 *
 * Written in Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
 * Requests are told apart by the pattern of their route, never by what clients choose. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include <stdio.h>

#include "api/api.h"

struct metrics;

struct metrics *metrics_create(void);       /* NULL when out of memory */
void metrics_free(struct metrics *metrics); /* NULL is allowed */

/* One request, answered: the index of its route (routes.h), whether by HEAD, its status (0: the
 * client left before), its bytes, and how long it took. */
struct metrics_request {
    size_t route;
    bool head;
    int status;
    size_t received, sent;
    double milliseconds;
};

void metrics_count_request(struct metrics *metrics, const struct metrics_request *request);
void metrics_count_problem(struct metrics *metrics, enum problem_type type);

enum duration {
    DURATION_PROMPT_QUEUE, /* a request with prompts waited for a worker */
    DURATION_UPLOAD_QUEUE, /* an image waited to be encoded */
    DURATION_DECODE,       /* an image file to pixels */
    DURATION_ENCODE,       /* pixels to an embedding */
    DURATION_SEGMENT,      /* one prompt to masks */
    DURATION_EVERYTHING,   /* an embedding to all masks */
    DURATION_COUNT,
};

void metrics_measure(struct metrics *metrics, enum duration duration, double milliseconds);

/* All of the above. */
void metrics_write(const struct metrics *metrics, FILE *out);

/* The lines before the samples of one metric: its help and its type. */
void metrics_head(FILE *out, const char *name, const char *type, const char *help);

#endif
