#include "server/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* A refused body is read to its end; but not more than this many times what would have been
 * accepted. */
enum { DRAIN_FACTOR = 4 };

/* ---- the beginning ----------------------------------------------------------------------- */

const char *request_header(struct request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct header_search {
    const char *name;
    bool (*accepts)(const char *line, const void *argument);
    const void *argument;
    bool found;
};

static enum MHD_Result search_header(void *user, enum MHD_ValueKind kind, const char *name,
                                     const char *value) {
    (void)kind;
    struct header_search *search = user;
    if (value && strcasecmp(name, search->name) == 0)
        search->found = search->accepts(value, search->argument);
    return search->found ? MHD_NO : MHD_YES;
}

bool request_header_any(struct request *request, const char *name,
                        bool (*accepts)(const char *line, const void *argument),
                        const void *argument) {
    struct header_search search = {name, accepts, argument, false};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, search_header, &search);
    return search.found;
}

/* The client's X-Request-Id if it is fit for a header and a log, otherwise one of ours. */
static void choose_request_id(struct request *request) {
    const char *given = request_header(request, "X-Request-Id");
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

/* From the first refusal on the body is thrown away. */
static bool is_refused(const struct request *request) {
    return request->refusal.type != PROBLEM_NONE;
}

/* RFC 9112, 3.2. libmicrohttpd would check it too, but answer in HTML. */
static void check_host(struct request *request, const char *version) {
    if (strcmp(version, MHD_HTTP_VERSION_1_1) == 0 &&
        !request_header(request, MHD_HTTP_HEADER_HOST))
        problem_set(&request->refusal, PROBLEM_BAD_REQUEST,
                    "an HTTP/1.1 request needs a Host header");
}

struct framing {
    int lengths, encodings;
    bool chunked; /* the last encoding */
};

static enum MHD_Result look_at_header(void *user, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    struct framing *framing = user;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        framing->lengths++;
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        framing->encodings++;
        framing->chunked = value && strcasecmp(value, "chunked") == 0;
    }
    return MHD_YES;
}

/* The methods whose requests bring one. */
static bool has_body(const char *method) {
    return strcmp(method, MHD_HTTP_METHOD_POST) == 0 || strcmp(method, MHD_HTTP_METHOD_PUT) == 0;
}

/* RFC 9112, 6.3: a body whose end two readers may see in different places could hide a request from
 * a proxy. */
static void check_framing(struct request *request) {
    struct framing framing = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, look_at_header, &framing);
    request->unframed =
        framing.lengths + framing.encodings > 1 || (framing.encodings == 1 && !framing.chunked);
    if (request->unframed)
        problem_set(&request->refusal, PROBLEM_BAD_REQUEST,
                    "the body needs one Content-Length, or one Transfer-Encoding that is chunked");
    else if (framing.lengths + framing.encodings == 0 && has_body(request->method))
        problem_set(&request->refusal, PROBLEM_LENGTH_REQUIRED,
                    "the request has no body: it needs Content-Length or Transfer-Encoding");
}

static void check_route(struct request *request) {
    char allow[ALLOW_MAX];
    request->route = routes_find(request->method, request->path, request->image_id, allow);
    access_check(request);
    if (!request->route && *allow)
        problem_set(&request->refusal, PROBLEM_METHOD_NOT_ALLOWED, "%.100s takes %s", request->path,
                    allow);
    else if (!request->route)
        problem_set(&request->refusal, PROBLEM_UNKNOWN_ROUTE, "nothing is at %.100s",
                    request->path);
}

static void check_draining(struct request *request) {
    if (atomic_load(&request->server->draining) && has_body(request->method))
        problem_set(&request->refusal, PROBLEM_DRAINING,
                    "the daemon is stopping; try another or try again");
}

static void refuse_size(struct request *request) {
    problem_set(&request->refusal, PROBLEM_TOO_LARGE,
                "the body is larger than max_body, %lld bytes", request->server->options->max_body);
}

static unsigned long long content_length(struct request *request) {
    const char *value = request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return value ? strtoull(value, NULL, 10)
                 : 0; /* libmicrohttpd has checked that it is a number */
}

/* RFC 9112, 3.2.2: the target of a request may be a whole URL. */
static const char *path_of(const char *target) {
    static const char scheme[] = "http://";
    if (strncasecmp(target, scheme, sizeof scheme - 1) != 0)
        return target;
    const char *path = strchr(target + sizeof scheme - 1, '/');
    return path ? path : "/";
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
    request->path = strdup(path_of(path));
    if (!request->path) {
        free(request);
        return NULL;
    }
    atomic_fetch_add(&server->requests_open, 1);
    choose_request_id(request);
    check_host(request, version);
    check_route(request);
    check_framing(request);
    check_draining(request);
    if (content_length(request) > (unsigned long long)server->options->max_body)
        refuse_size(request);
    return request;
}

/* How much of a refused body is read, so that the client comes to see the answer. */
static unsigned long long most_to_drain(const struct request *request) {
    return (unsigned long long)request->server->options->max_body * DRAIN_FACTOR;
}

bool request_refused_early(struct request *request) {
    return is_refused(request) &&
           (request->unframed || request_header(request, MHD_HTTP_HEADER_EXPECT) ||
            content_length(request) > most_to_drain(request));
}

/* ---- the body ---------------------------------------------------------------------------- */

/* Memory of this size is no longer held for bodies. */
static void body_release(struct server *server, size_t capacity) {
    atomic_fetch_sub(&server->body_bytes, capacity);
}

void body_free(struct server *server, struct body *body) {
    free(body->bytes);
    body_release(server, body->capacity);
    memset(body, 0, sizeof *body);
}

uint8_t *body_detach(struct server *server, struct body *body) {
    uint8_t *bytes = body->bytes, *cut = realloc(bytes, body->size);
    if (cut)
        bytes = cut;
    body->bytes = NULL;
    body_free(server, body);
    return bytes;
}

/* One that is alone is never too much. */
bool request_reserve(struct request *request, size_t bytes) {
    struct server *server = request->server;
    const size_t held = atomic_fetch_add(&server->body_bytes, bytes);
    request->body.capacity += bytes;
    if (held == 0 || held + bytes <= (size_t)server->options->upload_memory)
        return true;
    request->body.capacity -= bytes;
    body_release(server, bytes);
    return false;
}

/* False: upload_memory does not have so much more. */
static bool set_capacity(struct server *server, struct body *body, size_t capacity) {
    const size_t more = capacity - body->capacity;
    if (atomic_fetch_add(&server->body_bytes, more) + more >
        (size_t)server->options->upload_memory) {
        body_release(server, more);
        return false;
    }
    uint8_t *grown = realloc(body->bytes, capacity + 1);
    if (!grown) {
        body_release(server, more);
        return false;
    }
    body->bytes = grown;
    body->capacity = capacity;
    return true;
}

/* Makes room for `more` bytes, and for as many again while there is memory. */
static bool make_room(struct server *server, struct body *body, size_t more) {
    const size_t needed = body->size + more; /* max_body at most */
    size_t generous = body->capacity ? 2 * body->capacity : 4096;
    if (needed <= body->capacity)
        return true;
    if (generous > (size_t)server->options->max_body)
        generous = (size_t)server->options->max_body;
    return (generous > needed && set_capacity(server, body, generous)) ||
           set_capacity(server, body, needed);
}

bool body_append(struct server *server, struct body *body, const char *data, size_t size) {
    if (!make_room(server, body, size))
        return false;
    memcpy(body->bytes + body->size, data, size);
    body->size += size;
    body->bytes[body->size] = '\0';
    return true;
}

static void append(struct request *request, const char *data, size_t size) {
    if (!body_append(request->server, &request->body, data, size))
        problem_set(&request->refusal, PROBLEM_OVERLOADED,
                    "the uploads in flight fill upload_memory, %lld bytes",
                    request->server->options->upload_memory);
}

bool request_receive(struct request *request, const char *data, size_t size) {
    request->received += size;
    if (request->received > (size_t)request->server->options->max_body)
        refuse_size(request); /* no Content-Length announced it */
    if (!is_refused(request))
        append(request, data, size);
    if (is_refused(request))
        body_free(request->server, &request->body);
    return request->received <= most_to_drain(request);
}

struct body request_take_body(struct request *request) {
    struct body body = request->body;
    memset(&request->body, 0, sizeof body);
    return body;
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
    for (int i = 0; i < ROUTE_PARAMETERS_MAX && check->route->parameters[i]; i++)
        if (strcmp(check->route->parameters[i], key) == 0 ||
            strcmp(check->route->parameters[i], "*") == 0)
            return MHD_YES;
    char pointer[64];
    snprintf(pointer, sizeof pointer, "?%.40s", key);
    problem_add(check->problem, PROBLEM_INVALID_REQUEST, pointer, "unknown parameter");
    return MHD_YES;
}

void request_handle(struct request *request) {
    struct problem query = {0};
    request->complete = true;
    if (is_refused(request)) {
        request_refuse(request, &request->refusal);
        return;
    }
    struct query_check check = {request->route, &query};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, check_parameter, &check);
    if (request->route->check_query)
        request->route->check_query(request, &query);
    if (query.type != PROBLEM_NONE)
        request_refuse(request, &query);
    else
        request->route->handle(request);
}

void request_free(struct request *request) {
    body_free(request->server, &request->body);
    if (request->response) {
        MHD_destroy_response(request->response);
        atomic_fetch_sub(&request->server->answers_open, 1);
    }
    atomic_fetch_sub(&request->server->requests_open, 1);
    free(request->path);
    free(request);
}
