/* compat: what annotation tools send and expect <-> plain structs.
 *
 * A tool sends more than a prompt needs, and more with every version: members that are not known
 * here are passed over, unlike those of our own API. What is known is read as strictly. Each
 * section names the sources that its form comes from. Nothing here knows a socket. */
#ifndef API_COMPAT_H
#define API_COMPAT_H

#include "api/api.h"

/* ---- what all tools ask ------------------------------------------------------------------ */

/* What is marked on an image for one mask, as the tool told it. */
struct marks {
    int point_count;
    double points[PROMPT_POINTS_MAX][2];
    uint8_t labels[PROMPT_POINTS_MAX]; /* 1 foreground, 0 background */
    bool has_box;
    double box[4]; /* two opposite corners */
    char *label;   /* owned; the name that the mask is to have; or NULL */
};

enum { COMPAT_MARKS_MAX = 1000 };

struct compat_request {
    uint8_t *image; /* owned; malloc'd; NULL: there is a url, or an image_id, or none is needed */
    size_t image_size;
    char *url;                       /* owned; or NULL */
    char image_id[IMAGE_ID_MAX + 1]; /* empty: none */
    size_t count;
    struct marks *marks; /* owned */
    bool percent; /* the marks are in percent of the image's width and height, not in pixels */
};

void compat_request_free(struct compat_request *request); /* zeroes it */

/* The prompts for an image of this size. Who draws by hand draws beyond the edge: points and boxes
 * are moved to it. False: *problem tells of boxes that are nowhere inside the image, or of too many
 * prompts, and *prompts is zeroed. */
bool compat_prompts(const struct compat_request *request, const struct prompt_limits *limits,
                    struct prompt_list *prompts, struct problem *problem);

/* All parsers below: false: *problem tells all faults and *request is zeroed. */

/* ---- Label Studio ------------------------------------------------------------------------ */

/* The ML backend's protocol: HumanSignal/label-studio-ml-backend, label_studio_ml/api.py, and
 * examples/segment_anything_model/model.py for what a segmenting backend takes and gives. */

struct labelstudio_request {
    struct compat_request common; /* no marks: nobody has clicked yet */
    char *from_name, *to_name;    /* owned; of the BrushLabels control that masks are for */
    size_t label_count;
    char **labels; /* of each mask; owned; some may be NULL */
};

/* POST /predict. Writes into the body. */
bool labelstudio_parse(char *json, size_t size, struct labelstudio_request *request,
                       struct problem *problem);
void labelstudio_request_free(struct labelstudio_request *request); /* zeroes it */

char *labelstudio_answer_json(const struct segment_answer *masks,
                              const struct labelstudio_request *request, const char *version);

/* ---- CVAT -------------------------------------------------------------------------------- */

/* A serverless interactor: cvat-ai/cvat, cvat/apps/lambda_manager/views.py calls it, and
 * serverless/pytorch/facebookresearch/sam is one that gives an embedding. */

struct cvat_request {
    struct compat_request common;
    bool embedding; /* is asked for, not a mask */
    bool crop;      /* only the mask's box, with bounds that say where it is */
};

/* What the request does not say of embedding and crop stays as it is in *request. */
bool cvat_parse(const char *json, size_t size, struct cvat_request *request,
                struct problem *problem);

/* {"mask":[[0,1,...],...]}, rows of the image or of the crop. */
char *cvat_answer_json(const struct segment_answer *masks, bool crop);
/* {"blob":...}: base64 of little-endian floats, [1][channel][row][column]. */
char *cvat_embedding_json(const struct embedding *embedding);

/* ---- Roboflow Inference ------------------------------------------------------------------ */

/* roboflow/inference, inference/core/entities/requests/sam.py and responses/sam.py. */

struct roboflow_request {
    struct compat_request common;
    bool binary; /* the answer is to be an .npy file, not JSON */
};

/* POST /sam/embed_image, and /sam/segment_image, which has points. */
bool roboflow_parse(const char *json, size_t size, bool with_points,
                    struct roboflow_request *request, struct problem *problem);

char *roboflow_answer_json(const struct segment_answer *masks, double seconds);
/* Takes a third of a second, and yields every millisecond or so. */
char *roboflow_embedding_json(const struct embedding *embedding, double seconds,
                              const struct image_yield *yield);

/* ---- X-AnyLabeling ----------------------------------------------------------------------- */

/* CVHub520/X-AnyLabeling-Server, app/api and app/schemas; what its client reads is in
 * CVHub520/X-AnyLabeling, anylabeling/services/auto_labeling/remote_server.py. */

struct xanylabeling_request {
    struct compat_request common; /* no marks: there is nothing to segment */
    double fineness; /* epsilon_factor: what a polygon may lose, in parts of its length */
};

/* POST /v1/predict, for the model of this name. */
bool xanylabeling_parse(const char *json, size_t size, const char *model,
                        struct xanylabeling_request *request, struct problem *problem);

/* masks may be NULL: there was nothing to segment. */
char *xanylabeling_answer_json(const struct segment_answer *masks, double fineness);
char *xanylabeling_models_json(const struct model_info *model);
char *xanylabeling_model_json(const struct model_info *model);
char *xanylabeling_problem_json(const struct problem *problem);

#endif
