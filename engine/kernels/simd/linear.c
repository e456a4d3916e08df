#include "engine/kernels/simd/kernels_isa.h"
#include "engine/kernels/simd/linear_block.h"

/* A stretch of the depth whose panels stay in the first-level cache while all rows use them: 20 KB.
 */
enum { DEPTH = 320 / BLOCK_PANELS };

/* A part of the depth: pieces of x's rows, and the panels' rows that belong to them. */
struct part {
    const float *x[LINEAR_PIECES_MAX];
    size_t pieces, length; /* of one piece */
    size_t from;           /* the panels' row that it begins at */
    bool first, last;
};

static ALWAYS_INLINE void block(size_t rows, size_t panels, const struct packed_linear *linear,
                                const struct linear_rows *job, const struct part *part, size_t row,
                                size_t out) {
    vfloat sums[BLOCK_ROWS][BLOCK_VECTORS];
    struct panels weights = {linear->panels + out * linear->in + part->from * PANEL, PANEL,
                             PANEL * linear->in};
    clear_block(rows, panels, sums);
    for (size_t i = 0; i < part->pieces; i++, weights.at += part->length * PANEL)
        if (part->x[i])
            multiply(rows, panels, part->x[i] + row * job->x_stride, job->x_stride, part->length,
                     weights, sums);
    finish_block(rows, panels, linear, job, (struct position){row, out, part->first}, sums);
}

static void run_part(const struct packed_linear *linear, const struct linear_rows *job,
                     const struct part *part, size_t out, size_t panels) {
    for (size_t row = 0, rows; row < job->rows; row += rows) {
        rows = block_rows(job->rows - row);
        if (panels == BLOCK_PANELS)
            WITH_CONSTANT_ROWS(rows, block, BLOCK_PANELS, linear, job, part, row, out)
        else
            WITH_CONSTANT_ROWS(rows, block, 1, linear, job, part, row, out)
        if (part->last)
            activate_block(job, rows, panels, row, out);
    }
}

/* Some panels of the result: the depth in one part if it is short, otherwise each piece in parts of
 * its own. */
static void run_panels(const struct packed_linear *linear, const struct linear_rows *job,
                       size_t out, size_t panels) {
    size_t length = linear->in / job->pieces;
    if (linear->in <= DEPTH) {
        struct part whole = {{job->x[0], job->x[1], job->x[2]}, job->pieces, length, 0, true, true};
        run_part(linear, job, &whole, out, panels);
        return;
    }
    size_t parts = (length + DEPTH - 1) / DEPTH, step = (length + parts - 1) / parts;
    for (size_t piece = 0; piece < job->pieces; piece++) {
        for (size_t from = 0; from < length; from += step) {
            size_t end = from + step < length ? from + step : length;
            struct part part = {
                .x = {job->x[piece] ? job->x[piece] + from : NULL},
                .pieces = 1,
                .length = end - from,
                .from = piece * length + from,
                .first = piece == 0 && from == 0,
                .last = piece + 1 == job->pieces && end == length,
            };
            run_part(linear, job, &part, out, panels);
        }
    }
}

void KERNEL(linear)(const struct packed_linear *linear, const struct linear_rows *job) {
    if (linear->panels_bf16) {
        KERNEL(linear_bf16)(linear, job);
        return;
    }
    for (size_t out = 0, panels; out < linear->out; out += panels * PANEL) {
        panels = linear->out - out >= BLOCK_PANELS * PANEL ? BLOCK_PANELS : 1;
        run_panels(linear, job, out, panels);
    }
}
