#include "engine/weights/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "safetensors and ONNX are little-endian, and so are the floats we point into them");

size_t tensor_type_size(enum tensor_type type) {
    return type == TENSOR_F16 ? 2 : 4;
}

const char *tensor_type_name(enum tensor_type type) {
    return type == TENSOR_F16 ? "F16" : "F32";
}

size_t tensor_values(int rank, const int64_t *shape, enum tensor_type type) {
    size_t values = 1, bytes;
    for (int i = 0; i < rank; i++) {
        if (shape[i] <= 0 || __builtin_mul_overflow(values, (size_t)shape[i], &values)) {
            return 0;
        }
    }
    return __builtin_mul_overflow(values, tensor_type_size(type), &bytes) ? 0 : values;
}

bool tensor_name_valid(const char *name) {
    size_t length = strnlen(name, TENSOR_NAME_MAX + 1);
    if (length == 0 || length > TENSOR_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (name[i] < 0x20 || name[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

char *tensor_shape_text(char text[TENSOR_SHAPE_TEXT], int rank, const int64_t *shape) {
    size_t used = 0;
    text[used++] = '[';
    for (int i = 0; i < rank && i < TENSOR_RANK_MAX; i++) {
        used += (size_t)snprintf(text + used, TENSOR_SHAPE_TEXT - used, "%s%" PRId64,
                                 i > 0 ? ", " : "", shape[i]);
    }
    text[used++] = ']';
    text[used] = '\0';
    return text;
}

int tensor_compare_names(const void *left, const void *right) {
    return strcmp(((const struct tensor *)left)->name, ((const struct tensor *)right)->name);
}
