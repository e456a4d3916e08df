#include "server/routes.h"

#include <stdio.h>
#include <string.h>

static const struct route ROUTES[] = {
    {"GET", "/healthz", handle_healthz, NULL, {NULL}},
    {"GET", "/readyz", handle_readyz, NULL, {NULL}},
    {"GET", "/v1/models", handle_models, NULL, {NULL}},
    {"POST", "/v1/images", handle_image_upload, incoming_check_query, {"id", "model"}},
    {"GET", "/v1/images", handle_image_list, check_image_list_query, {"limit", "cursor"}},
    {"GET", "/v1/images/{id}", handle_image_get, NULL, {NULL}},
    {"DELETE", "/v1/images/{id}", handle_image_delete, NULL, {NULL}},
    {"POST", "/v1/images/{id}/segment", handle_segment_image, NULL, {NULL}},
    {"POST", "/v1/segment", handle_segment_upload, incoming_check_query, {"id", "model"}},
};

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
                                char allow[64]) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t used = 0;
    allow[0] = id[0] = '\0';
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++) {
        if (!path_matches(ROUTES[i].path, path, id))
            continue;
        if (strcmp(ROUTES[i].method, wanted) == 0)
            return &ROUTES[i];
        bool get = strcmp(ROUTES[i].method, "GET") == 0;
        used += (size_t)snprintf(allow + used, 64 - used, "%s%s", used ? ", " : "",
                                 get ? "GET, HEAD" : ROUTES[i].method);
    }
    return NULL;
}
