#include <stdlib.h>
#include <string.h>

#include "engine/mask_runs.h"

/* What decides about a region; held at its first strip. */
struct region_sums {
    uint32_t area;
    bool at_border;
    bool kept;
    uint64_t first; /* where OpenCV meets it first */
};

/* OpenCV's labels, among which the first of the largest regions is taken, are in the order of the
 * image's rows of blocks of 2 x 2 pixels. */
static uint64_t block_of(const struct strip *strip, int width) {
    return (uint64_t)(strip->top / 2) * (((uint32_t)width + 1) / 2) + strip->x / 2;
}

static struct region_sums *sum_regions(const struct mask *mask, struct strips *strips) {
    struct region_sums *sums = calloc(strips->count ? strips->count : 1, sizeof *sums);
    for (uint32_t i = 0; sums && i < strips->count; i++) {
        const struct strip *strip = &strips->items[i];
        struct region_sums *region = &sums[strips_root(strips, i)];
        const uint64_t first = block_of(strip, mask->width);
        if (region->area == 0 || first < region->first)
            region->first = first;
        region->area += strip->bottom - strip->top;
        region->at_border |= strip->x == 0 || strip->x == (uint32_t)mask->width - 1 ||
                             strip->top == 0 || strip->bottom == (uint32_t)mask->height;
    }
    return sums;
}

/* Writes the strips of the regions that are kept as the runs of their colour. False: out of memory.
 */
static bool keep_regions(struct mask *mask, int colour, struct strips *strips,
                         const struct region_sums *sums) {
    const uint32_t height = (uint32_t)mask->height;
    struct run_writer writer;
    if (!run_writer_begin(&writer, 2 * strips->count + 1))
        return false;
    if (colour == 0)
        run_writer_change(&writer, 0);
    for (uint32_t i = 0; i < strips->count; i++) {
        const struct strip *strip = &strips->items[i];
        if (!sums[strips_root(strips, i)].kept)
            continue;
        run_writer_change(&writer, strip->x * height + strip->top);
        run_writer_change(&writer, strip->x * height + strip->bottom);
    }
    free(mask->counts);
    run_writer_finish(&writer, mask->height, mask->width, mask);
    return true;
}

/* ---- which regions stay ------------------------------------------------------------------ */

struct rule {
    int colour;         /* of the regions */
    size_t area_thresh; /* smaller ones go; 0: those that are not at the border */
    bool keep_largest;  /* when all would go */
};

static bool is_kept(const struct rule *rule, const struct region_sums *region) {
    return rule->area_thresh > 0 ? region->area >= rule->area_thresh : region->at_border;
}

/* Says how many regions go. */
static size_t choose(const struct rule *rule, const struct strips *strips,
                     struct region_sums *sums) {
    size_t gone = 0;
    bool any_kept = false;
    struct region_sums *largest = NULL;
    for (size_t i = 0; i < strips->count; i++) {
        struct region_sums *region = &sums[i];
        if (region->area == 0) /* not the region's first strip */
            continue;
        region->kept = is_kept(rule, region);
        any_kept |= region->kept;
        gone += !region->kept;
        if (!largest || region->area > largest->area ||
            (region->area == largest->area && region->first < largest->first))
            largest = region;
    }
    if (rule->keep_largest && largest && !any_kept)
        largest->kept = true;
    return gone;
}

static enum status apply(struct mask *mask, const struct rule *rule, bool *changed,
                         struct error *error) {
    struct strips strips;
    struct region_sums *sums = NULL;
    bool done = strips_make(mask, rule->colour, &strips);
    size_t gone = 0;
    if (done) {
        strips_connect(&strips, true);
        sums = sum_regions(mask, &strips);
        done = sums != NULL;
    }
    if (done) {
        gone = choose(rule, &strips, sums);
        done = gone == 0 || keep_regions(mask, rule->colour, &strips, sums);
    }
    free(sums);
    strips_free(&strips);
    if (changed)
        *changed = done && gone > 0;
    return done ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "out of memory");
}

enum status mask_remove_small_regions(struct mask *mask, size_t area_thresh, enum region region,
                                      bool *changed, struct error *error) {
    const bool islands = region == REGION_ISLANDS;
    const struct rule rule = {islands, area_thresh > 0 ? area_thresh : 1, islands};
    return apply(mask, &rule, changed, error);
}

enum status mask_fill_holes(struct mask *mask, bool *changed, struct error *error) {
    return apply(mask, &(struct rule){.colour = 0}, changed, error);
}
