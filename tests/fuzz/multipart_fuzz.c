/* libFuzzer target: an upload as a form. The first byte chooses whether a prompt is allowed; a line
 * with the Content-Type follows, then the body. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct upload upload;
    struct problem problem = {0};
    const uint8_t *line_end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    if (!line_end)
        return 0;
    const size_t body_size = (size_t)(data + size - line_end - 1);
    char *type = strndup((const char *)data + 1, (size_t)(line_end - data - 1));
    uint8_t *body = malloc(body_size ? body_size : 1);
    if (!type || !body)
        abort();
    memcpy(body, line_end + 1, body_size);
    bool read = upload_parse_multipart(type, body, body_size, data[0] & 1, &upload, &problem);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    free(type);
    upload_free(&upload);
    return 0;
}
