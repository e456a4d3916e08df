/* sessions: the engine's scratch memory, lent to one job at a time.
 *
 * The one that was given back last is lent first, so that no more of them hold pages than jobs run
 * at the same time. */
#ifndef SERVER_SESSIONS_H
#define SERVER_SESSIONS_H

#include "engine/engine.h"

struct sessions;

/* Borrows the model. Keeps up to `spares` sessions that nobody has. NULL when out of memory. */
struct sessions *sessions_create(const struct model *model, size_t spares);
void sessions_free(struct sessions *sessions); /* NULL is allowed; all must have been given back */

struct session *sessions_take(struct sessions *sessions); /* NULL when out of memory */
void sessions_give(struct sessions *sessions, struct session *session);

/* Returns the memory of the sessions that nobody has to the system. */
void sessions_trim(struct sessions *sessions, enum trim trim);

#endif
