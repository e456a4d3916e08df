/* Prompts: on an image that is there, on one that is being encoded, or together with the image. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/aside.h"
#include "server/clock.h"
#include "server/decode.h"
#include "server/encode.h"
#include "server/routes.h"
#include "server/segment.h"

/* A worker's turns at the prompts of a request. */
struct strand {
    struct pool_job job; /* first: the pool gives it back */
    struct segmenting *segmenting;
};

/* One request for masks on its way: it may first wait for its image, then for workers, prompt by
 * prompt. A list is worked on by one worker, and by those that would be idle. */
struct segmenting {
    struct waiter waiter;
    struct request *request;
    const struct segment_form *form;
    void *context;         /* the form's; owned */
    struct record *record; /* held */
    struct prompt_list prompts;
    struct segmentation *results; /* one for each prompt */
    struct mask_id (*ids)[3];     /* of each result's masks */
    struct refinement **refined;  /* what each prompt refines, held; or NULL */
    struct timing timing;
    size_t admitted; /* prompts, counted in server->list_prompts */
    struct strand first;

    pthread_mutex_t mutex;  /* guards what follows, and the timing */
    size_t begun;           /* prompts */
    int64_t begun_ns;       /* the first of them */
    size_t strands;         /* that are queued or run; the last one answers */
    size_t queued;          /* of these */
    struct problem problem; /* of the first prompt that failed; the others are not begun */
};

static void end(struct segmenting *segmenting) {
    if (segmenting->admitted > 0)
        atomic_fetch_sub(&segmenting->request->server->list_prompts, segmenting->admitted);
    for (size_t i = 0; segmenting->results && i < segmenting->prompts.count; i++)
        segmentation_free(&segmenting->results[i]);
    for (size_t i = 0; segmenting->refined && i < segmenting->prompts.count; i++)
        refinement_release(segmenting->refined[i]);
    free(segmenting->results);
    free(segmenting->ids);
    free(segmenting->refined);
    prompt_list_free(&segmenting->prompts);
    record_release(segmenting->record);
    if (segmenting->form->release)
        segmenting->form->release(segmenting->context);
    pthread_mutex_destroy(&segmenting->mutex);
    free(segmenting);
}

static void refuse(struct segmenting *segmenting, const struct problem *problem) {
    struct request *request = segmenting->request;
    const struct segment_form *form = segmenting->form;
    end(segmenting);
    form->refuse(request, problem);
}

static void fail(struct segmenting *segmenting, enum problem_type type, const char *detail) {
    struct problem problem = {0};
    problem_set(&problem, type, "%s", detail);
    refuse(segmenting, &problem);
}

static void fail_draining(struct segmenting *segmenting) {
    fail(segmenting, PROBLEM_DRAINING, "the daemon is stopping");
}

static void succeed(struct segmenting *segmenting) {
    struct request *request = segmenting->request;
    struct segment_answer masks = {
        .image_id = segmenting->record->id,
        .model = model_info(request->server->model)->name,
        .width = segmenting->record->embedding.geometry.width,
        .height = segmenting->record->embedding.geometry.height,
        .prompts = &segmenting->prompts,
        .results = segmenting->results,
        .ids = segmenting->ids,
        .timing = &segmenting->timing,
    };
    struct timing timing = segmenting->timing;
    struct answer answer = {.status = MHD_HTTP_OK, .timing = &timing};
    segmenting->form->write(&masks, segmenting->context, &answer);
    end(segmenting);
    request_answer(request, &answer);
}

/* ---- the jobs ---------------------------------------------------------------------------- */

static enum status segment_one(struct segmenting *segmenting, size_t index, struct worker *worker,
                               struct error *error) {
    const struct decoding decoding = {
        .server = segmenting->request->server,
        .record = segmenting->record,
        .prompt = &segmenting->prompts.items[index].prompt,
        .refined = segmenting->refined[index],
        .to_come = segmenting->prompts.count - index - 1,
    };
    enum status status = decode_prompt(&decoding, worker, &segmenting->results[index],
                                       segmenting->ids[index], error);
    if (status == STATUS_OK)
        status = segmentation_clean(&segmenting->results[index],
                                    &segmenting->prompts.items[index].cleaning, error);
    return status;
}

/* Whoever leaves, such as a browser that has a newer preview to ask for, should not keep others
 * waiting. But a client may have closed only its own side: when no others wait it is answered. */
static bool is_abandoned(const struct pool_job *job) {
    const struct strand *strand = (const struct strand *)job;
    return connection_sends_no_more(strand->segmenting->request->peer);
}

static void answer(struct segmenting *segmenting) {
    struct problem problem = segmenting->problem;
    segmenting->timing.segment_ms = milliseconds_since(segmenting->begun_ns);
    if (problem.type == PROBLEM_NONE)
        succeed(segmenting);
    else
        refuse(segmenting, &problem);
}

/* With the mutex held, which it gives up: the strand is over. */
static void leave(struct strand *strand) {
    struct segmenting *segmenting = strand->segmenting;
    bool last = --segmenting->strands == 0;
    pthread_mutex_unlock(&segmenting->mutex);
    if (strand != &segmenting->first)
        free(strand);
    if (last)
        answer(segmenting);
}

static void leave_failed(struct strand *strand, enum problem_type type, const char *detail) {
    struct segmenting *segmenting = strand->segmenting;
    pthread_mutex_lock(&segmenting->mutex);
    problem_set(&segmenting->problem, type, "%s", detail);
    leave(strand);
}

/* With the mutex held. */
static bool has_more(const struct segmenting *segmenting) {
    return segmenting->begun < segmenting->prompts.count &&
           segmenting->problem.type == PROBLEM_NONE;
}

/* With the mutex held: whether prompts of other requests are queued. */
static bool others_wait(const struct segmenting *segmenting) {
    const struct server *server = segmenting->request->server;
    return pool_lane_state(server->pool, LANE_INTERACTIVE).queued > segmenting->queued;
}

static void run(struct pool_job *job, struct worker *worker);
static void expire(struct pool_job *job);

static bool submit_strand(struct segmenting *segmenting, struct strand *strand) {
    strand->segmenting = segmenting;
    strand->job.run = run;
    strand->job.expire = expire;
    strand->job.abandoned = is_abandoned;
    return pool_submit(segmenting->request->server->pool, LANE_INTERACTIVE, &strand->job);
}

/* Invites one more worker, unless it would take a single prompt's place in the queue. With the
 * mutex held, which the new strand will wait for. */
static void add_strand(struct segmenting *segmenting) {
    const struct server *server = segmenting->request->server;
    if (segmenting->queued + 1 >= (size_t)server->options->prompt_queue)
        return;
    struct strand *strand = calloc(1, sizeof *strand);
    if (strand && submit_strand(segmenting, strand)) {
        segmenting->queued++;
        segmenting->strands++;
    } else {
        free(strand);
    }
}

/* One prompt at a time: a request with hundreds of them lets others in between. While no others
 * wait, one more worker is invited each time; and while they do, all but one leave. */
static void run(struct pool_job *job, struct worker *worker) {
    struct strand *strand = (struct strand *)job;
    struct segmenting *segmenting = strand->segmenting;
    struct error error = {0};
    pthread_mutex_lock(&segmenting->mutex);
    segmenting->queued--;
    if (segmenting->begun == 0) {
        const double waited_ms = milliseconds_since(job->queued_ns);
        segmenting->timing.queue_ms += waited_ms;
        metrics_measure(segmenting->request->server->metrics, DURATION_PROMPT_QUEUE, waited_ms);
        segmenting->begun_ns = clock_now_ns();
    }
    if (!has_more(segmenting)) {
        leave(strand);
        return;
    }
    size_t index = segmenting->begun++;
    size_t workers = (size_t)pool_workers(segmenting->request->server->pool);
    if (has_more(segmenting) && segmenting->strands < workers && !others_wait(segmenting))
        add_strand(segmenting);
    pthread_mutex_unlock(&segmenting->mutex);

    enum status status = segment_one(segmenting, index, worker, &error);
    if (status != STATUS_OK) {
        leave_failed(strand, status == STATUS_INVALID ? PROBLEM_INVALID_PROMPT : PROBLEM_INTERNAL,
                     error.message);
        return;
    }
    pthread_mutex_lock(&segmenting->mutex);
    if (segmenting->strands > 1 && others_wait(segmenting)) {
        leave(strand);
        return;
    }
    if (!has_more(segmenting)) {
        struct preparations *preparations = segmenting->request->server->preparations;
        struct record *record = record_hold(segmenting->record);
        leave(strand);
        preparations_make_ready(preparations, worker, record);
        record_release(record);
        return;
    }
    segmenting->queued++;
    pthread_mutex_unlock(&segmenting->mutex);
    if (!worker_requeue(worker, job)) {
        pthread_mutex_lock(&segmenting->mutex);
        segmenting->queued--;
        pthread_mutex_unlock(&segmenting->mutex);
        leave_failed(strand, PROBLEM_DRAINING, "the daemon is stopping");
    }
}

static void expire(struct pool_job *job) {
    struct strand *strand = (struct strand *)job;
    struct segmenting *segmenting = strand->segmenting;
    const bool draining = atomic_load(&segmenting->request->server->draining);
    const bool late = job->deadline_ns != 0 && clock_now_ns() >= job->deadline_ns;
    pthread_mutex_lock(&segmenting->mutex);
    segmenting->queued--;
    if (!draining && !late && segmenting->strands > 1) { /* the others go on */
        leave(strand);
        return;
    }
    pthread_mutex_unlock(&segmenting->mutex);
    if (draining)
        leave_failed(strand, PROBLEM_DRAINING, "the daemon is stopping");
    else if (!late)
        leave_failed(strand, PROBLEM_OVERLOADED, "others wait, and the client has closed its side");
    else
        leave_failed(strand, PROBLEM_DEADLINE, "the prompt waited for longer than prompt_deadline");
}

/* Bounds the prompts of all lists, and with them the masks that are held until a list is done.
 * Single prompts are bounded by the lane alone, so that lists do not keep them out; and one list
 * alone is never too much. */
static bool admit(struct segmenting *segmenting) {
    struct server *server = segmenting->request->server;
    const size_t count = segmenting->prompts.count;
    if (count == 1)
        return true;
    const size_t open = atomic_fetch_add(&server->list_prompts, count);
    segmenting->admitted = count;
    return open == 0 || open + count <= (size_t)server->options->prompt_queue;
}

/* Finds the masks that prompts refine, and adds a fault for each that is not there. */
static void find_refined(struct segmenting *segmenting, struct problem *problem) {
    const struct prompt_list *prompts = &segmenting->prompts;
    for (size_t i = 0; i < prompts->count; i++) {
        const struct mask_id *id = &prompts->items[i].refine;
        char pointer[64] = "/refine";
        if (!*id->text)
            continue;
        segmenting->refined[i] =
            refinements_find(segmenting->request->server->refinements, id, segmenting->record);
        if (segmenting->refined[i])
            continue;
        if (prompts->numbered)
            snprintf(pointer, sizeof pointer, "/prompts/%zu/refine", i);
        problem_add(problem, PROBLEM_INVALID_PROMPT, pointer,
                    "unknown, of another image, or no longer kept: send the mask itself as mask");
    }
}

/* With the record at hand. */
static void submit(struct segmenting *segmenting) {
    struct server *server = segmenting->request->server;
    struct problem problem = {0};
    find_refined(segmenting, &problem);
    if (problem.type != PROBLEM_NONE) {
        refuse(segmenting, &problem);
        return;
    }
    segmenting->first.job.deadline_ns = seconds_from_now(server->options->prompt_deadline);
    segmenting->strands = segmenting->queued = 1;
    if (admit(segmenting) && submit_strand(segmenting, &segmenting->first))
        return;
    if (atomic_load(&server->draining))
        fail_draining(segmenting);
    else
        fail(segmenting, PROBLEM_OVERLOADED, "too many prompts wait (prompt_queue)");
}

/* ---- waiting for the image --------------------------------------------------------------- */

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct segmenting *segmenting =
        (struct segmenting *)((char *)waiter - offsetof(struct segmenting, waiter));
    if (outcome->record) {
        segmenting->record = record_hold(outcome->record);
        if (waiter->first)
            segmenting->timing = outcome->timing;
        segmenting->timing.segment_ms = 0;
        submit(segmenting);
    } else {
        refuse(segmenting, outcome->problem);
    }
}

struct segmenting *segmenting_create(struct request *request, const struct segment_form *form,
                                     void *context, struct prompt_list *prompts) {
    struct problem problem = {0};
    const size_t count = prompts->count;
    struct segmenting *segmenting = calloc(1, sizeof *segmenting);
    if (segmenting) {
        pthread_mutex_init(&segmenting->mutex, NULL);
        segmenting->waiter.wake = on_encoded;
        segmenting->request = request;
        segmenting->form = form;
        segmenting->context = context;
        segmenting->prompts = *prompts;
        segmenting->results = calloc(count, sizeof *segmenting->results);
        segmenting->ids = calloc(count, sizeof *segmenting->ids);
        segmenting->refined = calloc(count, sizeof *segmenting->refined);
        segmenting->timing = (struct timing){0, -1, -1, 0};
        *prompts = (struct prompt_list){0};
        if (segmenting->results && segmenting->ids && segmenting->refined)
            return segmenting;
    }
    problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
    if (segmenting) {
        refuse(segmenting, &problem);
        return NULL;
    }
    prompt_list_free(prompts);
    if (form->release)
        form->release(context);
    form->refuse(request, &problem);
    return NULL;
}

void segmenting_start(struct segmenting *segmenting, struct record *record) {
    segmenting->record = record;
    submit(segmenting);
}

void segmenting_start_upload(struct segmenting *segmenting, struct incoming *incoming) {
    struct problem problem = {0};
    if (encode_claim(segmenting->request->server, incoming, &segmenting->waiter,
                     &segmenting->record, &problem))
        return;
    if (segmenting->record)
        submit(segmenting);
    else
        refuse(segmenting, &problem);
}

/* ---- the handlers ------------------------------------------------------------------------ */

/* Reads the prompts. NULL: the request is answered. */
static struct segmenting *begin(struct request *request, const char *json, size_t size,
                                const struct geometry *geometry) {
    struct problem problem = {0};
    struct prompt_list prompts;
    struct prompt_limits limits = {geometry->width, geometry->height,
                                   (size_t)request->server->options->max_prompts};
    if (prompt_list_parse(json, size, &limits, &prompts, &problem)) {
        const struct segment_form *form = segment_form_choose(request, &prompts, &problem);
        if (form)
            return segmenting_create(request, form, NULL, &prompts);
        prompt_list_free(&prompts);
    }
    request_refuse(request, &problem);
    return NULL;
}

/* What is larger may hold masks, which take a worker's time to read: a PNG unpacks to a thousand
 * times its size. */
enum { QUICK_BYTES = 1024 };

static void suspend(struct request *request) {
    if (!request->suspended)
        request_suspend(request);
}

static void segment_image(struct request *request, void *unused) {
    (void)unused;
    struct catalogue *catalogue = request->server->catalogue;
    struct record *record;
    struct geometry geometry;
    enum presence presence = catalogue_find(catalogue, request->image_id, NULL, &record, &geometry);
    if (presence == IMAGE_ABSENT) {
        request_refuse_unknown_image(request);
        return;
    }
    struct segmenting *segmenting =
        begin(request, (const char *)request->body.bytes, request->body.size, &geometry);
    if (!segmenting) {
        record_release(record);
        return;
    }
    body_free(request->server, &request->body); /* others may need the memory while this waits */
    suspend(request);
    if (presence == IMAGE_PENDING) {
        /* look again, this time to wait; it may have ended meanwhile */
        presence =
            catalogue_find(catalogue, request->image_id, &segmenting->waiter, &record, &geometry);
        if (presence == IMAGE_PENDING)
            return;
        if (presence == IMAGE_ABSENT) {
            end(segmenting);
            request_refuse_unknown_image(request);
            return;
        }
    }
    segmenting_start(segmenting, record);
}

void handle_segment_image(struct request *request) {
    if (request->body.size > QUICK_BYTES)
        aside_submit(request, (struct aside){.run = segment_image});
    else
        segment_image(request, NULL);
}

static void drop_upload(struct request *request, void *argument) {
    incoming_free(request->server, argument);
    free(argument);
}

/* The argument is the incoming image, which is freed. */
static void segment_upload(struct request *request, void *argument) {
    struct server *server = request->server;
    struct incoming *incoming = argument;
    struct segmenting *segmenting =
        begin(request, incoming->prompt_json, strlen(incoming->prompt_json), &incoming->geometry);
    if (!segmenting) {
        incoming_free(server, incoming);
        free(incoming);
        return;
    }
    free(incoming->prompt_json);
    incoming->prompt_json = NULL;
    suspend(request);
    segmenting_start_upload(segmenting, incoming);
    free(incoming);
}

void handle_segment_upload(struct request *request) {
    struct problem problem = {0};
    struct incoming *incoming = calloc(1, sizeof *incoming);
    if (!incoming)
        problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
    if (!incoming || !incoming_read(request, true, incoming, &problem)) {
        free(incoming);
        request_refuse(request, &problem);
        return;
    }
    if (strlen(incoming->prompt_json) > QUICK_BYTES)
        aside_submit(request, (struct aside){segment_upload, drop_upload, incoming});
    else
        segment_upload(request, incoming);
}
