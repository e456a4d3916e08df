/* /compat/cvat: an interactor of CVAT. docs/cvat.md. */
#include <string.h>

#include "server/compat.h"
#include "server/routes.h"

static void write_whole(const struct segment_answer *masks, const void *context,
                        struct answer *answer) {
    (void)context;
    answer->body = cvat_answer_json(masks, false);
}

static void write_crop(const struct segment_answer *masks, const void *context,
                       struct answer *answer) {
    (void)context;
    answer->body = cvat_answer_json(masks, true);
}

static const struct segment_form WHOLE = {write_whole, request_refuse, NULL};
static const struct segment_form CROP = {write_crop, request_refuse, NULL};

static void interact(struct request *request, bool always_crop) {
    struct problem problem = {0};
    struct cvat_request parsed;
    if (!cvat_parse((const char *)request->body.bytes, request->body.size, &parsed, &problem))
        request_refuse(request, &problem);
    else
        compat_segment(request, &parsed.common, always_crop || parsed.crop ? &CROP : &WHOLE, NULL);
}

void handle_cvat(struct request *request) {
    interact(request, false);
}

/* ---- Nuclio's dashboard, as far as CVAT asks it ------------------------------------------ */

#define FUNCTION_ID "maskd"
#define FUNCTION                                                                                   \
    "{\"metadata\":{\"name\":\"" FUNCTION_ID "\",\"namespace\":\"cvat\",\"annotations\":{"         \
    "\"name\":\"maskd\",\"type\":\"interactor\",\"version\":\"2\",\"spec\":\"\","                  \
    "\"min_pos_points\":\"0\",\"min_neg_points\":\"0\",\"startswith_box_optional\":\"true\","      \
    "\"help_message\":\"Click on the object; right clicks are not part of it. Or begin with a "    \
    "box around it.\"}},\"spec\":{\"description\":\"Segment Anything by maskd\"},\"status\":"      \
    "{\"state\":\"ready\",\"httpPort\":0}}"

static void answer_fixed(struct request *request, const char *body) {
    struct answer answer = {.status = MHD_HTTP_OK, .fixed = body};
    request_answer(request, &answer);
}

void handle_cvat_functions(struct request *request) {
    answer_fixed(request, "{\"" FUNCTION_ID "\":" FUNCTION "}");
}

static bool is_function(struct request *request, const char *id) {
    const bool known = id && strcmp(id, FUNCTION_ID) == 0;
    if (!known)
        request_refuse_with(request, PROBLEM_UNKNOWN_ROUTE,
                            "there is no function \"%s\", only \"" FUNCTION_ID "\"", id ? id : "");
    return known;
}

void handle_cvat_function(struct request *request) {
    if (is_function(request, request->image_id))
        answer_fixed(request, FUNCTION);
}

/* CVAT passes the answer on to its page: only as much of the mask as the object needs. */
void handle_cvat_invocation(struct request *request) {
    if (is_function(request, request_header(request, "x-nuclio-function-name")))
        interact(request, true);
}
