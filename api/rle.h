/* rle: counts as they come over the wire -> struct mask. Internal to api/; the rest of it is in
 * api.h. */
#ifndef API_RLE_H
#define API_RLE_H

#include "engine/engine.h"

/* Takes ownership of counts (malloc'd), whatever the outcome, and makes them canonical: runs of
 * length zero, which some encoders write, are merged away, so that only the first may be zero.
 * STATUS_INVALID: their sum is not height x width. On failure *mask is zeroed. */
enum status mask_from_counts(uint32_t *counts, size_t count, int height, int width,
                             struct mask *mask, struct error *error);

#endif
