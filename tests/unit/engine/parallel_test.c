/* The pool of workers: tiles, queues and their limits, deadlines, the end, scratch memory. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/suites.h"

/* ---- tiles ------------------------------------------------------------------------------- */

/* Not atomic: a tile that ran twice at once, or after worker_parallel_for returned, is a race that
 * ThreadSanitizer sees. */
struct counted_tiles {
    struct worker *caller;
    int runs[1000];
};

static void count_tile(void *argument, size_t index, struct worker *worker) {
    struct counted_tiles *tiles = argument;
    ck_assert_ptr_nonnull(worker);
    tiles->runs[index]++;
}

static void check_tiles(struct test_job *job, struct worker *worker) {
    static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 100, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct counted_tiles tiles = {0};
        worker_parallel_for(worker, counts[i], count_tile, &tiles);
        for (size_t j = 0; j < 1000; j++)
            if (tiles.runs[j] != (j < counts[i]))
                ck_abort_msg("tile %zu of %zu ran %d times", j, counts[i], tiles.runs[j]);
    }
    gate_add(job->ended, 1);
}

START_TEST(every_tile_runs_exactly_once) {
    enum { JOBS = 5 };
    struct pool *pool = make_pool(_i, 0);
    struct gate ended = GATE_INITIALIZER;
    struct test_job jobs[LANE_COUNT][JOBS];
    ck_assert_int_eq(pool_workers(pool), _i);
    for (int i = 0; i < JOBS; i++) {
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            jobs[lane][i] = test_job('t', NULL, &ended);
            jobs[lane][i].body = check_tiles;
            ck_assert(submit(pool, (enum lane)lane, &jobs[lane][i]));
        }
    }
    gate_wait(&ended, LANE_COUNT * JOBS);
    pool_free(pool);
}
END_TEST

/* Each tile waits until there are as many as workers: they must all be taken at the same time. */
struct meeting {
    struct gate arrived;
    int workers;
    struct worker *who[8];
    char *scratch[8];
};

static void meet(void *argument, size_t index, struct worker *worker) {
    struct meeting *meeting = argument;
    meeting->who[index] = worker;
    meeting->scratch[index] = worker_scratch(worker);
    gate_add(&meeting->arrived, 1);
    gate_wait(&meeting->arrived, meeting->workers);
}

static void run_meeting(struct test_job *job, struct worker *worker) {
    struct meeting *meeting = job->argument;
    worker_parallel_for(worker, (size_t)meeting->workers, meet, meeting);
    gate_add(job->ended, 1);
}

START_TEST(idle_workers_take_tiles_with_scratch_of_their_own) {
    enum { SCRATCH = 5000 };
    struct pool *pool = make_pool(_i, SCRATCH);
    struct gate ended = GATE_INITIALIZER;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct meeting meeting = {.arrived = GATE_INITIALIZER, .workers = _i};
        struct test_job job = test_job('m', NULL, &ended);
        job.body = run_meeting;
        job.argument = &meeting;
        ck_assert(submit(pool, (enum lane)lane, &job));
        gate_wait(&ended, lane + 1);
        for (int i = 0; i < _i; i++) {
            ck_assert_uint_eq((uintptr_t)meeting.scratch[i] % 64, 0);
            memset(meeting.scratch[i], i, SCRATCH);
            for (int j = 0; j < i; j++) {
                ck_assert_ptr_ne(meeting.who[i], meeting.who[j]);
                ck_assert(labs(meeting.scratch[i] - meeting.scratch[j]) >= SCRATCH);
            }
        }
    }
    pool_free(pool);
}
END_TEST

/* ---- queues ------------------------------------------------------------------------------ */

static struct pool *pool; /* one worker, that a blocker keeps busy; three may wait in a lane */
static struct blocker blocker;
static struct journal journal;
static struct gate ended;

static void set_up(void) {
    struct pool_options options = {.workers = 1, .queue_limit = {3, 2}};
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    journal = (struct journal)JOURNAL_INITIALIZER;
    ended = (struct gate)GATE_INITIALIZER;
    blocker_start(&blocker, pool, LANE_BULK); /* which earns its lane no turn */
}

/* Lets all that waits run, ends the pool, and checks what happened. */
static void finish(int jobs, const char *expected) {
    blocker_open(&blocker);
    gate_wait(&ended, jobs);
    pool_free(pool);
    ck_assert_str_eq(journal.text, expected);
}

START_TEST(jobs_run_first_in_first_out) {
    struct test_job a = test_job('a', &journal, &ended), b = test_job('b', &journal, &ended);
    struct test_job c = test_job('c', &journal, &ended);
    enum lane lane = (enum lane)_i;
    int64_t before = clock_now_ns();
    ck_assert(submit(pool, lane, &b));
    ck_assert(submit(pool, lane, &a));
    ck_assert(lane == LANE_BULK || submit(pool, lane, &c));
    ck_assert(before <= b.job.queued_ns && b.job.queued_ns <= a.job.queued_ns &&
              a.job.queued_ns <= clock_now_ns());
    finish(lane == LANE_BULK ? 2 : 3, lane == LANE_BULK ? "ba" : "bac");
}
END_TEST

START_TEST(a_full_lane_refuses) {
    struct test_job jobs[6];
    for (int i = 0; i < 6; i++)
        jobs[i] = test_job((char)('a' + i), &journal, &ended);
    for (int i = 0; i < 3; i++)
        ck_assert(submit(pool, LANE_INTERACTIVE, &jobs[i]));
    ck_assert(!submit(pool, LANE_INTERACTIVE, &jobs[3]));
    ck_assert(submit(pool, LANE_BULK, &jobs[4])); /* the other lane has room of its own */
    ck_assert(submit(pool, LANE_BULK, &jobs[5]));
    ck_assert(!submit(pool, LANE_BULK, &jobs[3]));
    struct lane_state prompts = pool_lane_state(pool, LANE_INTERACTIVE);
    struct lane_state uploads = pool_lane_state(pool, LANE_BULK);
    ck_assert_uint_eq(prompts.queued, 3);
    ck_assert_uint_eq(prompts.running, 0);
    ck_assert_uint_eq(uploads.queued, 2);
    ck_assert_uint_eq(uploads.running, 1);
    blocker_open(&blocker);
    gate_wait(&ended, 5);
    ck_assert(submit(pool, LANE_INTERACTIVE, &jobs[3])); /* there is room again */
    gate_wait(&ended, 6);
    pool_free(pool);
    ck_assert_uint_eq(strlen(journal.text), 6);
    ck_assert_int_eq(journal.text[5], 'd');
    ck_assert_ptr_null(strchr(journal.text, '!'));
}
END_TEST

START_TEST(deadlines_expire_what_is_queued) {
    struct test_job a = test_job('a', &journal, &ended), b = test_job('b', &journal, &ended);
    struct test_job c = test_job('c', &journal, &ended), d = test_job('d', &journal, &ended);
    struct test_job e = test_job('e', &journal, &ended);
    a.job.deadline_ns = 100;
    b.job.deadline_ns = 0; /* none */
    c.job.deadline_ns = 99;
    d.job.deadline_ns = 101;
    e.job.deadline_ns = 100;
    ck_assert(submit(pool, LANE_INTERACTIVE, &a));
    ck_assert(submit(pool, LANE_INTERACTIVE, &b));
    ck_assert(submit(pool, LANE_INTERACTIVE, &c));
    ck_assert(submit(pool, LANE_BULK, &d));
    ck_assert(submit(pool, LANE_BULK, &e));
    pool_expire(pool, 98);
    ck_assert_str_eq(journal.text, "");
    pool_expire(pool, 100);
    ck_assert_str_eq(journal.text, "!a!c!e");
    ck_assert_uint_eq(pool_lane_state(pool, LANE_INTERACTIVE).queued, 1);
    ck_assert_uint_eq(pool_lane_state(pool, LANE_BULK).queued, 1);
    pool_expire(pool, 100);
    /* The queues are whole: what comes now comes last. */
    a.job.deadline_ns = e.job.deadline_ns = 0;
    ck_assert(submit(pool, LANE_INTERACTIVE, &a));
    ck_assert(submit(pool, LANE_BULK, &e));
    blocker_open(&blocker);
    gate_wait(&ended, 7);
    pool_free(pool);
    ck_assert_uint_eq(strlen(journal.text), 10);
    ck_assert_ptr_nonnull(strchr(strchr(journal.text + 6, 'b'), 'a'));
    ck_assert_ptr_nonnull(strchr(strchr(journal.text + 6, 'd'), 'e'));
}
END_TEST

static bool is_upper(const struct pool_job *job) {
    char name = ((const struct test_job *)job)->name;
    return name >= 'A' && name <= 'Z';
}

/* But not the last one of a lane: nobody waits behind it. */
START_TEST(what_is_abandoned_expires_while_others_wait) {
    struct test_job jobs[] = {test_job('A', &journal, &ended), test_job('b', &journal, &ended),
                              test_job('C', &journal, &ended), test_job('D', &journal, &ended)};
    for (size_t i = 0; i < 4; i++)
        jobs[i].job.abandoned = is_upper;
    jobs[1].job.abandoned = NULL;
    for (size_t i = 0; i < 3; i++)
        ck_assert(submit(pool, LANE_INTERACTIVE, &jobs[i]));
    ck_assert(submit(pool, LANE_BULK, &jobs[3]));
    pool_expire(pool, 1);
    ck_assert_str_eq(journal.text, "!A!C");
    blocker_open(&blocker);
    gate_wait(&ended, 4);
    pool_free(pool);
    ck_assert_uint_eq(strlen(journal.text), 6); /* b and D ran */
}
END_TEST

START_TEST(an_emptied_lane_takes_jobs_again) {
    struct test_job a = test_job('a', &journal, &ended), b = test_job('b', &journal, &ended);
    a.job.deadline_ns = 1;
    ck_assert(submit(pool, LANE_INTERACTIVE, &a));
    pool_expire(pool, 1);
    ck_assert(submit(pool, LANE_INTERACTIVE, &b));
    finish(2, "!ab");
}
END_TEST

/* ---- the end ----------------------------------------------------------------------------- */

/* The last of two that expire lets the running job end; the closing pool takes nothing more. */
static void expire_last(struct pool_job *pool_job) {
    struct test_job *job = (struct test_job *)pool_job;
    journal_note(&journal, '!');
    journal_note(&journal, job->name);
    if (submit(job->pool, LANE_INTERACTIVE, job))
        journal_note(&journal, '?');
    gate_add(job->argument, 1);
}

static void end_after_expiry(struct test_job *job, struct worker *worker) {
    gate_add(job->ended, 1); /* it runs */
    gate_wait(job->argument, 1);
    if (worker_requeue(worker, &job->job))
        journal_note(&journal, '?');
    for (int i = 0; i < 1000; i++)
        sched_yield();
    journal_note(&journal, 'e');
}

START_TEST(the_end_expires_what_waits_and_waits_for_what_runs) {
    struct gate runs = GATE_INITIALIZER, open = GATE_INITIALIZER;
    struct pool *one = make_pool(1, 0);
    journal = (struct journal)JOURNAL_INITIALIZER;
    struct test_job running = test_job('r', &journal, &runs), a = test_job('a', &journal, NULL);
    struct test_job b = test_job('b', &journal, NULL);
    running.body = end_after_expiry;
    running.argument = b.argument = &open;
    b.job.expire = expire_last;
    ck_assert(submit(one, LANE_BULK, &running));
    gate_wait(&runs, 1);
    ck_assert(submit(one, LANE_INTERACTIVE, &a));
    ck_assert(submit(one, LANE_BULK, &b));
    pool_free(one);
    journal_note(&journal, 'f');
    ck_assert_str_eq(journal.text, "r!a!bef");
}
END_TEST

START_TEST(pools_that_did_nothing_or_cannot_be) {
    struct error error = {0};
    struct pool *none;
    pool_free(NULL);
    for (int workers = 1; workers <= 8; workers++)
        pool_free(make_pool(workers, 1));
    struct pool_options options = {.workers = 2, .scratch_bytes = SIZE_MAX / 4};
    ck_assert_int_eq(pool_create(&options, &none, &error), STATUS_NO_MEMORY);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(strstr(error.message, "scratch"));
}
END_TEST

/* ---- returning memory -------------------------------------------------------------------- */

enum { TRIMMED = 100000 };

/* Notes what the scratch holds, then fills it. */
static void look_and_fill(struct test_job *job, struct worker *worker) {
    char *scratch = worker_scratch(worker);
    size_t zeros = 0;
    for (size_t i = 0; i < TRIMMED; i++)
        zeros += scratch[i] == 0;
    journal_note(&journal, zeros == TRIMMED ? 'z' : zeros == 0 ? 'x' : '?');
    memset(scratch, 'x', TRIMMED);
    if (job->argument)
        pool_trim(job->pool); /* not idle: nothing happens */
    journal_note(&journal, scratch[TRIMMED - 1]);
    gate_add(job->ended, 1);
}

static void wait_until_idle(struct pool *of) {
    while (pool_lane_state(of, LANE_INTERACTIVE).running + pool_lane_state(of, LANE_BULK).running)
        sched_yield();
}

START_TEST(scratch_is_trimmed_when_idle) {
    struct pool *one = make_pool(1, TRIMMED);
    struct test_job job = test_job('-', NULL, &ended);
    journal = (struct journal)JOURNAL_INITIALIZER;
    ended = (struct gate)GATE_INITIALIZER;
    for (int i = 0; i < 4; i++) {
        job = test_job('-', NULL, &ended);
        job.body = look_and_fill;
        job.argument = i == 1 ? &job : NULL;
        ck_assert(submit(one, i % 2 ? LANE_BULK : LANE_INTERACTIVE, &job));
        gate_wait(&ended, i + 1);
        wait_until_idle(one);
        if (i == 2)
            pool_trim(one);
    }
    pool_free(one);
    ck_assert_str_eq(journal.text, "zx" /* fresh */ "xx"
                                   "xx"
                                   "zx" /* trimmed */);
}
END_TEST

Suite *parallel_suite(void) {
    Suite *suite = suite_create("parallel");
    TCase *tiles = tcase_create("tiles");
    tcase_set_tags(tiles, "concurrency");
    tcase_set_timeout(tiles, 60);
    tcase_add_loop_test(tiles, every_tile_runs_exactly_once, 1, 9);
    tcase_add_loop_test(tiles, idle_workers_take_tiles_with_scratch_of_their_own, 1, 9);
    suite_add_tcase(suite, tiles);
    TCase *queues = tcase_create("queues");
    tcase_set_tags(queues, "concurrency");
    tcase_add_checked_fixture(queues, set_up, NULL);
    tcase_add_loop_test(queues, jobs_run_first_in_first_out, 0, LANE_COUNT);
    tcase_add_test(queues, a_full_lane_refuses);
    tcase_add_test(queues, deadlines_expire_what_is_queued);
    tcase_add_test(queues, what_is_abandoned_expires_while_others_wait);
    tcase_add_test(queues, an_emptied_lane_takes_jobs_again);
    suite_add_tcase(suite, queues);
    TCase *end = tcase_create("end");
    tcase_set_tags(end, "concurrency");
    tcase_add_test(end, the_end_expires_what_waits_and_waits_for_what_runs);
    tcase_add_test(end, pools_that_did_nothing_or_cannot_be);
    tcase_add_test(end, scratch_is_trimmed_when_idle);
    suite_add_tcase(suite, end);
    return suite;
}
