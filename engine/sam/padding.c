#include "engine/sam/padding.h"

#include <string.h>

enum { FILL_ROWS = 8 }; /* of a tile */

/* None, unless first < end. */
static struct repeat repeat_of(size_t first, size_t end, size_t period) {
    return first < end ? (struct repeat){first, end, period} : (struct repeat){0, 0, 1};
}

static bool repeats(struct repeat repeat) {
    return repeat.first < repeat.end;
}

static size_t divide_up(size_t n, size_t by) {
    return (n + by - 1) / by;
}

struct repeat repeat_of_pixels(size_t there, size_t side) {
    return repeat_of(there + 1, side, 1);
}

struct repeat repeat_after_conv3x3(struct repeat input, size_t stride) {
    if (input.period == 1) { /* which is also a period of `stride`, from a little later on */
        input.first += stride - 1;
        input.period = stride;
    }
    if (!repeats(input) || input.period % stride != 0)
        return repeat_of(0, 0, 1);
    /* output y reads stride * y - 1 .. stride * y + 1, all of which must repeat */
    return repeat_of(divide_up(input.first + 1, stride), (input.end - 2) / stride + 1,
                     input.period / stride);
}

struct repeat repeat_in_windows(struct repeat input, size_t window) {
    if (!repeats(input) || window % input.period != 0)
        return repeat_of(0, 0, 1);
    /* a window's rows must equal those of the window before it; with a shorter period than the
     * window's, that takes both windows */
    size_t before = input.period < window ? window - input.period : 0;
    return repeat_of(divide_up(input.first + before, window), input.end / window, 1);
}

struct repeat repeat_after_windows(struct repeat input, size_t window) {
    struct repeat windows = repeat_in_windows(input, window);
    return repeat_of(windows.first * window, windows.end * window, window);
}

struct span span_without(struct span span, struct repeat repeat) {
    if (repeat.first <= span.first && span.end <= repeat.end)
        span.end = span.first;
    else if (repeat.first <= span.first && span.first < repeat.end)
        span.first = repeat.end;
    else if (repeat.first < span.end && span.end <= repeat.end)
        span.end = repeat.first;
    return span;
}

size_t repeat_kept(struct repeat repeat, size_t side) {
    return side - (repeat.end - repeat.first);
}

size_t repeat_position(struct repeat repeat, size_t index) {
    return index < repeat.first ? index : index + (repeat.end - repeat.first);
}

/* ---- copying ----------------------------------------------------------------------------- */

struct fill {
    const struct repeats *repeats;
    float *layer;
    size_t side, channels;
};

/* The computed position that one which repeats is equal to. */
static size_t source_of(struct repeat repeat, size_t position) {
    if (position < repeat.first || position >= repeat.end)
        return position;
    return repeat.first - repeat.period + (position - repeat.first) % repeat.period;
}

static void fill_tile(void *argument, size_t index, struct worker *worker) {
    (void)worker;
    const struct fill *fill = argument;
    struct repeat columns = fill->repeats->columns;
    size_t c = fill->channels, side = fill->side, end = (index + 1) * FILL_ROWS;
    for (size_t y = index * FILL_ROWS; y < side && y < end; y++) {
        float *row = fill->layer + y * side * c;
        const float *source = fill->layer + source_of(fill->repeats->rows, y) * side * c;
        if (source != row) {
            memcpy(row, source, columns.first * c * sizeof *row);
            memcpy(row + columns.end * c, source + columns.end * c,
                   (side - columns.end) * c * sizeof *row);
        }
        for (size_t x = columns.first; x < columns.end; x++)
            memcpy(row + x * c, row + source_of(columns, x) * c, c * sizeof *row);
    }
}

void repeats_fill(const struct repeats *repeats, struct worker *worker, float *layer, size_t side,
                  size_t channels) {
    struct fill fill = {repeats, layer, side, channels};
    if (repeats->rows.first < repeats->rows.end || repeats->columns.first < repeats->columns.end)
        worker_parallel_for(worker, (side + FILL_ROWS - 1) / FILL_ROWS, fill_tile, &fill);
}
