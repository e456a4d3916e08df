/* store: embeddings by image ID, with the images they were made of, in memory, least recently used
 * first out, bounded by bytes.
 *
 * Records are immutable and shared by reference: one that is evicted or deleted lives on until its
 * last user releases it. All functions may be called from any thread. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "engine/engine.h"

struct record {
    atomic_int references;
    char id[IMAGE_ID_MAX + 1];
    uint8_t digest[DIGEST_BYTES]; /* SHA-256 of the uploaded bytes */
    /* These are filled by the one who made the record, before others see it. */
    uint8_t *bytes; /* the upload; owned; NULL: only the embedding is known */
    size_t size;    /* of the upload */
    struct embedding embedding;
};

/* With one reference, the caller's; without bytes, and the embedding is undefined. NULL when out of
 * memory. */
struct record *record_create(const char *id, const uint8_t digest[DIGEST_BYTES]);
size_t record_memory(const struct record *record); /* the bytes that it takes */
struct record *record_hold(struct record *record); /* one more reference; returns record */
void record_release(struct record *record);        /* NULL is allowed */

struct store;

struct store *store_create(size_t bytes_limit); /* NULL when out of memory */
void store_free(struct store *store);           /* NULL is allowed */

/* The record, held for the caller, and from now on the most recently used; or NULL. */
struct record *store_get(struct store *store, const char *id);

/* Adds the record, with a reference of the store's own, and evicts what no longer fits. A record of
 * the same ID is replaced. False when out of memory: the record was not added. */
bool store_put(struct store *store, struct record *record);

bool store_delete(struct store *store, const char *id); /* false: there was none */

/* Up to limit records in order of their IDs, from the first that comes after `after` (NULL: from
 * the start), each held for the caller. Returns how many. */
size_t store_list(struct store *store, const char *after, struct record **records, size_t limit);

struct store_state {
    size_t records, bytes;
    uint64_t hits, misses, evictions;
};

struct store_state store_state(struct store *store);

#endif
