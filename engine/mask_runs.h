/* mask_runs: the parts that the functions on masks are made of. Internal to engine/. */
#ifndef ENGINE_MASK_RUNS_H
#define ENGINE_MASK_RUNS_H

#include "engine/mask.h"

/* Runs from the places where the colour changes, in ascending order. */
struct run_writer {
    uint32_t *counts;
    size_t count;
    uint32_t at; /* pixels that the counts cover */
};

/* Room for so many changes. False: out of memory. */
bool run_writer_begin(struct run_writer *writer, size_t changes);

/* The colour changes before this pixel. Two changes at one place are none. */
static inline void run_writer_change(struct run_writer *writer, uint32_t at) {
    if (at == writer->at && writer->count > 0) {
        writer->at -= writer->counts[--writer->count];
    } else {
        writer->counts[writer->count++] = at - writer->at;
        writer->at = at;
    }
}

/* The counts become the mask's, up to its last pixel. */
void run_writer_finish(struct run_writer *writer, int height, int width, struct mask *mask);

/* The runs of one colour, cut at the ends of the columns, in the mask's order. */
struct strip {
    uint32_t x, top, bottom; /* rows top <= y < bottom */
    uint32_t parent;         /* of a union-find forest; a root is its own, and its region's first */
};

struct strips {
    size_t count;
    struct strip *items; /* owned: strips_free */
};

/* colour 0 or 1. Each strip is a region of its own. False: out of memory. */
bool strips_make(const struct mask *mask, int colour, struct strips *strips);
void strips_free(struct strips *strips);

/* Unites strips of neighbouring columns that share an edge; with corners, also those that meet at a
 * corner. */
void strips_connect(struct strips *strips, bool corners);

/* The first strip of the region that strip i belongs to. */
uint32_t strips_root(struct strips *strips, uint32_t i);

/* An end of a strip is 2 i for the top of strip i, and 2 i + 1 for its bottom. */
static inline uint32_t end_row(const struct strips *strips, uint32_t end) {
    const struct strip *strip = &strips->items[end / 2];
    return end % 2 ? strip->bottom : strip->top;
}

/* The ends of strips on both sides of a line between two columns. Where the columns differ in
 * colour, from the first end to the second, from the third to the fourth, runs the mask's outline.
 */
struct sweep {
    const struct strips *strips;
    uint32_t x; /* of the column on the right */
    size_t left, left_end, right_begin, right, right_end;
};

/* On the left side of column 0; on to the next. */
void sweep_begin(struct sweep *sweep, const struct strips *strips);
void sweep_advance(struct sweep *sweep);

/* The next end downwards, of two in one row the left one first. False: there are no more. */
bool sweep_next(struct sweep *sweep, uint32_t *end);

#endif
