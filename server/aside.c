#include "server/aside.h"

#include <stdlib.h>

#include "server/clock.h"

struct aside_job {
    struct pool_job job; /* first: the pool gives it back */
    struct request *request;
    struct aside aside;
};

static void run(struct pool_job *job, struct worker *worker) {
    (void)worker;
    const struct aside_job taken = *(struct aside_job *)job;
    free(job);
    taken.aside.run(taken.request, taken.aside.argument);
}

static void drop(struct request *request, const struct aside *aside, enum problem_type type,
                 const char *detail) {
    if (aside->drop)
        aside->drop(request, aside->argument);
    request_refuse_with(request, type, "%s", detail);
}

static void expire(struct pool_job *job) {
    const struct aside_job taken = *(struct aside_job *)job;
    free(job);
    if (atomic_load(&taken.request->server->draining))
        drop(taken.request, &taken.aside, PROBLEM_DRAINING, "the daemon is stopping");
    else
        drop(taken.request, &taken.aside, PROBLEM_DEADLINE,
             "the prompt waited for longer than prompt_deadline");
}

void aside_submit(struct request *request, struct aside aside) {
    struct server *server = request->server;
    struct aside_job *job = calloc(1, sizeof *job);
    if (!job) {
        drop(request, &aside, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    job->job.run = run;
    job->job.expire = expire;
    job->job.deadline_ns = seconds_from_now(server->options->prompt_deadline);
    job->request = request;
    job->aside = aside;
    request_suspend(request);
    if (pool_submit(server->pool, LANE_INTERACTIVE, &job->job))
        return;
    free(job);
    drop(request, &aside, PROBLEM_OVERLOADED, "too many prompts wait (prompt_queue)");
}
