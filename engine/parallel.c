#include "engine/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* Interactive work goes first, but not for ever: while both lanes want the workers, each has half
 * of their time. Interactive work may take all workers until bulk work has fallen behind; from then
 * on it finds half of them, so that even then a click waits for one tile only (a single worker has
 * to take turns). What a lane falls behind, or saves up while the other does nothing, is bounded by
 * this much for each worker: enough for some prompts, which are not interrupted once they run. */
static const int64_t BEHIND_MAX_NS = 50000000;

/* How long a worker that drives bulk work leaves an interactive job to those that drive nothing:
 * about a tile. */
static const int64_t LEFT_TO_OTHERS_NS = 1000000;

/* A worker without work looks for more for this long before it sleeps, while a job is running: its
 * next tiles come within microseconds, and waking a thread takes tens of them. Between two stages
 * of a prompt there may be a millisecond, and that is what waking a halted core may take. */
static const int64_t SPIN_NS[LANE_COUNT] = {[LANE_INTERACTIVE] = 2000000, [LANE_BULK] = 40000};

/* One worker_parallel_for: on the stack of its caller, linked into the pool until its last tile is
 * taken. */
struct batch {
    void (*tile)(void *argument, size_t index, struct worker *worker);
    void *argument;
    size_t count, taken;
    atomic_size_t done;
    pthread_cond_t finished;
    struct batch *next;
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    void *scratch;
    enum lane lane;     /* of the innermost job or tile on this worker's stack; LANE_COUNT: none */
    bool drives;        /* there is a job on the stack */
    int64_t charged_ns; /* the time of this worker is charged to the lanes until here */
};

struct lane_queue {
    struct pool_job *first, *last;
    size_t queued, queue_limit;
    size_t running, running_limit;
    struct batch *batches; /* those with tiles to take, oldest first */
};

struct pool {
    pthread_mutex_t mutex; /* guards everything below but the atomics */
    pthread_cond_t work;   /* for idle workers: something to take */
    struct lane_queue lanes[LANE_COUNT];
    int64_t bulk_behind_ns; /* the workers' time that bulk work is owed; negative: that it owes */
    size_t bulk_stalled;    /* bulk jobs and tiles that stand still under an interactive job */
    int drivers;            /* workers that have a job on their stack */
    int interactive;        /* workers that run an interactive job or tile */
    int64_t left_ns; /* since when the next interactive job is left to others; 0: it is not */
    bool closing;
    atomic_uint arrivals; /* counts what was made available; watched while spinning */
    atomic_size_t
        interactive_open;   /* interactive jobs and batches to take; a hint for worker_yield */
    atomic_size_t awaiting; /* bulk jobs queued that do not give way; for worker_is_awaited */
    size_t scratch_bytes;
    int worker_count;
    int threads; /* workers that run: all, until the pool is closed */
    struct worker workers[];
};

/* Tells the core that this is a busy wait. */
static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int64_t clock_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- taking work; all with the mutex held ------------------------------------------------ */

static bool has_tile(const struct pool *pool, enum lane lane) {
    return pool->lanes[lane].batches != NULL;
}

static bool has_job(const struct pool *pool, enum lane lane) {
    const struct lane_queue *queue = &pool->lanes[lane];
    return queue->first && queue->running < queue->running_limit;
}

static bool has_work(const struct pool *pool, enum lane lane) {
    return has_tile(pool, lane) || has_job(pool, lane);
}

static void announce(struct pool *pool, size_t takers) {
    atomic_fetch_add_explicit(&pool->arrivals, 1, memory_order_release);
    if (takers == 1)
        pthread_cond_signal(&pool->work);
    else
        pthread_cond_broadcast(&pool->work);
}

static void count_open(struct pool *pool, enum lane lane, int change) {
    if (lane == LANE_INTERACTIVE)
        atomic_fetch_add_explicit(&pool->interactive_open, (size_t)change, memory_order_relaxed);
}

/* The job has come into the lane's queue (+1), or left it (-1). */
static void count_queued(struct pool *pool, enum lane lane, const struct pool_job *job,
                         int change) {
    pool->lanes[lane].queued += (size_t)change;
    count_open(pool, lane, change);
    if (lane == LANE_INTERACTIVE && change < 0)
        pool->left_ns = 0;
    if (lane == LANE_BULK && !job->gives_way)
        atomic_fetch_add_explicit(&pool->awaiting, (size_t)change, memory_order_relaxed);
}

/* Takes the lane's first job; or the first that does not give way, if there is one. */
static struct pool_job *take_job(struct pool *pool, enum lane lane, bool that_gives_way) {
    struct lane_queue *queue = &pool->lanes[lane];
    struct pool_job *before = NULL, *job = queue->first;
    for (; job && job->gives_way && !that_gives_way; job = job->next)
        before = job;
    if (!job)
        return NULL;
    if (before)
        before->next = job->next;
    else
        queue->first = job->next;
    if (queue->last == job)
        queue->last = before;
    queue->running++;
    count_queued(pool, lane, job, -1);
    return job;
}

/* Whether bulk work could go on if it were given a worker. What is queued behind the running limit
 * could not. */
static bool bulk_waits(const struct pool *pool) {
    return has_work(pool, LANE_BULK) || pool->bulk_stalled > 0;
}

static bool bulk_is_idle(const struct pool *pool) {
    return !pool->lanes[LANE_BULK].first && pool->lanes[LANE_BULK].running == 0;
}

/* Charges this worker's time since the last charge to the lane that it served; LANE_COUNT: to none.
 */
static void charge(struct worker *worker, enum lane lane) {
    struct pool *pool = worker->pool;
    int64_t now = clock_now_ns(), took = now - worker->charged_ns;
    int64_t most = BEHIND_MAX_NS * pool->worker_count, behind = pool->bulk_behind_ns;
    worker->charged_ns = now;
    if (lane == LANE_BULK)
        behind -= took;
    else if (lane == LANE_INTERACTIVE && bulk_waits(pool))
        behind += took;
    pool->bulk_behind_ns = behind < -most ? -most : behind > most ? most : behind;
}

/* Runs one tile of the batch; the mutex is held on entry and on return, not meanwhile. */
static void run_tile(struct worker *worker, enum lane lane, struct batch *batch) {
    struct pool *pool = worker->pool;
    size_t index = batch->taken++;
    if (batch->taken == batch->count) {
        struct batch **link = &pool->lanes[lane].batches;
        while (*link != batch)
            link = &(*link)->next;
        *link = batch->next;
        count_open(pool, lane, -1);
    }
    const enum lane outer = worker->lane;
    worker->lane = lane;
    pthread_mutex_unlock(&pool->mutex);
    batch->tile(batch->argument, index, worker);
    pthread_mutex_lock(&pool->mutex);
    charge(worker, lane);
    worker->lane = outer;
    if (atomic_fetch_add_explicit(&batch->done, 1, memory_order_release) + 1 == batch->count)
        pthread_cond_signal(&batch->finished);
}

static void run_job(struct worker *worker, enum lane lane, struct pool_job *job) {
    struct pool *pool = worker->pool;
    const enum lane outer = worker->lane;
    const bool over_job = worker->drives, over_bulk = outer == LANE_BULK && lane != LANE_BULK;
    worker->lane = lane;
    worker->drives = true;
    pool->drivers += !over_job;
    pool->bulk_stalled += over_bulk;
    pthread_mutex_unlock(&pool->mutex);
    job->run(job, worker);
    pthread_mutex_lock(&pool->mutex);
    charge(worker, lane);
    pool->bulk_stalled -= over_bulk;
    pool->drivers -= !over_job;
    worker->drives = over_job;
    worker->lane = outer;
    pool->lanes[lane].running--;
    if (pool->bulk_behind_ns > 0 && bulk_is_idle(pool)) /* who wants nothing is owed nothing */
        pool->bulk_behind_ns = 0;
    if (has_job(pool, lane)) /* the running limit may have held it back */
        announce(pool, 1);
    else /* who spins need not go on */
        atomic_fetch_add_explicit(&pool->arrivals, 1, memory_order_release);
}

/* Runs one tile or job of the lane. */
static void run_unit(struct worker *worker, enum lane lane) {
    struct pool *pool = worker->pool;
    charge(worker, worker->lane);
    pool->interactive += lane == LANE_INTERACTIVE;
    if (has_tile(pool, lane))
        run_tile(worker, lane, pool->lanes[lane].batches);
    else
        run_job(worker, lane, take_job(pool, lane, true));
    pool->interactive -= lane == LANE_INTERACTIVE;
}

/* Whether one more worker may serve interactive work although bulk work waits. */
static bool goes_first(const struct pool *pool) {
    return pool->bulk_behind_ns <= 0 || 2 * (pool->interactive + 1) <= pool->worker_count;
}

/* Which lane a free worker serves next, or LANE_COUNT. */
static enum lane choose_lane(const struct pool *pool) {
    bool interactive = has_work(pool, LANE_INTERACTIVE);
    bool bulk = has_work(pool, LANE_BULK);
    if (interactive && (!bulk || goes_first(pool)))
        return LANE_INTERACTIVE;
    return bulk ? LANE_BULK : LANE_COUNT;
}

/* ---- workers ----------------------------------------------------------------------------- */

static bool spin_for_arrival(struct pool *pool, enum lane running, unsigned seen) {
    int64_t end = clock_now_ns() + SPIN_NS[running];
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&pool->arrivals, memory_order_acquire) != seen)
                return true;
            relax();
        }
    } while (clock_now_ns() < end);
    return false;
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        enum lane lane = choose_lane(pool);
        if (lane != LANE_COUNT) {
            run_unit(worker, lane);
            continue;
        }
        bool prompts = pool->lanes[LANE_INTERACTIVE].running > 0;
        bool running = prompts || pool->lanes[LANE_BULK].running > 0;
        if (pool->closing && !running)
            break;
        unsigned seen = atomic_load_explicit(&pool->arrivals, memory_order_relaxed);
        if (running) {
            pthread_mutex_unlock(&pool->mutex);
            bool arrived = spin_for_arrival(pool, prompts ? LANE_INTERACTIVE : LANE_BULK, seen);
            pthread_mutex_lock(&pool->mutex);
            if (arrived)
                continue;
        }
        if (seen == atomic_load_explicit(&pool->arrivals, memory_order_relaxed))
            pthread_cond_wait(&pool->work, &pool->mutex);
    }
    announce(pool, 2); /* let the others see that the last job has ended */
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Whether this worker, just charged, takes interactive work on top of its bulk job or tile. If it
 * drives one, it leaves a job to workers that drive nothing, one of which is free within a tile,
 * for the bulk job would stand still until that job has ended; but not for longer than that. */
static bool interrupts_bulk(const struct worker *worker) {
    struct pool *pool = worker->pool;
    if (!goes_first(pool) || !has_work(pool, LANE_INTERACTIVE))
        return false;
    if (has_tile(pool, LANE_INTERACTIVE) || !worker->drives || pool->drivers == pool->worker_count)
        return true;
    if (pool->left_ns == 0)
        pool->left_ns = worker->charged_ns;
    return worker->charged_ns - pool->left_ns > LEFT_TO_OTHERS_NS;
}

/* With the mutex held: serves interactive work from the stack of bulk work, unless it is the bulk
 * lane's turn. */
static void serve_interactive(struct worker *worker) {
    struct pool *pool = worker->pool;
    if (worker->lane != LANE_BULK || !has_work(pool, LANE_INTERACTIVE))
        return;
    charge(worker, LANE_BULK);
    while (interrupts_bulk(worker))
        run_unit(worker, LANE_INTERACTIVE);
}

static void wait_until_done(struct pool *pool, enum lane lane, struct batch *batch) {
    if (atomic_load_explicit(&batch->done, memory_order_acquire) == batch->count)
        return;
    pthread_mutex_unlock(&pool->mutex);
    int64_t end = clock_now_ns() + SPIN_NS[lane];
    while (atomic_load_explicit(&batch->done, memory_order_acquire) != batch->count &&
           clock_now_ns() < end)
        relax();
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&batch->done, memory_order_acquire) != batch->count)
        pthread_cond_wait(&batch->finished, &pool->mutex);
}

void worker_parallel_for(struct worker *worker, size_t count,
                         void (*tile)(void *argument, size_t index, struct worker *worker),
                         void *argument) {
    struct pool *pool = worker->pool;
    enum lane lane = worker->lane;
    struct batch batch = {.tile = tile, .argument = argument, .count = count};
    if (count == 0)
        return;
    pthread_cond_init(&batch.finished, NULL);
    pthread_mutex_lock(&pool->mutex);
    struct batch **link = &pool->lanes[lane].batches;
    while (*link)
        link = &(*link)->next;
    *link = &batch;
    count_open(pool, lane, +1);
    announce(pool, count > 1 ? count - 1 : 1);
    for (;;) {
        serve_interactive(worker);
        if (batch.taken == batch.count)
            break;
        run_tile(worker, lane, &batch);
    }
    wait_until_done(pool, lane, &batch);
    pthread_mutex_unlock(&pool->mutex);
    pthread_cond_destroy(&batch.finished);
}

void worker_yield(struct worker *worker) {
    struct pool *pool = worker->pool;
    if (atomic_load_explicit(&pool->interactive_open, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    serve_interactive(worker);
    pthread_mutex_unlock(&pool->mutex);
}

bool worker_is_awaited(const struct worker *worker) {
    return atomic_load_explicit(&worker->pool->awaiting, memory_order_relaxed) > 0;
}

void worker_give_way(struct worker *worker) {
    struct pool *pool = worker->pool;
    if (!worker_is_awaited(worker))
        return;
    pthread_mutex_lock(&pool->mutex);
    struct pool_job *job = take_job(pool, LANE_BULK, false);
    if (job) {
        charge(worker, LANE_BULK);
        run_job(worker, LANE_BULK, job);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void *worker_scratch(struct worker *worker) {
    return worker->scratch;
}

/* ---- the pool ---------------------------------------------------------------------------- */

static void release(struct pool *pool) {
    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].scratch)
            munmap(pool->workers[i].scratch, pool->scratch_bytes);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

static void *map_scratch(size_t bytes) {
    void *scratch = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (scratch == MAP_FAILED)
        return NULL;
    madvise(scratch, bytes, MADV_HUGEPAGE);
    return scratch;
}

enum status pool_create(const struct pool_options *options, struct pool **out,
                        struct error *error) {
    *out = NULL;
    size_t workers = (size_t)options->workers;
    struct pool *pool = calloc(1, sizeof *pool + workers * sizeof *pool->workers);
    if (!pool)
        return error_set(error, STATUS_NO_MEMORY, "no memory for a pool of %zu workers", workers);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->worker_count = options->workers;
    pool->scratch_bytes = options->scratch_bytes ? options->scratch_bytes : 4096;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        int limit = options->running_limit[lane];
        pool->lanes[lane].queue_limit = options->queue_limit[lane];
        pool->lanes[lane].running_limit = limit > 0 ? (size_t)limit : workers;
    }
    for (size_t i = 0; i < workers; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->lane = LANE_COUNT;
        worker->scratch = map_scratch(pool->scratch_bytes);
        if (!worker->scratch) {
            release(pool);
            return error_set(error, STATUS_NO_MEMORY,
                             "no memory for a worker's scratch of %zu bytes",
                             options->scratch_bytes);
        }
    }
    for (int i = 0; i < pool->worker_count; i++) {
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]) != 0) {
            pool_free(pool);
            return error_set(error, STATUS_IO, "cannot start worker thread %d of %zu", i + 1,
                             workers);
        }
        pool->threads++;
    }
    *out = pool;
    return STATUS_OK;
}

static bool is_due(const struct lane_queue *queue, const struct pool_job *job, int64_t now_ns) {
    return (job->deadline_ns != 0 && job->deadline_ns <= now_ns) ||
           (queue->queued > 1 && job->abandoned && job->abandoned(job));
}

/* With the mutex held: unlinks every queued job that is due, and returns them linked. */
static struct pool_job *unlink_due(struct pool *pool, int64_t now_ns, bool all) {
    struct pool_job *due = NULL, **tail = &due;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct lane_queue *queue = &pool->lanes[lane];
        struct pool_job **link = &queue->first;
        queue->last = NULL;
        while (*link) {
            struct pool_job *job = *link;
            if (all || is_due(queue, job, now_ns)) {
                *link = job->next;
                job->next = NULL;
                *tail = job;
                tail = &job->next;
                count_queued(pool, (enum lane)lane, job, -1);
            } else {
                queue->last = job;
                link = &job->next;
            }
        }
    }
    return due;
}

static void expire_all(struct pool_job *due) {
    while (due) {
        struct pool_job *next = due->next;
        due->expire(due);
        due = next;
    }
}

void pool_expire(struct pool *pool, int64_t now_ns) {
    pthread_mutex_lock(&pool->mutex);
    struct pool_job *due = unlink_due(pool, now_ns, false);
    pthread_mutex_unlock(&pool->mutex);
    expire_all(due);
}

void pool_close(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    struct pool_job *due = unlink_due(pool, 0, true);
    announce(pool, 2); /* all workers */
    pthread_mutex_unlock(&pool->mutex);
    expire_all(due);
    while (pool->threads > 0)
        pthread_join(pool->workers[--pool->threads].thread, NULL);
}

void pool_free(struct pool *pool) {
    if (!pool)
        return;
    pool_close(pool);
    release(pool);
}

/* With the mutex held. */
static void append_job(struct pool *pool, enum lane lane, struct pool_job *job) {
    struct lane_queue *queue = &pool->lanes[lane];
    job->next = NULL;
    job->queued_ns = clock_now_ns();
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
    count_queued(pool, lane, job, +1);
    announce(pool, lane == LANE_INTERACTIVE ? (size_t)pool->worker_count : 1); /* for its tiles */
}

bool pool_submit(struct pool *pool, enum lane lane, struct pool_job *job) {
    const struct lane_queue *queue = &pool->lanes[lane];
    pthread_mutex_lock(&pool->mutex);
    bool accepted = !pool->closing && queue->queued < queue->queue_limit;
    if (accepted)
        append_job(pool, lane, job);
    pthread_mutex_unlock(&pool->mutex);
    return accepted;
}

bool worker_requeue(struct worker *worker, struct pool_job *job) {
    struct pool *pool = worker->pool;
    pthread_mutex_lock(&pool->mutex);
    bool accepted = !pool->closing;
    if (accepted) {
        job->deadline_ns = 0;
        append_job(pool, worker->lane, job);
    }
    pthread_mutex_unlock(&pool->mutex);
    return accepted;
}

struct lane_state pool_lane_state(struct pool *pool, enum lane lane) {
    pthread_mutex_lock(&pool->mutex);
    struct lane_state state = {pool->lanes[lane].queued, pool->lanes[lane].running};
    pthread_mutex_unlock(&pool->mutex);
    return state;
}

int pool_workers(const struct pool *pool) {
    return pool->worker_count;
}

void pool_trim(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    bool idle = true;
    for (int lane = 0; lane < LANE_COUNT; lane++)
        idle = idle && !pool->lanes[lane].running && !pool->lanes[lane].queued;
    for (int i = 0; idle && i < pool->worker_count; i++)
        madvise(pool->workers[i].scratch, pool->scratch_bytes, MADV_DONTNEED);
    pthread_mutex_unlock(&pool->mutex);
}
