/* encode: the job that turns an uploaded image into a record of the store. */
#ifndef SERVER_ENCODE_H
#define SERVER_ENCODE_H

#include "server/incoming.h"

/* Sees to it that the image is there. True: the waiter is woken once it has been encoded, in the
 * bulk lane, by this claim or an earlier one, or when that failed; perhaps already. False: the
 * waiter is not used; *record is the image, held for the caller, or it is NULL and *problem says
 * why. Either way *incoming is taken and zeroed.
 *
 * The waiter may be NULL: nobody waits, and a failure is remembered by the catalogue, unless it is
 * that the image cannot even be queued, which is told at once. */
bool encode_claim(struct server *server, struct incoming *incoming, struct waiter *waiter,
                  struct record **record, struct problem *problem);

#endif
