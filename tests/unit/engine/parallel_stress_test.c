/* The pool under everything at once. What tiles and jobs write is not atomic: ThreadSanitizer sees
 * what is not ordered (VARIANT=tsan, CK_FORK=no). */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/suites.h"

enum { SUBMITTERS = 3, JOBS = 400, ROUNDS = 3, TILES_MAX = 40, SCRATCH = 8192 };

struct stress_job {
    struct pool_job job; /* first */
    int rounds_left, tiles;
    int runs, ends, expiries; /* written by run and expire, read when the pool is gone */
    struct gate *over;
    int values[TILES_MAX];
};

static void stress_tile(void *argument, size_t index, struct worker *worker) {
    struct stress_job *job = argument;
    unsigned char *scratch = worker_scratch(worker);
    memset(scratch, (int)index, SCRATCH);
    job->values[index]++;
    for (size_t i = 0; i < SCRATCH; i++)
        if (scratch[i] != index)
            ck_abort_msg("another tile wrote into this one's scratch");
}

static void stress_run(struct pool_job *pool_job, struct worker *worker) {
    struct stress_job *job = (struct stress_job *)pool_job;
    job->runs++;
    memset(job->values, 0, sizeof job->values);
    worker_parallel_for(worker, (size_t)job->tiles, stress_tile, job);
    for (int i = 0; i < job->tiles; i++)
        if (job->values[i] != 1)
            ck_abort_msg("tile %d ran %d times", i, job->values[i]);
    worker_yield(worker);
    if (--job->rounds_left > 0 && worker_requeue(worker, pool_job))
        return;
    job->ends++;
    gate_add(job->over, 1);
}

static void stress_expire(struct pool_job *pool_job) {
    struct stress_job *job = (struct stress_job *)pool_job;
    job->expiries++;
    gate_add(job->over, 1);
}

struct submitter {
    struct pool *pool;
    uint64_t seed;
    struct gate over;
    int taken;
    struct stress_job jobs[JOBS];
    bool accepted[JOBS];
};

static void *submit_all(void *argument) {
    struct submitter *submitter = argument;
    struct rng rng = {submitter->seed};
    for (int i = 0; i < JOBS; i++) {
        struct stress_job *job = &submitter->jobs[i];
        *job = (struct stress_job){.job = {.run = stress_run, .expire = stress_expire},
                                   .rounds_left = 1 + (int)rng_below(&rng, ROUNDS),
                                   .tiles = (int)rng_below(&rng, TILES_MAX),
                                   .over = &submitter->over};
        if (rng_below(&rng, 3) == 0) /* soon, but not at once */
            job->job.deadline_ns = clock_now_ns() + (int64_t)rng_below(&rng, 300000);
        submitter->accepted[i] =
            pool_submit(submitter->pool, (enum lane)rng_below(&rng, LANE_COUNT), &job->job);
        submitter->taken += submitter->accepted[i];
        if (rng_below(&rng, 8) == 0) /* let the queues run dry now and then */
            gate_wait(&submitter->over, submitter->taken);
    }
    return NULL;
}

/* What main() does all the time. */
static void *tick(void *argument) {
    struct submitter *submitter = argument;
    for (int i = 0; i < 300; i++) {
        pool_expire(submitter->pool, clock_now_ns());
        pool_lane_state(submitter->pool, LANE_BULK);
        pool_trim(submitter->pool);
    }
    return NULL;
}

static void check_jobs(const struct submitter *submitter) {
    for (int i = 0; i < JOBS; i++) {
        const struct stress_job *job = &submitter->jobs[i];
        if (job->ends + job->expiries != submitter->accepted[i] ||
            (job->expiries && job->runs && job->ends))
            ck_abort_msg("job %d: %d runs, %d ends, %d expiries", i, job->runs, job->ends,
                         job->expiries);
    }
}

/* With the pool freed while much is queued and running, or when all is done. */
static void stress(int workers, bool wait) {
    struct submitter *submitters = obtain(SUBMITTERS * sizeof *submitters);
    pthread_t threads[SUBMITTERS], ticker;
    struct pool_options options = {.workers = workers,
                                   .scratch_bytes = SCRATCH,
                                   .queue_limit = {50, 30},
                                   .running_limit = {0, workers > 2 ? 2 : 1}};
    struct pool *pool;
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    for (int i = 0; i < SUBMITTERS; i++) {
        memset(&submitters[i], 0, sizeof submitters[i]);
        submitters[i].pool = pool;
        submitters[i].seed = (uint64_t)i;
        submitters[i].over = (struct gate)GATE_INITIALIZER;
    }
    ck_assert_int_eq(pthread_create(&ticker, NULL, tick, &submitters[0]), 0);
    for (int i = 0; i < SUBMITTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_all, &submitters[i]), 0);
    pthread_join(ticker, NULL);
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(threads[i], NULL);
        if (wait)
            gate_wait(&submitters[i].over, submitters[i].taken);
    }
    pool_free(pool);
    for (int i = 0; i < SUBMITTERS; i++)
        check_jobs(&submitters[i]);
    free(submitters);
}

START_TEST(many_jobs_of_all_kinds) {
    stress(_i, true);
}
END_TEST

START_TEST(an_end_in_the_middle) {
    stress(_i, false);
}
END_TEST

Suite *parallel_stress_suite(void) {
    Suite *suite = suite_create("parallel_stress");
    TCase *cases = tcase_create("stress");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, many_jobs_of_all_kinds, 1, 5);
    tcase_add_loop_test(cases, an_end_in_the_middle, 1, 5);
    suite_add_tcase(suite, cases);
    return suite;
}
