/* libFuzzer target: an embedding that is brought in. What is read is written, and read again the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    uint8_t *aligned = malloc(size ? size : 1);
    if (!aligned)
        abort();
    memcpy(aligned, data, size);
    bool read = embedding_parse(aligned, size, &model, &limits, &source, &first, &problem);
    free(aligned);
    if (read != (problem.type == PROBLEM_NONE))
        abort();
    if (!read)
        return 0;
    size_t written;
    uint8_t *file = embedding_safetensors(&first, &source, &model, EMBEDDING_FLOAT16, &written);
    if (!file || !embedding_parse(file, written, &model, &limits, &again, &second, &problem) ||
        memcmp(&first, &second, sizeof first) != 0)
        abort();
    free(file);
    return 0;
}
