/* Bulk work under a flood of interactive work: prompts that come back as soon as they were served.
 * The flood ends by itself only after a great many rounds; bulk work must have ended long before.
 */
#include <stdatomic.h>

#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/suites.h"

enum { FLOOD_JOBS = 4, ROUNDS_MAX = 20000, WORK_NS = 20000 };

struct flood {
    struct pool *pool;
    struct gate ended;
    atomic_int rounds;
    atomic_bool bulk_done;
    struct test_job jobs[FLOOD_JOBS], bulk;
    int rounds_before_bulk; /* when the bulk work had ended */
};

/* Something to do. */
static void work(void) {
    int64_t end = clock_now_ns() + WORK_NS;
    while (clock_now_ns() < end)
        continue;
}

static void flood_round(struct test_job *job, struct worker *worker) {
    struct flood *flood = job->argument;
    work();
    bool over = atomic_load(&flood->bulk_done) || atomic_fetch_add(&flood->rounds, 1) > ROUNDS_MAX;
    if (over || !worker_requeue(worker, &job->job))
        gate_add(&flood->ended, 1);
}

static void end_bulk(struct flood *flood) {
    flood->rounds_before_bulk = atomic_load(&flood->rounds);
    atomic_store(&flood->bulk_done, true);
    gate_add(&flood->ended, 1);
}

static void start_flood(struct flood *flood) {
    for (int i = 0; i < FLOOD_JOBS; i++) {
        flood->jobs[i] = test_job('f', NULL, NULL);
        flood->jobs[i].body = flood_round;
        flood->jobs[i].argument = flood;
        ck_assert(submit(flood->pool, LANE_INTERACTIVE, &flood->jobs[i]));
    }
}

/* The bulk job starts the flood, when `first`; otherwise it waits behind it. */
static void check_bulk_ends(int workers, void (*body)(struct test_job *, struct worker *),
                            bool first) {
    struct flood flood = {.pool = make_pool(workers, 0), .ended = GATE_INITIALIZER};
    flood.bulk = test_job('b', NULL, NULL);
    flood.bulk.body = body;
    flood.bulk.argument = &flood;
    if (!first)
        start_flood(&flood);
    ck_assert(submit(flood.pool, LANE_BULK, &flood.bulk));
    gate_wait(&flood.ended, FLOOD_JOBS + 1);
    pool_free(flood.pool);
    ck_assert_msg(flood.rounds_before_bulk < ROUNDS_MAX,
                  "the bulk job ended only when the flood of %d prompts was over", ROUNDS_MAX);
}

static void run_alone(struct test_job *job, struct worker *worker) {
    (void)worker;
    work();
    end_bulk(job->argument);
}

START_TEST(a_bulk_job_gets_its_turn) {
    check_bulk_ends(_i, run_alone, false);
}
END_TEST

static void work_tile(void *argument, size_t index, struct worker *worker) {
    (void)argument, (void)index, (void)worker;
    work();
}

static void run_tiles(struct test_job *job, struct worker *worker) {
    start_flood(job->argument);
    for (int i = 0; i < 10; i++)
        worker_parallel_for(worker, 6, work_tile, NULL);
    end_bulk(job->argument);
}

START_TEST(a_bulk_job_with_tiles_goes_on) {
    check_bulk_ends(_i, run_tiles, true);
}
END_TEST

static void run_yielding(struct test_job *job, struct worker *worker) {
    start_flood(job->argument);
    for (int i = 0; i < 20; i++) {
        work();
        worker_yield(worker);
    }
    end_bulk(job->argument);
}

START_TEST(a_bulk_job_that_yields_goes_on) {
    check_bulk_ends(_i, run_yielding, true);
}
END_TEST

Suite *parallel_fairness_suite(void) {
    Suite *suite = suite_create("parallel_fairness");
    TCase *cases = tcase_create("flood");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_bulk_job_gets_its_turn, 1, 4);
    tcase_add_loop_test(cases, a_bulk_job_with_tiles_goes_on, 1, 4);
    tcase_add_loop_test(cases, a_bulk_job_that_yields_goes_on, 1, 4);
    suite_add_tcase(suite, cases);
    return suite;
}
