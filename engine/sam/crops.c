#include "engine/sam/crops.h"

#include <math.h>
#include <stdlib.h>

/* One axis of a layer's crops. */
struct axis {
    int length, step;
};

static struct axis divide(int size, int count, int overlap) {
    const long long covered = (long long)overlap * (count - 1) + size;
    const int length = (int)((covered + count - 1) / count);
    return (struct axis){length, length - overlap};
}

size_t crops_make(int width, int height, int layers, double overlap_ratio,
                  struct crop crops[CROPS_MAX]) {
    const int shorter = width < height ? width : height;
    size_t made = 0;
    crops[made++] = (struct crop){0, 0, width, height, 0};
    for (int layer = 1; layer <= layers; layer++) {
        const int count = 1 << layer;
        const int overlap = (int)(overlap_ratio * shorter * (2.0 / count));
        const struct axis across = divide(width, count, overlap),
                          down = divide(height, count, overlap);
        for (int i = 0; i < count * count; i++) {
            const int x = i / count * across.step, y = i % count * down.step;
            const int right = x + across.length < width ? x + across.length : width;
            const int bottom = y + down.length < height ? y + down.length : height;
            if (right > x && bottom > y)
                crops[made++] = (struct crop){x, y, right - x, bottom - y, layer};
        }
    }
    return made;
}

int grid_side(int points_per_side, int layer, int downscale_factor) {
    return (int)(points_per_side / pow(downscale_factor, layer));
}

/* numpy.linspace from half a step within to half a step within. */
static double share(int side, size_t index) {
    const double margin = 1.0 / (2.0 * side);
    if (side == 1)
        return margin;
    return margin + (double)index * ((1.0 - 2.0 * margin) / (side - 1));
}

void grid_point(const struct crop *crop, int side, size_t index, float point[2]) {
    point[0] = (float)(share(side, index % (size_t)side) * crop->width);
    point[1] = (float)(share(side, index / (size_t)side) * crop->height);
}

bool crop_cuts_box(const struct crop *crop, const int box[4], int width, int height) {
    enum { NEAR = 20 };
    /* the original's boxes end with their last pixel */
    const int ends[4] = {box[0], box[1], box[0] + box[2] - 1, box[1] + box[3] - 1};
    const int edges[4] = {crop->x, crop->y, crop->x + crop->width, crop->y + crop->height};
    const int borders[4] = {0, 0, width, height};
    for (int i = 0; i < 4; i++)
        if (abs(ends[i] - edges[i]) <= NEAR && abs(ends[i] - borders[i]) > NEAR)
            return true;
    return false;
}
