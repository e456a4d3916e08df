/* How the lanes share the workers. */
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/engine/journal_fixture.h"
#include "tests/unit/suites.h"

/* ---- a flood ----------------------------------------------------------------------------- */

/* Prompts that come back as soon as they were served. They end by themselves only after a great
 * many rounds; bulk work must have ended long before. */

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

/* ---- shares ------------------------------------------------------------------------------ */

/* Long prompts, short bulk tiles; the time of each lane, until the bulk lane has had its fill. */
enum { PROMPT_NS = 20000000, BULK_NS = 200000000 };

struct shares {
    struct test_job prompts[2 * FLOOD_JOBS], bulk;
    struct gate ended;
    atomic_llong had[LANE_COUNT];
    atomic_bool over;
};

static void take(struct shares *shares, enum lane lane, int64_t span_ns) {
    int64_t start = clock_now_ns(), now = start;
    while (now - start < span_ns)
        now = clock_now_ns();
    if (!atomic_load(&shares->over))
        atomic_fetch_add(&shares->had[lane], now - start);
}

static void take_prompt(struct test_job *job, struct worker *worker) {
    struct shares *shares = job->argument;
    take(shares, LANE_INTERACTIVE, PROMPT_NS);
    if (atomic_load(&shares->over) || !worker_requeue(worker, &job->job))
        gate_add(&shares->ended, 1);
}

static void take_tile(void *argument, size_t index, struct worker *worker) {
    (void)index, (void)worker;
    take(argument, LANE_BULK, 200000);
}

static void take_bulk(struct test_job *job, struct worker *worker) {
    struct shares *shares = job->argument;
    while (atomic_load(&shares->had[LANE_BULK]) < BULK_NS)
        worker_parallel_for(worker, 256, take_tile, shares);
    atomic_store(&shares->over, true);
    gate_add(&shares->ended, 1);
}

START_TEST(a_flood_of_long_prompts_leaves_bulk_work_its_share) {
    static struct shares shares; /* jobs outlive the check */
    shares = (struct shares){.ended = GATE_INITIALIZER};
    struct pool *pool = make_pool(_i, 0);
    for (int i = 0; i < 2 * FLOOD_JOBS; i++) {
        shares.prompts[i] = test_job('p', NULL, NULL);
        shares.prompts[i].body = take_prompt;
        shares.prompts[i].argument = &shares;
        ck_assert(submit(pool, LANE_INTERACTIVE, &shares.prompts[i]));
    }
    shares.bulk = test_job('b', NULL, NULL);
    shares.bulk.body = take_bulk;
    shares.bulk.argument = &shares;
    ck_assert(submit(pool, LANE_BULK, &shares.bulk));
    gate_wait(&shares.ended, 2 * FLOOD_JOBS + 1);
    pool_free(pool);
    double bulk = (double)shares.had[LANE_BULK], prompts = (double)shares.had[LANE_INTERACTIVE];
    double share = bulk / (bulk + prompts);
    ck_assert_msg(share > 0.3 && share < 0.7, "bulk work had %.2f of the time", share);
}
END_TEST

/* ---- turns ------------------------------------------------------------------------------- */

enum { LONG_US = 20000 }; /* against what a busy machine adds to the time of doing nothing */

static void sleep_long(struct test_job *job, struct worker *worker) {
    (void)worker;
    usleep(LONG_US);
    gate_add(job->ended, 1);
}

/* Its tiles are noted as digits; during the second, two prompts come. */
struct visited {
    struct test_job *prompts;
    struct pool *pool;
    unsigned tile_us;
};

static void visited_tile(void *argument, size_t index, struct worker *worker) {
    struct visited *visited = argument;
    (void)worker;
    usleep(visited->tile_us);
    journal_note(&journal, (char)('0' + index));
    for (size_t i = 0; index == 1 && i < 2; i++)
        ck_assert(submit(visited->pool, LANE_INTERACTIVE, &visited->prompts[i]));
}

static void run_visited(struct test_job *job, struct worker *worker) {
    worker_parallel_for(worker, 4, visited_tile, job->argument);
    gate_add(job->ended, 1);
}

START_TEST(bulk_work_alone_saves_time_up_for_prompts) {
    struct pool *pool = make_pool(1, 0);
    struct test_job prompts[] = {job_of('p', NULL, NULL), job_of('q', NULL, NULL)};
    struct visited visited = {prompts, pool, LONG_US};
    struct test_job bulk = job_of('b', run_visited, &visited);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 3, "b01pq23");
}
END_TEST

/* It fell behind, but then wanted nothing any more. */
START_TEST(bulk_work_that_has_ended_is_owed_nothing) {
    struct pool *pool = make_pool(1, 0);
    struct blocker blocker;
    struct test_job prompts[] = {job_of('p', NULL, NULL), job_of('q', NULL, NULL)};
    struct visited visited = {prompts, pool, 0};
    struct test_job first = job_of('a', NULL, NULL), bulk = job_of('b', run_visited, &visited);
    blocker_start(&blocker, pool, LANE_INTERACTIVE);
    ck_assert(submit(pool, LANE_BULK, &first));
    usleep(LONG_US);
    blocker_open(&blocker);
    gate_wait(&ended, 1);
    while (pool_lane_state(pool, LANE_BULK).running > 0)
        usleep(100);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 4, "ab01pq23");
}
END_TEST

/* The first of two tiles holds its worker until the test opens it. */
struct two_tiles {
    struct gate first_taken, open;
};

static void hold_first_tile(void *argument, size_t index, struct worker *worker) {
    struct two_tiles *two = argument;
    (void)worker;
    if (index == 0) {
        gate_add(&two->first_taken, 1);
        gate_wait(&two->open, 1);
    } else {
        journal_note(&journal, 't');
    }
}

static void run_two_tiles(struct test_job *job, struct worker *worker) {
    worker_parallel_for(worker, 2, hold_first_tile, job->argument);
    gate_add(job->ended, 1);
}

/* Both workers served prompts while bulk work waited. It gets the first that is free. */
START_TEST(a_click_finds_a_worker_when_bulk_work_is_behind) {
    struct pool *pool = make_pool(2, 0);
    struct blocker first, second;
    struct two_tiles two = {GATE_INITIALIZER, GATE_INITIALIZER};
    struct test_job click = job_of('p', NULL, NULL), bulk = job_of('b', run_two_tiles, &two);
    blocker_start(&first, pool, LANE_INTERACTIVE);
    blocker_start(&second, pool, LANE_INTERACTIVE);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    ck_assert(submit(pool, LANE_INTERACTIVE, &click));
    usleep(LONG_US);
    blocker_open(&first);
    gate_wait(&two.first_taken, 1);
    blocker_open(&second);
    gate_wait(&ended, 1);
    gate_add(&two.open, 1);
    finish(pool, 2, "bpt");
}
END_TEST

/* A click comes while one worker drives a bulk job and the other has a tile of it, until the first
 * goes on with the next tile. */
struct called {
    struct test_job *click;
    struct pool *pool;
    struct worker *driver;
    struct gate taken, went_on;
    bool came;
};

static void call_click(void *argument, size_t index, struct worker *worker) {
    struct called *called = argument;
    (void)index;
    if (worker != called->driver) {
        gate_add(&called->taken, 1);
        gate_wait(&called->went_on, 1);
    } else if (!called->came) {
        called->came = true;
        gate_wait(&called->taken, 1);
        ck_assert(submit(called->pool, LANE_INTERACTIVE, called->click));
    } else {
        journal_note(&journal, 't');
        gate_add(&called->went_on, 1);
    }
}

static void run_called(struct test_job *job, struct worker *worker) {
    struct called *called = job->argument;
    called->driver = worker;
    worker_parallel_for(worker, 3, call_click, called);
    gate_add(job->ended, 1);
}

START_TEST(a_click_goes_to_a_worker_that_drives_nothing) {
    struct pool *pool = make_pool(2, 0);
    struct test_job click = job_of('p', NULL, NULL);
    struct called called = {
        .click = &click, .pool = pool, .taken = GATE_INITIALIZER, .went_on = GATE_INITIALIZER};
    struct test_job bulk = job_of('b', run_called, &called);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "btp");
}
END_TEST

/* As above, but the other worker is held in its tile until the click was served. */
static void hold_until_served(void *argument, size_t index, struct worker *worker) {
    struct called *called = argument;
    (void)index;
    if (worker != called->driver) {
        gate_add(&called->taken, 1);
        gate_wait(&ended, 1);
    } else if (!called->came) {
        called->came = true;
        gate_wait(&called->taken, 1);
        ck_assert(submit(called->pool, LANE_INTERACTIVE, called->click));
    } else {
        usleep(100);
    }
}

static void run_until_served(struct test_job *job, struct worker *worker) {
    struct called *called = job->argument;
    called->driver = worker;
    worker_parallel_for(worker, 1000, hold_until_served, called);
    gate_add(job->ended, 1);
}

START_TEST(a_click_is_not_left_to_a_worker_that_does_not_come) {
    struct pool *pool = make_pool(2, 0);
    struct test_job click = job_of('p', NULL, NULL);
    struct called called = {.click = &click, .pool = pool, .taken = GATE_INITIALIZER};
    struct test_job bulk = job_of('b', run_until_served, &called);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    finish(pool, 2, "bp");
}
END_TEST

/* One upload runs, and wants no more than its worker; another is queued behind it. The prompts that
 * the other workers serve meanwhile cost neither anything. */
static void hold_then_two_tiles(struct test_job *job, struct worker *worker) {
    struct two_tiles *two = job->argument;
    gate_add(&two->first_taken, 1);
    gate_wait(&two->open, 1);
    run_two_tiles(job, worker);
}

START_TEST(bulk_work_behind_the_running_limit_does_not_wait) {
    enum { WORKERS = 4, OTHERS = WORKERS - 1 };
    struct pool_options options = {
        .workers = WORKERS, .queue_limit = {9, 9}, .running_limit = {0, 1}};
    struct pool *pool;
    struct blocker blockers[OTHERS];
    struct test_job prompts[OTHERS];
    struct two_tiles two = {GATE_INITIALIZER, GATE_INITIALIZER};
    struct test_job bulk = job_of('b', hold_then_two_tiles, &two), next = job_of('n', NULL, NULL);
    struct test_job click = job_of('p', NULL, NULL);
    ck_assert_int_eq(pool_create(&options, &pool, NULL), STATUS_OK);
    ck_assert(submit(pool, LANE_BULK, &bulk));
    gate_wait(&two.first_taken, 1);
    ck_assert(submit(pool, LANE_BULK, &next));
    for (int i = 0; i < OTHERS; i++) {
        prompts[i] = test_job('-', NULL, &ended);
        prompts[i].body = sleep_long;
        ck_assert(submit(pool, LANE_INTERACTIVE, &prompts[i]));
    }
    gate_wait(&ended, OTHERS);
    for (int i = 0; i < OTHERS; i++)
        blocker_start(&blockers[i], pool, LANE_INTERACTIVE);
    ck_assert(submit(pool, LANE_INTERACTIVE, &click));
    gate_add(&two.open, 1);
    gate_wait(&ended, OTHERS + 3);
    for (int i = 0; i < OTHERS; i++)
        blocker_open(&blockers[i]);
    finish(pool, OTHERS + 3, "bptn");
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
    TCase *shares = tcase_create("shares");
    tcase_set_tags(shares, "concurrency");
    tcase_set_timeout(shares, 60);
    tcase_add_loop_test(shares, a_flood_of_long_prompts_leaves_bulk_work_its_share, 1, 5);
    suite_add_tcase(suite, shares);
    TCase *turns = tcase_create("turns");
    tcase_set_tags(turns, "concurrency");
    tcase_add_checked_fixture(turns, journal_begin, NULL);
    tcase_add_test(turns, bulk_work_alone_saves_time_up_for_prompts);
    tcase_add_test(turns, bulk_work_that_has_ended_is_owed_nothing);
    tcase_add_test(turns, a_click_finds_a_worker_when_bulk_work_is_behind);
    tcase_add_test(turns, a_click_goes_to_a_worker_that_drives_nothing);
    tcase_add_test(turns, a_click_is_not_left_to_a_worker_that_does_not_come);
    tcase_add_test(turns, bulk_work_behind_the_running_limit_does_not_wait);
    suite_add_tcase(suite, turns);
    return suite;
}
