#include "server/encode.h"

#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/images.h"
#include "server/log.h"

struct encode {
    struct pool_job job; /* first: the pool gives it back */
    struct server *server;
    struct incoming incoming;
    bool unwaited; /* by who claimed the image */
};

static void finish(struct encode *encode, const struct outcome *outcome) {
    catalogue_finish(encode->server->catalogue, encode->incoming.id, encode->incoming.digest,
                     outcome);
    record_release(outcome->record);
    incoming_free(encode->server, &encode->incoming);
    free(encode);
}

static void finish_encoded(struct encode *encode, struct record *record,
                           const struct timing *timing) {
    struct outcome outcome = {.record = record, .timing = *timing};
    struct metrics *metrics = encode->server->metrics;
    metrics_measure(metrics, DURATION_UPLOAD_QUEUE, timing->queue_ms);
    metrics_measure(metrics, DURATION_DECODE, timing->decode_ms);
    metrics_measure(metrics, DURATION_ENCODE, timing->encode_ms);
    log_event(LOG_INFO, "encoded", LOG_STRING("image", encode->incoming.id),
              LOG_INTEGER("width", encode->incoming.geometry.width),
              LOG_INTEGER("height", encode->incoming.geometry.height),
              LOG_NUMBER("queue_ms", timing->queue_ms), LOG_NUMBER("decode_ms", timing->decode_ms),
              LOG_NUMBER("encode_ms", timing->encode_ms));
    finish(encode, &outcome);
}

static void finish_failed(struct encode *encode, enum problem_type type, const char *detail) {
    struct problem problem = {0};
    struct outcome outcome = {.problem = &problem, .remember = encode->unwaited};
    problem_set(&problem, type, "%s", detail);
    finish(encode, &outcome);
}

static void yield_worker(void *worker) {
    worker_yield(worker);
}

/* Uploaded bytes -> pixels of the size that the encoder takes. */
static enum status decode(struct encode *encode, struct worker *worker, struct image *scaled,
                          struct error *error) {
    struct incoming *incoming = &encode->incoming;
    struct image_limits limits = incoming_image_limits(encode->server->options);
    struct image_yield yield = {yield_worker, worker};
    struct image image;
    enum status status =
        image_decode(incoming->image.bytes, incoming->image.size, &limits, &yield, &image, error);
    if (status != STATUS_OK)
        return status;
    status = image_resize(&image, incoming->geometry.scaled_width, incoming->geometry.scaled_height,
                          &yield, scaled, error);
    image_free(&image);
    return status;
}

/* The uploaded bytes become the record's. NULL when out of memory: they stay the incoming's. */
static struct record *make_record(struct server *server, struct incoming *incoming) {
    struct record *record = record_create(incoming->id, incoming->digest);
    if (!record)
        return NULL;
    record->size = incoming->image.size;
    record->bytes = body_detach(server, &incoming->image);
    return record;
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
        finish_failed(encode, incoming_image_problem(status), error.message);
        return;
    }
    start = clock_now_ns();
    struct record *record = make_record(server, &encode->incoming);
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
        finish_encoded(encode, record, &timing);
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

/* Queues it. False: that cannot be, and the claim is ended. */
static bool submit(struct encode *encode, struct problem *problem) {
    struct server *server = encode->server;
    encode->job.run = run;
    encode->job.expire = expire;
    encode->job.deadline_ns = seconds_from_now(server->options->upload_deadline);
    if (pool_submit(server->pool, LANE_BULK, &encode->job))
        return true;
    if (atomic_load(&server->draining))
        problem_set(problem, PROBLEM_DRAINING, "the daemon is stopping");
    else
        problem_set(problem, PROBLEM_OVERLOADED,
                    "too many images wait to be encoded (upload_queue)");
    finish(encode, &(struct outcome){.problem = problem});
    return false;
}

/* An image of which only the embedding was brought in gets its bytes: they become those of a record
 * that takes the other's place. Without memory for one, all stays as it is. */
static void complete(struct server *server, struct incoming *incoming, struct record **record) {
    struct record *whole = make_record(server, incoming);
    if (!whole)
        return;
    whole->embedding = (*record)->embedding;
    store_put(server->store, whole);
    record_release(*record);
    *record = whole;
}

bool encode_claim(struct server *server, struct incoming *incoming, struct waiter *waiter,
                  struct record **record, struct problem *problem) {
    struct encode *encode = calloc(1, sizeof *encode);
    enum presence presence = IMAGE_NO_MEMORY;
    *record = NULL;
    if (encode)
        presence = catalogue_claim(server->catalogue, incoming->id, incoming->digest,
                                   &incoming->geometry, waiter, record);
    if (presence == IMAGE_CLAIMED) {
        encode->server = server;
        encode->incoming = *incoming;
        encode->unwaited = !waiter;
        *incoming = (struct incoming){0};
        return submit(encode, problem) || waiter;
    }
    if (presence == IMAGE_PRESENT && !(*record)->bytes)
        complete(server, incoming, record);
    if (presence == IMAGE_CONFLICT)
        problem_set_conflict(problem, incoming->id);
    if (presence == IMAGE_NO_MEMORY)
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
    free(encode);
    incoming_free(server, incoming);
    return presence == IMAGE_PENDING;
}
