#include "tests/unit/engine/pool_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/naive.h"

enum { GUARD_BYTES = 4096, GUARD = 0xff }; /* as floats: NaN */

static void check_guard(const char *what, const void *guard) {
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (((const unsigned char *)guard)[i] != GUARD)
            ck_abort_msg("%s was written to, %zu bytes from its start", what, i);
}

/* ---- gates ------------------------------------------------------------------------------- */

void gate_add(struct gate *gate, int change) {
    pthread_mutex_lock(&gate->mutex);
    gate->count += change;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_wait(struct gate *gate, int count) {
    pthread_mutex_lock(&gate->mutex);
    while (gate->count < count)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

/* ---- jobs -------------------------------------------------------------------------------- */

void journal_note(struct journal *journal, char letter) {
    pthread_mutex_lock(&journal->mutex);
    if (journal->size + 1 < sizeof journal->text)
        journal->text[journal->size++] = letter;
    pthread_mutex_unlock(&journal->mutex);
}

static void run_test_job(struct pool_job *pool_job, struct worker *worker) {
    struct test_job *job = (struct test_job *)pool_job;
    if (job->journal)
        journal_note(job->journal, job->name);
    if (job->body)
        job->body(job, worker); /* may give the job away */
    else if (job->ended)
        gate_add(job->ended, 1);
}

static void expire_test_job(struct pool_job *pool_job) {
    struct test_job *job = (struct test_job *)pool_job;
    if (job->journal) {
        journal_note(job->journal, '!');
        journal_note(job->journal, job->name);
    }
    if (job->ended)
        gate_add(job->ended, 1);
}

struct test_job test_job(char name, struct journal *journal, struct gate *ended) {
    return (struct test_job){.job = {.run = run_test_job, .expire = expire_test_job},
                             .name = name,
                             .journal = journal,
                             .ended = ended};
}

bool submit(struct pool *pool, enum lane lane, struct test_job *job) {
    job->pool = pool;
    return pool_submit(pool, lane, &job->job);
}

static void block(struct test_job *job, struct worker *worker) {
    struct blocker *blocker = (struct blocker *)job;
    (void)worker;
    gate_add(&blocker->started, 1);
    gate_wait(&blocker->open, 1);
}

void blocker_start(struct blocker *blocker, struct pool *pool, enum lane lane) {
    *blocker = (struct blocker){
        .job = test_job('-', NULL, NULL), .started = GATE_INITIALIZER, .open = GATE_INITIALIZER};
    blocker->job.body = block;
    ck_assert(submit(pool, lane, &blocker->job));
    gate_wait(&blocker->started, 1);
}

void blocker_open(struct blocker *blocker) {
    gate_add(&blocker->open, 1);
}

/* ---- pools ------------------------------------------------------------------------------- */

struct pool *make_pool(int workers, size_t scratch_bytes) {
    struct pool *pool;
    struct error error = {0};
    struct pool_options options = {
        .workers = workers, .scratch_bytes = scratch_bytes, .queue_limit = {100000, 100000}};
    ck_assert_msg(pool_create(&options, &pool, &error) == STATUS_OK, "%s", error.message);
    return pool;
}

struct one_job {
    struct pool_job job; /* first */
    void (*run)(void *argument, struct worker *worker);
    void *argument;
    size_t scratch_bytes; /* 0: leave it alone */
    struct gate ended;
};

static void run_one(struct pool_job *job, struct worker *worker) {
    struct one_job *one = (struct one_job *)job;
    if (one->scratch_bytes)
        memset(worker_scratch(worker), GUARD, one->scratch_bytes + GUARD_BYTES);
    one->run(one->argument, worker);
    if (one->scratch_bytes)
        check_guard("what follows the scratch",
                    (char *)worker_scratch(worker) + one->scratch_bytes);
    gate_add(&one->ended, 1);
}

void run_on_pool(int workers, size_t scratch_bytes,
                 void (*run)(void *argument, struct worker *worker), void *argument) {
    struct pool *pool = make_pool(workers, scratch_bytes + GUARD_BYTES);
    struct one_job one = {.job.run = run_one,
                          .run = run,
                          .argument = argument,
                          .scratch_bytes = workers == 1 ? scratch_bytes : 0,
                          .ended = GATE_INITIALIZER};
    ck_assert(pool_submit(pool, LANE_INTERACTIVE, &one.job));
    gate_wait(&one.ended, 1);
    pool_free(pool);
}

/* ---- memory ------------------------------------------------------------------------------ */

struct guarded guarded_make(size_t count) {
    size_t bytes = count * sizeof(float);
    char *memory = obtain(bytes + 2 * GUARD_BYTES);
    memset(memory, GUARD, bytes + 2 * GUARD_BYTES);
    return (struct guarded){(float *)(memory + GUARD_BYTES), count};
}

void guarded_free(struct guarded *guarded) {
    char *memory = (char *)guarded->at - GUARD_BYTES;
    check_guard("what precedes the memory", memory);
    check_guard("what follows the memory", guarded->at + guarded->count);
    free(memory);
}
