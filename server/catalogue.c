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
    bool deleted;  /* meanwhile: do not keep the result */
    bool remember; /* a failure: an upload did not wait */
    LIST_ENTRY(pending) link;
};

LIST_HEAD(pending_list, pending);

/* An image that could not be encoded, when an upload did not wait to hear of it. */
struct failure {
    char id[IMAGE_ID_MAX + 1];
    struct geometry geometry;
    struct problem problem;
    TAILQ_ENTRY(failure) link;
};

TAILQ_HEAD(failures, failure);

/* There are never more pending images than uploads in flight: a list is enough. */
struct catalogue {
    pthread_mutex_t mutex; /* guards what follows; taken before the store's */
    struct store *store;
    struct pending_list pending;
    struct failures failures; /* the latest first */
    size_t failure_count;
};

struct catalogue *catalogue_create(struct store *store) {
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (!catalogue)
        return NULL;
    pthread_mutex_init(&catalogue->mutex, NULL);
    catalogue->store = store;
    LIST_INIT(&catalogue->pending);
    TAILQ_INIT(&catalogue->failures);
    return catalogue;
}

static void forget(struct catalogue *catalogue, struct failure *failure) {
    TAILQ_REMOVE(&catalogue->failures, failure, link);
    catalogue->failure_count--;
    free(failure);
}

void catalogue_free(struct catalogue *catalogue) {
    if (!catalogue)
        return;
    while (!TAILQ_EMPTY(&catalogue->failures))
        forget(catalogue, TAILQ_FIRST(&catalogue->failures));
    pthread_mutex_destroy(&catalogue->mutex);
    free(catalogue);
}

/* ---- with the mutex held ----------------------------------------------------------------- */

static struct failure *find_failure(struct catalogue *catalogue, const char *id) {
    struct failure *failure;
    TAILQ_FOREACH(failure, &catalogue->failures, link)
    if (strcmp(failure->id, id) == 0)
        return failure;
    return NULL;
}

/* False: there was none. */
static bool forget_failure(struct catalogue *catalogue, const char *id) {
    struct failure *failure = find_failure(catalogue, id);
    if (failure)
        forget(catalogue, failure);
    return failure != NULL;
}

/* If there is no memory for it, it is as if it were forgotten already. */
static void remember_failure(struct catalogue *catalogue, const struct pending *pending,
                             const struct problem *problem) {
    struct failure *failure = calloc(1, sizeof *failure);
    if (!failure)
        return;
    memcpy(failure->id, pending->id, sizeof failure->id);
    failure->geometry = pending->geometry;
    failure->problem = *problem;
    TAILQ_INSERT_HEAD(&catalogue->failures, failure, link);
    if (++catalogue->failure_count > CATALOGUE_FAILURES_MAX)
        forget(catalogue, TAILQ_LAST(&catalogue->failures, failures));
}

static void add_waiter(struct pending *pending, struct waiter *waiter, bool first) {
    if (!waiter)
        return;
    waiter->first = first;
    STAILQ_INSERT_TAIL(&pending->waiters, waiter, link);
}

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
        pending->remember |= !waiter;
        add_waiter(pending, waiter, false);
        return IMAGE_PENDING;
    }
    pending = calloc(1, sizeof *pending);
    if (!pending)
        return IMAGE_NO_MEMORY;
    memcpy(pending->id, id, strlen(id) + 1);
    memcpy(pending->digest, digest, DIGEST_BYTES);
    pending->geometry = *geometry;
    STAILQ_INIT(&pending->waiters);
    add_waiter(pending, waiter, true);
    LIST_INSERT_HEAD(&catalogue->pending, pending, link);
    forget_failure(catalogue, id);
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
        add_waiter(pending, waiter, false);
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
    if (outcome->problem && !pending->deleted && (outcome->remember || pending->remember))
        remember_failure(catalogue, pending, outcome->problem);
    pthread_mutex_unlock(&catalogue->mutex);
    while (!STAILQ_EMPTY(&pending->waiters)) {
        struct waiter *waiter = STAILQ_FIRST(&pending->waiters);
        STAILQ_REMOVE_HEAD(&pending->waiters, link);
        waiter->wake(waiter, outcome);
    }
    free(pending);
}

bool catalogue_failure(struct catalogue *catalogue, const char *id, struct geometry *geometry,
                       struct problem *problem) {
    pthread_mutex_lock(&catalogue->mutex);
    const struct failure *failure = find_failure(catalogue, id);
    if (failure) {
        *geometry = failure->geometry;
        *problem = failure->problem;
    }
    pthread_mutex_unlock(&catalogue->mutex);
    return failure != NULL;
}

bool catalogue_delete(struct catalogue *catalogue, const char *id) {
    pthread_mutex_lock(&catalogue->mutex);
    struct pending *pending = find_pending(catalogue, id);
    if (pending)
        pending->deleted = true;
    bool stored = store_delete(catalogue->store, id);
    bool failed = forget_failure(catalogue, id);
    pthread_mutex_unlock(&catalogue->mutex);
    return pending || stored || failed;
}
