/* /compat/xanylabeling: X-AnyLabeling-Server's. docs/x-anylabeling.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/compat.h"
#include "server/routes.h"

void handle_xany_health(struct request *request) {
    char now[32] = "", *body;
    struct tm utc;
    const time_t seconds = time(NULL);
    if (gmtime_r(&seconds, &utc))
        strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (asprintf(&body, "{\"status\":\"healthy\",\"models_loaded\":1,\"timestamp\":\"%s\"}", now) <
        0)
        body = NULL;
    compat_answer(request, body);
}

void handle_xany_models(struct request *request) {
    compat_answer(request, xanylabeling_models_json(model_info(request->server->model)));
}

/* The tool shows a status to its user, but never the message of an answer with 200, which the
 * original refuses by; so here the status tells it too. */
static void refuse(struct request *request, const struct problem *problem) {
    struct answer answer = {.status = problem_status(problem->type),
                            .body = xanylabeling_problem_json(problem)};
    request_answer(request, &answer);
}

void handle_xany_model(struct request *request) {
    const struct model_info *model = model_info(request->server->model);
    struct problem problem = {0};
    if (strcmp(request->image_id, model->name) == 0) {
        compat_answer(request, xanylabeling_model_json(model));
        return;
    }
    problem_set(&problem, PROBLEM_NOT_INSTALLED, "the model \"%s\" is not installed; \"%s\" is",
                request->image_id, model->name);
    refuse(request, &problem);
}

/* ---- /v1/predict ------------------------------------------------------------------------- */

static void write_masks(const struct segment_answer *masks, const void *context,
                        struct answer *answer) {
    const double *fineness = context;
    answer->body = xanylabeling_answer_json(masks, *fineness);
}

static const struct segment_form FORM = {write_masks, refuse, free};

void handle_xany_predict(struct request *request) {
    struct problem problem = {0};
    struct xanylabeling_request prediction;
    double *fineness;
    if (!xanylabeling_parse((const char *)request->body.bytes, request->body.size,
                            model_info(request->server->model)->name, &prediction, &problem)) {
        refuse(request, &problem);
    } else if (prediction.common.count == 0) {
        compat_request_free(&prediction.common);
        compat_answer(request, xanylabeling_answer_json(NULL, 0));
    } else if (!(fineness = malloc(sizeof *fineness))) {
        compat_request_free(&prediction.common);
        problem_set(&problem, PROBLEM_INTERNAL, "out of memory");
        refuse(request, &problem);
    } else {
        *fineness = prediction.fineness;
        compat_segment(request, &prediction.common, &FORM, fineness);
    }
}
