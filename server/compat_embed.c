#include "server/compat_embed.h"

#include <stdlib.h>

#include "server/clock.h"
#include "server/encode.h"

struct embedding_job {
    struct waiter waiter; /* first: the catalogue gives it back */
    struct pool_job job;
    struct request *request;
    embedding_writer write;
    struct record *record; /* held */
};

static struct embedding_job *job_of(struct pool_job *job) {
    return (struct embedding_job *)((char *)job - offsetof(struct embedding_job, job));
}

static void end(struct embedding_job *job) {
    record_release(job->record);
    free(job);
}

static void refuse(struct embedding_job *job, enum problem_type type, const char *detail) {
    struct request *request = job->request;
    end(job);
    request_refuse_with(request, type, "%s", detail);
}

static void run(struct pool_job *pool_job, struct worker *worker) {
    struct embedding_job *job = job_of(pool_job);
    struct request *request = job->request;
    struct answer answer = {.status = MHD_HTTP_OK};
    job->write(&job->record->embedding, milliseconds_since(request->started_ns) / 1000, worker,
               &answer);
    end(job);
    request_answer(request, &answer);
}

static void expire(struct pool_job *pool_job) {
    struct embedding_job *job = job_of(pool_job);
    if (atomic_load(&job->request->server->draining))
        refuse(job, PROBLEM_DRAINING, "the daemon is stopping");
    else
        refuse(job, PROBLEM_DEADLINE, "the embedding waited for longer than upload_deadline");
}

/* With the record at hand. */
static void submit(struct embedding_job *job) {
    struct server *server = job->request->server;
    job->job.run = run;
    job->job.expire = expire;
    job->job.deadline_ns = seconds_from_now(server->options->upload_deadline);
    if (pool_submit(server->pool, LANE_BULK, &job->job))
        return;
    if (atomic_load(&server->draining))
        refuse(job, PROBLEM_DRAINING, "the daemon is stopping");
    else
        refuse(job, PROBLEM_OVERLOADED, "too many images wait to be encoded (upload_queue)");
}

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct embedding_job *job = (struct embedding_job *)waiter;
    struct request *request = job->request;
    if (outcome->record) {
        job->record = record_hold(outcome->record);
        submit(job);
    } else {
        end(job);
        request_refuse(request, outcome->problem);
    }
}

/* NULL: out of memory, and the request is answered. */
static struct embedding_job *create(struct request *request, embedding_writer write) {
    struct embedding_job *job = calloc(1, sizeof *job);
    if (!job) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return NULL;
    }
    job->waiter.wake = on_encoded;
    job->request = request;
    job->write = write;
    return job;
}

void compat_embed_start(struct request *request, embedding_writer write, struct record *record) {
    struct embedding_job *job = create(request, write);
    if (!job) {
        record_release(record);
        return;
    }
    job->record = record;
    submit(job);
}

void compat_embed_start_upload(struct request *request, embedding_writer write,
                               struct incoming *incoming) {
    struct server *server = request->server;
    struct embedding_job *job = create(request, write);
    struct problem problem = {0};
    if (!job) {
        incoming_free(server, incoming);
        return;
    }
    if (encode_claim(server, incoming, &job->waiter, &job->record, &problem))
        return;
    if (job->record) {
        submit(job);
    } else {
        end(job);
        request_refuse(request, &problem);
    }
}
