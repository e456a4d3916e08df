#include "engine/weights/import/import.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/file_map.h"
#include "engine/weights/import/graph.h"
#include "engine/weights/import/onnx.h"
#include "engine/weights/import/rules.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/tensor.h"

enum status import_onnx_bytes(struct import *import, const uint8_t *bytes, size_t size,
                              struct error *error) {
    Onnx__ModelProto *model;
    enum status status = onnx_parse(bytes, size, &model, error);
    if (status != STATUS_OK) {
        return status;
    }
    enum import_part part;
    status = graph_recognise(model->graph, &part, error);
    if (status == STATUS_OK && (import->parts & part)) {
        status = error_set(error, STATUS_INVALID, "is the second %s",
                           part == IMPORT_ENCODER ? "encoder" : "decoder");
    }
    if (status == STATUS_OK) {
        import->parts |= part;
        status = rules_apply(import, model->graph, part, error);
    }
    onnx_free(model);
    return status;
}

enum status import_onnx(struct import *import, const char *path, struct error *error) {
    struct file_map map;
    enum status status = file_map_open(path, INT_MAX, &map, error);
    if (status == STATUS_OK) {
        status = import_onnx_bytes(import, map.bytes, map.size, error);
        file_map_close(&map);
    }
    return status;
}

static bool make_room(struct import *import) {
    if (import->count < import->capacity) {
        return true;
    }
    size_t capacity = import->capacity ? 2 * import->capacity : 512;
    struct tensor *tensors = reallocarray(import->tensors, capacity, sizeof *tensors);
    if (!tensors) {
        return false;
    }
    import->tensors = tensors;
    import->capacity = capacity;
    return true;
}

enum status import_add(struct import *import, const char *name, int rank, const int64_t *shape,
                       float **values, struct error *error) {
    struct tensor tensor = {.type = TENSOR_F32, .rank = rank};
    size_t count = tensor_values(rank, shape, TENSOR_F32);
    if (!tensor_name_valid(name) || count == 0) {
        return error_set(error, STATUS_INVALID, "'%.160s' is not a tensor's name, or has no values",
                         name);
    }
    memcpy(tensor.shape, shape, (size_t)rank * sizeof *shape);
    tensor.bytes = count * sizeof **values;
    char *copy = strdup(name);
    float *data = malloc(tensor.bytes);
    if (!copy || !data || !make_room(import)) {
        free(copy);
        free(data);
        return error_set(error, STATUS_NO_MEMORY, "no memory for tensor '%s'", name);
    }
    tensor.name = copy;
    tensor.data = data;
    import->tensors[import->count++] = tensor;
    *values = data;
    return STATUS_OK;
}

enum status import_finish(struct import *import, struct error *error) {
    if (!(import->parts & IMPORT_ENCODER) || !(import->parts & IMPORT_DECODER)) {
        return error_set(error, STATUS_INVALID, "the graph of the %s is missing",
                         import->parts & IMPORT_ENCODER ? "decoder" : "encoder");
    }
    qsort(import->tensors, import->count, sizeof *import->tensors, tensor_compare_names);
    for (size_t i = 1; i < import->count; i++) {
        if (strcmp(import->tensors[i - 1].name, import->tensors[i].name) == 0) {
            return error_set(error, STATUS_INVALID, "tensor '%s' is there twice",
                             import->tensors[i].name);
        }
    }
    return mobile_sam_check_tensors(import->tensors, import->count, error);
}

void import_free(struct import *import) {
    for (size_t i = 0; i < import->count; i++) {
        free((void *)(uintptr_t)import->tensors[i].name);
        free((void *)(uintptr_t)import->tensors[i].data);
    }
    free(import->tensors);
    *import = (struct import){0};
}
