#include "server/runs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(run_list, run);

/* A run takes seconds, and its result tens of kilobytes: a list is enough. */
struct runs {
    pthread_mutex_t mutex;
    struct run_list used; /* what was asked for last first */
    size_t bytes_limit;
    struct runs_state state; /* of those that are listed */
};

struct run *run_hold(struct run *run) {
    atomic_fetch_add(&run->references, 1);
    return run;
}

void run_release(struct run *run) {
    if (!run || atomic_fetch_sub(&run->references, 1) > 1)
        return;
    everything_free(&run->masks);
    free(run);
}

/* ---- with the mutex held ----------------------------------------------------------------- */

static bool same_options(const struct everything_options *a, const struct everything_options *b) {
    return a->points_per_side == b->points_per_side && a->pred_iou_thresh == b->pred_iou_thresh &&
           a->stability_score_thresh == b->stability_score_thresh &&
           a->stability_score_offset == b->stability_score_offset &&
           a->box_nms_thresh == b->box_nms_thresh && a->crop_n_layers == b->crop_n_layers &&
           a->crop_nms_thresh == b->crop_nms_thresh &&
           a->crop_overlap_ratio == b->crop_overlap_ratio &&
           a->crop_n_points_downscale_factor == b->crop_n_points_downscale_factor &&
           a->min_mask_region_area == b->min_mask_region_area;
}

/* The one that was asked for last. options NULL: whichever they are. */
static struct run *find(struct runs *runs, const struct record *record,
                        const struct everything_options *options) {
    struct run *run;
    TAILQ_FOREACH(run, &runs->used, link)
    if (strcmp(run->image_id, record->id) == 0 &&
        memcmp(run->digest, record->digest, DIGEST_BYTES) == 0 &&
        (!options || same_options(&run->options, options)))
        return run;
    return NULL;
}

static size_t bytes_of(const struct run *run) {
    return sizeof *run + (run->state == RUN_GOES_ON ? 0 : everything_bytes(&run->masks));
}

static void list(struct runs *runs, struct run *run) {
    run_hold(run);
    TAILQ_INSERT_HEAD(&runs->used, run, link);
    run->listed = true;
    runs->state.runs++;
    runs->state.bytes += bytes_of(run);
}

static void unlist(struct runs *runs, struct run *run) {
    TAILQ_REMOVE(&runs->used, run, link);
    run->listed = false;
    runs->state.runs--;
    runs->state.bytes -= bytes_of(run);
    run_release(run);
}

/* Those that go on stay, and so does the one that was asked for last. */
static void evict(struct runs *runs) {
    struct run *run = TAILQ_LAST(&runs->used, run_list), *before;
    for (; run && runs->state.bytes > runs->bytes_limit; run = before) {
        before = TAILQ_PREV(run, run_list, link);
        if (before && run->state != RUN_GOES_ON)
            unlist(runs, run);
    }
}

static bool is_wanted(const struct run *run) {
    const struct run_waiter *waiter;
    if (run->unattended)
        return true;
    STAILQ_FOREACH(waiter, &run->waiters, link)
    if (!waiter->has_left(waiter))
        return true;
    return false;
}

static struct run *make_run(const struct record *record, const struct everything_options *options) {
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    atomic_init(&run->references, 1);
    memcpy(run->image_id, record->id, sizeof run->image_id);
    memcpy(run->digest, record->digest, DIGEST_BYTES);
    run->options = *options;
    atomic_init(&run->total, everything_points(options));
    STAILQ_INIT(&run->waiters);
    return run;
}

static enum claim claim(struct runs *runs, const struct record *record,
                        const struct everything_options *options, struct run_waiter *waiter,
                        struct run **out) {
    struct run *run = find(runs, record, options);
    if (run && run->state == RUN_FAILED) { /* it may go better now */
        unlist(runs, run);
        run = NULL;
    }
    const enum claim outcome = !run                        ? RUN_CLAIMED
                               : run->state == RUN_GOES_ON ? RUN_JOINED
                                                           : RUN_PRESENT;
    if (run) {
        TAILQ_REMOVE(&runs->used, run, link);
        TAILQ_INSERT_HEAD(&runs->used, run, link);
        run_hold(run);
    } else {
        run = make_run(record, options);
        if (!run)
            return RUN_NO_MEMORY;
        list(runs, run);
        evict(runs);
    }
    if (outcome != RUN_PRESENT && waiter)
        STAILQ_INSERT_TAIL(&run->waiters, waiter, link);
    run->unattended |= !waiter;
    *out = run;
    return outcome;
}

/* ---- the runs ---------------------------------------------------------------------------- */

struct runs *runs_create(size_t bytes_limit) {
    struct runs *runs = calloc(1, sizeof *runs);
    if (!runs)
        return NULL;
    pthread_mutex_init(&runs->mutex, NULL);
    TAILQ_INIT(&runs->used);
    runs->bytes_limit = bytes_limit;
    return runs;
}

void runs_free(struct runs *runs) {
    if (!runs)
        return;
    while (!TAILQ_EMPTY(&runs->used))
        unlist(runs, TAILQ_FIRST(&runs->used));
    pthread_mutex_destroy(&runs->mutex);
    free(runs);
}

enum claim runs_claim(struct runs *runs, const struct record *record,
                      const struct everything_options *options, struct run_waiter *waiter,
                      struct run **run) {
    *run = NULL;
    pthread_mutex_lock(&runs->mutex);
    enum claim outcome = claim(runs, record, options, waiter, run);
    pthread_mutex_unlock(&runs->mutex);
    return outcome;
}

struct run *runs_latest(struct runs *runs, const struct record *record, enum run_state *state) {
    pthread_mutex_lock(&runs->mutex);
    struct run *run = find(runs, record, NULL);
    if (run) {
        run_hold(run);
        *state = run->state;
    }
    pthread_mutex_unlock(&runs->mutex);
    return run;
}

bool runs_wanted(struct runs *runs, struct run *run) {
    pthread_mutex_lock(&runs->mutex);
    const bool wanted = is_wanted(run);
    pthread_mutex_unlock(&runs->mutex);
    return wanted;
}

bool runs_goes_on(struct runs *runs, struct run *run) {
    pthread_mutex_lock(&runs->mutex);
    if (run->listed && !is_wanted(run))
        unlist(runs, run);
    const bool goes_on = run->listed;
    pthread_mutex_unlock(&runs->mutex);
    return goes_on;
}

void runs_finish(struct runs *runs, struct run *run) {
    struct run_waiters waiters = STAILQ_HEAD_INITIALIZER(waiters);
    pthread_mutex_lock(&runs->mutex);
    if (run->listed)
        runs->state.bytes -= bytes_of(run);
    run->state = run->problem.type == PROBLEM_NONE ? RUN_READY : RUN_FAILED;
    if (run->listed)
        runs->state.bytes += bytes_of(run);
    if (run->listed && run->state == RUN_FAILED && !run->unattended)
        unlist(runs, run);
    evict(runs);
    STAILQ_CONCAT(&waiters, &run->waiters);
    pthread_mutex_unlock(&runs->mutex);
    while (!STAILQ_EMPTY(&waiters)) {
        struct run_waiter *waiter = STAILQ_FIRST(&waiters);
        STAILQ_REMOVE_HEAD(&waiters, link);
        waiter->wake(waiter, run);
    }
}

void runs_forget(struct runs *runs, const char *image_id) {
    pthread_mutex_lock(&runs->mutex);
    struct run *next;
    for (struct run *run = TAILQ_FIRST(&runs->used); run; run = next) {
        next = TAILQ_NEXT(run, link);
        if (strcmp(run->image_id, image_id) == 0)
            unlist(runs, run);
    }
    pthread_mutex_unlock(&runs->mutex);
}

struct runs_state runs_state(struct runs *runs) {
    pthread_mutex_lock(&runs->mutex);
    struct runs_state state = runs->state;
    pthread_mutex_unlock(&runs->mutex);
    return state;
}
