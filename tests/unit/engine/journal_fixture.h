/* For tests of the lanes: one journal of what ran, and one gate that counts the jobs that ended. */
#ifndef TESTS_UNIT_ENGINE_JOURNAL_FIXTURE_H
#define TESTS_UNIT_ENGINE_JOURNAL_FIXTURE_H

#include <check.h>

#include "tests/unit/engine/pool_fixture.h"

static struct journal journal;
static struct gate ended;

static inline void journal_begin(void) {
    journal = (struct journal)JOURNAL_INITIALIZER;
    ended = (struct gate)GATE_INITIALIZER;
}

static inline struct test_job job_of(char name, void (*body)(struct test_job *, struct worker *),
                                     void *argument) {
    struct test_job job = test_job(name, &journal, &ended);
    job.body = body;
    job.argument = argument;
    return job;
}

/* Waits for so many jobs, then compares the journal. */
static inline void finish(struct pool *pool, int jobs, const char *expected) {
    gate_wait(&ended, jobs);
    pool_free(pool);
    ck_assert_str_eq(journal.text, expected);
}

#endif
