/* /compat/labelstudio: the protocol of Label Studio's ML backends. docs/label-studio.md. */
#include <stdio.h>
#include <stdlib.h>

#include "server/compat.h"
#include "server/routes.h"

enum { VERSION_MAX = 96 };

/* The model's name and the beginning of its weights' hash: tells predictions of another model. */
static void write_version(const struct server *server, char version[VERSION_MAX]) {
    const struct model_info *model = model_info(server->model);
    snprintf(version, VERSION_MAX, "%s-%.8s", model->name, model->weights_sha256);
}

static void __attribute__((format(printf, 3, 4)))
answer_text(struct request *request, int status, const char *format, ...) {
    struct answer answer = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&answer.body, format, arguments) < 0)
        answer.body = NULL;
    va_end(arguments);
    request_answer(request, &answer);
}

void handle_labelstudio_health(struct request *request) {
    answer_text(request, MHD_HTTP_OK, "{\"status\":\"UP\",\"model_class\":\"maskd\"}");
}

void handle_labelstudio_setup(struct request *request) {
    char version[VERSION_MAX];
    write_version(request->server, version);
    answer_text(request, MHD_HTTP_OK, "{\"model_version\":\"%s\"}", version);
}

void handle_labelstudio_versions(struct request *request) {
    char version[VERSION_MAX];
    write_version(request->server, version);
    answer_text(request, MHD_HTTP_OK, "{\"versions\":[\"%s\"]}", version);
}

void handle_labelstudio_metrics(struct request *request) {
    answer_text(request, MHD_HTTP_OK, "{}");
}

/* Told of annotations, which nothing is learnt from. */
void handle_labelstudio_webhook(struct request *request) {
    answer_text(request, MHD_HTTP_CREATED, "{\"result\":{},\"status\":\"ok\"}");
}

/* ---- /predict ---------------------------------------------------------------------------- */

struct prediction {
    struct labelstudio_request request;
    char version[VERSION_MAX];
};

static void write_masks(const struct segment_answer *masks, const void *context,
                        struct answer *answer) {
    const struct prediction *prediction = context;
    answer->body = labelstudio_answer_json(masks, &prediction->request, prediction->version);
}

static void release(void *context) {
    struct prediction *prediction = context;
    labelstudio_request_free(&prediction->request);
    free(prediction);
}

static const struct segment_form FORM = {write_masks, request_refuse, release};

void handle_labelstudio_predict(struct request *request) {
    struct problem problem = {0};
    struct prediction *prediction = calloc(1, sizeof *prediction);
    if (!prediction) {
        request_refuse_with(request, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    if (!labelstudio_parse((char *)request->body.bytes, request->body.size, &prediction->request,
                           &problem)) {
        release(prediction);
        request_refuse(request, &problem);
    } else if (prediction->request.common.count == 0) { /* nobody has clicked yet */
        release(prediction);
        answer_text(request, MHD_HTTP_OK, "{\"results\":[]}");
    } else {
        struct compat_request common = prediction->request.common;
        prediction->request.common = (struct compat_request){0};
        write_version(request->server, prediction->version);
        compat_segment(request, &common, &FORM, prediction);
    }
}
