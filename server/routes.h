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

/* embeddings.c */
void handle_embedding_get(struct request *request);
void check_embedding_query(struct request *request, struct problem *problem);
void handle_embedding_put(struct request *request);

/* everything.c */
void handle_everything(struct request *request);
void handle_everything_get(struct request *request);
void check_everything_query(struct request *request, struct problem *problem);

/* segment.c */
void handle_segment_image(struct request *request);
void handle_segment_upload(struct request *request);

/* compat_labelstudio.c */
void handle_labelstudio_health(struct request *request);
void handle_labelstudio_setup(struct request *request);
void handle_labelstudio_versions(struct request *request);
void handle_labelstudio_metrics(struct request *request);
void handle_labelstudio_webhook(struct request *request);
void handle_labelstudio_predict(struct request *request);

/* compat_cvat.c */
void handle_cvat(struct request *request);
void handle_cvat_functions(struct request *request);
void handle_cvat_function(struct request *request);
void handle_cvat_invocation(struct request *request);

/* compat_roboflow.c */
void handle_roboflow_embed(struct request *request);
void handle_roboflow_segment(struct request *request);

/* compat_xanylabeling.c */
void handle_xany_health(struct request *request);
void handle_xany_models(struct request *request);
void handle_xany_model(struct request *request);
void handle_xany_predict(struct request *request);

/* All of them, and after the last one NULL, for requests that have none. */
size_t routes_count(void);
size_t routes_index(const struct route *route);
const struct route *routes_at(size_t index);

#endif
