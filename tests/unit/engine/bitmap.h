/* bitmap: masks as bytes, to state in plain loops what the functions on runs must give. */
#ifndef TESTS_UNIT_ENGINE_BITMAP_H
#define TESTS_UNIT_ENGINE_BITMAP_H

#include "engine/mask.h"
#include "tests/unit/engine/naive.h"

struct bitmap {
    int height, width;
    uint8_t *pixels; /* [y][x], 0 or 1; owned */
};

struct bitmap bitmap_make(int height, int width);
void bitmap_free(struct bitmap *bitmap);

/* Noise, blobs, stripes, one colour: one of them, of a size of 1 to most on each side. */
struct bitmap bitmap_random(struct rng *rng, int most);

/* From text: rows of '0' and '1', each ended by a blank or the text's end. */
struct bitmap bitmap_of(const char *rows);

/* Owned by the caller. */
struct mask bitmap_mask(const struct bitmap *bitmap);

/* The mask is this bitmap, in counts of which only the first may be zero. */
void assert_mask_is(const struct mask *mask, const struct bitmap *bitmap);

/* Gives every pixel of a colour the number, from 1, of the region it is in, and 0 to all others;
 * regions are numbered as they are met in the order of rows. Says how many they are. */
int bitmap_label(const struct bitmap *bitmap, int colour, bool corners, int *labels);

#endif
