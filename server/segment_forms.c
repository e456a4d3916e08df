/* The forms of our own API's answers: JSON, or for who wants it the PNG of a mask itself. */
#include <stdio.h>

#include "server/accept.h"
#include "server/segment.h"

static void write_json(const struct segment_answer *masks, const void *context,
                       struct answer *answer) {
    (void)context;
    answer->body = segment_answer_json(masks);
}

static void write_png(const struct segment_answer *masks, const void *context,
                      struct answer *answer) {
    (void)context;
    const struct segment *segment = &masks->results[0].segments[0];
    char *value = answer->made_value;
    snprintf(value, sizeof answer->made_value, "%.6g", (double)segment->predicted_iou);
    answer->body = mask_png_encode(&segment->mask, &answer->size);
    answer->content_type = "image/png";
    answer->headers[0] = (struct header){"X-Maskd-Predicted-Iou", value};
}

static const struct segment_form JSON_FORM = {write_json, request_refuse, NULL};
static const struct segment_form PNG_FORM = {write_png, request_refuse, NULL};

const struct segment_form *segment_form_choose(struct request *request,
                                               const struct prompt_list *prompts,
                                               struct problem *problem) {
    static const char *const types[] = {"application/json", "image/png"};
    const char *accept = request_header(request, MHD_HTTP_HEADER_ACCEPT);
    const bool one = prompts->count == 1 && prompts->items[0].prompt.multimask != MULTIMASK_ALL;
    if (accept_choose(accept, types, 2) == 0 || (!one && accept_takes(accept, types[0])))
        return &JSON_FORM;
    if (one)
        return &PNG_FORM;
    problem_set(problem, PROBLEM_INVALID_REQUEST,
                "Accept: image/png answers one mask, and this request has several: send one "
                "prompt, with multimask \"auto\" or false, or accept application/json");
    return NULL;
}
