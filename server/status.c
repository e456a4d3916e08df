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
