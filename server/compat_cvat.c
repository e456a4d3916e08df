/* /compat/cvat: an interactor of CVAT. docs/cvat.md. */
#include <stdio.h>
#include <stdlib.h>
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

static void write_embedding(const struct embedding *embedding, double seconds,
                            struct worker *worker, struct answer *answer) {
    (void)seconds, (void)worker;
    answer->body = cvat_embedding_json(embedding);
}

/* What the request does not say itself. */
struct wish {
    bool embedding, crop;
};

static void interact(struct request *request, struct wish wish) {
    struct problem problem = {0};
    struct cvat_request parsed = {.embedding = wish.embedding, .crop = wish.crop};
    if (!cvat_parse((const char *)request->body.bytes, request->body.size, &parsed, &problem))
        request_refuse(request, &problem);
    else if (parsed.embedding)
        compat_embed(request, &parsed.common, write_embedding);
    else
        compat_segment(request, &parsed.common, parsed.crop ? &CROP : &WHOLE, NULL);
}

void handle_cvat(struct request *request) {
    interact(request, (struct wish){false, false});
}

/* ---- Nuclio's dashboard, as far as CVAT asks it ------------------------------------------ */

/* CVAT passes an answer on to its page: only as much of a mask as the object needs. Or an
 * embedding, which the page decodes for itself when the function has the ID of CVAT's own. */
static const struct function {
    const char *id, *name, *help;
    struct wish wish;
} FUNCTIONS[] = {
    {"maskd", "maskd", "Click on the object, or begin with a box around it", {false, true}},
    {"pth-facebookresearch-sam-vit-h",
     "maskd, decoded in the browser",
     "Click on the object. The first click on an image takes longest",
     {true, false}},
};

enum { FUNCTION_COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS };

static const char FUNCTION_FORM[] =
    "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"nuclio\",\"annotations\":{\"name\":\"%s\","
    "\"type\":\"interactor\",\"version\":\"2\",\"spec\":\"\",\"min_pos_points\":\"%d\","
    "\"min_neg_points\":\"0\",%s\"help_message\":\"%s\"}},"
    "\"spec\":{\"description\":\"Segment Anything, served by maskd\"},"
    "\"status\":{\"state\":\"ready\",\"httpPort\":0}}";

/* malloc'd; NULL: out of memory. */
static char *function_json(const struct function *function) {
    const bool boxes = !function->wish.embedding; /* CVAT's page decodes points only */
    char *json;
    int size = asprintf(&json, FUNCTION_FORM, function->id, function->name, boxes ? 0 : 1,
                        boxes ? "\"startswith_box_optional\":\"true\"," : "", function->help);
    return size < 0 ? NULL : json;
}

void handle_cvat_functions(struct request *request) {
    char *first = function_json(&FUNCTIONS[0]), *second = function_json(&FUNCTIONS[1]), *body;
    if (!first || !second ||
        asprintf(&body, "{\"%s\":%s,\"%s\":%s}", FUNCTIONS[0].id, first, FUNCTIONS[1].id, second) <
            0)
        body = NULL;
    free(first);
    free(second);
    compat_answer(request, body);
}

/* NULL: the request is answered. */
static const struct function *find_function(struct request *request, const char *id) {
    for (size_t i = 0; id && i < FUNCTION_COUNT; i++)
        if (strcmp(FUNCTIONS[i].id, id) == 0)
            return &FUNCTIONS[i];
    request_refuse_with(request, PROBLEM_UNKNOWN_ROUTE, "there is no function \"%s\"",
                        id ? id : "");
    return NULL;
}

void handle_cvat_function(struct request *request) {
    const struct function *function = find_function(request, request->image_id);
    if (function)
        compat_answer(request, function_json(function));
}

void handle_cvat_invocation(struct request *request) {
    const struct function *function =
        find_function(request, request_header(request, "x-nuclio-function-name"));
    if (function)
        interact(request, function->wish);
}
