/* mask_column: one image column of a mask, from the mask's low-resolution logits.
 *
 * A coordinate of the image is a weighted sum (taps) of three neighbours of the low resolution, and
 * a pixel therefore a sum of three columns' values, each a sum of three logits. Each product and
 * each sum, from the left, is rounded to a float; a pixel whose three column values lie on one side
 * of a threshold lies there too. So the mask is the same to the last bit with every instruction
 * set. */
#ifndef ENGINE_KERNELS_MASK_COLUMN_H
#define ENGINE_KERNELS_MASK_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOW_RES = 256,                /* the side of the low resolution */
    LOW_RES_WORDS = LOW_RES / 64, /* of a set with a bit for each low-resolution row */
    LOW_RES_BLOCK = 16,           /* rows whose extremes are known */
    LOW_RES_BLOCKS = LOW_RES / LOW_RES_BLOCK,
};

/* The mask's own threshold, and those of its stability score. */
enum { MASK_ITSELF, MASK_TIGHT, MASK_LOOSE, MASK_THRESHOLDS };

/* One image coordinate: the sum of weight[k] * low[base + k]. */
struct mask_taps {
    int base;
    float weight[3]; /* not negative */
};

/* The image's rows among those of the low resolution. */
struct mask_rows {
    int height;
    const float *weights; /* [3][stride]: of the rows' taps */
    size_t stride;        /* at least height + KERNEL_CHANNEL_STEP; what is beyond height is read */
    int first[LOW_RES + 1];           /* rows with base b are first[b] .. first[b + 1] - 1 */
    int blocks;                       /* that rows reach into; the rest is padding */
    uint64_t occupied[LOW_RES_WORDS]; /* the bases that have rows */
    uint64_t isolated[LOW_RES_WORDS]; /* the same if one between them has none; otherwise empty */
};

struct mask_logits {
    float columns[LOW_RES][LOW_RES];        /* [x][y] */
    float lowest[LOW_RES][LOW_RES_BLOCKS];  /* of each block, [x][block] */
    float highest[LOW_RES][LOW_RES_BLOCKS]; /* the same */
    bool finite;                            /* all are; otherwise the extremes are not used */
};

#endif
