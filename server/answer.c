/* The way out: answers and problems become libmicrohttpd's responses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/request.h"

enum { RETRY_AFTER_SECONDS = 2 };

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
                      const struct timing *timing) {
    if (response) {
        add_header(response, "X-Request-Id", request->id);
        add_server_timing(request, response, timing);
        if (request->unframed || atomic_load(&request->server->draining))
            add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    request->status = status;
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

void request_answer(struct request *request, const struct answer *answer) {
    const char *content = answer->body ? answer->body : answer->fixed;
    if (!content && needs_content(answer->status)) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    const size_t size = size_of(answer, content);
    struct MHD_Response *response =
        answer->body ? make_response(answer->body, size) : make_fixed_response(content, size);
    if (response && content)
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                   answer->content_type ? answer->content_type : "application/json");
    for (size_t i = 0; response && i < ANSWER_HEADERS_MAX && answer->headers[i].name; i++)
        if (answer->headers[i].value)
            add_header(response, answer->headers[i].name, answer->headers[i].value);
    hand_over(request, answer->status, response, answer->timing);
}

void request_refuse(struct request *request, const struct problem *problem) {
    char id[IMAGE_ID_MAX + 1], allow[64];
    char *body = problem_json(problem);
    struct MHD_Response *response =
        body ? make_response(body, strlen(body)) : make_fixed_response("", 0);
    int status = problem_status(problem->type);
    if (response && body)
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json");
    if (response && status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER_SECONDS);
        add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (response && status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        routes_find(request->method, request->path, id, allow);
        add_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    hand_over(request, status, response, NULL);
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
    request_refuse_with(
        request, PROBLEM_UNKNOWN_IMAGE,
        "no image has the ID \"%s\": it was never uploaded, or deleted, or evicted; "
        "upload it again",
        request->image_id);
}
