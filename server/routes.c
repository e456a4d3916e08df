#include "server/routes.h"

#include <stdio.h>
#include <string.h>

static const struct route ROUTES[] = {
    {"GET", "/", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/style.css", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/app.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/daemon.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/export.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/mask.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/preview.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/steps.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/view.js", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/favicon.svg", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/sample.jpg", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/openapi.json", handle_page, NULL, {"*"}, FOR_ALL},
    {"GET", "/healthz", handle_healthz, NULL, {NULL}, FOR_PROBES},
    {"GET", "/readyz", handle_readyz, NULL, {NULL}, FOR_PROBES},
    {"GET", "/metrics", handle_metrics, NULL, {NULL}, FOR_METRICS},
    {"GET", "/v1/models", handle_models, NULL, {NULL}, FOR_KEYS},
    {"POST", "/v1/images", handle_image_upload, incoming_check_query, {"id", "model"}, FOR_KEYS},
    {"GET", "/v1/images", handle_image_list, check_image_list_query, {"limit", "cursor"}, FOR_KEYS},
    {"GET", "/v1/images/{id}", handle_image_get, NULL, {NULL}, FOR_KEYS},
    {"DELETE", "/v1/images/{id}", handle_image_delete, NULL, {NULL}, FOR_KEYS},
    {"GET",
     "/v1/images/{id}/embedding",
     handle_embedding_get,
     check_embedding_query,
     {"dtype"},
     FOR_KEYS},
    {"PUT", "/v1/images/{id}/embedding", handle_embedding_put, NULL, {NULL}, FOR_KEYS},
    {"POST", "/v1/images/{id}/segment", handle_segment_image, NULL, {NULL}, FOR_KEYS},
    {"POST", "/v1/images/{id}/everything", handle_everything, NULL, {NULL}, FOR_KEYS},
    {"GET",
     "/v1/images/{id}/everything",
     handle_everything_get,
     check_everything_query,
     {"format", "simplify"},
     FOR_KEYS},
    {"POST", "/v1/segment", handle_segment_upload, incoming_check_query, {"id", "model"}, FOR_KEYS},
    {"GET", "/compat/labelstudio", handle_labelstudio_health, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/labelstudio/", handle_labelstudio_health, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/labelstudio/health", handle_labelstudio_health, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/labelstudio/setup", handle_labelstudio_setup, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/labelstudio/predict", handle_labelstudio_predict, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/labelstudio/webhook", handle_labelstudio_webhook, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/labelstudio/versions", handle_labelstudio_versions, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/labelstudio/metrics", handle_labelstudio_metrics, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/cvat", handle_cvat, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/cvat/", handle_cvat, NULL, {NULL}, FOR_KEYS},
    /* CVAT is told a host and a port, but no path. */
    {"GET", "/api/functions", handle_cvat_functions, NULL, {NULL}, FOR_KEYS},
    {"GET", "/api/functions/{id}", handle_cvat_function, NULL, {NULL}, FOR_KEYS},
    {"POST", "/api/function_invocations", handle_cvat_invocation, NULL, {NULL}, FOR_KEYS},
    {"POST",
     "/compat/roboflow/sam/embed_image",
     handle_roboflow_embed,
     NULL,
     {"api_key", "*"},
     FOR_KEYS},
    {"POST",
     "/compat/roboflow/sam/segment_image",
     handle_roboflow_segment,
     NULL,
     {"api_key", "*"},
     FOR_KEYS},
    {"GET", "/compat/xanylabeling/health", handle_xany_health, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/xanylabeling/v1/models", handle_xany_models, NULL, {NULL}, FOR_KEYS},
    {"GET", "/compat/xanylabeling/v1/models/{id}/info", handle_xany_model, NULL, {NULL}, FOR_KEYS},
    {"POST", "/compat/xanylabeling/v1/predict", handle_xany_predict, NULL, {NULL}, FOR_KEYS},
    {"OPTIONS", "*", handle_options, NULL, {"*"}, FOR_ALL}, /* of every path; the last */
};

enum { ROUTE_COUNT = sizeof ROUTES / sizeof *ROUTES };

size_t routes_count(void) {
    return ROUTE_COUNT + 1;
}

size_t routes_index(const struct route *route) {
    return route ? (size_t)(route - ROUTES) : ROUTE_COUNT;
}

const struct route *routes_at(size_t index) {
    return index < ROUTE_COUNT ? &ROUTES[index] : NULL;
}

static const struct route *const OPTIONS = &ROUTES[ROUTE_COUNT - 1];

/* Whether path has the pattern's form; copies what stands for "{id}". */
static bool path_matches(const char *pattern, const char *path, char id[IMAGE_ID_MAX + 1]) {
    const char *hole = strstr(pattern, "{id}");
    if (!hole)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(hole - pattern);
    if (strncmp(pattern, path, before) != 0)
        return false;
    size_t length = strcspn(path + before, "/");
    if (length == 0 || length > IMAGE_ID_MAX || strcmp(hole + 4, path + before + length) != 0)
        return false;
    memcpy(id, path + before, length);
    id[length] = '\0';
    return true;
}

const struct route *routes_find(const char *method, const char *path, char id[IMAGE_ID_MAX + 1],
                                char allow[ALLOW_MAX]) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t used = 0;
    allow[0] = id[0] = '\0';
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!path_matches(ROUTES[i].path, path, id))
            continue;
        if (strcmp(ROUTES[i].method, wanted) == 0)
            return &ROUTES[i];
        bool get = strcmp(ROUTES[i].method, "GET") == 0;
        used += (size_t)snprintf(allow + used, ALLOW_MAX - used, "%s, ",
                                 get ? "GET, HEAD" : ROUTES[i].method);
    }
    if (used > 0)
        snprintf(allow + used, ALLOW_MAX - used, "%s", OPTIONS->method);
    return used > 0 && strcmp(method, OPTIONS->method) == 0 ? OPTIONS : NULL;
}
