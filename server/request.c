#include "server/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A refused body is read to its end, so that the client sees the answer; but not more than this
 * many times what would have been accepted. */
enum { DRAIN_FACTOR = 4 };

/* ---- the beginning ----------------------------------------------------------------------- */

static const char *header(struct request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* The client's X-Request-Id if it is fit for a header and a log, otherwise one of ours. */
static void choose_request_id(struct request *request) {
    const char *given = header(request, "X-Request-Id");
    size_t length = given ? strlen(given) : 0;
    bool fit = length > 0 && length <= REQUEST_ID_MAX;
    for (size_t i = 0; fit && i < length; i++)
        fit = given[i] > ' ' && given[i] < 0x7f;
    if (fit) {
        memcpy(request->id, given, length + 1);
        return;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint64_t)request->started_ns;
    snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)random);
}

/* Makes the request one whose body is thrown away; the first reason stays. */
static struct problem *refuse_body(struct request *request) {
    if (!request->refusal)
        request->refusal = calloc(1, sizeof *request->refusal);
    return request->refusal; /* NULL when out of memory: request_handle answers 500 */
}

/* RFC 9112, 3.2. libmicrohttpd would check it too, but answer in HTML. */
static void check_host(struct request *request, const char *version) {
    if (strcmp(version, MHD_HTTP_VERSION_1_1) != 0 || header(request, MHD_HTTP_HEADER_HOST))
        return;
    struct problem *problem = refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_BAD_REQUEST, "an HTTP/1.1 request needs a Host header");
}

static void check_route(struct request *request) {
    char allow[64];
    request->route = routes_find(request->method, request->path, request->image_id, allow);
    if (request->route)
        return;
    struct problem *problem = refuse_body(request);
    if (problem && *allow)
        problem_set(problem, PROBLEM_METHOD_NOT_ALLOWED, "%.100s takes %s", request->path, allow);
    else if (problem)
        problem_set(problem, PROBLEM_UNKNOWN_ROUTE, "nothing is at %.100s", request->path);
}

static void check_draining(struct request *request) {
    if (!atomic_load(&request->server->draining) || strcmp(request->method, "POST") != 0)
        return;
    struct problem *problem = refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_DRAINING, "the daemon is stopping; try another or try again");
}

static void refuse_size(struct request *request) {
    struct problem *problem = refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_TOO_LARGE, "the body is larger than max_body, %lld bytes",
                    request->server->options->max_body);
}

static unsigned long long content_length(struct request *request) {
    const char *value = header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return value ? strtoull(value, NULL, 10)
                 : 0; /* libmicrohttpd has checked that it is a number */
}

static enum MHD_Result on_multipart(void *user, enum MHD_ValueKind kind, const char *key,
                                    const char *filename, const char *type, const char *encoding,
                                    const char *data, uint64_t offset, size_t size);

static bool is_multipart(struct request *request) {
    const char *type = header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type && strncasecmp(type, "multipart/form-data", 19) == 0;
}

static void expect_multipart(struct request *request) {
    if (request->refusal || !is_multipart(request) || strcmp(request->method, "POST") != 0)
        return;
    request->multipart =
        MHD_create_post_processor(request->connection, 65536, on_multipart, request);
    struct problem *problem = request->multipart ? NULL : refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_BAD_REQUEST, "the multipart body has no usable boundary");
}

struct request *request_begin(struct server *server, struct MHD_Connection *connection,
                              const char *path, const char *method, const char *version) {
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->server = server;
    request->connection = connection;
    request->method = method;
    request->started_ns = clock_now_ns();
    request->path = strdup(path);
    if (!request->path) {
        free(request);
        return NULL;
    }
    atomic_fetch_add(&server->requests_open, 1);
    choose_request_id(request);
    check_host(request, version);
    check_route(request);
    check_draining(request);
    if (content_length(request) > (unsigned long long)server->options->max_body)
        refuse_size(request);
    expect_multipart(request);
    return request;
}

bool request_refused_early(struct request *request) {
    if (!request->refusal)
        return false;
    unsigned long long most = (unsigned long long)request->server->options->max_body * DRAIN_FACTOR;
    return header(request, MHD_HTTP_HEADER_EXPECT) || content_length(request) > most;
}

/* ---- the body ---------------------------------------------------------------------------- */

void request_body_release(struct server *server, size_t capacity) {
    atomic_fetch_sub(&server->body_bytes, capacity);
}

static bool reserve(struct server *server, size_t more) {
    size_t held = atomic_fetch_add(&server->body_bytes, more) + more;
    if (held <= (size_t)server->options->upload_memory)
        return true;
    request_body_release(server, more);
    return false;
}

static void part_release(struct server *server, struct part *part) {
    free(part->bytes);
    request_body_release(server, part->capacity);
    memset(part, 0, sizeof *part);
}

static void release_parts(struct request *request) {
    for (int i = 0; i < PART_COUNT; i++)
        part_release(request->server, &request->parts[i]);
}

/* Makes room for `more` bytes and a zero behind them. */
static bool part_grow(struct request *request, struct part *part, size_t more) {
    size_t needed = part->size + more + 1;
    if (needed <= part->capacity)
        return true;
    size_t capacity = part->capacity ? 2 * part->capacity : 4096;
    if (capacity < needed)
        capacity = needed;
    if (!reserve(request->server, capacity - part->capacity))
        return false;
    uint8_t *grown = realloc(part->bytes, capacity);
    if (!grown) {
        request_body_release(request->server, capacity - part->capacity);
        return false;
    }
    part->bytes = grown;
    part->capacity = capacity;
    return true;
}

static bool part_append(struct request *request, enum part_name name, const char *data,
                        size_t size) {
    struct part *part = &request->parts[name];
    if (!part_grow(request, part, size)) {
        struct problem *problem = refuse_body(request);
        if (problem)
            problem_set(problem, PROBLEM_OVERLOADED,
                        "the uploads in flight fill upload_memory, %lld bytes",
                        request->server->options->upload_memory);
        return false;
    }
    memcpy(part->bytes + part->size, data, size);
    part->size += size;
    part->bytes[part->size] = '\0';
    return true;
}

static enum MHD_Result on_multipart(void *user, enum MHD_ValueKind kind, const char *key,
                                    const char *filename, const char *type, const char *encoding,
                                    const char *data, uint64_t offset, size_t size) {
    static const char *const NAMES[PART_COUNT] = {
        [PART_FILE] = "file", [PART_ID] = "id", [PART_MODEL] = "model", [PART_PROMPT] = "prompt"};
    (void)kind, (void)filename, (void)type, (void)encoding;
    struct request *request = user;
    for (int i = PART_FILE; i < PART_COUNT; i++) {
        if (key && strcmp(key, NAMES[i]) == 0) {
            bool twice = offset == 0 && request->parts[i].bytes;
            if (!twice)
                return part_append(request, (enum part_name)i, data, size) ? MHD_YES : MHD_NO;
        }
    }
    struct problem *problem = refuse_body(request);
    if (problem)
        problem_add(
            problem, PROBLEM_INVALID_REQUEST, "",
            "the part \"%.40s\" is unknown or there twice; the parts are file, id, model and "
            "prompt",
            key ? key : "");
    return MHD_NO;
}

static void receive_multipart(struct request *request, const char *data, size_t size) {
    if (MHD_post_process(request->multipart, data, size) == MHD_YES || request->refusal)
        return;
    struct problem *problem = refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_BAD_REQUEST, "the multipart body cannot be parsed");
}

void request_receive(struct request *request, const char *data, size_t size) {
    request->received += size;
    if (!request->refusal && request->received > (size_t)request->server->options->max_body)
        refuse_size(request); /* no Content-Length announced it */
    if (!request->refusal && request->multipart)
        receive_multipart(request, data, size);
    else if (!request->refusal)
        part_append(request, PART_BODY, data, size);
    if (request->refusal)
        release_parts(request);
}

struct part request_take_part(struct request *request, enum part_name name) {
    struct part part = request->parts[name];
    memset(&request->parts[name], 0, sizeof part);
    return part;
}

/* ---- handling ---------------------------------------------------------------------------- */

const char *request_query(struct request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct query_check {
    const struct route *route;
    struct problem *problem;
};

static enum MHD_Result check_parameter(void *user, enum MHD_ValueKind kind, const char *key,
                                       const char *value) {
    (void)kind, (void)value;
    struct query_check *check = user;
    char padded[64], pointer[64];
    snprintf(padded, sizeof padded, " %.40s ", key);
    if (!strstr(check->route->query, padded)) {
        snprintf(pointer, sizeof pointer, "?%.40s", key);
        problem_add(check->problem, PROBLEM_INVALID_REQUEST, pointer, "unknown parameter");
    }
    return MHD_YES;
}

static void end_multipart(struct request *request) {
    if (!request->multipart)
        return;
    bool whole = MHD_destroy_post_processor(request->multipart) == MHD_YES;
    request->multipart = NULL;
    struct problem *problem = whole || request->refusal ? NULL : refuse_body(request);
    if (problem)
        problem_set(problem, PROBLEM_BAD_REQUEST,
                    "the multipart body ends before its last boundary");
}

void request_handle(struct request *request) {
    struct problem query = {0};
    request->complete = true;
    end_multipart(request);
    if (request->refusal) {
        request_refuse(request, request->refusal);
        return;
    }
    struct query_check check = {request->route, &query};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, check_parameter, &check);
    if (query.type != PROBLEM_NONE)
        request_refuse(request, &query);
    else
        request->route->handle(request);
}

void request_free(struct request *request) {
    if (request->multipart)
        MHD_destroy_post_processor(request->multipart);
    release_parts(request);
    if (request->response)
        MHD_destroy_response(request->response);
    atomic_fetch_sub(&request->server->requests_open, 1);
    free(request->refusal);
    free(request->path);
    free(request);
}
