/* everything_run: the job that finds all masks of an image. */
#ifndef SERVER_EVERYTHING_RUN_H
#define SERVER_EVERYTHING_RUN_H

#include "server/server.h"

/* Runs what was claimed (runs.h), in the bulk lane, and finishes it: also when that cannot be, when
 * the daemon stops, when the image is deleted, and when nobody waits for it any more. Holds the
 * record and the run itself. False: it is finished already, for it could not be queued. */
bool everything_start(struct server *server, struct record *record, struct run *run);

#endif
