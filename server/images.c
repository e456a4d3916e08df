/* The images: upload, look, list, delete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/encode.h"
#include "server/images.h"
#include "server/prefer.h"
#include "server/routes.h"

static struct image_answer describe(const struct server *server, const char *id,
                                    const struct geometry *geometry, enum image_status status) {
    return (struct image_answer){
        .id = id,
        .model = model_info(server->model)->name,
        .width = geometry->width,
        .height = geometry->height,
        .status = status,
        .cached = status == IMAGE_READY,
    };
}

/* ---- upload ------------------------------------------------------------------------------ */

enum { LOCATION_SIZE = sizeof "/v1/images/" + IMAGE_ID_MAX };

static void locate(char location[LOCATION_SIZE], const char *id) {
    snprintf(location, LOCATION_SIZE, "/v1/images/%s", id);
}

void answer_image(struct request *request, const struct record *record, bool is_new,
                  const struct timing *timing) {
    struct image_answer image =
        describe(request->server, record->id, &record->embedding.geometry, IMAGE_READY);
    char location[LOCATION_SIZE];
    image.cached = !is_new;
    image.timing = timing;
    locate(location, record->id);
    struct answer answer = {
        .status = is_new ? MHD_HTTP_CREATED : MHD_HTTP_OK,
        .body = image_answer_json(&image),
        .timing = timing,
        .headers = {{MHD_HTTP_HEADER_LOCATION, is_new ? location : NULL}},
    };
    request_answer(request, &answer);
}

/* An upload that waits for its image to be encoded, by itself or by an earlier one. */
struct upload_waiter {
    struct waiter waiter; /* first: the catalogue gives it back */
    struct request *request;
};

static void on_encoded(struct waiter *waiter, const struct outcome *outcome) {
    struct upload_waiter *upload = (struct upload_waiter *)waiter;
    if (outcome->record)
        answer_image(upload->request, outcome->record, waiter->first,
                     waiter->first ? &outcome->timing : NULL);
    else
        request_refuse(upload->request, outcome->problem);
    free(upload);
}

static void answer_accepted(struct request *request, const char *id,
                            const struct geometry *geometry) {
    struct image_answer image = describe(request->server, id, geometry, IMAGE_ENCODING);
    char location[LOCATION_SIZE];
    locate(location, id);
    struct answer answer = {
        .status = MHD_HTTP_ACCEPTED,
        .body = image_answer_json(&image),
        .headers = {{MHD_HTTP_HEADER_LOCATION, location}, {"Preference-Applied", PREFER_ASYNC}},
    };
    request_answer(request, &answer);
}

/* For who prefers not to wait. */
static void upload_unwaited(struct request *request, struct incoming *incoming) {
    struct problem problem = {0};
    struct record *record;
    char id[IMAGE_ID_MAX + 1];
    const struct geometry geometry = incoming->geometry;
    memcpy(id, incoming->id, sizeof id);
    if (encode_claim(request->server, incoming, NULL, &record, &problem))
        answer_accepted(request, id, &geometry);
    else if (record)
        answer_image(request, record, false, NULL);
    else
        request_refuse(request, &problem);
    record_release(record);
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
    if (request_prefers_async(request)) {
        upload_unwaited(request, &incoming);
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
        answer_image(request, record, false, NULL);
    else
        request_refuse(request, &problem);
    record_release(record);
}

/* ---- one image --------------------------------------------------------------------------- */

void problem_set_conflict(struct problem *problem, const char *id) {
    problem_set(problem, PROBLEM_ID_CONFLICT,
                "the ID \"%s\" holds other bytes; delete it first or choose another", id);
}

void image_tag(char etag[ETAG_SIZE], const struct server *server, const struct record *record) {
    size_t used = (size_t)snprintf(etag, ETAG_SIZE, record ? "\"" : "W/\"encoding\"");
    if (!record)
        return;
    for (int i = 0; i < 16; i++)
        used += (size_t)snprintf(etag + used, ETAG_SIZE - used, "%02x", record->digest[i]);
    snprintf(etag + used, ETAG_SIZE - used, "-%.16s\"", model_info(server->model)->weights_sha256);
}

/* It failed, which its upload did not wait to hear; or it is unknown. */
static void answer_absent(struct request *request) {
    struct server *server = request->server;
    struct geometry geometry;
    struct problem problem;
    if (!catalogue_failure(server->catalogue, request->image_id, &geometry, &problem)) {
        request_refuse_unknown_image(request);
        return;
    }
    struct image_answer image = describe(server, request->image_id, &geometry, IMAGE_FAILED);
    image.problem = &problem;
    struct answer answer = {.status = MHD_HTTP_OK, .body = image_answer_json(&image)};
    request_answer(request, &answer);
}

void handle_image_get(struct request *request) {
    struct server *server = request->server;
    struct record *record;
    struct geometry geometry;
    enum presence presence =
        catalogue_find(server->catalogue, request->image_id, NULL, &record, &geometry);
    if (presence == IMAGE_ABSENT) {
        answer_absent(request);
        return;
    }
    char etag[ETAG_SIZE];
    image_tag(etag, server, record);
    record_release(record);
    if (conditional_settled(request, etag, CACHE_REVALIDATE))
        return;
    struct image_answer image = describe(server, request->image_id, &geometry,
                                         presence == IMAGE_PRESENT ? IMAGE_READY : IMAGE_ENCODING);
    struct answer answer = {
        .status = MHD_HTTP_OK,
        .body = image_answer_json(&image),
        .headers = {{MHD_HTTP_HEADER_ETAG, etag},
                    {MHD_HTTP_HEADER_CACHE_CONTROL, CACHE_REVALIDATE}},
    };
    request_answer(request, &answer);
}

void handle_image_delete(struct request *request) {
    struct server *server = request->server;
    struct record *record;
    struct geometry geometry;
    char etag[ETAG_SIZE];
    enum presence presence =
        catalogue_find(server->catalogue, request->image_id, NULL, &record, &geometry);
    image_tag(etag, server, record);
    record_release(record);
    if (presence != IMAGE_ABSENT && conditional_settled(request, etag, NULL))
        return;
    if (!catalogue_delete(server->catalogue, request->image_id)) {
        request_refuse_unknown_image(request);
        return;
    }
    refinements_forget(request->server->refinements, request->image_id);
    runs_forget(request->server->runs, request->image_id);
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
    char link[128 + IMAGE_ID_MAX];
    struct answer answer = {.status = MHD_HTTP_OK};
    if (records && images) {
        size_t found = store_list(server->store, after, records, limit + 1);
        size_t count = found < limit ? found : limit;
        for (size_t i = 0; i < count; i++)
            images[i] =
                describe(server, records[i]->id, &records[i]->embedding.geometry, IMAGE_READY);
        const char *next = found > limit ? images[count - 1].id : NULL;
        answer.body = image_list_json(images, count, next);
        if (next) { /* RFC 8288 */
            snprintf(link, sizeof link, "</v1/images?limit=%zu&cursor=%s>; rel=\"next\"", limit,
                     next);
            answer.headers[0] = (struct header){MHD_HTTP_HEADER_LINK, link};
        }
        for (size_t i = 0; i < found; i++)
            record_release(records[i]);
    }
    free(records);
    free(images);
    request_answer(request, &answer);
}
