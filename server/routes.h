/* routes: the handlers, by path (routes.c has the table). */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

#include "server/incoming.h"
#include "server/request.h"

/* status.c */
void handle_healthz(struct request *request);
void handle_readyz(struct request *request);
void handle_models(struct request *request);
void handle_options(struct request *request);

/* page.c */
void handle_page(struct request *request);

/* scrape.c */
void handle_metrics(struct request *request);

/* images.c */
void handle_image_upload(struct request *request);
void handle_image_list(struct request *request);
void check_image_list_query(struct request *request, struct problem *problem);
void handle_image_get(struct request *request);
void handle_image_delete(struct request *request);

/* segment.c */
void handle_segment_image(struct request *request);
void handle_segment_upload(struct request *request);

/* All of them, and after the last one NULL, for requests that have none. */
size_t routes_count(void);
size_t routes_index(const struct route *route);
const struct route *routes_at(size_t index);

#endif
