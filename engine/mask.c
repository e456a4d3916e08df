#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

void mask_free(struct mask *mask) {
    free(mask->counts);
    memset(mask, 0, sizeof *mask);
}

void segmentation_free(struct segmentation *segmentation) {
    for (int i = 0; i < segmentation->count; i++) {
        mask_free(&segmentation->segments[i].mask);
        free(segmentation->segments[i].logits);
    }
    memset(segmentation, 0, sizeof *segmentation);
}
