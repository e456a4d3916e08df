#include "server/incoming.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the query --------------------------------------------------------------------------- */

static void check_model(struct request *request, const char *name, struct problem *problem) {
    const char *loaded = model_info(request->server->model)->name;
    if (strcmp(name, loaded) != 0)
        problem_set(
            problem, PROBLEM_NOT_INSTALLED,
            "the model \"%.60s\" is not installed; \"%s\" is (make models fetches the default, "
            "maskd-import converts official weights)",
            name, loaded);
}

void incoming_check_query(struct request *request, struct problem *problem) {
    const char *id = request_query(request, "id"), *model = request_query(request, "model");
    if (id && !image_id_valid(id))
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?id", "must match " IMAGE_ID_PATTERN);
    if (model && problem->type == PROBLEM_NONE)
        check_model(request, model, problem);
}

/* ---- the three forms of body ------------------------------------------------------------- */

static bool has_type(struct request *request, const char *wanted) {
    const char *type = request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type && strncasecmp(type, wanted, strlen(wanted)) == 0;
}

/* JSON begins with a brace, as no image does; so a forgotten Content-Type does not matter. */
static bool looks_like_json(const struct body *body) {
    size_t at = 0;
    while (at < body->size && strchr(" \t\r\n", body->bytes[at]) && body->bytes[at])
        at++;
    return at < body->size && body->bytes[at] == '{';
}

/* Takes the body apart. The upload's bytes are counted as the whole body was. */
static void read_body(struct request *request, bool with_prompt, struct incoming *incoming,
                      struct upload *upload, struct problem *problem) {
    struct body body = request_take_body(request);
    if (body.size == 0) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "the body is empty");
    } else if (has_type(request, "multipart/form-data")) {
        upload_parse_multipart(request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE), body.bytes,
                               body.size, with_prompt, upload, problem);
        body.bytes = NULL;
    } else if (has_type(request, "application/json") || looks_like_json(&body)) {
        upload_parse((const char *)body.bytes, body.size, with_prompt, upload, problem);
    } else if (with_prompt) {
        problem_set(problem, PROBLEM_BAD_REQUEST,
                    "the body must be multipart with file and prompt, or JSON with image");
    } else {
        upload->bytes = body.bytes;
        upload->size = body.size;
        body.bytes = NULL;
    }
    free(body.bytes);
    incoming->image = (struct body){upload->bytes, upload->size, body.capacity};
    incoming->prompt_json = upload->prompt_json;
}

/* ---- what it must satisfy ---------------------------------------------------------------- */

/* The query's ID and model go before those of the body. */
static void check_names(struct request *request, const struct upload *upload,
                        struct incoming *incoming, struct problem *problem) {
    const char *id = request_query(request, "id");
    if (id && upload->id[0] && strcmp(id, upload->id) != 0)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?id", "differs from the id in the body");
    snprintf(incoming->id, sizeof incoming->id, "%s", id ? id : upload->id);
    if (!request_query(request, "model") && upload->model[0])
        check_model(request, upload->model, problem);
}

struct image_limits incoming_image_limits(const struct options *options) {
    return (struct image_limits){(size_t)options->max_pixels, (int)options->max_side};
}

enum problem_type incoming_image_problem(enum status status) {
    return status == STATUS_TOO_LARGE   ? PROBLEM_INVALID_IMAGE
           : status == STATUS_NO_MEMORY ? PROBLEM_INTERNAL
                                        : PROBLEM_UNSUPPORTED_IMAGE;
}

static void check_image(const struct server *server, struct incoming *incoming,
                        struct problem *problem) {
    struct image_limits limits = incoming_image_limits(server->options);
    struct image_info info;
    struct error error = {0};
    enum status status =
        image_probe(incoming->image.bytes, incoming->image.size, &limits, &info, &error);
    if (status == STATUS_OK)
        geometry_fit(info.width, info.height, model_info(server->model)->input_size,
                     &incoming->geometry);
    else
        problem_set(problem, incoming_image_problem(status), "%s", error.message);
}

static void make_digest(struct incoming *incoming) {
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, incoming->image.size, incoming->image.bytes);
    sha256_digest(&sha, DIGEST_BYTES, incoming->digest);
    if (!incoming->id[0])
        for (int i = 0; i < 16; i++)
            snprintf(incoming->id + 2 * i, 3, "%02x", incoming->digest[i]);
}

/* With the image's bytes, and the ID if one was given. */
static bool finish(struct server *server, struct incoming *incoming, struct problem *problem) {
    if (problem->type == PROBLEM_NONE)
        check_image(server, incoming, problem);
    if (problem->type != PROBLEM_NONE) {
        incoming_free(server, incoming);
        return false;
    }
    make_digest(incoming);
    return true;
}

bool incoming_read(struct request *request, bool with_prompt, struct incoming *incoming,
                   struct problem *problem) {
    struct upload upload = {0};
    memset(incoming, 0, sizeof *incoming);
    read_body(request, with_prompt, incoming, &upload, problem);
    if (problem->type == PROBLEM_NONE)
        check_names(request, &upload, incoming, problem);
    return finish(request->server, incoming, problem);
}

bool incoming_take(struct server *server, struct body *image, const char *id,
                   struct incoming *incoming, struct problem *problem) {
    *incoming = (struct incoming){.image = *image};
    snprintf(incoming->id, sizeof incoming->id, "%s", id);
    *image = (struct body){0};
    return finish(server, incoming, problem);
}

void incoming_free(struct server *server, struct incoming *incoming) {
    body_free(server, &incoming->image);
    free(incoming->prompt_json);
    memset(incoming, 0, sizeof *incoming);
}
