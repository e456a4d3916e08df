#include "server/store.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct slot {
    const char *id; /* the record's */
    struct record *record;
    TAILQ_ENTRY(slot) link;
};

TAILQ_HEAD(slots, slot);

struct store {
    pthread_mutex_t mutex;
    void *by_id;       /* tsearch(3) tree of struct slot */
    struct slots used; /* the most recently used first */
    size_t bytes_limit;
    struct store_state state;
};

/* ---- records ----------------------------------------------------------------------------- */

struct record *record_create(const char *id, const uint8_t digest[DIGEST_BYTES]) {
    struct record *record = malloc(sizeof *record);
    if (!record)
        return NULL;
    atomic_init(&record->references, 1);
    strncpy(record->id, id, sizeof record->id - 1);
    record->id[sizeof record->id - 1] = '\0';
    memcpy(record->digest, digest, DIGEST_BYTES);
    record->bytes = NULL;
    record->size = 0;
    return record;
}

size_t record_memory(const struct record *record) {
    return sizeof *record + record->size;
}

struct record *record_hold(struct record *record) {
    atomic_fetch_add(&record->references, 1);
    return record;
}

void record_release(struct record *record) {
    if (!record || atomic_fetch_sub(&record->references, 1) != 1)
        return;
    free(record->bytes);
    free(record);
}

/* ---- with the mutex held ----------------------------------------------------------------- */

static int compare_ids(const void *left, const void *right) {
    return strcmp(((const struct slot *)left)->id, ((const struct slot *)right)->id);
}

static struct slot *find(struct store *store, const char *id) {
    struct slot key = {.id = id};
    struct slot **node = tfind(&key, &store->by_id, compare_ids);
    return node ? *node : NULL;
}

static void drop(struct store *store, struct slot *slot) {
    tdelete(slot, &store->by_id, compare_ids);
    TAILQ_REMOVE(&store->used, slot, link);
    store->state.records--;
    store->state.bytes -= record_memory(slot->record);
    record_release(slot->record);
    free(slot);
}

static void evict(struct store *store) {
    while (store->state.bytes > store->bytes_limit) {
        struct slot *last = TAILQ_LAST(&store->used, slots);
        if (last == TAILQ_FIRST(&store->used)) /* the newest stays, however small the limit */
            break;
        drop(store, last);
        store->state.evictions++;
    }
}

/* ---- the store --------------------------------------------------------------------------- */

struct store *store_create(size_t bytes_limit) {
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    pthread_mutex_init(&store->mutex, NULL);
    TAILQ_INIT(&store->used);
    store->bytes_limit = bytes_limit;
    return store;
}

void store_free(struct store *store) {
    if (!store)
        return;
    while (!TAILQ_EMPTY(&store->used))
        drop(store, TAILQ_FIRST(&store->used));
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

struct record *store_get(struct store *store, const char *id) {
    struct record *record = NULL;
    pthread_mutex_lock(&store->mutex);
    struct slot *slot = find(store, id);
    if (slot) {
        TAILQ_REMOVE(&store->used, slot, link);
        TAILQ_INSERT_HEAD(&store->used, slot, link);
        record = record_hold(slot->record);
        store->state.hits++;
    } else {
        store->state.misses++;
    }
    pthread_mutex_unlock(&store->mutex);
    return record;
}

bool store_put(struct store *store, struct record *record) {
    struct slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return false;
    slot->id = record->id;
    slot->record = record;
    pthread_mutex_lock(&store->mutex);
    struct slot *old = find(store, record->id);
    if (old)
        drop(store, old);
    bool added = tsearch(slot, &store->by_id, compare_ids) != NULL;
    if (added) {
        record_hold(record);
        TAILQ_INSERT_HEAD(&store->used, slot, link);
        store->state.records++;
        store->state.bytes += record_memory(record);
        evict(store);
    }
    pthread_mutex_unlock(&store->mutex);
    if (!added)
        free(slot);
    return added;
}

bool store_delete(struct store *store, const char *id) {
    pthread_mutex_lock(&store->mutex);
    struct slot *slot = find(store, id);
    if (slot)
        drop(store, slot);
    pthread_mutex_unlock(&store->mutex);
    return slot != NULL;
}

struct listing {
    const char *after;
    struct record **records;
    size_t count, limit;
};

static void list_node(const void *node, VISIT visit, void *closure) {
    struct listing *listing = closure;
    const struct slot *slot = *(const struct slot *const *)node;
    if ((visit == postorder || visit == leaf) && listing->count < listing->limit &&
        (!listing->after || strcmp(slot->id, listing->after) > 0))
        listing->records[listing->count++] = record_hold(slot->record);
}

size_t store_list(struct store *store, const char *after, struct record **records, size_t limit) {
    struct listing listing = {.after = after, .records = records, .limit = limit};
    pthread_mutex_lock(&store->mutex);
    twalk_r(store->by_id, list_node, &listing);
    pthread_mutex_unlock(&store->mutex);
    return listing.count;
}

struct store_state store_state(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    struct store_state state = store->state;
    pthread_mutex_unlock(&store->mutex);
    return state;
}
