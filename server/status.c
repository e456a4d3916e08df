#include <string.h>

#include "server/routes.h"

static void answer_status(struct request *request, const char *body) {
    struct answer answer = {.status = MHD_HTTP_OK, .fixed = body};
    request_answer(request, &answer);
}

void handle_healthz(struct request *request) {
    answer_status(request, "{\"status\":\"alive\"}");
}

void handle_readyz(struct request *request) {
    if (!atomic_load(
            &request->server->draining)) { /* nothing is served before the model is loaded */
        answer_status(request, "{\"status\":\"ready\"}");
        return;
    }
    request_refuse_with(request, PROBLEM_DRAINING, "the daemon is stopping");
}

void handle_models(struct request *request) {
    struct model_answer model = {model_info(request->server->model), true};
    struct answer answer = {.status = MHD_HTTP_OK, .body = model_list_json(&model, 1)};
    request_answer(request, &answer);
}

void handle_options(struct request *request) {
    char id[IMAGE_ID_MAX + 1], allow[ALLOW_MAX];
    routes_find(request->method, request->path, id, allow);
    struct answer answer = {.status = MHD_HTTP_NO_CONTENT,
                            .headers = {{MHD_HTTP_HEADER_ALLOW, allow}}};
    request_answer(request, &answer);
}
