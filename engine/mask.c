#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/mask_runs.h"

void mask_free(struct mask *mask) {
    free(mask->counts);
    memset(mask, 0, sizeof *mask);
}

void segmentation_free(struct segmentation *segmentation) {
    for (int i = 0; i < segmentation->count; i++) {
        mask_free(&segmentation->segments[i].mask);
        free(segmentation->segments[i].logits);
    }
    memset(segmentation, 0, sizeof *segmentation);
}

size_t everything_bytes(const struct everything *everything) {
    size_t bytes = everything->count * sizeof *everything->masks;
    for (size_t i = 0; i < everything->count; i++)
        bytes += everything->masks[i].segment.mask.count * sizeof(uint32_t);
    return bytes;
}

static enum status clean(struct mask *mask, const struct cleaning *cleaning, struct error *error) {
    enum status status = STATUS_OK;
    if (cleaning->fill_holes && cleaning->min_area > 0)
        status = mask_remove_small_regions(mask, cleaning->min_area, REGION_HOLES, NULL, error);
    else if (cleaning->fill_holes)
        status = mask_fill_holes(mask, NULL, error);
    if (status == STATUS_OK && cleaning->min_area > 0)
        status = mask_remove_small_regions(mask, cleaning->min_area, REGION_ISLANDS, NULL, error);
    return status;
}

enum status segmentation_clean(struct segmentation *segmentation, const struct cleaning *cleaning,
                               struct error *error) {
    enum status status = STATUS_OK;
    const bool wanted = cleaning->fill_holes || cleaning->min_area > 0;
    for (int i = 0; wanted && i < segmentation->count && status == STATUS_OK; i++) {
        struct segment *segment = &segmentation->segments[i];
        status = clean(&segment->mask, cleaning, error);
        mask_describe(&segment->mask, &segment->area, segment->bbox);
    }
    return status;
}

void mask_describe(const struct mask *mask, size_t *area, int bbox[4]) {
    const uint32_t height = (uint32_t)mask->height;
    uint32_t left = UINT32_MAX, right = 0, top = UINT32_MAX, bottom = 0, at = 0;
    *area = 0;
    for (size_t i = 0; i < mask->count; at += mask->counts[i++]) {
        if (i % 2 == 0 || mask->counts[i] == 0)
            continue;
        const uint32_t last = at + mask->counts[i] - 1;
        const bool one_column = at / height == last / height;
        const uint32_t first_row = one_column ? at % height : 0;
        const uint32_t last_row = one_column ? last % height : height - 1;
        *area += mask->counts[i];
        left = left < at / height ? left : at / height;
        right = last / height;
        top = top < first_row ? top : first_row;
        bottom = bottom > last_row ? bottom : last_row;
    }
    memset(bbox, 0, 4 * sizeof *bbox);
    if (*area > 0) {
        bbox[0] = (int)left;
        bbox[1] = (int)top;
        bbox[2] = (int)(right - left + 1);
        bbox[3] = (int)(bottom - top + 1);
    }
}

/* ---- runs -------------------------------------------------------------------------------- */

bool run_writer_begin(struct run_writer *writer, size_t changes) {
    /* one more for the run behind the last change */
    *writer = (struct run_writer){.counts = calloc(changes + 1, sizeof *writer->counts)};
    return writer->counts != NULL;
}

void run_writer_finish(struct run_writer *writer, int height, int width, struct mask *mask) {
    const uint32_t pixels = (uint32_t)height * (uint32_t)width;
    if (writer->at < pixels || writer->count == 0)
        writer->counts[writer->count++] = pixels - writer->at;
    uint32_t *shrunk = realloc(writer->counts, writer->count * sizeof *shrunk);
    if (shrunk)
        writer->counts = shrunk;
    *mask = (struct mask){height, width, writer->count, writer->counts};
}

/* ---- strips ------------------------------------------------------------------------------ */

/* How many strips the runs of this colour are. */
static size_t count_strips(const struct mask *mask, int colour) {
    const uint32_t height = (uint32_t)mask->height;
    size_t strips = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < mask->count; at += mask->counts[i++])
        if ((int)(i % 2) == colour && mask->counts[i] > 0)
            strips += (at + mask->counts[i] - 1) / height - at / height + 1;
    return strips;
}

bool strips_make(const struct mask *mask, int colour, struct strips *strips) {
    const uint32_t height = (uint32_t)mask->height;
    const size_t count = count_strips(mask, colour);
    *strips = (struct strips){.items = calloc(count ? count : 1, sizeof *strips->items)};
    if (!strips->items)
        return false;
    uint32_t x = 0, y = 0;
    for (size_t i = 0; i < mask->count; i++) {
        uint32_t left = mask->counts[i];
        while (left > 0) {
            const uint32_t take = left < height - y ? left : height - y;
            if ((int)(i % 2) == colour) {
                strips->items[strips->count] =
                    (struct strip){x, y, y + take, (uint32_t)strips->count};
                strips->count++;
            }
            left -= take;
            y += take;
            if (y == height) {
                y = 0;
                x++;
            }
        }
    }
    return true;
}

void strips_free(struct strips *strips) {
    free(strips->items);
    *strips = (struct strips){0};
}

uint32_t strips_root(struct strips *strips, uint32_t i) {
    struct strip *items = strips->items;
    while (items[i].parent != i) {
        items[i].parent = items[items[i].parent].parent;
        i = items[i].parent;
    }
    return i;
}

static void unite(struct strips *strips, uint32_t a, uint32_t b) {
    a = strips_root(strips, a);
    b = strips_root(strips, b);
    strips->items[a > b ? a : b].parent = a < b ? a : b;
}

void strips_connect(struct strips *strips, bool corners) {
    const struct strip *items = strips->items;
    size_t before = 0; /* the strip of the column before that i is compared with */
    for (size_t i = 0; i < strips->count; i++) {
        while (items[before].x + 1 < items[i].x || (items[before].x + 1 == items[i].x &&
                                                    items[before].bottom + corners <= items[i].top))
            before++;
        for (size_t k = before;
             items[k].x + 1 == items[i].x && items[k].top < items[i].bottom + corners; k++)
            unite(strips, (uint32_t)k, (uint32_t)i);
    }
}

/* ---- lines between columns --------------------------------------------------------------- */

void sweep_begin(struct sweep *sweep, const struct strips *strips) {
    *sweep = (struct sweep){.strips = strips};
    while (sweep->right_end < 2 * strips->count && strips->items[sweep->right_end / 2].x == 0)
        sweep->right_end += 2;
}

void sweep_advance(struct sweep *sweep) {
    const struct strips *strips = sweep->strips;
    sweep->x++;
    sweep->left = sweep->right_begin;
    sweep->left_end = sweep->right = sweep->right_begin = sweep->right_end;
    while (sweep->right_end < 2 * strips->count &&
           strips->items[sweep->right_end / 2].x == sweep->x)
        sweep->right_end += 2;
}

bool sweep_next(struct sweep *sweep, uint32_t *end) {
    const bool left = sweep->left < sweep->left_end, right = sweep->right < sweep->right_end;
    if (!left && !right)
        return false;
    const bool take_left = left && (!right || end_row(sweep->strips, (uint32_t)sweep->left) <=
                                                  end_row(sweep->strips, (uint32_t)sweep->right));
    *end = (uint32_t)(take_left ? sweep->left++ : sweep->right++);
    return true;
}
