#include <math.h>
#include <string.h>

#include "engine/sam/prompt_encoder.h"

/* One axis of the way from image pixels to low-resolution cells. */
struct axis {
    double cells_per_pixel;
    double end; /* where the image ends, in cells */
};

static struct axis axis_of(int pixels, int scaled) {
    double end = (double)scaled / 4;
    return (struct axis){end / pixels, end};
}

/* Adds to covered[cell] how much of the cell lies within the pixels first <= pixel < last. */
static void cover(const struct axis *axis, double first, double last, float *covered) {
    double from = first * axis->cells_per_pixel, to = last * axis->cells_per_pixel;
    for (int cell = (int)from; cell < SAM_LOW_RES && cell < to; cell++) {
        double low = from > cell ? from : cell, high = to < cell + 1 ? to : cell + 1;
        covered[cell] += (float)(high - low);
    }
}

/* Adds image column x, whose rows cover the cells as `rows` says. */
static void add_column(const struct axis *across, int x, const float *rows, float *covered) {
    float columns[SAM_LOW_RES] = {0};
    cover(across, x, x + 1, columns);
    for (int cell = (int)(x * across->cells_per_pixel); cell < SAM_LOW_RES && columns[cell] > 0;
         cell++)
        for (int row = 0; row < SAM_LOW_RES; row++)
            covered[row * SAM_LOW_RES + cell] += columns[cell] * rows[row];
}

/* How much of a cell lies on the image: 1, less at the edge, 0 in the padding. */
static double on_image(const struct axis *axis, int cell) {
    double part = axis->end - cell;
    return part > 1 ? 1 : part < 0 ? 0 : part;
}

static void coverage_to_logits(const struct axis *across, const struct axis *down, float *cells) {
    for (int row = 0; row < SAM_LOW_RES; row++) {
        for (int cell = 0; cell < SAM_LOW_RES; cell++, cells++) {
            double whole = on_image(across, cell) * on_image(down, row);
            double share = whole > 0 ? *cells / whole : 0.5;
            share = share < 0.001 ? 0.001 : share > 0.999 ? 0.999 : share;
            *cells = (float)log(share / (1 - share));
        }
    }
}

void prior_mask_logits(const struct mask *mask, const struct geometry *geometry, float *logits) {
    struct axis across = axis_of(mask->width, geometry->scaled_width);
    struct axis down = axis_of(mask->height, geometry->scaled_height);
    size_t run = 0, left = mask->count ? mask->counts[0] : 0;
    memset(logits, 0, sizeof *logits * SAM_LOW_RES * SAM_LOW_RES);
    for (int x = 0; x < mask->width; x++) {
        float rows[SAM_LOW_RES] = {0};
        size_t y = 0, height = (size_t)mask->height;
        while (y < height) {
            while (left == 0 && run + 1 < mask->count)
                left = mask->counts[++run];
            size_t take = left < height - y ? left : height - y;
            if (take == 0)
                break; /* fewer counts than pixels: the caller checked that there are not */
            if (run % 2 == 1)
                cover(&down, (double)y, (double)(y + take), rows);
            y += take;
            left -= take;
        }
        add_column(&across, x, rows, logits);
    }
    coverage_to_logits(&across, &down, logits);
}
