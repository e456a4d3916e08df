/* Embeddings as files: safetensors both ways, .npy outwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "engine/weights/safetensors.h"

#define TENSOR_NAME "image_embeddings" /* as SAM's ONNX decoder calls it */
#define FORMAT "maskd-embedding-1"

enum { SHAPE_RANK = 4, HEX_SIZE = 2 * DIGEST_BYTES + 1, NUMBER_SIZE = 12 };

static const int64_t SHAPE[SHAPE_RANK] = {1, EMBEDDING_CHANNELS, EMBEDDING_SIDE, EMBEDDING_SIDE};

static size_t bytes_of(enum embedding_type type) {
    return (size_t)EMBEDDING_VALUES * (type == EMBEDDING_FLOAT16 ? 2 : 4);
}

/* ---- writing ----------------------------------------------------------------------------- */

static void write_hex(char hex[HEX_SIZE], const uint8_t digest[DIGEST_BYTES]) {
    for (int i = 0; i < DIGEST_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

uint8_t *embedding_safetensors(const struct embedding *embedding,
                               const struct embedding_source *source,
                               const struct model_info *model, enum embedding_type type,
                               size_t *size) {
    const struct geometry *geometry = &embedding->geometry;
    const int sizes[] = {geometry->width, geometry->height, geometry->scaled_width,
                         geometry->scaled_height, model->input_size};
    char digest[HEX_SIZE], numbers[sizeof sizes / sizeof *sizes][NUMBER_SIZE];
    write_hex(digest, source->digest);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        snprintf(numbers[i], NUMBER_SIZE, "%d", sizes[i]);
    const struct metadata_entry metadata[] = {
        {"format", FORMAT},
        {"model", model->name},
        {"architecture", model->architecture},
        {"weights_sha256", model->weights_sha256},
        {"image_id", source->image_id},
        {"image_sha256", digest},
        {"width", numbers[0]},
        {"height", numbers[1]},
        {"scaled_width", numbers[2]},
        {"scaled_height", numbers[3]},
        {"input_size", numbers[4]},
    };
    struct tensor tensor = {
        .name = TENSOR_NAME,
        .type = type == EMBEDDING_FLOAT16 ? TENSOR_F16 : TENSOR_F32,
        .rank = SHAPE_RANK,
        .bytes = bytes_of(type),
    };
    uint8_t *planes = malloc(tensor.bytes), *bytes = NULL;
    if (!planes)
        return NULL;
    memcpy(tensor.shape, SHAPE, sizeof SHAPE);
    embedding_write(embedding, type, planes);
    tensor.data = planes;
    if (safetensors_encode(&tensor, 1, metadata, sizeof metadata / sizeof *metadata, &bytes, size,
                           NULL) != STATUS_OK)
        bytes = NULL;
    free(planes);
    return bytes;
}

uint8_t *embedding_npy(const struct embedding *embedding, enum embedding_type type, size_t *size) {
    /* Magic, version 1.0, the length of what follows as u16, and a Python dictionary that is padded
     * with spaces and ended by a newline, so that the data begins at a multiple of 64. */
    enum { HEADER = 128, PREAMBLE = 10 };
    *size = HEADER + bytes_of(type);
    uint8_t *bytes = malloc(*size);
    if (!bytes)
        return NULL;
    memset(bytes, ' ', HEADER);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = HEADER - PREAMBLE;
    bytes[9] = 0;
    char text[HEADER];
    int length = snprintf(
        text, sizeof text, "{'descr': '<f%d', 'fortran_order': False, 'shape': (1, %d, %d, %d), }",
        type == EMBEDDING_FLOAT16 ? 2 : 4, EMBEDDING_CHANNELS, EMBEDDING_SIDE, EMBEDDING_SIDE);
    memcpy(bytes + PREAMBLE, text, (size_t)length);
    bytes[HEADER - 1] = '\n';
    embedding_write(embedding, type, bytes + HEADER);
    return bytes;
}

/* ---- reading: the metadata --------------------------------------------------------------- */

struct reading {
    const struct safetensors *file;
    const struct model_info *model;
    struct json_reader faults;
};

static void add_fault(const struct reading *reading, const char *key, const char *detail) {
    const struct json_path metadata = {NULL, "__metadata__", 0}, path = {&metadata, key, 0};
    json_fault(&reading->faults, &path, "%s", detail);
}

/* NULL, and a fault, when it is missing. */
static const char *read_text(const struct reading *reading, const char *key) {
    const char *text = safetensors_metadata(reading->file, key);
    if (!text)
        add_fault(reading, key, "is missing");
    return text;
}

static void read_exactly(const struct reading *reading, const char *key, const char *wanted) {
    const char *text = read_text(reading, key);
    char detail[128];
    snprintf(detail, sizeof detail, "must be \"%.80s\"", wanted);
    if (text && strcmp(text, wanted) != 0)
        add_fault(reading, key, detail);
}

/* 1 .. 999999999, without signs or leading zeros; 0, and a fault, when it is not. */
static int read_size(const struct reading *reading, const char *key) {
    const char *text = read_text(reading, key);
    size_t length = text ? strlen(text) : 0;
    if (!text)
        return 0;
    if (text[0] != '0' && length > 0 && length < 10 && strspn(text, "0123456789") == length)
        return atoi(text);
    add_fault(reading, key, "must be a whole number of pixels");
    return 0;
}

static void read_id(const struct reading *reading, char id[IMAGE_ID_MAX + 1]) {
    const char *text = read_text(reading, "image_id");
    if (text && image_id_valid(text))
        snprintf(id, IMAGE_ID_MAX + 1, "%s", text);
    else if (text)
        add_fault(reading, "image_id", "must match " IMAGE_ID_PATTERN);
}

static bool is_hash(const char *text) {
    return strlen(text) == HEX_SIZE - 1 && strspn(text, "0123456789abcdef") == HEX_SIZE - 1;
}

static void read_digest(const struct reading *reading, uint8_t digest[DIGEST_BYTES]) {
    const char *text = read_text(reading, "image_sha256");
    if (text && !is_hash(text))
        add_fault(reading, "image_sha256", "must be 64 hex digits, in small letters");
    for (int i = 0; text && is_hash(text) && i < DIGEST_BYTES; i++) {
        const char byte[] = {text[2 * i], text[2 * i + 1], '\0'};
        digest[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

static void read_geometry(const struct reading *reading, const struct image_limits *limits,
                          struct geometry *geometry) {
    const int width = read_size(reading, "width"), height = read_size(reading, "height");
    const int scaled_width = read_size(reading, "scaled_width");
    const int scaled_height = read_size(reading, "scaled_height");
    if (width == 0 || height == 0)
        return;
    char detail[128];
    snprintf(detail, sizeof detail, "an image of %d x %d is over the limit: %zu pixels, %d a side",
             width, height, limits->max_pixels, limits->max_side);
    if (width > limits->max_side || height > limits->max_side ||
        (size_t)width * (size_t)height > limits->max_pixels) {
        add_fault(reading, width > height ? "width" : "height", detail);
        return;
    }
    geometry_fit(width, height, reading->model->input_size, geometry);
    snprintf(detail, sizeof detail, "an image of %d x %d is scaled to %d x %d", width, height,
             geometry->scaled_width, geometry->scaled_height);
    if (scaled_width != 0 && scaled_width != geometry->scaled_width)
        add_fault(reading, "scaled_width", detail);
    if (scaled_height != 0 && scaled_height != geometry->scaled_height)
        add_fault(reading, "scaled_height", detail);
}

static void check_keys(const struct reading *reading) {
    static const char *const known[] = {
        "format", "model",  "architecture", "weights_sha256", "image_id",   "image_sha256",
        "width",  "height", "scaled_width", "scaled_height",  "input_size", "data_sha256"};
    const size_t count = sizeof known / sizeof *known;
    const char *key;
    for (size_t i = 0; (key = safetensors_metadata_key(reading->file, i)); i++) {
        size_t k = 0;
        while (k < count && strcmp(key, known[k]) != 0)
            k++;
        if (k == count)
            add_fault(reading, key, "unknown metadata");
    }
}

static void read_metadata(const struct reading *reading, const struct image_limits *limits,
                          struct embedding_source *source, struct geometry *geometry) {
    char input_size[NUMBER_SIZE];
    snprintf(input_size, sizeof input_size, "%d", reading->model->input_size);
    check_keys(reading);
    read_exactly(reading, "format", FORMAT);
    read_exactly(reading, "input_size", input_size);
    read_text(reading, "model");
    read_text(reading, "architecture");
    const char *weights = read_text(reading, "weights_sha256");
    if (weights && !is_hash(weights))
        add_fault(reading, "weights_sha256", "must be 64 hex digits, in small letters");
    read_id(reading, source->image_id);
    read_digest(reading, source->digest);
    read_geometry(reading, limits, geometry);
}

/* The header is right, so that all of these are there. */
static void check_model(const struct reading *reading, struct problem *problem) {
    const struct model_info *model = reading->model;
    const char *name = safetensors_metadata(reading->file, "model");
    const char *weights = safetensors_metadata(reading->file, "weights_sha256");
    if (strcmp(name, model->name) != 0 || strcmp(weights, model->weights_sha256) != 0 ||
        strcmp(safetensors_metadata(reading->file, "architecture"), model->architecture) != 0)
        problem_set(problem, PROBLEM_MODEL_MISMATCH,
                    "the embedding is of %.24s, weights %.64s; here is %.24s, weights %.64s", name,
                    weights, model->name, model->weights_sha256);
}

/* ---- reading: the tensor ----------------------------------------------------------------- */

/* NULL, and faults, unless it is the only one, of the right shape. */
static const struct tensor *find_tensor(const struct reading *reading) {
    const struct tensor *found = NULL;
    for (size_t i = 0; i < safetensors_count(reading->file); i++) {
        const struct tensor *tensor = safetensors_at(reading->file, i);
        const struct json_path path = {NULL, tensor->name, 0}, shape = {&path, "shape", 0};
        if (strcmp(tensor->name, TENSOR_NAME) != 0)
            json_fault(&reading->faults, &path, "unknown tensor");
        else if (tensor->rank != SHAPE_RANK || memcmp(tensor->shape, SHAPE, sizeof SHAPE) != 0)
            json_fault(&reading->faults, &shape, "must be [1, %d, %d, %d]", EMBEDDING_CHANNELS,
                       EMBEDDING_SIDE, EMBEDDING_SIDE);
        else
            found = tensor;
    }
    if (!safetensors_find(reading->file, TENSOR_NAME)) {
        const struct json_path path = {NULL, TENSOR_NAME, 0};
        json_fault(&reading->faults, &path, "is missing");
    }
    return found;
}

static void read_values(const struct reading *reading, const struct tensor *tensor,
                        struct embedding *embedding) {
    const struct json_path path = {NULL, TENSOR_NAME, 0};
    const char *expected = safetensors_metadata(reading->file, "data_sha256");
    char actual[HEX_SIZE];
    if (expected)
        safetensors_data_sha256(reading->file, actual);
    if (expected && strcmp(expected, actual) != 0)
        add_fault(reading, "data_sha256", "the values are damaged: they have another SHA-256");
    else if (!embedding_read(embedding,
                             tensor->type == TENSOR_F16 ? EMBEDDING_FLOAT16 : EMBEDDING_FLOAT32,
                             tensor->data))
        json_fault(&reading->faults, &path, "every value must be finite, in float16 as well");
}

static void read_file(const struct reading *reading, const struct image_limits *limits,
                      struct embedding_source *source, struct embedding *embedding) {
    struct problem *problem = reading->faults.problem;
    read_metadata(reading, limits, source, &embedding->geometry);
    const struct tensor *tensor = find_tensor(reading);
    if (problem->type == PROBLEM_NONE)
        check_model(reading, problem);
    if (problem->type == PROBLEM_NONE)
        read_values(reading, tensor, embedding);
}

bool embedding_parse(const uint8_t *bytes, size_t size, const struct model_info *model,
                     const struct image_limits *limits, struct embedding_source *source,
                     struct embedding *embedding, struct problem *problem) {
    struct error error = {0};
    struct safetensors *file;
    if (size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0) {
        problem_set(problem, PROBLEM_UNSUPPORTED_EMBEDDING,
                    "a .npy file does not tell of which image and model it is: send safetensors");
        return false;
    }
    switch (safetensors_parse(bytes, size, &file, &error)) {
    case STATUS_OK:
        read_file(&(struct reading){file, model, {problem, PROBLEM_INVALID_EMBEDDING}}, limits,
                  source, embedding);
        safetensors_free(file);
        break;
    case STATUS_UNSUPPORTED:
        problem_set(problem, PROBLEM_UNSUPPORTED_EMBEDDING, "%s", error.message);
        break;
    case STATUS_NO_MEMORY:
        problem_set(problem, PROBLEM_INTERNAL, "%s", error.message);
        break;
    default:
        problem_set(problem, PROBLEM_INVALID_EMBEDDING, "%s", error.message);
    }
    return problem->type == PROBLEM_NONE;
}
