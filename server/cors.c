#include "server/cors.h"

#include <string.h>
#include <strings.h>

#include "server/request.h"

/* What pages may send and see beyond what the standard always lets them. */
#define REQUEST_HEADERS                                                                            \
    "Authorization, Content-Type, X-API-Key, X-Request-Id, Prefer, Accept, If-Match, "             \
    "If-None-Match"
#define ANSWER_HEADERS                                                                             \
    "Location, ETag, Link, Preference-Applied, Retry-After, Server-Timing, WWW-Authenticate, "     \
    "X-Request-Id, X-Maskd-Model, X-Maskd-Predicted-Iou, X-Maskd-Size, X-Maskd-Weights-Sha256"
#define PREFLIGHT_SECONDS "7200" /* more than that browsers do not keep it */

static const char SEPARATORS[] = " \t,";

/* The next of the list, and its length; NULL after the last. */
static const char *next_origin(const char **list, size_t *length) {
    const char *origin = *list + strspn(*list, SEPARATORS);
    *length = strcspn(origin, SEPARATORS);
    *list = origin + *length;
    return *length > 0 ? origin : NULL;
}

static bool is_any(const char *origin, size_t length) {
    return length == 1 && *origin == '*';
}

/* RFC 6454, 6.2. */
static bool is_origin(const char *origin, size_t length) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char text[256];
    if (length >= sizeof text)
        return false;
    memcpy(text, origin, length);
    text[length] = '\0';
    const size_t scheme = strspn(text, letters);
    if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0)
        return false;
    const char *host = text + scheme + 3;
    return *host && strcspn(host, "/?#@ABCDEFGHIJKLMNOPQRSTUVWXYZ*") == strlen(host);
}

enum status cors_check(const char *origins, struct error *error) {
    size_t length;
    for (const char *origin; (origin = next_origin(&origins, &length));)
        if (!is_any(origin, length) && !is_origin(origin, length))
            return error_set(error, STATUS_INVALID,
                             "cors_origins: '%.*s' is no origin, such as https://example.org or "
                             "http://localhost:3000, nor *",
                             length < 100 ? (int)length : 100, origin);
    return STATUS_OK;
}

bool cors_allows(const char *origins, const char *origin) {
    size_t length;
    for (const char *one; (one = next_origin(&origins, &length));)
        if (is_any(one, length) || (strlen(origin) == length && memcmp(one, origin, length) == 0))
            return true;
    return false;
}

/* ---- the headers ------------------------------------------------------------------------- */

static void add_preflight(struct request *request, struct MHD_Response *response) {
    char id[IMAGE_ID_MAX + 1], allow[ALLOW_MAX];
    const char *network = request_header(request, "Access-Control-Request-Private-Network");
    routes_find(request->method, request->path, id, allow);
    MHD_add_response_header(response, "Access-Control-Allow-Methods", allow);
    MHD_add_response_header(response, "Access-Control-Allow-Headers", REQUEST_HEADERS);
    MHD_add_response_header(response, "Access-Control-Max-Age", PREFLIGHT_SECONDS);
    if (network && strcasecmp(network, "true") == 0) /* wicg.github.io/private-network-access */
        MHD_add_response_header(response, "Access-Control-Allow-Private-Network", "true");
}

void cors_add(struct request *request, struct MHD_Response *response) {
    const char *origins = request->server->options->cors_origins;
    if (!*origins)
        return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Origin");
    const char *origin = request_header(request, "Origin");
    if (!origin || !cors_allows(origins, origin))
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    if (strcmp(request->method, MHD_HTTP_METHOD_OPTIONS) == 0 &&
        request_header(request, "Access-Control-Request-Method"))
        add_preflight(request, response);
    else
        MHD_add_response_header(response, "Access-Control-Expose-Headers", ANSWER_HEADERS);
}
