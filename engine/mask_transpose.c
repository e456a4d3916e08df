#include <stdlib.h>
#include <string.h>

#include "engine/mask_runs.h"

/* The columns before which the colour of a row changes, row after row. */
struct changes {
    uint32_t *columns;
    size_t *ends; /* of each row's, in columns; while they are gathered: what is there so far */
};

/* The pairs of ends on the line between rows of which the columns differ. */
static bool next_difference(struct sweep *sweep, uint32_t *from, uint32_t *to) {
    uint32_t first, second;
    if (!sweep_next(sweep, &first) || !sweep_next(sweep, &second))
        return false;
    *from = end_row(sweep->strips, first);
    *to = end_row(sweep->strips, second);
    return true;
}

/* Makes ends[y] the place where the changes of row y begin. */
static size_t count_changes(const struct mask *mask, const struct strips *strips, size_t *ends) {
    struct sweep sweep;
    uint32_t from, to;
    for (sweep_begin(&sweep, strips); sweep.x <= (uint32_t)mask->width; sweep_advance(&sweep)) {
        while (next_difference(&sweep, &from, &to)) {
            ends[from]++; /* from here on one more; unsigned, so that a sum may pass below zero */
            ends[to]--;
        }
    }
    size_t changes = 0, sum = 0;
    for (int y = 0; y < mask->height; y++) {
        changes += ends[y];
        ends[y] = sum;
        sum += changes;
    }
    return sum;
}

static void gather_changes(const struct mask *mask, const struct strips *strips,
                           struct changes *changes) {
    struct sweep sweep;
    uint32_t from, to;
    for (sweep_begin(&sweep, strips); sweep.x <= (uint32_t)mask->width; sweep_advance(&sweep))
        while (next_difference(&sweep, &from, &to))
            for (uint32_t y = from; y < to; y++)
                changes->columns[changes->ends[y]++] = sweep.x;
}

static void write_rows(const struct mask *mask, const struct changes *changes,
                       struct run_writer *writer) {
    const uint32_t width = (uint32_t)mask->width;
    size_t i = 0;
    for (uint32_t y = 0; y < (uint32_t)mask->height; y++)
        for (; i < changes->ends[y]; i++)
            run_writer_change(writer, y * width + changes->columns[i]);
}

static bool make_rows(const struct mask *mask, const struct strips *strips, size_t count,
                      struct changes *changes, struct mask *transposed) {
    struct run_writer writer;
    changes->columns = calloc(count ? count : 1, sizeof *changes->columns);
    if (!changes->columns || !run_writer_begin(&writer, count))
        return false;
    gather_changes(mask, strips, changes);
    write_rows(mask, changes, &writer);
    run_writer_finish(&writer, mask->width, mask->height, transposed);
    return true;
}

enum status mask_transpose(const struct mask *mask, size_t max_runs, struct mask *transposed,
                           struct error *error) {
    struct changes changes = {.ends = calloc((size_t)mask->height + 1, sizeof *changes.ends)};
    struct strips strips = {0};
    enum status status = STATUS_NO_MEMORY;
    *transposed = (struct mask){0};
    if (changes.ends && strips_make(mask, 1, &strips)) {
        const size_t count = count_changes(mask, &strips, changes.ends);
        if (count >= max_runs)
            status = STATUS_TOO_LARGE;
        else if (make_rows(mask, &strips, count, &changes, transposed))
            status = STATUS_OK;
    }
    free(changes.columns);
    free(changes.ends);
    strips_free(&strips);
    if (status == STATUS_TOO_LARGE)
        error_set(error, status, "the mask has more than %zu runs", max_runs);
    else if (status != STATUS_OK)
        error_set(error, status, "out of memory");
    return status;
}
