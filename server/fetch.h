/* fetch: images that a tool tells by their address. A thread of its own drives all transfers, a
 * bounded number of them at the same time, by libcurl's multi interface.
 *
 * Only hosts that the rules allow are asked, also by a redirect; bodies count as those of requests
 * do. */
#ifndef SERVER_FETCH_H
#define SERVER_FETCH_H

#include <stdio.h>
#include <sys/queue.h>

#include "server/fetch_rules.h"
#include "server/request.h"

/* Embedded in the caller's own structure, which it owns again from done on. */
struct fetch {
    const char *address; /* borrowed until done */
    /* From the fetcher's thread, once. */
    void (*done)(struct fetch *fetch);
    struct body body;          /* what came, the caller's to take or to free (body_free), */
    struct problem problem;    /* unless there is one */
    struct transfer *transfer; /* the fetcher's */
    STAILQ_ENTRY(fetch) link;
};

struct fetcher;

/* By the options. *fetcher is NULL when they allow no host. The message names the option at fault.
 */
enum status fetcher_create(struct server *server, struct fetcher **fetcher, struct error *error);

/* Reports faults of the options without starting anything; returns how many. */
int fetcher_check(const struct options *options, FILE *faults);

/* False: *problem says why (also when *fetcher is NULL), and done is not called. */
bool fetcher_submit(struct fetcher *fetcher, struct fetch *fetch, struct problem *problem);

/* Ends all transfers, which are done with a problem, and the thread. */
void fetcher_stop(struct fetcher *fetcher); /* NULL is allowed */
void fetcher_free(struct fetcher *fetcher); /* NULL is allowed; after fetcher_stop */

#endif
