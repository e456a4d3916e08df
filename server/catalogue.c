#include "server/catalogue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

STAILQ_HEAD(waiters, waiter);

/* An image that is being encoded. */
struct pending {
    char id[IMAGE_ID_MAX + 1];
    uint8_t digest[DIGEST_BYTES];
    struct geometry geometry;
    struct waiters waiters;
    bool deleted; /* meanwhile: do not keep the result */
    LIST_ENTRY(pending) link;
};

LIST_HEAD(pending_list, pending);

/* There are never more pending images than uploads in flight: a list is enough. */
struct catalogue {
    pthread_mutex_t mutex; /* guards pending; taken before the store's */
    struct store *store;
    struct pending_list pending;
};

struct catalogue *catalogue_create(struct store *store) {
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (!catalogue)
        return NULL;
    pthread_mutex_init(&catalogue->mutex, NULL);
    catalogue->store = store;
    LIST_INIT(&catalogue->pending);
    return catalogue;
}

void catalogue_free(struct catalogue *catalogue) {
    if (!catalogue)
        return;
    pthread_mutex_destroy(&catalogue->mutex);
    free(catalogue);
}

/* ---- with the mutex held ----------------------------------------------------------------- */

/* The one that was not deleted. */
static struct pending *find_pending(struct catalogue *catalogue, const char *id) {
    struct pending *pending;
    LIST_FOREACH(pending, &catalogue->pending, link)
    if (!pending->deleted && strcmp(pending->id, id) == 0)
        return pending;
    return NULL;
}

/* The one of these bytes, deleted or not. An ID has several only when all but one were deleted. */
static struct pending *find_encode(struct catalogue *catalogue, const char *id,
                                   const uint8_t digest[DIGEST_BYTES]) {
    struct pending *pending;
    LIST_FOREACH(pending, &catalogue->pending, link)
    if (strcmp(pending->id, id) == 0 && memcmp(pending->digest, digest, DIGEST_BYTES) == 0)
        return pending;
    return NULL;
}

static enum presence claim(struct catalogue *catalogue, const char *id,
                           const uint8_t digest[DIGEST_BYTES], const struct geometry *geometry,
                           struct waiter *waiter, struct record **record) {
    struct pending *pending = find_pending(catalogue, id);
    waiter->first = false;
    if (pending && memcmp(pending->digest, digest, DIGEST_BYTES) != 0)
        return IMAGE_CONFLICT;
    *record = pending ? NULL : store_get(catalogue->store, id);
    if (*record) {
        if (memcmp((*record)->digest, digest, DIGEST_BYTES) == 0)
            return IMAGE_PRESENT;
        record_release(*record);
        *record = NULL;
        return IMAGE_CONFLICT;
    }
    pending = find_encode(catalogue, id, digest);
    if (pending) {
        pending->deleted = false; /* whoever deleted it did so before this upload */
        STAILQ_INSERT_TAIL(&pending->waiters, waiter, link);
        return IMAGE_PENDING;
    }
    pending = calloc(1, sizeof *pending);
    if (!pending)
        return IMAGE_NO_MEMORY;
    memcpy(pending->id, id, strlen(id) + 1);
    memcpy(pending->digest, digest, DIGEST_BYTES);
    pending->geometry = *geometry;
    STAILQ_INIT(&pending->waiters);
    STAILQ_INSERT_TAIL(&pending->waiters, waiter, link);
    waiter->first = true;
    LIST_INSERT_HEAD(&catalogue->pending, pending, link);
    return IMAGE_CLAIMED;
}

/* ---- the catalogue ----------------------------------------------------------------------- */

enum presence catalogue_claim(struct catalogue *catalogue, const char *id,
                              const uint8_t digest[DIGEST_BYTES], const struct geometry *geometry,
                              struct waiter *waiter, struct record **record) {
    *record = NULL;
    pthread_mutex_lock(&catalogue->mutex);
    enum presence presence = claim(catalogue, id, digest, geometry, waiter, record);
    pthread_mutex_unlock(&catalogue->mutex);
    return presence;
}

enum presence catalogue_find(struct catalogue *catalogue, const char *id, struct waiter *waiter,
                             struct record **record, struct geometry *geometry) {
    enum presence presence = IMAGE_ABSENT;
    *record = NULL;
    pthread_mutex_lock(&catalogue->mutex);
    struct pending *pending = find_pending(catalogue, id);
    if (pending) {
        presence = IMAGE_PENDING;
        *geometry = pending->geometry;
        if (waiter) {
            waiter->first = false;
            STAILQ_INSERT_TAIL(&pending->waiters, waiter, link);
        }
    } else {
        *record = store_get(catalogue->store, id);
        if (*record) {
            presence = IMAGE_PRESENT;
            *geometry = (*record)->embedding.geometry;
        }
    }
    pthread_mutex_unlock(&catalogue->mutex);
    return presence;
}

void catalogue_finish(struct catalogue *catalogue, const char *id,
                      const uint8_t digest[DIGEST_BYTES], const struct outcome *outcome) {
    pthread_mutex_lock(&catalogue->mutex);
    struct pending *pending = find_encode(catalogue, id, digest);
    LIST_REMOVE(pending, link);
    if (outcome->record && !pending->deleted)
        store_put(catalogue->store,
                  outcome->record); /* if there is no memory for it, it is as if evicted */
    pthread_mutex_unlock(&catalogue->mutex);
    while (!STAILQ_EMPTY(&pending->waiters)) {
        struct waiter *waiter = STAILQ_FIRST(&pending->waiters);
        STAILQ_REMOVE_HEAD(&pending->waiters, link);
        waiter->wake(waiter, outcome);
    }
    free(pending);
}

bool catalogue_delete(struct catalogue *catalogue, const char *id) {
    pthread_mutex_lock(&catalogue->mutex);
    struct pending *pending = find_pending(catalogue, id);
    if (pending)
        pending->deleted = true;
    bool stored = store_delete(catalogue->store, id);
    pthread_mutex_unlock(&catalogue->mutex);
    return pending || stored;
}
