/* libFuzzer target: a file of weights; every tensor that is handed out is read whole. */
#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct safetensors *file;
    struct error error;
    if (safetensors_parse(data, size, &file, &error) != STATUS_OK)
        return 0;
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor *tensor = safetensors_at(file, i);
        for (size_t k = 0; k < tensor->bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[k]);
    }
    mobile_sam_check(file, &error);
    safetensors_free(file);
    return 0;
}
