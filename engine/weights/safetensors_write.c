#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/weights/safetensors.h"
#include "engine/weights/safetensors_format.h"
#include "engine/weights/tensor.h"

/* A file before it is written: the header, and the tensors that follow it, in order. */
struct layout {
    struct tensor *tensors;
    size_t count;
    uint8_t *header; /* the length, the JSON and the padding */
    size_t header_size;
    size_t size; /* of the whole file */
};

/* ---- layout ------------------------------------------------------------------------------ */

/* F32 first: whatever the number of halves, every tensor is then aligned without holes. */
static int compare_order(const void *left, const void *right) {
    const struct tensor *a = left, *b = right;
    return a->type != b->type ? (int)a->type - (int)b->type : tensor_compare_names(a, b);
}

static enum status check_tensor(const struct tensor *tensor, struct error *error) {
    if (!tensor_name_valid(tensor->name) || strcmp(tensor->name, "__metadata__") == 0) {
        return error_set(error, STATUS_INVALID,
                         "a tensor's name is not 1 to %d printable ASCII characters",
                         TENSOR_NAME_MAX);
    }
    if (tensor->rank < 0 || tensor->rank > TENSOR_RANK_MAX) {
        return error_set(error, STATUS_INVALID, "tensor '%s' has %d dimensions, not 0 to %d",
                         tensor->name, tensor->rank, TENSOR_RANK_MAX);
    }
    size_t values = tensor_values(tensor->rank, tensor->shape, tensor->type);
    if (values == 0 || tensor->bytes != values * tensor_type_size(tensor->type)) {
        char text[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_INVALID, "tensor '%s': %zu bytes are not %s %.40s",
                         tensor->name, tensor->bytes, tensor_type_name(tensor->type),
                         tensor_shape_text(text, tensor->rank, tensor->shape));
    }
    return STATUS_OK;
}

/* Checks the tensors and puts them in order. */
static enum status order_tensors(struct layout *layout, const struct tensor *tensors, size_t count,
                                 struct error *error) {
    layout->tensors = calloc(count + 1, sizeof *layout->tensors);
    if (!layout->tensors) {
        return error_set(error, STATUS_NO_MEMORY, "no memory for %zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        enum status status = check_tensor(&tensors[i], error);
        if (status != STATUS_OK) {
            return status;
        }
        layout->tensors[i] = tensors[i];
        if (__builtin_add_overflow(layout->size, tensors[i].bytes, &layout->size) ||
            layout->size > (size_t)1 << 52) {
            return error_set(error, STATUS_INVALID, "tensor '%s' makes the file too large",
                             tensors[i].name);
        }
    }
    layout->count = count;
    qsort(layout->tensors, count, sizeof *layout->tensors, tensor_compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(layout->tensors[i - 1].name, layout->tensors[i].name) == 0) {
            return error_set(error, STATUS_INVALID, "tensor '%s' is there twice",
                             layout->tensors[i].name);
        }
    }
    qsort(layout->tensors, count, sizeof *layout->tensors, compare_order);
    return STATUS_OK;
}

/* ---- header ------------------------------------------------------------------------------ */

static bool add_numbers(cJSON *object, const char *key, const double *numbers, int count) {
    cJSON *array = cJSON_AddArrayToObject(object, key);
    for (int i = 0; array && i < count; i++) {
        cJSON *number = cJSON_CreateNumber(numbers[i]);
        if (!number || !cJSON_AddItemToArray(array, number)) {
            cJSON_Delete(number);
            return false;
        }
    }
    return array != NULL;
}

/* Numbers pass through double: order_tensors keeps them below 2^53. */
static bool add_tensor(cJSON *header, const struct tensor *tensor, size_t begin) {
    double shape[TENSOR_RANK_MAX] = {0};
    for (int i = 0; i < tensor->rank; i++) {
        shape[i] = (double)tensor->shape[i];
    }
    const double offsets[2] = {(double)begin, (double)(begin + tensor->bytes)};
    cJSON *entry = cJSON_AddObjectToObject(header, tensor->name);
    return entry && cJSON_AddStringToObject(entry, "dtype", tensor_type_name(tensor->type)) &&
           add_numbers(entry, "shape", shape, tensor->rank) &&
           add_numbers(entry, "data_offsets", offsets, 2);
}

static enum status add_metadata(cJSON *header, const struct metadata_entry *metadata, size_t count,
                                const char *sha256, struct error *error) {
    cJSON *object = cJSON_AddObjectToObject(header, "__metadata__");
    if (count >= SAFETENSORS_METADATA_MAX) {
        return error_set(error, STATUS_INVALID, "%zu entries of metadata are too many", count);
    }
    bool added = object && cJSON_AddStringToObject(object, "data_sha256", sha256);
    for (size_t i = 0; added && i < count; i++) {
        const struct metadata_entry *entry = &metadata[i];
        if (!safetensors_text_valid(entry->key) || !safetensors_text_valid(entry->value)) {
            return error_set(error, STATUS_INVALID,
                             "metadata %zu is not UTF-8 without control characters", i);
        }
        if (cJSON_GetObjectItemCaseSensitive(object, entry->key)) {
            return error_set(error, STATUS_INVALID, "metadata '%.100s' is there twice", entry->key);
        }
        added = cJSON_AddStringToObject(object, entry->key, entry->value) != NULL;
    }
    return added ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "no memory for the header");
}

/* The length, the JSON, and spaces up to the alignment of the data. */
static enum status pad_header(struct layout *layout, const char *json, struct error *error) {
    const size_t step = SAFETENSORS_DATA_ALIGNMENT;
    size_t length = strlen(json);
    size_t size = (SAFETENSORS_LENGTH_BYTES + length + step - 1) / step * step;
    uint64_t padded = size - SAFETENSORS_LENGTH_BYTES;
    if (padded > SAFETENSORS_HEADER_MAX) {
        return error_set(error, STATUS_INVALID, "the header has more than %d bytes",
                         SAFETENSORS_HEADER_MAX);
    }
    layout->header = malloc(size);
    if (!layout->header) {
        return error_set(error, STATUS_NO_MEMORY, "no memory for the header");
    }
    memset(layout->header, ' ', size);
    memcpy(layout->header, &padded, SAFETENSORS_LENGTH_BYTES);
    memcpy(layout->header + SAFETENSORS_LENGTH_BYTES, json, length);
    layout->header_size = size;
    layout->size += size;
    return STATUS_OK;
}

static enum status make_header(struct layout *layout, const struct metadata_entry *metadata,
                               size_t metadata_count, struct error *error) {
    struct sha256_ctx hash;
    sha256_init(&hash);
    for (size_t i = 0; i < layout->count; i++) {
        sha256_update(&hash, layout->tensors[i].bytes, layout->tensors[i].data);
    }
    char sha256[65];
    safetensors_hash_hex(&hash, sha256);

    cJSON *header = cJSON_CreateObject();
    enum status status = add_metadata(header, metadata, metadata_count, sha256, error);
    size_t begin = 0;
    for (size_t i = 0; status == STATUS_OK && i < layout->count; i++) {
        if (!add_tensor(header, &layout->tensors[i], begin)) {
            status = error_set(error, STATUS_NO_MEMORY, "no memory for the header");
        }
        begin += layout->tensors[i].bytes;
    }
    char *json = status == STATUS_OK ? cJSON_PrintUnformatted(header) : NULL;
    if (json) {
        status = pad_header(layout, json, error);
    } else if (status == STATUS_OK) {
        status = error_set(error, STATUS_NO_MEMORY, "no memory for the header");
    }
    cJSON_free(json);
    cJSON_Delete(header);
    return status;
}

static void layout_free(struct layout *layout) {
    free(layout->tensors);
    free(layout->header);
}

static enum status layout_make(struct layout *layout, const struct tensor *tensors, size_t count,
                               const struct metadata_entry *metadata, size_t metadata_count,
                               struct error *error) {
    *layout = (struct layout){0};
    enum status status = order_tensors(layout, tensors, count, error);
    if (status == STATUS_OK) {
        status = make_header(layout, metadata, metadata_count, error);
    }
    if (status != STATUS_OK) {
        layout_free(layout);
    }
    return status;
}

/* ---- file -------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_layout(int fd, const struct layout *layout) {
    bool written = write_all(fd, layout->header, layout->header_size);
    for (size_t i = 0; written && i < layout->count; i++) {
        written = write_all(fd, layout->tensors[i].data, layout->tensors[i].bytes);
    }
    return written && fsync(fd) == 0;
}

/* A new file beside path, with the permissions of the umask (mkstemp's would be private). */
static int create_beside(const char *path, char temporary[PATH_MAX]) {
    for (int attempt = 0; attempt < 100; attempt++) {
        int length = snprintf(temporary, PATH_MAX, "%s.%ld-%d.tmp", path, (long)getpid(), attempt);
        if (length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

/* A rename is on the disk when its directory is. Some file systems cannot sync one; the file is
 * whole all the same, so that is not an error. */
static void sync_directory(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* A rename replaces whatever has the name: without this, root's "-o /dev/null" would put a file in
 * the device's place. */
static bool is_replaceable(const char *path) {
    struct stat info;
    return stat(path, &info) != 0 || S_ISREG(info.st_mode);
}

static enum status replace_file(const char *path, const struct layout *layout,
                                struct error *error) {
    char temporary[PATH_MAX];
    if (!is_replaceable(path)) {
        return error_set(error, STATUS_INVALID, "is there already, and is not a regular file");
    }
    int fd = create_beside(path, temporary);
    if (fd < 0) {
        return error_set(error, STATUS_IO, "cannot be created: %m");
    }
    bool written = write_layout(fd, layout);
    int reason = errno;
    if (close(fd) != 0 && written) { /* NFS and quotas report a full disk here */
        written = false;
        reason = errno;
    }
    if (written && rename(temporary, path) != 0) {
        written = false;
        reason = errno;
    }
    if (!written) {
        unlink(temporary);
        errno = reason;
        return error_set(error, STATUS_IO, "cannot be written: %m");
    }
    sync_directory(path);
    return STATUS_OK;
}

/* ---- public ------------------------------------------------------------------------------ */

enum status safetensors_write(const char *path, const struct tensor *tensors, size_t count,
                              const struct metadata_entry *metadata, size_t metadata_count,
                              struct error *error) {
    struct layout layout;
    enum status status = layout_make(&layout, tensors, count, metadata, metadata_count, error);
    if (status == STATUS_OK) {
        status = replace_file(path, &layout, error);
        layout_free(&layout);
    }
    return status;
}

enum status safetensors_encode(const struct tensor *tensors, size_t count,
                               const struct metadata_entry *metadata, size_t metadata_count,
                               uint8_t **bytes, size_t *size, struct error *error) {
    struct layout layout;
    enum status status = layout_make(&layout, tensors, count, metadata, metadata_count, error);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *made = malloc(layout.size);
    if (made) {
        uint8_t *at = mempcpy(made, layout.header, layout.header_size);
        for (size_t i = 0; i < layout.count; i++) {
            at = mempcpy(at, layout.tensors[i].data, layout.tensors[i].bytes);
        }
        *bytes = made;
        *size = layout.size;
    } else {
        status = error_set(error, STATUS_NO_MEMORY, "no memory for %zu bytes", layout.size);
    }
    layout_free(&layout);
    return status;
}
