/* encode: the job that turns an uploaded image into a record of the store. */
#ifndef SERVER_ENCODE_H
#define SERVER_ENCODE_H

#include "server/incoming.h"

/* For a claim that the caller has made (catalogue_claim): encodes in the bulk lane and ends the
 * claim, also when the lane is full. Takes the image out of *incoming. */
void encode_submit(struct server *server, struct incoming *incoming);

#endif
