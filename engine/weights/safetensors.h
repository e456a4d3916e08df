/* safetensors: named tensors in one file, read through mmap (format:
 * github.com/huggingface/safetensors, README).
 *
 *     u64 little-endian n | n bytes of JSON, padded with spaces | the tensors' bytes
 *     {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets":
 * [0, 24]}}
 *
 * The file is hostile input: the header's JSON, every offset, dtype and shape is checked before a
 * pointer is handed out. Stricter than the format: a tensor is F32 or F16, without empty
 * dimensions, aligned to its type, named in printable ASCII; the tensors lie back to back and cover
 * the data. Messages name the tensor at fault, not the file. */
#ifndef ENGINE_WEIGHTS_SAFETENSORS_H
#define ENGINE_WEIGHTS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { TENSOR_RANK_MAX = 8 };

enum tensor_type { TENSOR_F32, TENSOR_F16 };

struct tensor {
    const char *name;
    enum tensor_type type;
    int rank;
    int64_t shape[TENSOR_RANK_MAX]; /* outermost dimension first; rows are contiguous */
    size_t bytes;
    const void *data; /* inside the mapping: read only, aligned to the type */
};

struct safetensors;

/* Maps the file. On STATUS_OK the caller owns *file. STATUS_IO, STATUS_UNSUPPORTED (not a
 * safetensors file), STATUS_INVALID (truncated or inconsistent; names the tensor),
 * STATUS_NO_MEMORY. */
enum status safetensors_open(const char *path, struct safetensors **file, struct error *error);
/* The same from memory, which must outlive *file and be aligned as malloc aligns. */
enum status safetensors_parse(const uint8_t *bytes, size_t size, struct safetensors **file,
                              struct error *error);
void safetensors_free(struct safetensors *file); /* NULL is allowed; tensors and names go with it */

/* Makes the tensors' pages leave memory until they are read again: for who has copied most of them.
 */
void safetensors_trim(const struct safetensors *file);

/* NULL when there is none of that name. Binary search. */
const struct tensor *safetensors_find(const struct safetensors *file, const char *name);
size_t safetensors_count(const struct safetensors *file);
/* By name order, index < count. The tensors are one array: at(file, 0)[i] is at(file, i). */
const struct tensor *safetensors_at(const struct safetensors *file, size_t index);
/* A string of the header's __metadata__, or NULL. UTF-8 without control characters. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* The keys of the metadata, in the header's order; NULL from the last on. */
const char *safetensors_metadata_key(const struct safetensors *file, size_t index);

/* SHA-256 of the data section (all tensors' bytes), as 64 hex digits and a zero. */
void safetensors_data_sha256(const struct safetensors *file, char hex[65]);

struct metadata_entry {
    const char *key, *value;
};

/* Writes tensors (F32 before F16, each in name order) and metadata, plus metadata "data_sha256", to
 * a temporary file beside path, syncs it, and renames it: path holds the old file or the new one,
 * never a part. The same input gives the same bytes; the data starts at a multiple of 64.
 * STATUS_INVALID: what safetensors_open would refuse, naming the tensor or the key, or a path that
 * is something else than a regular file; STATUS_IO, STATUS_NO_MEMORY. */
enum status safetensors_write(const char *path, const struct tensor *tensors, size_t count,
                              const struct metadata_entry *metadata, size_t metadata_count,
                              struct error *error);
/* The same bytes into memory. On STATUS_OK the caller owns *bytes (free). */
enum status safetensors_encode(const struct tensor *tensors, size_t count,
                               const struct metadata_entry *metadata, size_t metadata_count,
                               uint8_t **bytes, size_t *size, struct error *error);

#endif
