#include "server/everything_run.h"

#include <stdlib.h>

#include "server/clock.h"
#include "server/incoming.h"
#include "server/log.h"

struct finding {
    struct pool_job job; /* first: the pool gives it back */
    struct server *server;
    struct record *record; /* held */
    struct run *run;       /* held */
};

static void release(struct finding *finding) {
    run_release(finding->run);
    record_release(finding->record);
    free(finding);
}

static void finish(struct finding *finding) {
    runs_finish(finding->server->runs, finding->run);
    release(finding);
}

static void finish_failed(struct finding *finding, enum problem_type type, const char *detail) {
    problem_set(&finding->run->problem, type, "%s", detail);
    finish(finding);
}

/* Why a run ends early. PROBLEM_NONE: it does not. */
static enum problem_type reason_to_end(struct finding *finding) {
    struct runs *runs = finding->server->runs;
    if (atomic_load(&finding->server->draining))
        return PROBLEM_DRAINING;
    if (runs_goes_on(runs, finding->run))
        return PROBLEM_NONE;
    return runs_wanted(runs, finding->run) ? PROBLEM_UNKNOWN_IMAGE : PROBLEM_OVERLOADED;
}

static void finish_ended(struct finding *finding, enum problem_type reason) {
    finish_failed(finding, reason,
                  reason == PROBLEM_DRAINING        ? "the daemon is stopping"
                  : reason == PROBLEM_UNKNOWN_IMAGE ? "the image was deleted meanwhile"
                                                    : "nobody waited for it any more");
}

/* ---- progress ---------------------------------------------------------------------------- */

static void report(void *argument, size_t done, size_t total) {
    struct run *run = ((struct finding *)argument)->run;
    atomic_store(&run->total, total);
    atomic_store(&run->done, done);
}

static bool is_cancelled(void *argument) {
    return reason_to_end(argument) != PROBLEM_NONE;
}

/* ---- the job ----------------------------------------------------------------------------- */

static void yield_worker(void *worker) {
    worker_yield(worker);
}

/* Crops are encoded anew, from the image as it was uploaded. */
static enum status decode(struct finding *finding, struct worker *worker, struct image *image,
                          struct error *error) {
    const struct record *record = finding->record;
    const struct image_limits limits = incoming_image_limits(finding->server->options);
    const struct image_yield yield = {yield_worker, worker};
    const int64_t start = clock_now_ns();
    enum status status = image_decode(record->bytes, record->size, &limits, &yield, image, error);
    finding->run->timing.decode_ms = milliseconds_since(start);
    return status;
}

/* So much more may be found than is kept once duplicates are dropped. */
enum { FOUND_TO_KEPT = 4 };

static enum status find_masks(struct finding *finding, struct worker *worker, struct error *error) {
    struct run *run = finding->run;
    const long long kept_bytes = finding->server->options->everything_memory;
    const struct everything_progress progress = {report, is_cancelled, finding,
                                                 FOUND_TO_KEPT * (size_t)kept_bytes};
    struct image image = {0};
    const bool crops = run->options.crop_n_layers > 0;
    enum status status = crops ? decode(finding, worker, &image, error) : STATUS_OK;
    const int64_t start = clock_now_ns();
    if (status == STATUS_OK)
        status =
            model_everything(finding->server->model, worker, &finding->record->embedding,
                             crops ? &image : NULL, &run->options, &progress, &run->masks, error);
    run->timing.segment_ms = milliseconds_since(start);
    image_free(&image);
    return status;
}

static void run(struct pool_job *job, struct worker *worker) {
    struct finding *finding = (struct finding *)job;
    struct timing *timing = &finding->run->timing;
    struct error error = {0};
    *timing = (struct timing){milliseconds_since(job->queued_ns), -1, -1, -1};
    metrics_measure(finding->server->metrics, DURATION_UPLOAD_QUEUE, timing->queue_ms);
    enum problem_type reason = reason_to_end(finding);
    if (reason != PROBLEM_NONE) {
        finish_ended(finding, reason);
        return;
    }
    enum status status = find_masks(finding, worker, &error);
    if (status == STATUS_OK) {
        metrics_measure(finding->server->metrics, DURATION_EVERYTHING, timing->segment_ms);
        log_event(LOG_INFO, "everything", LOG_STRING("image", finding->run->image_id),
                  LOG_INTEGER("masks", (int64_t)finding->run->masks.count),
                  LOG_NUMBER("queue_ms", timing->queue_ms),
                  LOG_NUMBER("segment_ms", timing->segment_ms));
        finish(finding);
        return;
    }
    reason = reason_to_end(finding);
    if (reason != PROBLEM_NONE)
        finish_ended(finding, reason);
    else
        finish_failed(finding,
                      status == STATUS_TOO_LARGE ? PROBLEM_INVALID_REQUEST : PROBLEM_INTERNAL,
                      error.message);
}

static bool is_abandoned(const struct pool_job *job) {
    const struct finding *finding = (const struct finding *)job;
    return !runs_wanted(finding->server->runs, finding->run);
}

static void expire(struct pool_job *job) {
    struct finding *finding = (struct finding *)job;
    const enum problem_type reason = reason_to_end(finding);
    if (reason != PROBLEM_NONE)
        finish_ended(finding, reason);
    else
        finish_failed(finding, PROBLEM_DEADLINE, "it waited for longer than upload_deadline");
}

/* Why it could not be queued. */
static void refuse_start(struct server *server, struct run *claimed) {
    if (atomic_load(&server->draining))
        problem_set(&claimed->problem, PROBLEM_DRAINING, "the daemon is stopping");
    else
        problem_set(&claimed->problem, PROBLEM_OVERLOADED, "too many images wait (upload_queue)");
    runs_finish(server->runs, claimed);
}

bool everything_start(struct server *server, struct record *record, struct run *claimed) {
    struct finding *finding = calloc(1, sizeof *finding);
    if (!finding) {
        problem_set(&claimed->problem, PROBLEM_INTERNAL, "out of memory");
        runs_finish(server->runs, claimed);
        return false;
    }
    finding->server = server;
    finding->record = record_hold(record);
    finding->run = run_hold(claimed);
    finding->job.run = run;
    finding->job.expire = expire;
    finding->job.abandoned = is_abandoned;
    finding->job.gives_way = true;
    finding->job.deadline_ns = seconds_from_now(server->options->upload_deadline);
    if (pool_submit(server->pool, LANE_BULK, &finding->job))
        return true;
    refuse_start(server, claimed);
    release(finding);
    return false;
}
