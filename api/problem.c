#include "api/api.h"

#include <stdarg.h>

#include "api/text.h"

static const struct problem_kind {
    int status;
    const char *slug, *title;
} problem_kinds[PROBLEM_TYPE_COUNT] = {
    [PROBLEM_NONE] = {200, "none", "No problem"},
    [PROBLEM_BAD_REQUEST] = {400, "bad-request", "The request cannot be read"},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "A key is needed"},
    [PROBLEM_UNKNOWN_IMAGE] = {404, "unknown-image", "No image has this ID"},
    [PROBLEM_UNKNOWN_RUN] = {404, "unknown-run", "No run of this image is known"},
    [PROBLEM_UNKNOWN_ROUTE] = {404, "unknown-route", "Nothing is served at this path"},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method-not-allowed",
                                    "This path does not take this method"},
    [PROBLEM_ID_CONFLICT] = {409, "id-conflict", "This ID holds another image"},
    [PROBLEM_MODEL_MISMATCH] = {409, "model-mismatch", "The embedding was made by another model"},
    [PROBLEM_LENGTH_REQUIRED] = {411, "length-required", "The request does not tell its length"},
    [PROBLEM_PRECONDITION_FAILED] = {412, "precondition-failed", "A condition does not hold"},
    [PROBLEM_TOO_LARGE] = {413, "too-large", "The request is too large"},
    [PROBLEM_UNSUPPORTED_IMAGE] = {415, "unsupported-image", "Not an image that can be read"},
    [PROBLEM_UNSUPPORTED_EMBEDDING] = {415, "unsupported-embedding",
                                       "Not an embedding that can be read"},
    [PROBLEM_INVALID_IMAGE] = {422, "invalid-image", "The image is outside the limits"},
    [PROBLEM_INVALID_EMBEDDING] = {422, "invalid-embedding", "The embedding is not valid"},
    [PROBLEM_INVALID_PROMPT] = {422, "invalid-prompt", "The prompt is not valid"},
    [PROBLEM_INVALID_REQUEST] = {422, "invalid-request", "The request is not valid"},
    [PROBLEM_TOO_MANY_REQUESTS] = {429, "too-many-requests", "Too many requests"},
    [PROBLEM_INTERNAL] = {500, "internal", "The server failed"},
    [PROBLEM_NOT_INSTALLED] = {501, "not-installed", "A model for this is not installed"},
    [PROBLEM_NOT_IMPLEMENTED] = {501, "not-implemented", "This version cannot do this"},
    [PROBLEM_FETCH_FAILED] = {502, "fetch-failed", "The image cannot be fetched"},
    [PROBLEM_OVERLOADED] = {503, "overloaded", "The server is at its limit"},
    [PROBLEM_DEADLINE] = {503, "deadline", "The request waited for too long"},
    [PROBLEM_DRAINING] = {503, "draining", "The server is stopping"},
};

static const struct problem_kind *problem_kind(enum problem_type type) {
    return &problem_kinds[(unsigned)type < PROBLEM_TYPE_COUNT ? type : PROBLEM_INTERNAL];
}

int problem_status(enum problem_type type) {
    return problem_kind(type)->status;
}

void problem_set(struct problem *problem, enum problem_type type, const char *format, ...) {
    if (problem->type != PROBLEM_NONE)
        return;
    problem->type = type;
    va_list arguments;
    va_start(arguments, format);
    utf8_format(problem->detail, sizeof problem->detail, format, arguments);
    va_end(arguments);
}

static void __attribute__((format(printf, 3, 4)))
cut(char *out, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    utf8_format(out, size, format, arguments);
    va_end(arguments);
}

void problem_add(struct problem *problem, enum problem_type type, const char *pointer,
                 const char *format, ...) {
    if (problem->type == PROBLEM_NONE)
        problem->type = type;
    if (problem->fault_count++ >= PROBLEM_FAULTS_MAX)
        return;
    struct problem_fault *fault = &problem->faults[problem->fault_count - 1];
    cut(fault->pointer, sizeof fault->pointer, "%s", pointer);
    va_list arguments;
    va_start(arguments, format);
    utf8_format(fault->detail, sizeof fault->detail, format, arguments);
    va_end(arguments);
}

/* The detail as it was set, or else the first fault; and how many faults the list leaves out. */
static void write_detail(const struct problem *problem, struct text *text) {
    const struct problem_fault *first = &problem->faults[0];
    const size_t count = problem->fault_count;
    char cause[sizeof first->pointer + sizeof first->detail + 2];
    if (problem->detail[0] || count == 0)
        cut(cause, sizeof cause, "%s", problem->detail);
    else
        cut(cause, sizeof cause, "%s%s%s", first->pointer, first->pointer[0] ? ": " : "",
            first->detail);
    char detail[sizeof cause + 64];
    if (count > PROBLEM_FAULTS_MAX)
        cut(detail, sizeof detail, "%s (%zu faults; the first %d are listed)", cause, count,
            PROBLEM_FAULTS_MAX);
    else if (count > 1)
        cut(detail, sizeof detail, "%s (%zu faults)", cause, count);
    else
        cut(detail, sizeof detail, "%s", cause);
    text_string(text, detail);
}

char *problem_json(const struct problem *problem) {
    const struct problem_kind *kind = problem_kind(problem->type);
    struct text text = {0};
    text_format(&text,
                "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", kind->slug,
                kind->title, kind->status);
    write_detail(problem, &text);
    for (size_t i = 0; i < problem->fault_count && i < PROBLEM_FAULTS_MAX; i++) {
        text_add(&text, i == 0 ? ",\"errors\":[{\"pointer\":" : ",{\"pointer\":");
        text_string(&text, problem->faults[i].pointer);
        text_add(&text, ",\"detail\":");
        text_string(&text, problem->faults[i].detail);
        text_add(&text, "}");
    }
    text_add(&text, problem->fault_count > 0 ? "]}" : "}");
    return text_finish(&text);
}
