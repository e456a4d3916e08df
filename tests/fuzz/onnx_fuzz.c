/* libFuzzer target: an ONNX graph to be imported. */
#include "engine/weights/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct import import = {0};
    struct error error;
    if (import_onnx_bytes(&import, data, size, &error) == STATUS_OK)
        import_finish(&import, &error);
    import_free(&import);
    return 0;
}
