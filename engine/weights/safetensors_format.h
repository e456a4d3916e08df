/* What the reader and the writer of safetensors agree on. Private to engine/weights. */
#ifndef ENGINE_WEIGHTS_SAFETENSORS_FORMAT_H
#define ENGINE_WEIGHTS_SAFETENSORS_FORMAT_H

#include <nettle/sha2.h>
#include <stdbool.h>

enum {
    SAFETENSORS_LENGTH_BYTES = 8,     /* the header's length, in front of the header */
    SAFETENSORS_HEADER_MAX = 1 << 20, /* 8000 tensors, some 60 MB of parsed JSON at the worst */
    SAFETENSORS_METADATA_MAX = 256,   /* entries: they are compared one by one */
    SAFETENSORS_DATA_ALIGNMENT = 64,  /* of what we write: a cache line, an AVX-512 register */
};

/* UTF-8 without control characters, so that it can go into a message or a log as it is. */
bool safetensors_text_valid(const char *text);

/* 64 hex digits and a zero. Ends the hash. */
void safetensors_hash_hex(struct sha256_ctx *hash, char hex[65]);

#endif
