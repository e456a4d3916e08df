/* The embedding of an image: to take away, and to bring in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/accept.h"
#include "server/clock.h"
#include "server/images.h"
#include "server/incoming.h"
#include "server/routes.h"

enum embedding_form { FORM_SAFETENSORS, FORM_NPY, FORM_COUNT };

static const char *const FORM_TYPES[FORM_COUNT] = {"application/vnd.safetensors",
                                                   "application/x-npy"};
static const char *const FORM_ENDINGS[FORM_COUNT] = {"safetensors", "npy"};

/* Strong: whatever the file depends on, except the image's ID, which is in the path. */
static void make_tag(char etag[ETAG_SIZE], const struct server *server, const struct record *record,
                     enum embedding_form form, enum embedding_type type) {
    const struct geometry *geometry = &record->embedding.geometry;
    char image[ETAG_SIZE], values[ETAG_SIZE], all[3 * ETAG_SIZE];
    image_tag(image, server, record);
    etag_of(values, record->embedding.values, sizeof record->embedding.values);
    int size = snprintf(all, sizeof all, "%s%s%dx%d %d.%d", image, values, geometry->width,
                        geometry->height, (int)type, (int)form);
    etag_of(etag, all, (size_t)size);
}

static void refuse_queue(struct request *request) {
    if (atomic_load(&request->server->draining))
        request_refuse_with(request, PROBLEM_DRAINING, "the daemon is stopping");
    else
        request_refuse_with(request, PROBLEM_OVERLOADED, "too many prompts wait (prompt_queue)");
}

static void refuse_expired(struct request *request) {
    if (atomic_load(&request->server->draining))
        request_refuse_with(request, PROBLEM_DRAINING, "the daemon is stopping");
    else
        request_refuse_with(request, PROBLEM_DEADLINE,
                            "the embedding waited for longer than prompt_deadline");
}

/* ---- out --------------------------------------------------------------------------------- */

/* It may first wait for its image, then for a worker. */
struct export {
    struct waiter waiter; /* first: the catalogue gives it back */
    struct pool_job job;
    struct request *request;
    struct record *record; /* held */
    enum embedding_form form;
    enum embedding_type type;
};

static struct export *export_of(struct pool_job *job) {
    return (struct export *)((char *)job - offsetof(struct export, job));
}

static void end_export(struct export *export) {
    record_release(export->record);
    free(export);
}

static void answer_embedding(struct export *export, const char *etag, const struct timing *timing) {
    struct request *request = export->request;
    const struct model_info *model = model_info(request->server->model);
    const struct record *record = export->record;
    struct answer answer = {.status = MHD_HTTP_OK, .timing = timing};
    char size[32], file[sizeof "attachment; filename=\"\"" + IMAGE_ID_MAX + 16];
    struct embedding_source source;
    memcpy(source.image_id, record->id, sizeof source.image_id);
    memcpy(source.digest, record->digest, DIGEST_BYTES);
    answer.body = (char *)(export->form == FORM_NPY
                               ? embedding_npy(&record->embedding, export->type, &answer.size)
                               : embedding_safetensors(&record->embedding, &source, model,
                                                       export->type, &answer.size));
    answer.content_type = FORM_TYPES[export->form];
    snprintf(size, sizeof size, "%dx%d", record->embedding.geometry.width,
             record->embedding.geometry.height);
    snprintf(file, sizeof file, "attachment; filename=\"%s.%s\"", record->id,
             FORM_ENDINGS[export->form]);
    const struct header headers[] = {
        {MHD_HTTP_HEADER_ETAG, etag},
        {MHD_HTTP_HEADER_CACHE_CONTROL, CACHE_REVALIDATE},
        {MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT},
        {MHD_HTTP_HEADER_CONTENT_DISPOSITION, file},
        {"X-Maskd-Model", model->name},
        {"X-Maskd-Weights-Sha256", model->weights_sha256},
        {"X-Maskd-Size", size},
    };
    _Static_assert(sizeof headers <= sizeof answer.headers, "ANSWER_HEADERS_MAX");
    memcpy(answer.headers, headers, sizeof headers);
    request_answer(request, &answer);
}

static void run_export(struct pool_job *job, struct worker *worker) {
    (void)worker;
    struct export *export = export_of(job);
    const struct timing timing = {milliseconds_since(job->queued_ns), -1, -1, -1};
    char etag[ETAG_SIZE];
    make_tag(etag, export->request->server, export->record, export->form, export->type);
    if (!conditional_settled(export->request, etag, CACHE_REVALIDATE))
        answer_embedding(export, etag, &timing);
    end_export(export);
}

static void expire_export(struct pool_job *job) {
    struct export *export = export_of(job);
    refuse_expired(export->request);
    end_export(export);
}

/* With the record at hand. */
static void submit_export(struct export *export) {
    struct server *server = export->request->server;
    export->job.run = run_export;
    export->job.expire = expire_export;
    export->job.deadline_ns = seconds_from_now(server->options->prompt_deadline);
    if (pool_submit(server->pool, LANE_INTERACTIVE, &export->job))
        return;
    refuse_queue(export->request);
    end_export(export);
}

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct export *export = (struct export *)waiter;
    if (outcome->record) {
        export->record = record_hold(outcome->record);
        submit_export(export);
    } else {
        request_refuse(export->request, outcome->problem);
        end_export(export);
    }
}

/* -1: no type has this name. */
static int read_type(const char *name) {
    if (!name || strcmp(name, "float16") == 0)
        return EMBEDDING_FLOAT16;
    return strcmp(name, "float32") == 0 ? EMBEDDING_FLOAT32 : -1;
}

void check_embedding_query(struct request *request, struct problem *problem) {
    if (read_type(request_query(request, "dtype")) < 0)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?dtype", "must be float16 or float32");
}

void handle_embedding_get(struct request *request) {
    struct server *server = request->server;
    struct geometry geometry;
    struct export *export = calloc(1, sizeof *export);
    if (!export) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    export->waiter.wake = on_encoded;
    export->request = request;
    export->type = (enum embedding_type)read_type(request_query(request, "dtype"));
    export->form = (enum embedding_form)accept_choose(
        request_header(request, MHD_HTTP_HEADER_ACCEPT), FORM_TYPES, FORM_COUNT);
    if (!request_reserve(request, EMBEDDING_VALUES * sizeof(float))) {
        request_refuse_with(request, PROBLEM_OVERLOADED,
                            "what is in flight fills upload_memory, %lld bytes",
                            server->options->upload_memory);
        end_export(export);
        return;
    }
    request_suspend(request); /* from here on the waiter may be woken at any time */
    switch (catalogue_find(server->catalogue, request->image_id, &export->waiter, &export->record,
                           &geometry)) {
    case IMAGE_PENDING:
        return;
    case IMAGE_PRESENT:
        submit_export(export);
        return;
    default:
        request_refuse_unknown_image(request);
        end_export(export);
    }
}

/* ---- in ---------------------------------------------------------------------------------- */

struct import {
    struct waiter waiter; /* first: the catalogue gives it back */
    struct pool_job job;
    struct request *request;
};

static struct import *import_of(struct pool_job *job) {
    return (struct import *)((char *)job - offsetof(struct import, job));
}

/* Woken by its own claim, or by the encode of the same image that was faster. */
static void on_imported(struct waiter *waiter, const struct outcome *outcome) {
    struct import *import = (struct import *)waiter;
    if (outcome->record)
        answer_image(import->request, outcome->record, waiter->first,
                     waiter->first ? &outcome->timing : NULL);
    else
        request_refuse(import->request, outcome->problem);
    free(import);
}

/* The record that the request's body describes; NULL: *problem tells why. */
static struct record *read_record(struct request *request, struct problem *problem) {
    static const uint8_t unknown[DIGEST_BYTES];
    const struct image_limits limits = incoming_image_limits(request->server->options);
    struct embedding_source source;
    struct record *record = record_create(request->image_id, unknown);
    if (!record) {
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
    } else if (embedding_parse(request->body.bytes, request->body.size,
                               model_info(request->server->model), &limits, &source,
                               &record->embedding, problem)) {
        memcpy(record->digest, source.digest, DIGEST_BYTES);
        return record;
    }
    record_release(record);
    return NULL;
}

/* Of the embedding as GET gives it by default. */
static bool is_settled(struct request *request) {
    struct server *server = request->server;
    struct record *record;
    struct geometry geometry;
    char etag[ETAG_SIZE];
    if (!request_header(request, MHD_HTTP_HEADER_IF_MATCH) &&
        !request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH))
        return false; /* a tag takes a while to make */
    enum presence presence =
        catalogue_find(server->catalogue, request->image_id, NULL, &record, &geometry);
    if (record)
        make_tag(etag, server, record, FORM_SAFETENSORS, EMBEDDING_FLOAT16);
    else
        image_tag(etag, server, NULL);
    record_release(record);
    return conditional_settled(request, presence == IMAGE_ABSENT ? NULL : etag, NULL);
}

/* Takes the reference. */
static void claim(struct import *import, struct record *record, const struct timing *timing) {
    struct request *request = import->request;
    struct catalogue *catalogue = request->server->catalogue;
    struct outcome outcome = {.record = record, .timing = *timing};
    struct record *present;
    struct problem problem = {0};
    enum presence presence =
        catalogue_claim(catalogue, record->id, record->digest, &record->embedding.geometry,
                        &import->waiter, &present);
    if (presence == IMAGE_CLAIMED) { /* its digest is only what the file says */
        refinements_forget(request->server->refinements, record->id);
        runs_forget(request->server->runs, record->id);
        catalogue_finish(catalogue, record->id, record->digest, &outcome);
    }
    record_release(record);
    if (presence == IMAGE_CLAIMED || presence == IMAGE_PENDING)
        return;
    if (presence == IMAGE_CONFLICT)
        problem_set_conflict(&problem, request->image_id);
    else
        problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
    if (presence == IMAGE_PRESENT)
        answer_image(request, present, false, NULL);
    else
        request_refuse(request, &problem);
    record_release(present);
    free(import);
}

static void run_import(struct pool_job *job, struct worker *worker) {
    (void)worker;
    struct import *import = import_of(job);
    struct problem problem = {0};
    struct timing timing = {milliseconds_since(job->queued_ns), -1, -1, -1};
    const int64_t start = clock_now_ns();
    struct record *record = read_record(import->request, &problem);
    timing.decode_ms = milliseconds_since(start);
    if (record && !is_settled(import->request)) {
        claim(import, record, &timing);
        return;
    }
    if (!record)
        request_refuse(import->request, &problem);
    record_release(record);
    free(import);
}

static void expire_import(struct pool_job *job) {
    struct import *import = import_of(job);
    refuse_expired(import->request);
    free(import);
}

void handle_embedding_put(struct request *request) {
    struct server *server = request->server;
    if (!image_id_valid(request->image_id)) {
        request_refuse_with(request, PROBLEM_INVALID_REQUEST,
                            "the ID in the path must match " IMAGE_ID_PATTERN);
        return;
    }
    struct import *import = calloc(1, sizeof *import);
    if (!import) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    import->waiter.wake = on_imported;
    import->request = request;
    import->job.run = run_import;
    import->job.expire = expire_import;
    import->job.deadline_ns = seconds_from_now(server->options->prompt_deadline);
    request_suspend(request);
    if (pool_submit(server->pool, LANE_INTERACTIVE, &import->job))
        return;
    refuse_queue(request);
    free(import);
}
