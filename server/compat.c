#include "server/compat.h"

#include <stdlib.h>

#include "server/clock.h"
#include "server/fetch.h"
#include "server/sources.h"

/* A request whose image is being fetched, or is at hand. */
struct errand {
    struct fetch fetch; /* first: the fetcher gives it back */
    struct request *request;
    struct compat_request common;
    const struct segment_form *form; /* of masks; NULL: an embedding is asked for */
    void *context;
    embedding_writer write;
};

void compat_answer(struct request *request, char *body) {
    struct answer answer = {.status = MHD_HTTP_OK, .body = body};
    request_answer(request, &answer);
}

/* Ends the errand, which may hold the problem itself. */
static void refuse(struct errand *errand, const struct problem *problem) {
    const struct segment_form *form = errand->form;
    if (form)
        form->refuse(errand->request, problem);
    else
        request_refuse(errand->request, problem);
    compat_request_free(&errand->common);
    if (form && form->release)
        form->release(errand->context);
    free(errand);
}

/* Ends the errand: the prompts, for an image of this size, go on. NULL: it is answered. */
static struct segmenting *place(struct errand *errand, const struct geometry *geometry) {
    const struct prompt_limits limits = {geometry->width, geometry->height,
                                         (size_t)errand->request->server->options->max_prompts};
    struct problem problem = {0};
    struct prompt_list prompts;
    if (!compat_prompts(&errand->common, &limits, &prompts, &problem)) {
        refuse(errand, &problem);
        return NULL;
    }
    struct segmenting *segmenting =
        segmenting_create(errand->request, errand->form, errand->context, &prompts);
    compat_request_free(&errand->common);
    free(errand);
    return segmenting;
}

/* Ends the errand, too. */
static struct request *end(struct errand *errand) {
    struct request *request = errand->request;
    compat_request_free(&errand->common);
    free(errand);
    return request;
}

/* With the record, which it takes. */
static void go_on(struct errand *errand, struct record *record) {
    const embedding_writer write = errand->write;
    if (!errand->form) {
        compat_embed_start(end(errand), write, record);
        return;
    }
    struct segmenting *segmenting = place(errand, &record->embedding.geometry);
    if (segmenting)
        segmenting_start(segmenting, record);
    else
        record_release(record);
}

/* With the image's bytes, which it takes. */
static void go_on_with_bytes(struct errand *errand, struct body *image) {
    struct server *server = errand->request->server;
    struct problem problem = {0};
    struct incoming incoming;
    if (!incoming_take(server, image, errand->common.image_id, &incoming, &problem)) {
        refuse(errand, &problem);
        return;
    }
    if (errand->common.url)
        sources_note(server->sources, errand->common.url, incoming.id, clock_now_ns());
    const embedding_writer write = errand->write;
    if (!errand->form) {
        compat_embed_start_upload(end(errand), write, &incoming);
        return;
    }
    struct segmenting *segmenting = place(errand, &incoming.geometry);
    if (segmenting)
        segmenting_start_upload(segmenting, &incoming);
    else
        incoming_free(server, &incoming);
}

static void on_fetched(struct fetch *fetch) {
    struct errand *errand = (struct errand *)fetch;
    if (fetch->problem.type == PROBLEM_NONE)
        go_on_with_bytes(errand, &fetch->body);
    else
        refuse(errand, &fetch->problem);
}

/* The record of an ID; of one that is being encoded there is none yet. */
static struct record *find(struct server *server, const char *id) {
    struct record *record;
    struct geometry unused;
    catalogue_find(server->catalogue, id, NULL, &record, &unused);
    return record;
}

static void fetch(struct errand *errand) {
    struct server *server = errand->request->server;
    struct problem problem = {0};
    char id[IMAGE_ID_MAX + 1];
    struct record *record = NULL;
    if (errand->common.image_id[0])
        record = find(server, errand->common.image_id);
    else if (sources_find(server->sources, errand->common.url, clock_now_ns(), id))
        record = find(server, id);
    if (record) {
        go_on(errand, record);
        return;
    }
    errand->fetch.address = errand->common.url;
    errand->fetch.done = on_fetched;
    if (!fetcher_submit(server->fetcher, &errand->fetch, &problem))
        refuse(errand, &problem);
}

static void use_known(struct errand *errand) {
    struct problem problem = {0};
    struct record *record = find(errand->request->server, errand->common.image_id);
    if (record) {
        go_on(errand, record);
        return;
    }
    problem_set(&problem, PROBLEM_UNKNOWN_IMAGE,
                "no image has the ID \"%s\", or it is still being encoded: send it along",
                errand->common.image_id);
    refuse(errand, &problem);
}

static void start(struct errand *errand) {
    struct request *request = errand->request;
    request_suspend(request);
    if (errand->common.image) {
        /* counted as the whole body was, which the text of the image was most of */
        struct body image = request_take_body(request);
        free(image.bytes);
        image.bytes = errand->common.image;
        image.size = errand->common.image_size;
        errand->common.image = NULL;
        go_on_with_bytes(errand, &image);
    } else {
        body_free(request->server, &request->body);
        if (errand->common.url)
            fetch(errand);
        else
            use_known(errand);
    }
}

void compat_segment(struct request *request, struct compat_request *common,
                    const struct segment_form *form, void *context) {
    struct problem problem = {0};
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand) {
        *errand = (struct errand){
            .request = request, .common = *common, .form = form, .context = context};
        *common = (struct compat_request){0};
        start(errand);
        return;
    }
    compat_request_free(common);
    if (form->release)
        form->release(context);
    problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
    form->refuse(request, &problem);
}

void compat_embed(struct request *request, struct compat_request *common, embedding_writer write) {
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand) {
        *errand = (struct errand){.request = request, .common = *common, .write = write};
        *common = (struct compat_request){0};
        start(errand);
        return;
    }
    compat_request_free(common);
    request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
}
