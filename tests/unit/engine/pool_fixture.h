/* Pools and jobs for tests: gates instead of clocks. */
#ifndef TESTS_UNIT_ENGINE_POOL_FIXTURE_H
#define TESTS_UNIT_ENGINE_POOL_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/parallel.h"

/* A count that threads wait for. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count;
};

#define GATE_INITIALIZER                                                                           \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

void gate_add(struct gate *gate, int change);
void gate_wait(struct gate *gate, int count); /* until it is count or more */

/* What happened, one letter each. */
struct journal {
    pthread_mutex_t mutex;
    size_t size;
    char text[512];
};

#define JOURNAL_INITIALIZER                                                                        \
    { .mutex = PTHREAD_MUTEX_INITIALIZER }

void journal_note(struct journal *journal, char letter);

/* A job that notes its name when it runs and '!' before it when it expires, then runs its body. */
struct test_job {
    struct pool_job job; /* first */
    char name;
    struct journal *journal;                                   /* NULL: notes nothing */
    void (*body)(struct test_job *job, struct worker *worker); /* NULL: none */
    struct gate *ended;                                        /* counts those that ended */
    struct pool *pool;
    void *argument; /* the body's */
};

struct test_job test_job(char name, struct journal *journal, struct gate *ended);
bool submit(struct pool *pool, enum lane lane, struct test_job *job);

/* Keeps one worker busy until it is opened. */
struct blocker {
    struct test_job job; /* first */
    struct gate started, open;
};

void blocker_start(struct blocker *blocker, struct pool *pool,
                   enum lane lane); /* and wait for it */
void blocker_open(struct blocker *blocker);

/* A pool with long queues. */
struct pool *make_pool(int workers, size_t scratch_bytes);

/* Runs run(argument, worker) as one interactive job on a new pool, and returns when it has ended.
 * The workers' scratch starts as NaNs. With one worker, also checks that nothing was written behind
 * the end of the scratch. */
void run_on_pool(int workers, size_t scratch_bytes,
                 void (*run)(void *argument, struct worker *worker), void *argument);

/* Memory for count floats, all NaN, between two guards. */
struct guarded {
    float *at;
    size_t count;
};

struct guarded guarded_make(size_t count);
void guarded_free(struct guarded *guarded); /* checks the guards */

#endif
