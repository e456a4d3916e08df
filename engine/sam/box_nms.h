/* box_nms: of boxes that cover the same thing, the best (torchvision.ops.nms). */
#ifndef ENGINE_SAM_BOX_NMS_H
#define ENGINE_SAM_BOX_NMS_H

#include "engine/engine.h"

#include <stddef.h>

struct scored_box {
    float corners[4]; /* x1, y1, x2, y2 */
    float score;
};

/* Takes the boxes by falling score, equal ones in their order, and keeps each whose intersection
 * over union with every one kept before is at most the threshold. Writes the kept boxes' indices in
 * that order, and how many they are. Every two boxes may be compared: yield, which may be NULL, is
 * called for each. STATUS_NO_MEMORY. */
enum status box_nms(const struct scored_box *boxes, size_t count, float threshold,
                    const struct image_yield *yield, size_t *kept, size_t *kept_count,
                    struct error *error);

#endif
