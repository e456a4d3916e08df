/* libFuzzer target: the body of a segment request. */
#include <stdlib.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct prompt_limits limits = {.width = 40, .height = 30, .max_prompts = 16};
    struct prompt_list list;
    struct problem problem = {0};
    bool read = prompt_list_parse((const char *)data, size, &limits, &list, &problem);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    if (!read)
        free(problem_json(&problem));
    prompt_list_free(&list);
    return 0;
}
