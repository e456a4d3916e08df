/* images: what the handlers of an image and of its embedding have in common. */
#ifndef SERVER_IMAGES_H
#define SERVER_IMAGES_H

#include "server/conditional.h"

/* 201 with Location for an image that came to be now, 200 for one that was there. */
void answer_image(struct request *request, const struct record *record, bool is_new,
                  const struct timing *timing);

/* The image's tag. Strong: it depends on the uploaded bytes and the weights alone. Without a
 * record, that of one which is being encoded. */
void image_tag(char etag[ETAG_SIZE], const struct server *server, const struct record *record);

void problem_set_conflict(struct problem *problem, const char *id);

#endif
