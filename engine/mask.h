/* mask: binary masks as runs, and what can be done to them without ever making a bitmap.
 *
 * The work is in proportion to the runs and to the image's sides, never to its pixels. */
#ifndef ENGINE_MASK_H
#define ENGINE_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

/* Runs down the columns, one column after the other, the first run of zeros: the counts of COCO's
 * uncompressed RLE. */
struct mask {
    int height, width;
    size_t count;
    uint32_t *counts; /* owned, released by mask_free; their sum is height x width */
};

void mask_free(struct mask *mask); /* zeroes it; a zeroed mask may be freed again */

/* The pixels that are set, and where: x, y, width, height, as COCO's toBbox (cocoapi,
 * common/maskApi.c, rleToBbox); zeros when there are none. */
void mask_describe(const struct mask *mask, size_t *area, int bbox[4]);

enum region {
    REGION_HOLES,  /* of pixels that are not set; also the one around the mask, and at the border */
    REGION_ISLANDS /* of pixels that are */
};

/* Flips the regions of fewer than area_thresh pixels, which are connected also by corners: as
 * remove_small_regions in utils/amg.py of Segment Anything. When all islands are too small the
 * largest stays. *changed, which may be NULL, says that there were small regions. On failure the
 * mask is as it was. STATUS_NO_MEMORY. */
enum status mask_remove_small_regions(struct mask *mask, size_t area_thresh, enum region region,
                                      bool *changed, struct error *error);

/* Sets every hole, of whatever size, that does not touch the border. Otherwise as above. */
enum status mask_fill_holes(struct mask *mask, bool *changed, struct error *error);

/* The mirror image along the diagonal: its columns are the mask's rows, so its counts are the
 * row-major runs of the mask. Few runs may become as many as the mask has pixels, so max_runs
 * bounds them. On STATUS_OK the caller owns *transposed; otherwise it is zeroed. STATUS_TOO_LARGE:
 * about max_runs or more. STATUS_NO_MEMORY. */
enum status mask_transpose(const struct mask *mask, size_t max_runs, struct mask *transposed,
                           struct error *error);

/* ---- outlines ---------------------------------------------------------------------------- */

struct ring {
    size_t first, count; /* of the outline's points; at least 3, the last not the first again */
    bool hole;           /* of the outer ring before it */
    bool covered;        /* an outer ring that lies in a hole of another */
};

/* Closed rings along the edges of pixels: the one at (x, y) covers [x, x + 1] x [y, y + 1], so
 * every corner is of whole numbers. Each part of the mask, connected by edges, has one outer ring
 * and after it its holes. No ring meets a corner twice or crosses another, so that parts and holes
 * are polygons as OGC's Simple Features and RFC 7946 want them: outer rings have a positive area
 * (the sum of x1 y2 - x2 y1 over their sides), holes a negative one. On a screen, where y goes
 * down, outer rings run clockwise. */
struct outline {
    size_t ring_count, point_count; /* of all rings */
    struct ring *rings;             /* owned: outline_free */
    int32_t (*points)[2];           /* x, y; owned */
};

/* On STATUS_OK the caller owns *outline; otherwise it is zeroed. STATUS_NO_MEMORY. */
enum status mask_outline(const struct mask *mask, struct outline *outline, struct error *error);
void outline_free(struct outline *outline); /* zeroes it */

/* Drops points, so that no dropped one is farther than tolerance (pixels) from what replaces it
 * (Ramer 1972; Douglas and Peucker 1973). Each ring keeps two points that lie far apart, and a
 * third. Simplified rings may touch or cross. On failure nothing is dropped. STATUS_NO_MEMORY. */
enum status outline_simplify(struct outline *outline, double tolerance, struct error *error);

#endif
