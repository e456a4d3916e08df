/* Everything mode: all masks of an image, of one that is there or of one that is being encoded. */
#include <stdio.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/everything_run.h"
#include "server/prefer.h"
#include "server/routes.h"

/* A request on its way: it may first wait for its image, then for the run, then for a worker that
 * writes the masks. */
struct asking {
    struct pool_job job; /* first: the pool gives it back */
    struct waiter image_waiter;
    struct run_waiter run_waiter;
    struct request *request;
    struct everything_request asked;
    struct record *record; /* held */
    struct run *run;       /* held, once it is ready */
    bool cached;           /* it was ready before */
    bool unattended;       /* the client prefers not to wait */
};

static void end(struct asking *asking) {
    record_release(asking->record);
    run_release(asking->run);
    free(asking);
}

static void refuse(struct asking *asking, const struct problem *problem) {
    struct request *request = asking->request;
    end(asking);
    request_refuse(request, problem);
}

static void fail(struct asking *asking, enum problem_type type, const char *detail) {
    struct problem problem = {0};
    problem_set(&problem, type, "%s", detail);
    refuse(asking, &problem);
}

static struct everything_answer describe(const struct server *server, const struct record *record,
                                         struct run *run) {
    return (struct everything_answer){
        .image_id = record->id,
        .model = model_info(server->model)->name,
        .width = record->embedding.geometry.width,
        .height = record->embedding.geometry.height,
        .options = &run->options,
        .done = atomic_load(&run->done),
        .total = atomic_load(&run->total),
    };
}

/* ---- the masks --------------------------------------------------------------------------- */

static void yield_worker(void *worker) {
    worker_yield(worker);
}

/* A job, because to write hundreds of masks takes milliseconds. */
static void write_masks(struct pool_job *job, struct worker *worker) {
    struct asking *asking = (struct asking *)job;
    const struct image_yield yield = {yield_worker, worker};
    struct request *request = asking->request;
    struct everything_answer masks = describe(request->server, asking->record, asking->run);
    const struct timing timing = asking->run->timing;
    masks.masks = &asking->run->masks;
    masks.yield = &yield;
    masks.cached = asking->cached;
    masks.format = asking->asked.format;
    masks.simplify = asking->asked.simplify;
    masks.timing = asking->cached ? NULL : &timing;
    struct answer answer = {
        .status = MHD_HTTP_OK, .body = everything_answer_json(&masks), .timing = masks.timing};
    end(asking);
    request_answer(request, &answer);
}

static void fail_unwritten(struct asking *asking) {
    if (atomic_load(&asking->request->server->draining))
        fail(asking, PROBLEM_DRAINING, "the daemon is stopping");
    else
        fail(asking, PROBLEM_OVERLOADED, "too many others wait (prompt_queue, upload_queue)");
}

static void expire(struct pool_job *job) {
    fail_unwritten((struct asking *)job);
}

/* Whether they take long to write, as rows of pixels (PNG) or by their runs: then that is bulk
 * work, with prompts in between. */
static bool are_many(const struct asking *asking) {
    enum { MANY_BYTES = 4 << 20, PIXELS_A_BYTE = 64 };
    const struct everything *masks = &asking->run->masks;
    const struct geometry *geometry = &asking->record->embedding.geometry;
    const size_t pixels = (size_t)geometry->width * (size_t)geometry->height;
    return everything_bytes(masks) + masks->count * (pixels / PIXELS_A_BYTE) > MANY_BYTES;
}

static void answer_masks(struct asking *asking) {
    struct server *server = asking->request->server;
    const struct options *options = server->options;
    const bool many = are_many(asking);
    asking->job.run = write_masks;
    asking->job.expire = expire;
    asking->job.deadline_ns =
        seconds_from_now(many ? options->upload_deadline : options->prompt_deadline);
    if (!pool_submit(server->pool, many ? LANE_BULK : LANE_INTERACTIVE, &asking->job))
        fail_unwritten(asking);
}

/* ---- the run ----------------------------------------------------------------------------- */

static struct asking *asking_of(struct run_waiter *waiter) {
    return (struct asking *)((char *)waiter - offsetof(struct asking, run_waiter));
}

static bool has_left(const struct run_waiter *waiter) {
    return connection_sends_no_more(asking_of((struct run_waiter *)waiter)->request->peer);
}

static void on_run(struct run_waiter *waiter, struct run *run) {
    struct asking *asking = asking_of(waiter);
    if (run->problem.type != PROBLEM_NONE) {
        refuse(asking, &run->problem);
        return;
    }
    asking->run = run_hold(run);
    answer_masks(asking);
}

/* Where to look for the masks in the form that was asked for. */
static void locate(const struct asking *asking, char *location, size_t size) {
    const struct everything_request *asked = &asking->asked;
    size_t used = (size_t)snprintf(location, size, "/v1/images/%s/everything", asking->record->id);
    if (asked->format != FORMAT_COCO_RLE || asked->simplify > 0)
        snprintf(location + used, size - used, "?format=%s&simplify=%.9g",
                 mask_format_name(asked->format), asked->simplify);
}

static void answer_accepted(struct asking *asking, struct run *run) {
    struct request *request = asking->request;
    struct everything_answer running = describe(request->server, asking->record, run);
    char location[IMAGE_ID_MAX + 128];
    locate(asking, location, sizeof location);
    struct answer answer = {
        .status = MHD_HTTP_ACCEPTED,
        .body = everything_answer_json(&running),
        .headers = {{MHD_HTTP_HEADER_LOCATION, location}, {"Preference-Applied", PREFER_ASYNC}},
    };
    end(asking);
    request_answer(request, &answer);
}

/* With the record at hand. */
static void start(struct asking *asking) {
    struct server *server = asking->request->server;
    struct record *record = record_hold(asking->record);
    const bool unattended = asking->unattended;
    struct run *run;
    const enum claim claim = runs_claim(server->runs, record, &asking->asked.options,
                                        unattended ? NULL : &asking->run_waiter, &run);
    /* from here on an asking that waits may be woken at any time */
    if (claim == RUN_NO_MEMORY) {
        fail(asking, PROBLEM_INTERNAL, "out of memory");
    } else if (claim == RUN_PRESENT) {
        asking->run = run;
        asking->cached = true;
        answer_masks(asking);
    } else {
        const bool started = claim == RUN_JOINED || everything_start(server, record, run);
        if (unattended && started)
            answer_accepted(asking, run);
        else if (unattended)
            refuse(asking, &run->problem);
        run_release(run);
    }
    record_release(record);
}

/* With the record at hand. */
static void check_and_start(struct asking *asking) {
    struct problem problem = {0};
    if (asking->asked.options.crop_n_layers == 0 || asking->record->bytes) {
        start(asking);
        return;
    }
    problem_add(&problem, PROBLEM_INVALID_REQUEST, "/crop_n_layers",
                "crops need the image's pixels, of which only the embedding is here: upload it");
    refuse(asking, &problem);
}

/* ---- the image --------------------------------------------------------------------------- */

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct asking *asking =
        (struct asking *)((char *)waiter - offsetof(struct asking, image_waiter));
    if (!outcome->record) {
        refuse(asking, outcome->problem);
        return;
    }
    asking->record = record_hold(outcome->record);
    check_and_start(asking);
}

void handle_everything(struct request *request) {
    struct catalogue *catalogue = request->server->catalogue;
    struct problem problem = {0};
    struct geometry geometry;
    struct record *record;
    struct asking *asking = calloc(1, sizeof *asking);
    if (!asking)
        problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
    if (!asking || !everything_request_parse((const char *)request->body.bytes, request->body.size,
                                             &asking->asked, &problem)) {
        free(asking);
        request_refuse(request, &problem);
        return;
    }
    body_free(request->server, &request->body);
    asking->request = request;
    asking->image_waiter.wake = on_encoded;
    asking->run_waiter.wake = on_run;
    asking->run_waiter.has_left = has_left;
    asking->unattended = request_prefers_async(request);
    request_suspend(request); /* from here on the waiter may be woken at any time */
    enum presence presence =
        catalogue_find(catalogue, request->image_id, &asking->image_waiter, &record, &geometry);
    if (presence == IMAGE_PENDING)
        return;
    if (presence == IMAGE_ABSENT) {
        end(asking);
        request_refuse_unknown_image(request);
        return;
    }
    asking->record = record;
    check_and_start(asking);
}

/* ---- a look ------------------------------------------------------------------------------ */

static bool read_query(struct request *request, struct everything_request *asked,
                       struct problem *problem) {
    return everything_query_parse(request_query(request, "format"),
                                  request_query(request, "simplify"), asked, problem);
}

void check_everything_query(struct request *request, struct problem *problem) {
    struct everything_request ignored;
    read_query(request, &ignored, problem);
}

/* Takes the references. */
static void show_masks(struct request *request, struct record *record, struct run *run) {
    struct problem ignored = {0};
    struct asking *asking = calloc(1, sizeof *asking);
    if (!asking) {
        record_release(record);
        run_release(run);
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    asking->request = request;
    asking->record = record;
    asking->run = run;
    asking->cached = true;
    read_query(request, &asking->asked, &ignored);
    request_suspend(request);
    answer_masks(asking);
}

void handle_everything_get(struct request *request) {
    struct server *server = request->server;
    struct geometry geometry;
    struct record *record;
    enum run_state state;
    if (catalogue_find(server->catalogue, request->image_id, NULL, &record, &geometry) ==
        IMAGE_ABSENT) {
        request_refuse_unknown_image(request);
        return;
    }
    struct run *run = record ? runs_latest(server->runs, record, &state) : NULL;
    if (run && state == RUN_READY) {
        show_masks(request, record, run);
        return;
    }
    if (run) {
        struct everything_answer shown = describe(server, record, run);
        shown.problem = state == RUN_FAILED ? &run->problem : NULL;
        struct answer answer = {.status = MHD_HTTP_OK, .body = everything_answer_json(&shown)};
        request_answer(request, &answer);
    } else {
        request_refuse_with(request, PROBLEM_UNKNOWN_RUN,
                            "everything mode has not run on \"%s\", or that is forgotten: POST "
                            "to the same path runs it",
                            request->image_id);
    }
    run_release(run);
    record_release(record);
}
