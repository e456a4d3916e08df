#include "server/preparations.h"

#include <pthread.h>
#include <stdlib.h>

struct prepared_slot {
    struct record *record; /* held, so that its address tells it from all others; NULL: free */
    struct prepared *prepared;
    bool in_the_making;
    size_t prompts; /* so far */
    size_t users;
    uint64_t last_used;
};

struct preparations {
    pthread_mutex_t mutex;
    const struct model *model;
    uint64_t uses;
    struct prepared_slot slots[PREPARATIONS_MAX];
};

struct preparations *preparations_create(const struct model *model) {
    struct preparations *preparations = calloc(1, sizeof *preparations);
    if (preparations) {
        pthread_mutex_init(&preparations->mutex, NULL);
        preparations->model = model;
    }
    return preparations;
}

static void empty(struct prepared_slot *slot) {
    prepared_free(slot->prepared);
    record_release(slot->record);
    *slot = (struct prepared_slot){0};
}

void preparations_free(struct preparations *preparations) {
    if (!preparations)
        return;
    for (size_t i = 0; i < PREPARATIONS_MAX; i++)
        empty(&preparations->slots[i]);
    pthread_mutex_destroy(&preparations->mutex);
    free(preparations);
}

/* With the mutex held: the record's slot, or the one unused for longest, or NULL. */
static struct prepared_slot *find(struct preparations *preparations, struct record *record) {
    struct prepared_slot *oldest = NULL;
    for (size_t i = 0; i < PREPARATIONS_MAX; i++) {
        struct prepared_slot *slot = &preparations->slots[i];
        if (slot->record == record)
            return slot;
        if (slot->users == 0 && (!oldest || slot->last_used < oldest->last_used))
            oldest = slot;
    }
    if (oldest) {
        empty(oldest);
        oldest->record = record_hold(record);
    }
    return oldest;
}

/* With the mutex held, which is given up meanwhile; the slot has a user. */
static void make(struct preparations *preparations, struct worker *worker,
                 struct prepared_slot *slot) {
    if (slot->prepared || slot->in_the_making)
        return;
    slot->in_the_making = true;
    pthread_mutex_unlock(&preparations->mutex);
    struct prepared *made = model_prepare(preparations->model, worker, &slot->record->embedding);
    pthread_mutex_lock(&preparations->mutex);
    slot->in_the_making = false;
    slot->prepared = made;
}

struct preparation preparations_take(struct preparations *preparations, struct worker *worker,
                                     struct record *record, size_t to_come) {
    pthread_mutex_lock(&preparations->mutex);
    struct prepared_slot *slot = find(preparations, record);
    if (!slot) {
        pthread_mutex_unlock(&preparations->mutex);
        return (struct preparation){0};
    }
    slot->users++;
    slot->prompts++;
    slot->last_used = ++preparations->uses;
    if (to_come >= PREPARED_AT_PROMPTS) /* a list */
        make(preparations, worker, slot);
    struct preparation preparation = {slot->prepared, slot};
    pthread_mutex_unlock(&preparations->mutex);
    return preparation;
}

void preparations_make_ready(struct preparations *preparations, struct worker *worker,
                             struct record *record) {
    pthread_mutex_lock(&preparations->mutex);
    for (size_t i = 0; i < PREPARATIONS_MAX; i++) {
        struct prepared_slot *slot = &preparations->slots[i];
        if (slot->record == record && slot->prompts >= PREPARED_AT_PROMPTS) {
            slot->users++;
            make(preparations, worker, slot);
            slot->users--;
        }
    }
    pthread_mutex_unlock(&preparations->mutex);
}

void preparations_give(struct preparations *preparations, struct preparation preparation) {
    if (!preparation.slot)
        return;
    pthread_mutex_lock(&preparations->mutex);
    preparation.slot->users--;
    pthread_mutex_unlock(&preparations->mutex);
}

void preparations_trim(struct preparations *preparations, enum trim trim) {
    pthread_mutex_lock(&preparations->mutex);
    for (size_t i = 0; i < PREPARATIONS_MAX; i++) {
        struct prepared_slot *slot = &preparations->slots[i];
        bool last = slot->last_used == preparations->uses;
        if (slot->users == 0 && !(last && trim == TRIM_ENCODING))
            empty(slot);
    }
    pthread_mutex_unlock(&preparations->mutex);
}
