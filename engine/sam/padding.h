/* padding: which part of a layer repeats itself because the image does not fill the encoder's
 * square.
 *
 * Below or right of the image all pixels are zero, and there a convolution gives the same values
 * again and again, but near the square's border. Such rows (columns) are computed once and copied:
 * the result is the same to the bit. What each layer does to them:
 *
 *   3x3 convolution   reads one row more on both sides
 *   window attention  windows of equal rows give equal results; within a window the rows differ,
 *                     for their relative positions do: from here on rows repeat with the window's
 *                     period */
#ifndef ENGINE_SAM_PADDING_H
#define ENGINE_SAM_PADDING_H

#include <stddef.h>

#include "engine/parallel.h"

/* Along one axis of a layer, each position of first .. end - 1 equals the one `period` before it.
 * first = end: nothing repeats. */
struct repeat {
    size_t first, end, period;
};

struct repeats {
    struct repeat rows, columns;
};

/* Positions first .. end - 1 of an axis. */
struct span {
    size_t first, end;
};

/* Of pixels along an axis of the square, of which the image has `there`. */
struct repeat repeat_of_pixels(size_t there, size_t side);

/* After a 3x3 convolution with padding 1. */
struct repeat repeat_after_conv3x3(struct repeat input, size_t stride);

/* After windows that lie side by side from position 0 on; also in units of windows. */
struct repeat repeat_after_windows(struct repeat input, size_t window);
struct repeat repeat_in_windows(struct repeat input, size_t window);

/* What of a span is to be computed; positions in the midst of it that repeat are computed too. */
struct span span_without(struct span span, struct repeat repeat);

/* The positions that are to be computed of `side`: how many, and the index-th. */
size_t repeat_kept(struct repeat repeat, size_t side);
size_t repeat_position(struct repeat repeat, size_t index);

/* Copies what repeats, in a layer [side][side][channels] of which the rest is there. */
void repeats_fill(const struct repeats *repeats, struct worker *worker, float *layer, size_t side,
                  size_t channels);

#endif
