/* libFuzzer target: an embedding that is brought in. What is read is written, and read again the
 * same. A file that is over with its header gets its values here: they are megabytes. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_BYTES = EMBEDDING_VALUES * 2 };

/* The input as malloc aligns it, with values if it is a header alone. */
static uint8_t *make_file(const uint8_t *data, size_t *size) {
    uint64_t header = 0;
    if (*size >= sizeof header)
        memcpy(&header, data, sizeof header);
    const size_t more = *size > sizeof header && header == *size - sizeof header ? VALUE_BYTES : 0;
    uint8_t *file = calloc(1, *size + more + (*size == 0));
    if (!file)
        abort();
    memcpy(file, data, *size);
    *size += more;
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct model_info model = {.name = "mobile_sam",
                                      .architecture = "mobile_sam",
                                      .weights_sha256 = "00000000000000000000000000000000"
                                                        "00000000000000000000000000000000",
                                      .input_size = 16};
    static struct embedding first, second;
    const struct image_limits limits = {.max_pixels = 1 << 20, .max_side = 4096};
    struct embedding_source source, again;
    struct problem problem = {0};
    uint8_t *file = make_file(data, &size);
    bool read = embedding_parse(file, size, &model, &limits, &source, &first, &problem);
    free(file);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    if (!read)
        return 0;
    size_t written;
    file = embedding_safetensors(&first, &source, &model, EMBEDDING_FLOAT16, &written);
    if (!file || !embedding_parse(file, written, &model, &limits, &again, &second, &problem) ||
        memcmp(&first, &second, sizeof first) != 0)
        abort();
    free(file);
    return 0;
}
