#include "server/refinements.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

struct refinement {
    atomic_int references;
    struct mask_id id;
    char image_id[IMAGE_ID_MAX + 1];
    uint8_t digest[DIGEST_BYTES]; /* the image's: another may have its ID one day */
    struct prompt prompt;         /* for this mask alone, with its logits; without a prior mask */
    float *logits;                /* owned; once they are there they stay */
    bool remembered;
    TAILQ_ENTRY(refinement) link;
};

TAILQ_HEAD(refinement_list, refinement);

struct refinements {
    pthread_mutex_t mutex;       /* guards what follows, and each refinement from its logits on */
    void *by_id;                 /* tsearch(3) tree of struct refinement */
    struct refinement_list used; /* the most recently used first */
    size_t bytes_limit;
    struct refinements_state state;
};

enum { LOGITS_BYTES = LOW_RES_VALUES * sizeof(float) };

/* ---- one mask ---------------------------------------------------------------------------- */

/* Random, so that nobody can guess the ID of a mask that was answered to somebody else. */
static bool make_id(struct mask_id *id) {
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    snprintf(id->text, sizeof id->text, "m_%016llx", (unsigned long long)number);
    return true;
}

static struct refinement *make_refinement(const struct record *record, const struct prompt *prompt,
                                          struct segment *segment, const struct mask_id *id) {
    struct refinement *refinement = calloc(1, sizeof *refinement);
    if (!refinement)
        return NULL;
    atomic_init(&refinement->references, 1);
    refinement->id = *id;
    memcpy(refinement->image_id, record->id, sizeof refinement->image_id);
    memcpy(refinement->digest, record->digest, DIGEST_BYTES);
    refinement->prompt = *prompt;
    refinement->prompt.mask = NULL;
    refinement->prompt.logits = NULL;
    refinement->prompt.multimask = segment->token;
    refinement->prompt.keep_logits = true;
    refinement->logits = segment->logits;
    segment->logits = NULL;
    return refinement;
}

void refinement_release(struct refinement *refinement) {
    if (!refinement || atomic_fetch_sub(&refinement->references, 1) > 1)
        return;
    free(refinement->logits);
    free(refinement);
}

const struct prompt *refinement_prompt(const struct refinement *refinement) {
    return &refinement->prompt;
}

/* ---- with the mutex held ----------------------------------------------------------------- */

static int compare_ids(const void *left, const void *right) {
    const struct refinement *a = left, *b = right;
    return strcmp(a->id.text, b->id.text);
}

static struct refinement *find(struct refinements *refinements, const struct mask_id *id) {
    const struct refinement key = {.id = *id};
    struct refinement **node = tfind(&key, &refinements->by_id, compare_ids);
    return node ? *node : NULL;
}

static size_t bytes_of(const struct refinement *refinement) {
    return sizeof *refinement + (refinement->logits ? LOGITS_BYTES : 0);
}

static void drop(struct refinements *refinements, struct refinement *refinement) {
    tdelete(refinement, &refinements->by_id, compare_ids);
    TAILQ_REMOVE(&refinements->used, refinement, link);
    refinements->state.masks--;
    refinements->state.bytes -= bytes_of(refinement);
    refinement->remembered = false;
    refinement_release(refinement);
}

static void evict(struct refinements *refinements) {
    while (refinements->state.bytes > refinements->bytes_limit)
        drop(refinements, TAILQ_LAST(&refinements->used, refinement_list));
}

/* ---- the table --------------------------------------------------------------------------- */

struct refinements *refinements_create(size_t bytes_limit) {
    struct refinements *refinements = calloc(1, sizeof *refinements);
    if (!refinements)
        return NULL;
    pthread_mutex_init(&refinements->mutex, NULL);
    TAILQ_INIT(&refinements->used);
    refinements->bytes_limit = bytes_limit;
    return refinements;
}

void refinements_free(struct refinements *refinements) {
    if (!refinements)
        return;
    while (!TAILQ_EMPTY(&refinements->used))
        drop(refinements, TAILQ_FIRST(&refinements->used));
    pthread_mutex_destroy(&refinements->mutex);
    free(refinements);
}

bool refinements_add(struct refinements *refinements, const struct record *record,
                     const struct prompt *prompt, struct segment *segment, struct mask_id *id) {
    if (!make_id(id))
        return false;
    struct refinement *refinement = make_refinement(record, prompt, segment, id);
    if (!refinement)
        return true;
    pthread_mutex_lock(&refinements->mutex);
    struct refinement **node = tsearch(refinement, &refinements->by_id, compare_ids);
    refinement->remembered = node && *node == refinement; /* and no other has this ID */
    if (refinement->remembered) {
        TAILQ_INSERT_HEAD(&refinements->used, refinement, link);
        refinements->state.masks++;
        refinements->state.bytes += bytes_of(refinement);
        evict(refinements);
    } else {
        refinement_release(refinement);
    }
    pthread_mutex_unlock(&refinements->mutex);
    return true;
}

void refinements_forget(struct refinements *refinements, const char *image_id) {
    pthread_mutex_lock(&refinements->mutex);
    struct refinement *next;
    for (struct refinement *at = TAILQ_FIRST(&refinements->used); at; at = next) {
        next = TAILQ_NEXT(at, link);
        if (strcmp(at->image_id, image_id) == 0)
            drop(refinements, at);
    }
    pthread_mutex_unlock(&refinements->mutex);
}

struct refinement *refinements_find(struct refinements *refinements, const struct mask_id *id,
                                    const struct record *record) {
    pthread_mutex_lock(&refinements->mutex);
    struct refinement *refinement = find(refinements, id);
    if (refinement && (strcmp(refinement->image_id, record->id) != 0 ||
                       memcmp(refinement->digest, record->digest, DIGEST_BYTES) != 0))
        refinement = NULL;
    if (refinement) {
        TAILQ_REMOVE(&refinements->used, refinement, link);
        TAILQ_INSERT_HEAD(&refinements->used, refinement, link);
        atomic_fetch_add(&refinement->references, 1);
    }
    pthread_mutex_unlock(&refinements->mutex);
    return refinement;
}

const float *refinements_logits(struct refinements *refinements, struct refinement *refinement) {
    pthread_mutex_lock(&refinements->mutex);
    const float *logits = refinement->logits;
    pthread_mutex_unlock(&refinements->mutex);
    return logits;
}

const float *refinements_set_logits(struct refinements *refinements, struct refinement *refinement,
                                    float *logits) {
    pthread_mutex_lock(&refinements->mutex);
    if (refinement->logits) {
        free(logits);
        logits = refinement->logits;
    } else {
        refinement->logits = logits;
        if (refinement->remembered) {
            refinements->state.bytes += LOGITS_BYTES;
            evict(refinements);
        }
    }
    pthread_mutex_unlock(&refinements->mutex);
    return logits;
}

struct refinements_state refinements_state(struct refinements *refinements) {
    pthread_mutex_lock(&refinements->mutex);
    struct refinements_state state = refinements->state;
    pthread_mutex_unlock(&refinements->mutex);
    return state;
}
