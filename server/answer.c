/* The way out: answers and problems become libmicrohttpd's responses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/cors.h"
#include "server/request.h"

static void add_header(struct MHD_Response *response, const char *name, const char *value) {
    MHD_add_response_header(response, name, value); /* a header fewer is better than no answer */
}

static void put_timing(char *text, size_t size, const char *name, double milliseconds) {
    size_t used = strlen(text);
    if (milliseconds >= 0)
        snprintf(text + used, size - used, "%s%s;dur=%.3f", used ? ", " : "", name, milliseconds);
}

/* https://www.w3.org/TR/server-timing/ */
static void add_server_timing(const struct request *request, struct MHD_Response *response,
                              const struct timing *timing) {
    char text[256] = "";
    if (timing) {
        put_timing(text, sizeof text, "queue", timing->queue_ms);
        put_timing(text, sizeof text, "decode", timing->decode_ms);
        put_timing(text, sizeof text, "encode", timing->encode_ms);
        put_timing(text, sizeof text, "segment", timing->segment_ms);
    }
    put_timing(text, sizeof text, "total", milliseconds_since(request->started_ns));
    add_header(response, "Server-Timing", text);
}

static struct MHD_Response *make_response(char *body, size_t size) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(body);
    return response;
}

static struct MHD_Response *make_fixed_response(const char *body, size_t size) {
    return MHD_create_response_from_buffer(size, (char *)body, MHD_RESPMEM_PERSISTENT);
}

/* Makes the response the request's, and wakes it if it sleeps. */
static void hand_over(struct request *request, int status, struct MHD_Response *response,
                      size_t size, const struct timing *timing) {
    if (response) {
        add_header(response, "X-Request-Id", request->id);
        add_header(response, "X-Content-Type-Options", "nosniff");
        cors_add(request, response);
        add_server_timing(request, response, timing);
        if (request->unframed || atomic_load(&request->server->draining))
            add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    request->status = status;
    request->sent = strcmp(request->method, MHD_HTTP_METHOD_HEAD) == 0 ? 0 : size;
    request->response = response; /* NULL: http.c drops the connection */
    if (response)
        atomic_fetch_add(&request->server->answers_open, 1);
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
    }
}

void request_suspend(struct request *request) {
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

static size_t size_of(const struct answer *answer, const char *content) {
    return answer->size || !content ? answer->size : strlen(content);
}

static bool needs_content(int status) {
    return status != MHD_HTTP_NO_CONTENT && status != MHD_HTTP_NOT_MODIFIED;
}

/* What is larger counts as bodies do until it is sent: whoever asks may read slowly. */
enum { UNCOUNTED_BYTES = 1 << 20 };

/* False: others leave no room for it. What a handler has reserved is for its answer. */
static bool count_answer(struct request *request, size_t size) {
    const size_t reserved = request->body.bytes ? 0 : request->body.capacity;
    return size <= UNCOUNTED_BYTES || size <= reserved || request_reserve(request, size - reserved);
}

void request_answer(struct request *request, const struct answer *answer) {
    const char *content = answer->body ? answer->body : answer->fixed;
    if (!content && needs_content(answer->status)) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    const size_t size = size_of(answer, content);
    if (answer->body && !count_answer(request, size)) {
        free(answer->body);
        request_refuse_with(request, PROBLEM_OVERLOADED,
                            "what is in flight fills upload_memory, %lld bytes",
                            request->server->options->upload_memory);
        return;
    }
    struct MHD_Response *response =
        answer->body ? make_response(answer->body, size) : make_fixed_response(content, size);
    if (response && content)
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                   answer->content_type ? answer->content_type : "application/json");
    for (size_t i = 0; response && i < ANSWER_HEADERS_MAX && answer->headers[i].name; i++)
        if (answer->headers[i].value)
            add_header(response, answer->headers[i].name, answer->headers[i].value);
    hand_over(request, answer->status, response, size, answer->timing);
}

static void add_retry_after(struct MHD_Response *response, long long seconds) {
    char text[24];
    snprintf(text, sizeof text, "%lld", seconds);
    add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, text);
}

/* What a client is to do about a refusal, where HTTP has a header for it. */
static void add_remedy(const struct request *request, int status, struct MHD_Response *response) {
    char id[IMAGE_ID_MAX + 1], allow[ALLOW_MAX];
    switch (status) {
    case MHD_HTTP_UNAUTHORIZED:
        add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        break;
    case MHD_HTTP_METHOD_NOT_ALLOWED:
        routes_find(request->method, request->path, id, allow);
        add_header(response, MHD_HTTP_HEADER_ALLOW, allow);
        break;
    case MHD_HTTP_TOO_MANY_REQUESTS:
        add_retry_after(response, request->retry_after);
        break;
    case MHD_HTTP_SERVICE_UNAVAILABLE:
        add_retry_after(response, request->server->options->retry_after);
        break;
    }
}

void request_refuse(struct request *request, const struct problem *problem) {
    char *body = problem_json(problem);
    const size_t size = body ? strlen(body) : 0;
    struct MHD_Response *response = body ? make_response(body, size) : make_fixed_response("", 0);
    int status = problem_status(problem->type);
    metrics_count_problem(request->server->metrics, problem->type);
    if (response && body)
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json");
    if (response)
        add_remedy(request, status, response);
    hand_over(request, status, response, size, NULL);
}

void request_refuse_with(struct request *request, enum problem_type type, const char *format, ...) {
    struct problem problem = {0};
    char detail[sizeof problem.detail];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_set(&problem, type, "%s", detail);
    request_refuse(request, &problem);
}

void request_refuse_unknown_image(struct request *request) {
    struct geometry geometry;
    struct problem problem;
    if (catalogue_failure(request->server->catalogue, request->image_id, &geometry, &problem)) {
        request_refuse_with(request, PROBLEM_UNKNOWN_IMAGE,
                            "the image \"%s\" could not be encoded: %s", request->image_id,
                            problem.detail);
        return;
    }
    request_refuse_with(
        request, PROBLEM_UNKNOWN_IMAGE,
        "no image has the ID \"%s\": it was never uploaded, or deleted, or evicted; "
        "upload it again",
        request->image_id);
}
