/* aside: what a handler does that takes too long for a polling thread, such as to read the masks of
 * a large prompt. */
#ifndef SERVER_ASIDE_H
#define SERVER_ASIDE_H

#include "server/request.h"

struct aside {
    void (*run)(struct request *request, void *argument);  /* the request is suspended */
    void (*drop)(struct request *request, void *argument); /* instead; NULL: nothing to do */
    void *argument;
};

/* Suspends the request and has a worker run it, in the interactive lane; or refuses the request,
 * which is no longer the caller's either way. */
void aside_submit(struct request *request, struct aside aside);

#endif
