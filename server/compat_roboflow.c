/* /compat/roboflow: the SAM of Roboflow Inference. docs/roboflow.md. */
#include "server/clock.h"
#include "server/compat.h"
#include "server/routes.h"

static void write_masks(const struct segment_answer *masks, const void *context,
                        struct answer *answer) {
    const struct timing *timing = masks->timing;
    double spent = timing->queue_ms + timing->segment_ms;
    (void)context;
    spent += timing->decode_ms > 0 ? timing->decode_ms : 0;
    spent += timing->encode_ms > 0 ? timing->encode_ms : 0;
    answer->body = roboflow_answer_json(masks, spent / 1000);
}

static const struct segment_form FORM = {write_masks, request_refuse, NULL};

void handle_roboflow_segment(struct request *request) {
    struct problem problem = {0};
    struct roboflow_request parsed;
    if (roboflow_parse((const char *)request->body.bytes, request->body.size, true, &parsed,
                       &problem))
        compat_segment(request, &parsed.common, &FORM, NULL);
    else
        request_refuse(request, &problem);
}

static void yield_worker(void *worker) {
    worker_yield(worker);
}

static void write_embedding_json(const struct embedding *embedding, double seconds,
                                 struct worker *worker, struct answer *answer) {
    const struct image_yield yield = {yield_worker, worker};
    answer->body = roboflow_embedding_json(embedding, seconds, &yield);
}

static void write_embedding_npy(const struct embedding *embedding, double seconds,
                                struct worker *worker, struct answer *answer) {
    (void)seconds, (void)worker;
    answer->body = (char *)embedding_npy(embedding, EMBEDDING_FLOAT32, &answer->size);
    answer->content_type = "application/octet-stream";
}

void handle_roboflow_embed(struct request *request) {
    struct problem problem = {0};
    struct roboflow_request parsed;
    if (roboflow_parse((const char *)request->body.bytes, request->body.size, false, &parsed,
                       &problem))
        compat_embed(request, &parsed.common,
                     parsed.binary ? write_embedding_npy : write_embedding_json);
    else
        request_refuse(request, &problem);
}
