/* catalogue: the images that the daemon knows: those in the store and those that are being encoded
 * right now.
 *
 * It sees to it that an image that is uploaded many times at once is encoded once: the first to
 * claim it encodes, the others wait for the outcome, prompts that come meanwhile too. All functions
 * may be called from any thread; a waiter is woken exactly once, with no lock held. */
#ifndef SERVER_CATALOGUE_H
#define SERVER_CATALOGUE_H

#include <sys/queue.h>

#include "api/api.h"
#include "server/store.h"

/* What became of an encode. */
struct outcome {
    struct record *record;         /* NULL when it failed; held by the catalogue during the call */
    const struct problem *problem; /* why, when it failed */
    struct timing timing;
    bool remember; /* a failure, for who comes to ask; not told to anybody yet */
};

/* Embedded in the waiter's own structure, which it owns again from wake on. */
struct waiter {
    void (*wake)(struct waiter *waiter, const struct outcome *outcome);
    bool first; /* this one's claim started the encode */
    STAILQ_ENTRY(waiter) link;
};

struct catalogue;

struct catalogue *
catalogue_create(struct store *store);            /* borrows the store; NULL when out of memory */
void catalogue_free(struct catalogue *catalogue); /* NULL is allowed; nothing may be pending */

enum presence {
    IMAGE_PRESENT, /* *record is held for the caller */
    IMAGE_PENDING, /* being encoded; the waiter, if one was given, will be woken */
    IMAGE_ABSENT,
    IMAGE_CONFLICT, /* the ID holds other bytes */
    IMAGE_CLAIMED,  /* the caller is to encode it and to call catalogue_finish; the waiter will be
                       woken */
    IMAGE_NO_MEMORY,
};

enum { CATALOGUE_FAILURES_MAX = 64 }; /* that are remembered: the last ones, 9 KB each */

/* For an upload. geometry is what a pending image is known by. waiter may be NULL: a failure of the
 * image, if it is pending, will be remembered. */
enum presence catalogue_claim(struct catalogue *catalogue, const char *id,
                              const uint8_t digest[DIGEST_BYTES], const struct geometry *geometry,
                              struct waiter *waiter, struct record **record);

/* For a look or a prompt. waiter may be NULL; *geometry is filled when the image is present or
 * pending. */
enum presence catalogue_find(struct catalogue *catalogue, const char *id, struct waiter *waiter,
                             struct record **record, struct geometry *geometry);

/* Ends a claim. Keeps the record (the catalogue takes its own reference) unless it failed or was
 * deleted meanwhile; then wakes all waiters. */
void catalogue_finish(struct catalogue *catalogue, const char *id,
                      const uint8_t digest[DIGEST_BYTES], const struct outcome *outcome);

/* Whether the image failed and that is remembered: until it is uploaded again or deleted, or many
 * others have failed. */
bool catalogue_failure(struct catalogue *catalogue, const char *id, struct geometry *geometry,
                       struct problem *problem);

/* Forgets the image; of one that is being encoded, the result is not kept. False: there was none.
 */
bool catalogue_delete(struct catalogue *catalogue, const char *id);

#endif
