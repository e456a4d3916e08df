/* runs: those of everything mode, by image and parameters: the ones that wait or go on, and the
 * results of earlier ones.
 *
 * Who asks for what is already running waits for that run; who asks for what has been run has it at
 * once. Results are bounded by bytes, the least recently asked for are forgotten first, and those
 * of an image with it when it is deleted. All functions may be called from any thread; a waiter is
 * woken exactly once, with no lock held. */
#ifndef SERVER_RUNS_H
#define SERVER_RUNS_H

#include <sys/queue.h>

#include "server/store.h"

struct run;

/* Embedded in the waiter's own structure, which it owns again from wake on. */
struct run_waiter {
    void (*wake)(struct run_waiter *waiter, struct run *run); /* the run is held during the call */
    bool (*has_left)(const struct run_waiter *waiter);        /* and will not read an answer */
    STAILQ_ENTRY(run_waiter) link;
};

STAILQ_HEAD(run_waiters, run_waiter);

enum run_state { RUN_GOES_ON, RUN_READY, RUN_FAILED };

struct run {
    atomic_int references;
    char image_id[IMAGE_ID_MAX + 1];
    uint8_t digest[DIGEST_BYTES]; /* the image's */
    struct everything_options options;
    atomic_size_t done, total; /* points */

    /* Written before it ends, by the one who runs it; read by others after that. */
    struct everything masks; /* owned */
    struct problem problem;  /* of one that failed */
    struct timing timing;

    /* The runs' own: */
    enum run_state state;
    bool listed;     /* among the runs: others may find it */
    bool unattended; /* it goes on although nobody waits */
    struct run_waiters waiters;
    TAILQ_ENTRY(run) link;
};

struct run *run_hold(struct run *run); /* one more reference; returns run */
void run_release(struct run *run);     /* NULL is allowed */

struct runs;

struct runs *runs_create(size_t bytes_limit); /* NULL when out of memory */
void runs_free(struct runs *runs);            /* NULL is allowed; no run may go on */

enum claim {
    RUN_PRESENT, /* *run is ready, and held for the caller */
    RUN_JOINED,  /* *run goes on, and is held for the caller; the waiter will be woken */
    RUN_CLAIMED, /* the same, but the caller is to run it, and to call runs_finish */
    RUN_NO_MEMORY,
};

/* For a run on the record's image. waiter NULL: it goes on even when nobody waits. */
enum claim runs_claim(struct runs *runs, const struct record *record,
                      const struct everything_options *options, struct run_waiter *waiter,
                      struct run **run);

/* The run on the record's image that was asked for last, held for the caller; or NULL. */
struct run *runs_latest(struct runs *runs, const struct record *record, enum run_state *state);

/* Whether somebody still waits for it. */
bool runs_wanted(struct runs *runs, struct run *run);

/* For a run that goes on: whether it should. When nobody waits for it any more no one can join it
 * from now on. */
bool runs_goes_on(struct runs *runs, struct run *run);

/* Ends a claim: the run is ready, or if it has a problem failed. Keeps it, unless its image was
 * deleted, or it failed and all who asked for it are told by that; then wakes all waiters. */
void runs_finish(struct runs *runs, struct run *run);

/* The image was deleted. Its runs end. */
void runs_forget(struct runs *runs, const char *image_id);

struct runs_state {
    size_t runs, bytes;
};

struct runs_state runs_state(struct runs *runs);

#endif
