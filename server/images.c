/* The images: upload, look, list, delete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/encode.h"
#include "server/routes.h"

static struct image_answer describe(const struct server *server, const char *id,
                                    const struct geometry *geometry, bool ready) {
    return (struct image_answer){
        .id = id,
        .model = model_info(server->model)->name,
        .width = geometry->width,
        .height = geometry->height,
        .status = ready ? IMAGE_READY : IMAGE_ENCODING,
        .cached = ready,
    };
}

/* ---- upload ------------------------------------------------------------------------------ */

/* An upload that waits for its image to be encoded, by itself or by an earlier one. */
struct upload_waiter {
    struct waiter waiter; /* first: the catalogue gives it back */
    struct request *request;
};

static void answer_uploaded(struct request *request, const struct record *record, bool encoded_now,
                            const struct timing *timing) {
    struct image_answer image =
        describe(request->server, record->id, &record->embedding.geometry, true);
    char location[sizeof "/v1/images/" + IMAGE_ID_MAX];
    image.cached = !encoded_now;
    image.timing = timing;
    snprintf(location, sizeof location, "/v1/images/%s", record->id);
    struct answer answer = {
        .status = encoded_now ? MHD_HTTP_CREATED : MHD_HTTP_OK,
        .body = image_answer_json(&image),
        .timing = timing,
        .headers = {{MHD_HTTP_HEADER_LOCATION, encoded_now ? location : NULL}},
    };
    request_answer(request, &answer);
}

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct upload_waiter *upload = (struct upload_waiter *)waiter;
    if (outcome->record)
        answer_uploaded(upload->request, outcome->record, waiter->first,
                        waiter->first ? &outcome->timing : NULL);
    else
        request_refuse(upload->request, outcome->problem);
    free(upload);
}

void handle_image_upload(struct request *request) {
    struct server *server = request->server;
    struct problem problem = {0};
    struct incoming incoming;
    struct record *record;
    if (!incoming_read(request, false, &incoming, &problem)) {
        request_refuse(request, &problem);
        return;
    }
    struct upload_waiter *upload = calloc(1, sizeof *upload);
    if (!upload) {
        incoming_free(server, &incoming);
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    upload->waiter.wake = on_encoded;
    upload->request = request;
    request_suspend(request); /* from here on the waiter may be woken at any time */
    if (encode_claim(server, &incoming, &upload->waiter, &record, &problem))
        return;
    free(upload);
    if (record)
        answer_uploaded(request, record, false, NULL);
    else
        request_refuse(request, &problem);
    record_release(record);
}

/* ---- one image --------------------------------------------------------------------------- */

void handle_image_get(struct request *request) {
    struct server *server = request->server;
    struct record *record;
    struct geometry geometry;
    enum presence presence =
        catalogue_find(server->catalogue, request->image_id, NULL, &record, &geometry);
    if (presence == IMAGE_ABSENT) {
        request_refuse_unknown_image(request);
        return;
    }
    struct image_answer image =
        describe(server, request->image_id, &geometry, presence == IMAGE_PRESENT);
    struct answer answer = {.status = MHD_HTTP_OK, .body = image_answer_json(&image)};
    record_release(record);
    request_answer(request, &answer);
}

void handle_image_delete(struct request *request) {
    if (!catalogue_delete(request->server->catalogue, request->image_id)) {
        request_refuse_unknown_image(request);
        return;
    }
    refinements_forget(request->server->refinements, request->image_id);
    struct answer answer = {.status = MHD_HTTP_NO_CONTENT};
    request_answer(request, &answer);
}

/* ---- the list ---------------------------------------------------------------------------- */

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

/* 0: not a number in range. */
static size_t read_limit(const char *text) {
    char *end;
    if (!text)
        return LIST_DEFAULT;
    errno = 0;
    long value = strtol(text, &end, 10);
    bool good = end != text && !*end && !errno && value >= 1 && value <= LIST_MAX;
    return good ? (size_t)value : 0;
}

void check_image_list_query(struct request *request, struct problem *problem) {
    const char *cursor = request_query(request, "cursor");
    if (read_limit(request_query(request, "limit")) == 0)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?limit",
                    "must be a whole number from 1 to %d", LIST_MAX);
    if (cursor && !image_id_valid(cursor))
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?cursor", "not one that a list has given");
}

void handle_image_list(struct request *request) {
    struct server *server = request->server;
    const size_t limit = read_limit(request_query(request, "limit"));
    const char *after = request_query(request, "cursor");
    /* one more than asked for tells whether there is a next page */
    struct record **records = calloc(limit + 1, sizeof(struct record *));
    struct image_answer *images = calloc(limit, sizeof *images);
    struct answer answer = {.status = MHD_HTTP_OK};
    if (records && images) {
        size_t found = store_list(server->store, after, records, limit + 1);
        size_t count = found < limit ? found : limit;
        for (size_t i = 0; i < count; i++)
            images[i] = describe(server, records[i]->id, &records[i]->embedding.geometry, true);
        answer.body = image_list_json(images, count, found > limit ? images[count - 1].id : NULL);
        for (size_t i = 0; i < found; i++)
            record_release(records[i]);
    }
    free(records);
    free(images);
    request_answer(request, &answer);
}
