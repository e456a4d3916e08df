#include "server/incoming.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the three forms of body ------------------------------------------------------------- */

/* JSON begins with a brace, as no image does; so a forgotten Content-Type does not matter. */
static bool looks_like_json(const struct part *body) {
    size_t at = 0;
    while (at < body->size && strchr(" \t\r\n", body->bytes[at]) && body->bytes[at])
        at++;
    return at < body->size && body->bytes[at] == '{';
}

static bool read_json(struct request *request, bool with_prompt, struct incoming *incoming,
                      char *model, struct problem *problem) {
    struct part body = request_take_part(request, PART_BODY);
    struct upload upload;
    bool read = upload_parse((const char *)body.bytes, body.size, with_prompt, &upload, problem);
    free(body.bytes);
    if (!read) {
        request_body_release(request->server, body.capacity);
        return false;
    }
    incoming->image = (struct part){upload.bytes, upload.size, body.capacity};
    incoming->prompt_json = upload.prompt_json;
    memcpy(incoming->id, upload.id, sizeof incoming->id);
    memcpy(model, upload.model, sizeof upload.model);
    return true;
}

static void copy_text(struct request *request, enum part_name name, char *to, size_t size,
                      struct problem *problem) {
    const struct part *part = &request->parts[name];
    if (part->size >= size || (part->bytes && memchr(part->bytes, 0, part->size)))
        problem_add(problem, PROBLEM_INVALID_REQUEST, name == PART_ID ? "/id" : "/model",
                    "longer than %zu bytes, or not text", size - 1);
    else if (part->bytes)
        memcpy(to, part->bytes, part->size + 1);
}

static bool read_multipart(struct request *request, bool with_prompt, struct incoming *incoming,
                           char *model, size_t model_size, struct problem *problem) {
    copy_text(request, PART_ID, incoming->id, sizeof incoming->id, problem);
    copy_text(request, PART_MODEL, model, model_size, problem);
    if (!request->parts[PART_FILE].bytes)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "/file", "the part is missing");
    if (with_prompt && !request->parts[PART_PROMPT].bytes)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "/prompt", "the part is missing");
    if (!with_prompt && request->parts[PART_PROMPT].bytes)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "/prompt", "an upload takes no prompt");
    if (problem->type != PROBLEM_NONE)
        return false;
    incoming->image = request_take_part(request, PART_FILE);
    if (with_prompt) {
        struct part prompt = request_take_part(request, PART_PROMPT);
        request_body_release(request->server, prompt.capacity);
        incoming->prompt_json = (char *)prompt.bytes;
    }
    return true;
}

static bool read_body(struct request *request, bool with_prompt, struct incoming *incoming,
                      char *model, size_t model_size, struct problem *problem) {
    bool multipart = false;
    for (int i = PART_FILE; i < PART_COUNT; i++)
        multipart = multipart || request->parts[i].bytes;
    if (multipart)
        return read_multipart(request, with_prompt, incoming, model, model_size, problem);
    if (request->parts[PART_BODY].size == 0) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "the body is empty");
        return false;
    }
    if (looks_like_json(&request->parts[PART_BODY]))
        return read_json(request, with_prompt, incoming, model, problem);
    if (with_prompt) {
        problem_set(problem, PROBLEM_BAD_REQUEST,
                    "the body must be multipart with file and prompt, or JSON with image");
        return false;
    }
    incoming->image = request_take_part(request, PART_BODY);
    return true;
}

/* ---- what it must satisfy ---------------------------------------------------------------- */

static void check_id(struct request *request, struct incoming *incoming, struct problem *problem) {
    const char *query = request_query(request, "id");
    if (query && incoming->id[0] && strcmp(query, incoming->id) != 0)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?id", "differs from the id in the body");
    const char *id = query ? query : incoming->id;
    if ((query || *id) && !image_id_valid(id))
        problem_add(problem, PROBLEM_INVALID_REQUEST, query ? "?id" : "/id",
                    "must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
    else if (query)
        snprintf(incoming->id, sizeof incoming->id, "%s", query);
}

static void check_model(struct request *request, const char *in_body, struct problem *problem) {
    const char *query = request_query(request, "model");
    const char *name = query ? query : in_body;
    const char *loaded = model_info(request->server->model)->name;
    if (*name && strcmp(name, loaded) != 0)
        problem_set(
            problem, PROBLEM_NOT_INSTALLED,
            "the model \"%.60s\" is not installed; \"%s\" is (make models fetches the default, "
            "maskd-import converts official weights)",
            name, loaded);
}

static void check_image(struct request *request, struct incoming *incoming,
                        struct problem *problem) {
    const struct options *options = request->server->options;
    struct image_limits limits = {(size_t)options->max_pixels, (int)options->max_side};
    struct image_info info;
    struct error error = {0};
    enum status status =
        image_probe(incoming->image.bytes, incoming->image.size, &limits, &info, &error);
    if (status == STATUS_OK)
        geometry_fit(info.width, info.height, model_info(request->server->model)->input_size,
                     &incoming->geometry);
    else
        problem_set(problem,
                    status == STATUS_TOO_LARGE   ? PROBLEM_INVALID_IMAGE
                    : status == STATUS_NO_MEMORY ? PROBLEM_INTERNAL
                                                 : PROBLEM_UNSUPPORTED_IMAGE,
                    "%s", error.message);
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

bool incoming_read(struct request *request, bool with_prompt, struct incoming *incoming,
                   struct problem *problem) {
    char model[64] = "";
    memset(incoming, 0, sizeof *incoming);
    if (!read_body(request, with_prompt, incoming, model, sizeof model, problem))
        return false;
    check_id(request, incoming, problem);
    check_model(request, model, problem);
    if (problem->type == PROBLEM_NONE)
        check_image(request, incoming, problem);
    if (problem->type != PROBLEM_NONE) {
        incoming_free(request->server, incoming);
        return false;
    }
    make_digest(incoming);
    return true;
}

void incoming_free(struct server *server, struct incoming *incoming) {
    free(incoming->image.bytes);
    request_body_release(server, incoming->image.capacity);
    free(incoming->prompt_json);
    memset(incoming, 0, sizeof *incoming);
}
