#include "engine/weights/safetensors.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "engine/weights/file_map.h"
#include "engine/weights/safetensors_format.h"
#include "engine/weights/tensor.h"

struct safetensors {
    struct file_map map;   /* empty when the bytes are the caller's */
    cJSON *header;         /* owns every name and every string of the metadata */
    const cJSON *metadata; /* inside the header, or NULL */
    const uint8_t *data;
    size_t data_size;
    struct tensor *tensors; /* by name */
    size_t count;
};

/* ---- the header's text ------------------------------------------------------------------- */

bool safetensors_text_valid(const char *text) {
    size_t length = strlen(text);
    if (u8_check((const uint8_t *)text, length)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Refuses what cJSON would let pass or would have to recurse for: deep nesting, bytes that are not
 * UTF-8, and zeros inside strings, which would end a C string early. */
static enum status check_text(const char *text, size_t length, struct error *error) {
    enum { DEPTH_MAX = 3 }; /* the header, a tensor, its shape */
    if (u8_check((const uint8_t *)text, length) || memchr(text, 0, length)) {
        return error_set(error, STATUS_UNSUPPORTED, "the header is not UTF-8 text");
    }
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (quoted && c == '\\') {
            if (length - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0) {
                return error_set(error, STATUS_UNSUPPORTED, "the header has a zero in a string");
            }
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '{' || c == '[') && ++depth > DEPTH_MAX) {
            return error_set(error, STATUS_UNSUPPORTED, "the header is nested too deeply");
        } else if (!quoted && (c == '}' || c == ']')) {
            depth--;
        }
    }
    return STATUS_OK;
}

static enum status parse_header(const char *text, size_t length, cJSON **header,
                                struct error *error) {
    if (length == 0 || text[0] != '{') {
        return error_set(error, STATUS_UNSUPPORTED, "is not a safetensors file");
    }
    enum status status = check_text(text, length, error);
    if (status != STATUS_OK) {
        return status;
    }
    const char *end = NULL;
    *header = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (!*header) {
        return error_set(error, STATUS_UNSUPPORTED, "the header is not JSON, or memory ran out");
    }
    for (; end < text + length; end++) {
        if (!strchr(" \t\r\n", *end)) {
            return error_set(error, STATUS_UNSUPPORTED, "the header's JSON is followed by text");
        }
    }
    return STATUS_OK;
}

static enum status check_metadata(const cJSON *metadata, struct error *error) {
    if (!cJSON_IsObject(metadata) || cJSON_GetArraySize(metadata) > SAFETENSORS_METADATA_MAX) {
        return error_set(error, STATUS_INVALID,
                         "__metadata__ is not an object of at most %d strings",
                         SAFETENSORS_METADATA_MAX);
    }
    for (const cJSON *entry = metadata->child; entry; entry = entry->next) {
        if (!safetensors_text_valid(entry->string)) {
            return error_set(error, STATUS_INVALID, "a key of __metadata__ is not plain text");
        }
        if (!cJSON_IsString(entry) || !safetensors_text_valid(entry->valuestring)) {
            return error_set(error, STATUS_INVALID, "metadata '%.100s' is not plain text",
                             entry->string);
        }
        if (cJSON_GetObjectItemCaseSensitive(metadata, entry->string) != entry) {
            return error_set(error, STATUS_INVALID, "metadata '%.100s' is there twice",
                             entry->string);
        }
    }
    return STATUS_OK;
}

/* ---- one tensor -------------------------------------------------------------------------- */

/* A JSON number that is an integer 0 .. 2^53: beyond, a double skips integers. */
static bool read_integer(const cJSON *item, int64_t *value) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53)) {
        return false;
    }
    *value = (int64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static enum status read_shape(const cJSON *shape, struct tensor *tensor, struct error *error) {
    if (!cJSON_IsArray(shape)) {
        return error_set(error, STATUS_INVALID, "tensor '%s' has no shape", tensor->name);
    }
    for (const cJSON *item = shape->child; item; item = item->next) {
        if (tensor->rank == TENSOR_RANK_MAX) {
            return error_set(error, STATUS_INVALID, "tensor '%s' has more than %d dimensions",
                             tensor->name, TENSOR_RANK_MAX);
        }
        int64_t *dimension = &tensor->shape[tensor->rank];
        if (!read_integer(item, dimension) || *dimension == 0) {
            return error_set(error, STATUS_INVALID,
                             "tensor '%s': dimension %d is not a positive integer", tensor->name,
                             tensor->rank);
        }
        tensor->rank++;
    }
    return STATUS_OK;
}

/* Needs type and shape; sets bytes and data. */
static enum status read_place(const struct safetensors *file, const cJSON *offsets,
                              struct tensor *tensor, struct error *error) {
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !read_integer(offsets->child, &begin) || !read_integer(offsets->child->next, &end) ||
        begin > end) {
        return error_set(error, STATUS_INVALID, "tensor '%s': data_offsets are not [begin, end]",
                         tensor->name);
    }
    if ((uint64_t)end > file->data_size) {
        return error_set(error, STATUS_INVALID,
                         "tensor '%s' ends at byte %jd of %zu of data; the file is cut short",
                         tensor->name, (intmax_t)end, file->data_size);
    }
    size_t values = tensor_values(tensor->rank, tensor->shape, tensor->type);
    tensor->bytes = values * tensor_type_size(tensor->type);
    if (values == 0) {
        return error_set(error, STATUS_INVALID, "tensor '%s' has too many values", tensor->name);
    }
    if (tensor->bytes != (size_t)(end - begin)) {
        char text[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_INVALID, "tensor '%s' has %jd bytes; %s %.40s has %zu",
                         tensor->name, (intmax_t)(end - begin), tensor_type_name(tensor->type),
                         tensor_shape_text(text, tensor->rank, tensor->shape), tensor->bytes);
    }
    tensor->data = file->data + begin;
    if ((uintptr_t)tensor->data % tensor_type_size(tensor->type) != 0) {
        return error_set(error, STATUS_INVALID, "tensor '%s' is not aligned to its type",
                         tensor->name);
    }
    return STATUS_OK;
}

static enum status read_tensor(const struct safetensors *file, const cJSON *entry,
                               struct tensor *tensor, struct error *error) {
    if (!tensor_name_valid(entry->string)) {
        return error_set(error, STATUS_INVALID,
                         "a tensor's name is not 1 to %d printable ASCII characters",
                         TENSOR_NAME_MAX);
    }
    tensor->name = entry->string;
    if (!cJSON_IsObject(entry) || cJSON_GetArraySize(entry) != 3) {
        return error_set(error, STATUS_INVALID,
                         "tensor '%s' is not described by dtype, shape and data_offsets",
                         tensor->name);
    }
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "F32") == 0) {
        tensor->type = TENSOR_F32;
    } else if (cJSON_IsString(type) && strcmp(type->valuestring, "F16") == 0) {
        tensor->type = TENSOR_F16;
    } else {
        return error_set(error, STATUS_INVALID, "tensor '%s': dtype is neither F32 nor F16",
                         tensor->name);
    }
    enum status status =
        read_shape(cJSON_GetObjectItemCaseSensitive(entry, "shape"), tensor, error);
    if (status != STATUS_OK) {
        return status;
    }
    return read_place(file, cJSON_GetObjectItemCaseSensitive(entry, "data_offsets"), tensor, error);
}

/* ---- all tensors ------------------------------------------------------------------------- */

static int compare_places(const void *left, const void *right) {
    const uint8_t *a = ((const struct tensor *)left)->data;
    const uint8_t *b = ((const struct tensor *)right)->data;
    return (a > b) - (a < b);
}

/* Back to back from the first byte of the data to the last. */
static enum status check_places(struct safetensors *file, struct error *error) {
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    const uint8_t *next = file->data;
    for (size_t i = 0; i < file->count; i++) {
        const struct tensor *tensor = &file->tensors[i];
        const uint8_t *begin = tensor->data;
        if (begin < next) {
            return error_set(error, STATUS_INVALID, "tensors '%.90s' and '%.90s' overlap",
                             tensor[-1].name, tensor->name);
        }
        if (begin > next) {
            return error_set(error, STATUS_INVALID, "%td bytes before tensor '%s' belong to none",
                             begin - next, tensor->name);
        }
        next = begin + tensor->bytes;
    }
    size_t rest = (size_t)(file->data + file->data_size - next);
    if (rest != 0) {
        return error_set(error, STATUS_INVALID, "the last %zu bytes belong to no tensor", rest);
    }
    return STATUS_OK;
}

static enum status sort_names(struct safetensors *file, struct error *error) {
    qsort(file->tensors, file->count, sizeof *file->tensors, tensor_compare_names);
    for (size_t i = 1; i < file->count; i++) {
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0) {
            return error_set(error, STATUS_INVALID, "tensor '%s' is there twice",
                             file->tensors[i].name);
        }
    }
    return STATUS_OK;
}

static enum status read_tensors(struct safetensors *file, struct error *error) {
    int entries = cJSON_GetArraySize(file->header);
    file->tensors = calloc((size_t)entries + 1, sizeof *file->tensors);
    if (!file->tensors) {
        return error_set(error, STATUS_NO_MEMORY, "no memory for %d tensors", entries);
    }
    for (const cJSON *entry = file->header->child; entry; entry = entry->next) {
        enum status status;
        if (strcmp(entry->string, "__metadata__") != 0) {
            status = read_tensor(file, entry, &file->tensors[file->count++], error);
        } else if (!file->metadata) {
            file->metadata = entry;
            status = check_metadata(entry, error);
        } else {
            status = error_set(error, STATUS_INVALID, "__metadata__ is there twice");
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    enum status status = check_places(file, error);
    return status == STATUS_OK ? sort_names(file, error) : status;
}

static enum status read_file(const uint8_t *bytes, size_t size, struct safetensors *file,
                             struct error *error) {
    uint64_t header_size;
    if (size < SAFETENSORS_LENGTH_BYTES) {
        return error_set(error, STATUS_UNSUPPORTED, "is not a safetensors file: %zu bytes", size);
    }
    memcpy(&header_size, bytes, SAFETENSORS_LENGTH_BYTES);
    if (header_size > SAFETENSORS_HEADER_MAX) {
        return error_set(error, STATUS_UNSUPPORTED,
                         "is not a safetensors file, or its header has more than %d bytes",
                         SAFETENSORS_HEADER_MAX);
    }
    if (header_size > size - SAFETENSORS_LENGTH_BYTES) {
        return error_set(error, STATUS_INVALID, "the header is cut short: %zu of %zu bytes",
                         size - SAFETENSORS_LENGTH_BYTES, (size_t)header_size);
    }
    file->data = bytes + SAFETENSORS_LENGTH_BYTES + header_size;
    file->data_size = size - SAFETENSORS_LENGTH_BYTES - header_size;
    enum status status = parse_header((const char *)bytes + SAFETENSORS_LENGTH_BYTES,
                                      (size_t)header_size, &file->header, error);
    return status == STATUS_OK ? read_tensors(file, error) : status;
}

/* ---- public ------------------------------------------------------------------------------ */

enum status safetensors_parse(const uint8_t *bytes, size_t size, struct safetensors **file,
                              struct error *error) {
    struct safetensors *made = calloc(1, sizeof *made);
    if (!made) {
        return error_set(error, STATUS_NO_MEMORY, "no memory");
    }
    enum status status = read_file(bytes, size, made, error);
    if (status != STATUS_OK) {
        safetensors_free(made);
        return status;
    }
    *file = made;
    return STATUS_OK;
}

enum status safetensors_open(const char *path, struct safetensors **file, struct error *error) {
    struct file_map map;
    enum status status = file_map_open(path, SIZE_MAX, &map, error);
    if (status != STATUS_OK) {
        return status;
    }
    status = safetensors_parse(map.bytes, map.size, file, error);
    if (status != STATUS_OK) {
        file_map_close(&map);
        return status;
    }
    (*file)->map = map;
    return STATUS_OK;
}

void safetensors_trim(const struct safetensors *file) {
    file_map_trim(&file->map);
}

void safetensors_free(struct safetensors *file) {
    if (file) {
        cJSON_Delete(file->header);
        free(file->tensors);
        file_map_close(&file->map);
        free(file);
    }
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name) {
    const struct tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->count, sizeof key, tensor_compare_names);
}

size_t safetensors_count(const struct safetensors *file) {
    return file->count;
}

const struct tensor *safetensors_at(const struct safetensors *file, size_t index) {
    return &file->tensors[index];
}

const char *safetensors_metadata(const struct safetensors *file, const char *key) {
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(file->metadata, key);
    return entry ? entry->valuestring : NULL;
}

const char *safetensors_metadata_key(const struct safetensors *file, size_t index) {
    const cJSON *entry = file->metadata ? file->metadata->child : NULL;
    for (; entry && index > 0; index--) {
        entry = entry->next;
    }
    return entry ? entry->string : NULL;
}

void safetensors_hash_hex(struct sha256_ctx *hash, char hex[65]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(hash, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void safetensors_data_sha256(const struct safetensors *file, char hex[65]) {
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, file->data_size, file->data);
    safetensors_hash_hex(&hash, hex);
}
