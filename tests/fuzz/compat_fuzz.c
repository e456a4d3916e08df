/* libFuzzer target: what annotation tools send. The first byte chooses the tool. */
#include <stdlib.h>
#include <string.h>

#include "api/compat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LABEL_STUDIO, CVAT, ROBOFLOW_EMBED, ROBOFLOW_SEGMENT, XANYLABELING, TOOLS };

/* What was read becomes prompts that lie inside the image. */
static void place(const struct compat_request *request) {
    const struct prompt_limits limits = {.width = 40, .height = 30, .max_prompts = 16};
    struct prompt_list prompts;
    struct problem problem = {0};
    if (request->count == 0 || !compat_prompts(request, &limits, &prompts, &problem))
        return;
    for (size_t i = 0; i < prompts.count; i++) {
        const struct prompt *prompt = &prompts.items[i].prompt;
        for (int k = 0; k < prompt->point_count; k++)
            if (!(prompt->points[k][0] >= 0 && prompt->points[k][0] < limits.width &&
                  prompt->points[k][1] >= 0 && prompt->points[k][1] < limits.height))
                abort();
        if (prompt->has_box &&
            !(prompt->box[0] >= 0 && prompt->box[0] < prompt->box[2] &&
              prompt->box[2] <= limits.width && prompt->box[1] >= 0 &&
              prompt->box[1] < prompt->box[3] && prompt->box[3] <= limits.height))
            abort();
    }
    prompt_list_free(&prompts);
}

static bool read_labelstudio(char *json, size_t size, struct problem *problem) {
    struct labelstudio_request request;
    bool read = labelstudio_parse(json, size, &request, problem);
    if (read)
        place(&request.common);
    labelstudio_request_free(&request);
    return read;
}

static bool read_common(int tool, const char *json, size_t size, struct problem *problem) {
    struct cvat_request cvat = {0};
    struct roboflow_request roboflow = {0};
    struct xanylabeling_request xanylabeling = {0};
    struct compat_request *request = tool == CVAT           ? &cvat.common
                                     : tool == XANYLABELING ? &xanylabeling.common
                                                            : &roboflow.common;
    bool read = tool == CVAT ? cvat_parse(json, size, &cvat, problem)
                : tool == XANYLABELING
                    ? xanylabeling_parse(json, size, "mobile_sam", &xanylabeling, problem)
                    : roboflow_parse(json, size, tool == ROBOFLOW_SEGMENT, &roboflow, problem);
    if (read)
        place(request);
    compat_request_free(request);
    return read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct problem problem = {0};
    if (size < 1)
        return 0;
    const int tool = data[0] % TOOLS;
    char *json = malloc(size); /* with the zero that follows a body */
    if (!json)
        abort();
    memcpy(json, data + 1, size - 1);
    json[size - 1] = '\0';
    bool read = tool == LABEL_STUDIO ? read_labelstudio(json, size - 1, &problem)
                                     : read_common(tool, json, size - 1, &problem);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    free(json);
    return 0;
}
