#include "server/encode.h"

#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/log.h"

struct encode {
    struct pool_job job; /* first: the pool gives it back */
    struct server *server;
    struct incoming incoming;
};

static void finish(struct encode *encode, struct record *record, const struct problem *problem,
                   const struct timing *timing) {
    struct outcome outcome = {.record = record, .problem = problem, .timing = *timing};
    if (record)
        log_event(LOG_INFO, "encoded", LOG_STRING("image", encode->incoming.id),
                  LOG_INTEGER("width", encode->incoming.geometry.width),
                  LOG_INTEGER("height", encode->incoming.geometry.height),
                  LOG_NUMBER("queue_ms", timing->queue_ms),
                  LOG_NUMBER("decode_ms", timing->decode_ms),
                  LOG_NUMBER("encode_ms", timing->encode_ms));
    catalogue_finish(encode->server->catalogue, encode->incoming.id, encode->incoming.digest,
                     &outcome);
    record_release(record);
    incoming_free(encode->server, &encode->incoming);
    free(encode);
}

static void finish_failed(struct encode *encode, enum problem_type type, const char *detail) {
    struct problem problem = {0};
    struct timing timing = {-1, -1, -1, -1};
    problem_set(&problem, type, "%s", detail);
    finish(encode, NULL, &problem, &timing);
}

static void yield_worker(void *worker) {
    worker_yield(worker);
}

/* Uploaded bytes -> pixels of the size that the encoder takes. Gives the bytes up. */
static enum status decode(struct encode *encode, struct worker *worker, struct image *scaled,
                          struct error *error) {
    const struct options *options = encode->server->options;
    struct incoming *incoming = &encode->incoming;
    struct image_limits limits = {(size_t)options->max_pixels, (int)options->max_side};
    struct image_yield yield = {yield_worker, worker};
    struct image image;
    enum status status =
        image_decode(incoming->image.bytes, incoming->image.size, &limits, &yield, &image, error);
    body_free(encode->server, &incoming->image);
    if (status != STATUS_OK)
        return status;
    status = image_resize(&image, incoming->geometry.scaled_width, incoming->geometry.scaled_height,
                          &yield, scaled, error);
    image_free(&image);
    return status;
}

static void run(struct pool_job *job, struct worker *worker) {
    struct encode *encode = (struct encode *)job;
    struct server *server = encode->server;
    struct timing timing = {.queue_ms = milliseconds_since(job->queued_ns), .segment_ms = -1};
    struct error error = {0};
    struct image scaled;

    int64_t start = clock_now_ns();
    enum status status = decode(encode, worker, &scaled, &error);
    timing.decode_ms = milliseconds_since(start);
    if (status != STATUS_OK) {
        finish_failed(encode,
                      status == STATUS_NO_MEMORY ? PROBLEM_INTERNAL : PROBLEM_UNSUPPORTED_IMAGE,
                      error.message);
        return;
    }
    start = clock_now_ns();
    struct record *record = record_create(encode->incoming.id, encode->incoming.digest);
    struct session *session = sessions_take(server->sessions);
    if (record && session)
        model_encode(server->model, session, worker, &scaled, &encode->incoming.geometry,
                     &record->embedding);
    timing.encode_ms = milliseconds_since(start);
    image_free(&scaled);
    bool done = record && session;
    if (session)
        sessions_give(server->sessions, session);
    if (done) {
        finish(encode, record, NULL, &timing);
    } else {
        record_release(record);
        finish_failed(encode, PROBLEM_INTERNAL, "out of memory");
    }
}

static void expire(struct pool_job *job) {
    struct encode *encode = (struct encode *)job;
    if (atomic_load(&encode->server->draining))
        finish_failed(encode, PROBLEM_DRAINING, "the daemon is stopping");
    else
        finish_failed(encode, PROBLEM_DEADLINE,
                      "the image waited to be encoded for longer than upload_deadline");
}

void encode_submit(struct server *server, struct incoming *incoming) {
    struct encode *encode = calloc(1, sizeof *encode);
    if (!encode) {
        struct problem problem = {0};
        problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
        struct outcome outcome = {.problem = &problem};
        catalogue_finish(server->catalogue, incoming->id, incoming->digest, &outcome);
        return;
    }
    encode->server = server;
    encode->incoming = *incoming;
    encode->incoming.prompt_json = NULL;
    memset(&incoming->image, 0, sizeof incoming->image);
    encode->job.run = run;
    encode->job.expire = expire;
    encode->job.deadline_ns = seconds_from_now(server->options->upload_deadline);
    if (pool_submit(server->pool, LANE_BULK, &encode->job))
        return;
    if (atomic_load(&server->draining))
        finish_failed(encode, PROBLEM_DRAINING, "the daemon is stopping");
    else
        finish_failed(encode, PROBLEM_OVERLOADED,
                      "too many images wait to be encoded (upload_queue)");
}
