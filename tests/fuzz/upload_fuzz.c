/* libFuzzer target: an upload in JSON; the first byte chooses whether a prompt is allowed. */
#include <stdlib.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct upload upload;
    struct problem problem = {0};
    if (size < 1)
        return 0;
    bool read = upload_parse((const char *)data + 1, size - 1, data[0] & 1, &upload, &problem);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    upload_free(&upload);
    return 0;
}
