/* The two lanes: interactive work goes first, at tile boundaries and when a bulk job yields; bulk
 * work is not starved. Gates and journals decide, no clock does. */
#include <stdatomic.h>
#include <string.h>

#include "tests/unit/engine/journal_fixture.h"
#include "tests/unit/suites.h"

/* ---- interactive first ------------------------------------------------------------------- */

START_TEST(interactive_jobs_overtake_bulk_jobs) {
    struct pool *pool = make_pool(1, 0);
    struct blocker blocker;
    struct test_job b = job_of('b', NULL, NULL), i = job_of('i', NULL, NULL);
    blocker_start(&blocker, pool, LANE_BULK);
    ck_assert(submit(pool, LANE_BULK, &b));
    ck_assert(submit(pool, LANE_INTERACTIVE, &i));
    blocker_open(&blocker);
    finish(pool, 2, "ib");
}
END_TEST

/* Tiles are noted as digits; in the one that `at` names, the prompt comes in. */
struct tiles {
    struct test_job *job, *prompt;
    size_t at;
};

static void note_tile(void *argument, size_t index, struct worker *worker) {
    struct tiles *tiles = argument;
    (void)worker;
    journal_note(&journal, (char)('0' + index));
    if (tiles->prompt && index == tiles->at)
        ck_assert(submit(tiles->job->pool, LANE_INTERACTIVE, tiles->prompt));
}

static void run_five_tiles(struct test_job *job, struct worker *worker) {
    struct tiles tiles = {job, job->argument, 2};
    worker_parallel_for(worker, 5, note_tile, &tiles);
    journal_note(&journal, '.');
    gate_add(job->ended, 1);
}

START_TEST(a_prompt_waits_for_one_tile) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', NULL, NULL), bulk = job_of('b', run_five_tiles, &prompt);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "b012p34.");
}
END_TEST

/* One that cuts its own work into tiles, in its own lane, on the stack of the bulk job. */
START_TEST(a_prompt_with_tiles_runs_within_a_bulk_job) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', run_five_tiles, NULL),
                    bulk = job_of('b', run_five_tiles, &prompt);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "b012p01234.34.");
}
END_TEST

/* A long tile that yields after each of its parts: the prompt comes in with one of them. */
static void run_five_parts(void *argument, size_t index, struct worker *worker) {
    struct tiles *tiles = argument;
    for (size_t part = 0; index == tiles->at && part < 5; part++) {
        note_tile(argument, part, worker);
        worker_yield(worker);
    }
    journal_note(&journal, ',');
}

static void run_long_tiles(struct test_job *job, struct worker *worker) {
    struct tiles tiles = {job, job->argument, 1};
    worker_parallel_for(worker, 3, run_five_parts, &tiles);
    journal_note(&journal, '.');
    gate_add(job->ended, 1);
}

START_TEST(a_prompt_waits_for_a_part_of_a_tile_that_yields) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', run_five_tiles, NULL),
                    bulk = job_of('b', run_long_tiles, &prompt);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "b,01p01234.234,,.");
}
END_TEST

/* Two workers: the one that drives the bulk job waits in its tile; the other, in a tile of that job
 * and driving nothing, takes the prompt when it yields. */
struct split {
    struct test_job *prompt;
    struct gate in_both, prompt_ran;
    struct worker *driver;
};

static void run_split_tile(void *argument, size_t index, struct worker *worker) {
    struct split *split = argument;
    (void)index;
    gate_add(&split->in_both, 1);
    gate_wait(&split->in_both, 2);
    if (worker != split->driver) {
        ck_assert(submit(split->prompt->pool, LANE_INTERACTIVE, split->prompt));
        worker_yield(worker);
    }
    gate_wait(&split->prompt_ran, 1);
}

static void run_split(struct test_job *job, struct worker *worker) {
    struct split *split = job->argument;
    split->driver = worker;
    worker_parallel_for(worker, 2, run_split_tile, split);
    gate_add(job->ended, 1);
}

static void open_split(struct test_job *job, struct worker *worker) {
    struct split *split = job->argument;
    ck_assert_ptr_ne(worker, split->driver);
    gate_add(&split->prompt_ran, 1);
    gate_add(job->ended, 1);
}

START_TEST(a_tile_of_another_workers_job_is_interrupted_too) {
    struct pool *pool = make_pool(2, 0);
    struct split split = {NULL, GATE_INITIALIZER, GATE_INITIALIZER, NULL};
    struct test_job prompt = job_of('p', open_split, &split), bulk = job_of('b', run_split, &split);
    prompt.pool = pool;
    split.prompt = &prompt;
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "bp");
}
END_TEST

START_TEST(an_interactive_job_is_not_interrupted) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', NULL, NULL), first = job_of('i', run_five_tiles, &prompt);
    ck_assert(submit(pool, LANE_INTERACTIVE, &first));
    finish(pool, 2, "i01234.p");
}
END_TEST

/* ---- tiles before jobs ------------------------------------------------------------------- */

/* The first of two tiles holds its worker until the other worker has chosen. */
struct pair {
    struct gate first_taken, chosen;
};

static void run_pair_tile(void *argument, size_t index, struct worker *worker) {
    struct pair *pair = argument;
    (void)worker;
    if (index == 0) {
        gate_add(&pair->first_taken, 1);
        gate_wait(&pair->chosen, 1);
    } else {
        journal_note(&journal, 't');
        gate_add(&pair->chosen, 1);
    }
}

static void run_pair(struct test_job *job, struct worker *worker) {
    worker_parallel_for(worker, 2, run_pair_tile, job->argument);
    gate_add(job->ended, 1);
}

static void note_choice(struct test_job *job, struct worker *worker) {
    struct pair *pair = job->argument;
    (void)worker;
    gate_add(&pair->chosen, 1);
    gate_add(job->ended, 1);
}

/* Two workers: one drives the pair, the other is free when the blocker opens. */
static void check_choice(enum lane pair_lane, enum lane job_lane, const char *expected) {
    struct pool *pool = make_pool(2, 0);
    struct blocker blocker;
    struct pair pair = {GATE_INITIALIZER, GATE_INITIALIZER};
    struct test_job pair_job = job_of('2', run_pair, &pair),
                    other = job_of('j', note_choice, &pair);
    blocker_start(&blocker, pool, LANE_BULK); /* which earns its lane no turn */
    ck_assert(submit(pool, pair_lane, &pair_job));
    gate_wait(&pair.first_taken, 1);
    ck_assert(submit(pool, job_lane, &other));
    blocker_open(&blocker);
    finish(pool, 2, expected);
}

START_TEST(tiles_go_before_jobs_of_the_same_lane) {
    check_choice(LANE_INTERACTIVE, LANE_INTERACTIVE, "2tj");
}
END_TEST

START_TEST(bulk_tiles_go_before_bulk_jobs) {
    check_choice(LANE_BULK, LANE_BULK, "2tj");
}
END_TEST

START_TEST(interactive_jobs_go_before_bulk_tiles) {
    check_choice(LANE_BULK, LANE_INTERACTIVE, "2jt");
}
END_TEST

/* ---- yielding ---------------------------------------------------------------------------- */

static void yield_around_a_prompt(struct test_job *job, struct worker *worker) {
    worker_yield(worker); /* nothing to do */
    journal_note(&journal, '1');
    ck_assert(submit(job->pool, LANE_INTERACTIVE, job->argument));
    journal_note(&journal, '2');
    worker_yield(worker);
    journal_note(&journal, '3');
    worker_yield(worker);
    gate_add(job->ended, 1);
}

START_TEST(a_bulk_job_that_yields_serves_a_prompt) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', run_five_tiles, NULL),
                    bulk = job_of('b', yield_around_a_prompt, &prompt);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "b12p01234.3");
}
END_TEST

START_TEST(an_interactive_job_that_yields_goes_on) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompt = job_of('p', NULL, NULL),
                    first = job_of('i', yield_around_a_prompt, &prompt);
    ck_assert(submit(pool, LANE_INTERACTIVE, &first));
    finish(pool, 2, "i123p");
}
END_TEST

/* ---- requeueing -------------------------------------------------------------------------- */

struct rounds {
    int left;
};

static void run_round(struct test_job *job, struct worker *worker) {
    struct rounds *rounds = job->argument;
    if (--rounds->left > 0)
        ck_assert(worker_requeue(worker, &job->job)); /* the last use of job */
    else
        gate_add(job->ended, 1);
}

/* The queue holds three only, and their deadline passes after the first round. */
START_TEST(requeued_jobs_take_turns) {
    struct pool_options options = {.workers = 1, .queue_limit = {3, 3}};
    struct pool *pool;
    struct blocker blocker;
    struct rounds rounds[3] = {{3}, {1}, {4}};
    struct test_job jobs[3];
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    blocker_start(&blocker, pool, (enum lane)_i);
    for (int i = 0; i < 3; i++) {
        jobs[i] = job_of((char)('a' + i), run_round, &rounds[i]);
        ck_assert(submit(pool, (enum lane)_i, &jobs[i]));
    }
    blocker_open(&blocker);
    finish(pool, 3, "abcacacc");
}
END_TEST

/* Requeues itself behind a full queue, after which no deadline holds. */
static void requeue_behind_others(struct test_job *job, struct worker *worker) {
    struct test_job *others = job->argument;
    if (!others) {
        gate_add(job->ended, 1);
        return;
    }
    job->argument = NULL;
    ck_assert(submit(job->pool, LANE_BULK, &others[0]));
    ck_assert(!submit(job->pool, LANE_BULK, &others[1]));
    struct pool *pool = job->pool;
    ck_assert(worker_requeue(worker, &job->job));
    pool_expire(pool, INT64_MAX);
}

START_TEST(limits_and_deadlines_hold_for_new_jobs_only) {
    struct pool_options options = {.workers = 1, .queue_limit = {1, 1}};
    struct pool *pool;
    struct test_job others[2] = {job_of('x', NULL, NULL), job_of('y', NULL, NULL)};
    struct test_job job = job_of('r', requeue_behind_others, others);
    job.job.deadline_ns = INT64_MAX;
    others[0].job.deadline_ns = INT64_MAX;
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    ck_assert(submit(pool, LANE_BULK, &job));
    finish(pool, 2, "r!xr");
}
END_TEST

/* ---- giving way -------------------------------------------------------------------------- */

static void give_way(struct test_job *job, struct worker *worker) {
    struct test_job *others = job->argument;
    ck_assert(!worker_is_awaited(worker));
    worker_give_way(worker);
    for (int i = 0; i < 3; i++)
        ck_assert(submit(job->pool, LANE_BULK, &others[i]));
    ck_assert(submit(job->pool, LANE_INTERACTIVE, &others[3]));
    for (char note = '1'; note <= '4'; note++) {
        journal_note(&journal, note);
        ck_assert_int_eq(worker_is_awaited(worker), note < '3');
        worker_give_way(worker);
        worker_yield(worker);
    }
    gate_add(job->ended, 1);
}

/* Only to jobs that do not do so themselves, one at a time, although one runs at a time. */
START_TEST(a_long_job_gives_way_to_short_ones) {
    struct pool_options options = {
        .workers = 1, .queue_limit = {9, 9}, .running_limit = {[LANE_BULK] = 1}};
    struct pool *pool;
    struct test_job others[4] = {job_of('m', NULL, NULL), job_of('s', NULL, NULL),
                                 job_of('t', NULL, NULL), job_of('p', NULL, NULL)};
    struct test_job job = job_of('l', give_way, others);
    job.job.gives_way = others[0].job.gives_way = true;
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    ck_assert(submit(pool, LANE_BULK, &job));
    finish(pool, 5, "l1sp2t34m");
}
END_TEST

/* A job that has left the queue by its deadline is not awaited any more; the queue stays whole. */
START_TEST(nobody_gives_way_to_what_has_expired) {
    struct pool_options options = {.workers = 1, .queue_limit = {9, 9}};
    struct pool *pool;
    struct blocker blocker;
    struct test_job late = job_of('x', NULL, NULL), other = job_of('o', give_way, NULL);
    struct test_job others[4] = {job_of('m', NULL, NULL), job_of('s', NULL, NULL),
                                 job_of('t', NULL, NULL), job_of('p', NULL, NULL)};
    late.job.deadline_ns = 1;
    other.argument = others;
    others[0].job.gives_way = other.job.gives_way = true;
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    blocker_start(&blocker, pool, LANE_BULK);
    ck_assert(submit(pool, LANE_BULK, &other));
    ck_assert(submit(pool, LANE_BULK, &late));
    pool_expire(pool, 2);
    blocker_open(&blocker);
    finish(pool, 6, "!xo1sp2t34m");
}
END_TEST

/* ---- how many at once -------------------------------------------------------------------- */

struct crowd {
    struct gate inside;
    atomic_int now, most;
    int wait_for;
};

static void enter(struct test_job *job, struct worker *worker) {
    struct crowd *crowd = job->argument;
    int now = atomic_fetch_add(&crowd->now, 1) + 1, most = atomic_load(&crowd->most);
    while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
        continue;
    worker_yield(worker);
    gate_add(&crowd->inside, 1);
    gate_wait(&crowd->inside, crowd->wait_for);
    atomic_fetch_sub(&crowd->now, 1);
    gate_add(job->ended, 1);
}

static int most_at_once(int workers, int limit, int wait_for) {
    enum { JOBS = 12 };
    struct pool_options options = {
        .workers = workers, .queue_limit = {JOBS, JOBS}, .running_limit = {0, limit}};
    struct pool *pool;
    struct crowd crowd = {.inside = GATE_INITIALIZER, .wait_for = wait_for};
    struct test_job jobs[JOBS];
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = test_job('c', NULL, &ended);
        jobs[i].body = enter;
        jobs[i].argument = &crowd;
        ck_assert(submit(pool, LANE_BULK, &jobs[i]));
    }
    gate_wait(&ended, JOBS);
    pool_free(pool);
    ended.count = 0;
    return atomic_load(&crowd.most);
}

START_TEST(running_limits_hold) {
    ck_assert_int_eq(most_at_once(4, 1, 1), 1);
    ck_assert_int_eq(most_at_once(4, 2, 2), 2); /* and are used up */
    ck_assert_int_eq(most_at_once(4, 0, 4), 4);
    ck_assert_int_eq(most_at_once(4, 9, 4), 4);
    ck_assert_int_eq(most_at_once(1, 0, 1), 1);
}
END_TEST

Suite *parallel_lanes_suite(void) {
    Suite *suite = suite_create("parallel_lanes");
    TCase *cases = tcase_create("lanes");
    tcase_set_tags(cases, "concurrency");
    tcase_add_checked_fixture(cases, journal_begin, NULL);
    tcase_add_test(cases, interactive_jobs_overtake_bulk_jobs);
    tcase_add_test(cases, a_prompt_waits_for_one_tile);
    tcase_add_test(cases, a_prompt_with_tiles_runs_within_a_bulk_job);
    tcase_add_test(cases, a_prompt_waits_for_a_part_of_a_tile_that_yields);
    tcase_add_test(cases, a_tile_of_another_workers_job_is_interrupted_too);
    tcase_add_test(cases, an_interactive_job_is_not_interrupted);
    tcase_add_test(cases, tiles_go_before_jobs_of_the_same_lane);
    tcase_add_test(cases, bulk_tiles_go_before_bulk_jobs);
    tcase_add_test(cases, interactive_jobs_go_before_bulk_tiles);
    tcase_add_test(cases, a_bulk_job_that_yields_serves_a_prompt);
    tcase_add_test(cases, an_interactive_job_that_yields_goes_on);
    tcase_add_loop_test(cases, requeued_jobs_take_turns, 0, LANE_COUNT);
    tcase_add_test(cases, limits_and_deadlines_hold_for_new_jobs_only);
    tcase_add_test(cases, a_long_job_gives_way_to_short_ones);
    tcase_add_test(cases, nobody_gives_way_to_what_has_expired);
    tcase_add_test(cases, running_limits_hold);
    suite_add_tcase(suite, cases);
    return suite;
}
