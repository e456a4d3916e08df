/* prompt: what prompt.c (a request and its settings) and prompt_content.c (points, boxes, prior
 * masks) share. Internal to api/. The readers add a fault for whatever is wrong and go on, so that
 * all faults are found. */
#ifndef API_PROMPT_H
#define API_PROMPT_H

#include "api/json.h"

/* One request being read. */
struct reading {
    struct json_reader json;            /* where the faults go */
    const struct prompt_limits *limits; /* the image's size among them */
    size_t prior_runs;                  /* of all prior masks so far; MASK_RUNS_MAX at most */
    uint64_t png_pixels;                /* of the PNGs among them; bounded, too */
    struct problem missing; /* members that are right, but that this version does not have */
};

void read_out_of_memory(struct reading *reading);

/* path is the prompt's; labels may be NULL, and points too when there are labels. */
void read_points(struct reading *reading, const struct json_path *path, const cJSON *points,
                 const cJSON *labels, struct prompt *prompt);
/* path is the box's, and the mask's. */
void read_box(struct reading *reading, const struct json_path *path, const cJSON *value,
              struct prompt *prompt);
void read_mask(struct reading *reading, const struct json_path *path, const cJSON *value,
               struct prompt_item *item);

#endif
