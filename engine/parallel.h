/* parallel: one pool of workers, two lanes of work.
 *
 * A job is queued in a lane and driven by one worker. While it runs it may cut its work into tiles
 * of about a millisecond (worker_parallel_for), which idle workers take too. Interactive work goes
 * first: a worker looks for an interactive tile, then an interactive job, then a bulk tile, then a
 * bulk job; and a worker that drives a bulk job takes interactive work between two tiles of it, on
 * top of its stack. So a click waits for one tile, not for an upload.
 *
 * A tile may be longer if it yields about every millisecond (worker_yield): so small problems are
 * solved side by side, each by one worker.
 *
 * While both lanes want the workers, each has half of their time in the long run: in a flood of
 * prompts, interactive work goes first on half of the workers only. A single worker takes turns.
 *
 * Lanes are bounded: a full lane refuses, and a job whose deadline passes while it is queued is
 * expired. Both are the caller's to report. Queue order is first in, first out. */
#ifndef ENGINE_PARALLEL_H
#define ENGINE_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum lane { LANE_INTERACTIVE, LANE_BULK, LANE_COUNT };

struct pool;
struct worker;

/* Embedded in the caller's own job structure. The caller owns the memory from submit until run or
 * expire is called (exactly one of them is, once); from then on the pool does not touch it. */
struct pool_job {
    void (*run)(struct pool_job *job, struct worker *worker);
    void (*expire)(
        struct pool_job *job); /* still queued at its deadline, or when the pool closed */
    /* Whether nobody waits for it any more; asked while it is queued and others are, with the pool
     * locked. NULL = never. */
    bool (*abandoned)(const struct pool_job *job);
    bool gives_way;        /* a long one of the bulk lane: it calls worker_give_way now and then */
    int64_t deadline_ns;   /* on clock_now_ns(); 0 = none */
    int64_t queued_ns;     /* set by pool_submit */
    struct pool_job *next; /* the pool's */
};

struct pool_options {
    int workers;                    /* >= 1 */
    size_t scratch_bytes;           /* per worker, for the tiles; see worker_scratch */
    size_t queue_limit[LANE_COUNT]; /* jobs waiting, not counting those that run */
    int running_limit[LANE_COUNT];  /* jobs driven at the same time; 0 = as many as workers */
};

struct lane_state {
    size_t queued;
    size_t running;
};

/* Starts the workers. STATUS_NO_MEMORY or STATUS_IO (no threads). */
enum status pool_create(const struct pool_options *options, struct pool **pool,
                        struct error *error);

/* Expires what is queued, waits for what runs, ends the workers. From then on the pool refuses
 * jobs. */
void pool_close(struct pool *pool);

/* Closes the pool if it is not, and releases it. NULL is allowed. */
void pool_free(struct pool *pool);

/* False when the lane is full or the pool is closing: the job was not taken. */
bool pool_submit(struct pool *pool, enum lane lane, struct pool_job *job);

/* For a long job, from its own run: puts it back behind the others of its lane, and run is called
 * again later. The limit and the deadline do not apply to it any more. False when the pool is
 * closing: end at once. After true the job is no longer the caller's to touch. */
bool worker_requeue(struct worker *worker, struct pool_job *job);

/* For a job that gives way, so that those behind it in the bulk lane need not wait for its end. Its
 * tiles ask from time to time whether a job waits that does not give way itself, and end early if
 * so; the job then calls worker_give_way, outside of its tiles, which runs the first of them on top
 * of it. Cheap when there is none. */
bool worker_is_awaited(const struct worker *worker);
void worker_give_way(struct worker *worker);

/* Calls expire for every queued job whose deadline has passed or that is abandoned. To be called
 * now and then by some thread. */
void pool_expire(struct pool *pool, int64_t now_ns);

struct lane_state pool_lane_state(struct pool *pool, enum lane lane);
int pool_workers(const struct pool *pool);

/* Returns the workers' scratch pages to the system; they come back zeroed on the next use. Does
 * nothing unless the pool is idle. */
void pool_trim(struct pool *pool);

/* Runs tile(argument, 0 .. count-1, worker) on the calling worker and on idle ones, in any order;
 * returns when all are done. Tiles run in the lane of the job that calls. A tile must not call it
 * again. */
void worker_parallel_for(struct worker *worker, size_t count,
                         void (*tile)(void *argument, size_t index, struct worker *worker),
                         void *argument);

/* Lets a worker that runs a bulk job or tile serve interactive work now. Cheap when there is none.
 * For long serial stretches such as image decoding; nothing in a scratch buffer survives it. */
void worker_yield(struct worker *worker);

/* This worker's tile scratch: pool_options.scratch_bytes, 64-byte aligned, contents undefined,
 * valid until the tile returns or yields. */
void *worker_scratch(struct worker *worker);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t clock_now_ns(void);

/* The cores that this process may use: its affinity mask and its cgroup's CPU quota (v2 and v1), at
 * least 1. */
int usable_cores(void);

#endif
