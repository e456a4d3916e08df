/* crops: where everything mode looks: crops of the image, and a grid of points in each
 * (utils/amg.py of Segment Anything: generate_crop_boxes, build_all_layer_point_grids,
 * is_box_near_crop_edge). */
#ifndef ENGINE_SAM_CROPS_H
#define ENGINE_SAM_CROPS_H

#include <stdbool.h>
#include <stddef.h>

struct crop {
    int x, y, width, height;
    int layer; /* 0: the image */
};

enum { CROPS_MAX = 1 + 4 + 16 + 64 }; /* of three layers */

/* The image, then 2^i x 2^i crops of each layer i, column by column; those without a pixel, which a
 * tiny image has, are left out. Crops of the first layer overlap by overlap_ratio of the image's
 * shorter side, those of the next by half of that, and so on. Returns how many there are; layers is
 * at most 3, overlap_ratio 0 .. 1. */
size_t crops_make(int width, int height, int layers, double overlap_ratio,
                  struct crop crops[CROPS_MAX]);

/* How many points a side of the layer's grid has; may be 0. */
int grid_side(int points_per_side, int layer, int downscale_factor);

/* Point index < side x side of the grid, row by row, in the crop's pixels. */
void grid_point(const struct crop *crop, int side, size_t index, float point[2]);

/* Whether a box in the image's pixels, x, y, width, height as of struct segment, ends close to an
 * edge of the crop that is not one of the image: what it holds is cut off there. */
bool crop_cuts_box(const struct crop *crop, const int box[4], int width, int height);

#endif
