/* The outline consists of the ends of strips, which are its horizontal sides of length 1, and of
 * vertical sides between them. Walking with the mask on the right, a top goes to the right and a
 * bottom to the left; where each one ends another begins, on the same line between columns. */
#include <stdlib.h>
#include <string.h>

#include "engine/mask_runs.h"

enum { WALKED = 1, OUTER = 2 }; /* what is known of an end */

struct tracer {
    struct strips strips;
    uint32_t *next; /* of an end: the one that the outline goes on with */
    uint8_t *known; /* of an end */
    uint32_t *part; /* of a ring: the first strip of its part of the mask */
    size_t ring_capacity;
    struct outline outline;
};

static bool is_top(uint32_t end) {
    return end % 2 == 0;
}

/* ---- where sides meet -------------------------------------------------------------------- */

/* Whether the outline, walked along, comes to the line from this end, rather than leaves by it. */
static bool arrives(const struct sweep *sweep, uint32_t end) {
    const bool left = sweep->strips->items[end / 2].x < sweep->x;
    return left == is_top(end);
}

static void join(struct tracer *tracer, const struct sweep *sweep, uint32_t a, uint32_t b) {
    if (arrives(sweep, a))
        tracer->next[a] = b;
    else
        tracer->next[b] = a;
    if (end_row(&tracer->strips, a) != end_row(&tracer->strips, b))
        tracer->outline.point_count += 2;
}

/* Four sides meet where two strips touch at a corner: the first two of three ends are to be joined.
 * The outline passes between the strips when they are of different parts; when they are of the same
 * it passes on both sides of the corner. Both ways it does not come to this corner again. */
static void resolve_corner(struct tracer *tracer, uint32_t *left, uint32_t *right) {
    const bool same =
        strips_root(&tracer->strips, *left / 2) == strips_root(&tracer->strips, *right / 2);
    if (same != is_top(*left)) {
        const uint32_t other = *left;
        *left = *right;
        *right = other;
    }
}

static void join_line(struct tracer *tracer, struct sweep *sweep) {
    uint32_t first, second, third;
    bool more = sweep_next(sweep, &first);
    while (more) {
        sweep_next(sweep, &second); /* there is one: columns that differ become the same again */
        more = sweep_next(sweep, &third);
        if (more && end_row(&tracer->strips, second) == end_row(&tracer->strips, third))
            resolve_corner(tracer, &second, &third);
        join(tracer, sweep, first, second);
        first = third;
    }
}

/* ---- rings ------------------------------------------------------------------------------- */

static void add_point(struct outline *outline, struct ring *ring, uint32_t x, uint32_t y) {
    int32_t *point = outline->points[ring->first + ring->count++];
    point[0] = (int32_t)x;
    point[1] = (int32_t)y;
}

static void walk(struct tracer *tracer, uint32_t start, struct ring *ring) {
    const struct strips *strips = &tracer->strips;
    uint32_t end = start;
    do {
        const uint32_t next = tracer->next[end], x = strips->items[end / 2].x + is_top(end);
        tracer->known[end] = WALKED | (ring->hole ? 0 : OUTER);
        if (end_row(strips, end) != end_row(strips, next)) {
            add_point(&tracer->outline, ring, x, end_row(strips, end));
            add_point(&tracer->outline, ring, x, end_row(strips, next));
        }
        end = next;
    } while (end != start);
}

static bool add_ring(struct tracer *tracer, struct ring **ring) {
    struct outline *outline = &tracer->outline;
    if (outline->ring_count == tracer->ring_capacity) {
        const size_t capacity = tracer->ring_capacity ? 2 * tracer->ring_capacity : 16;
        struct ring *rings = realloc(outline->rings, capacity * sizeof *rings);
        if (rings)
            outline->rings = rings;
        uint32_t *part = realloc(tracer->part, capacity * sizeof *part);
        if (part)
            tracer->part = part;
        if (!rings || !part)
            return false;
        tracer->ring_capacity = capacity;
    }
    *ring = &outline->rings[outline->ring_count++];
    return true;
}

/* The first end of a ring in the order of strips is a top, unless the ring is a hole's. */
static bool walk_all(struct tracer *tracer) {
    size_t points = 0;
    for (uint32_t end = 0; end < 2 * tracer->strips.count; end++) {
        struct ring *ring;
        if (tracer->known[end] & WALKED)
            continue;
        if (!add_ring(tracer, &ring))
            return false;
        *ring = (struct ring){.first = points, .hole = !is_top(end)};
        tracer->part[tracer->outline.ring_count - 1] = strips_root(&tracer->strips, end / 2);
        walk(tracer, end, ring);
        points += ring->count;
    }
    return true;
}

/* ---- rings in order ---------------------------------------------------------------------- */

/* Makes places[s] the ring with which the part that begins at strip s begins, once sorted. */
static void count_rings(const struct tracer *tracer, uint32_t *places) {
    uint32_t sum = 0;
    for (size_t i = 0; i < tracer->outline.ring_count; i++)
        places[tracer->part[i]]++;
    for (size_t s = 0; s < tracer->strips.count; s++) {
        const uint32_t count = places[s];
        places[s] = sum;
        sum += count;
    }
}

/* Marks the parts within holes of others: down a column, as many outer rings are open as tops of
 * such were passed, but not yet their bottoms. */
static void mark_covered(struct tracer *tracer, const uint32_t *places) {
    struct strips *strips = &tracer->strips;
    int open = 0;
    for (uint32_t i = 0; i < strips->count; i++) {
        if (i > 0 && strips->items[i].x != strips->items[i - 1].x)
            open = 0;
        if (tracer->known[2 * i] & OUTER && open++ > 0)
            tracer->outline.rings[places[strips_root(strips, i)]].covered = true;
        open -= (tracer->known[2 * i + 1] & OUTER) != 0;
    }
}

/* Puts each part's holes, which were met later than other parts, behind its outer ring. */
static bool sort_rings(struct tracer *tracer) {
    struct outline *outline = &tracer->outline;
    uint32_t *places = calloc(tracer->strips.count + 1, sizeof *places);
    struct ring *sorted = calloc(outline->ring_count + 1, sizeof *sorted);
    if (places && sorted) {
        count_rings(tracer, places);
        for (size_t i = 0; i < outline->ring_count; i++)
            sorted[places[tracer->part[i]]++] = outline->rings[i];
        memset(places, 0, tracer->strips.count * sizeof *places);
        count_rings(tracer, places);
        free(outline->rings);
        outline->rings = sorted;
        sorted = NULL;
        mark_covered(tracer, places);
    }
    const bool done = places && !sorted;
    free(sorted);
    free(places);
    return done;
}

static bool trace(const struct mask *mask, struct tracer *tracer) {
    struct sweep sweep;
    if (!strips_make(mask, 1, &tracer->strips))
        return false;
    const size_t ends = 2 * tracer->strips.count;
    tracer->next = calloc(ends + 1, sizeof *tracer->next);
    tracer->known = calloc(ends + 1, sizeof *tracer->known);
    if (!tracer->next || !tracer->known)
        return false;
    strips_connect(&tracer->strips, false);
    for (sweep_begin(&sweep, &tracer->strips); sweep.x <= (uint32_t)mask->width;
         sweep_advance(&sweep))
        join_line(tracer, &sweep);
    struct outline *outline = &tracer->outline;
    outline->points = calloc(outline->point_count + 1, sizeof *outline->points);
    return outline->points && walk_all(tracer) && sort_rings(tracer);
}

enum status mask_outline(const struct mask *mask, struct outline *outline, struct error *error) {
    struct tracer tracer = {0};
    const bool done = trace(mask, &tracer);
    if (!done)
        outline_free(&tracer.outline);
    strips_free(&tracer.strips);
    free(tracer.next);
    free(tracer.known);
    free(tracer.part);
    *outline = tracer.outline;
    return done ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "out of memory");
}

void outline_free(struct outline *outline) {
    free(outline->rings);
    free(outline->points);
    *outline = (struct outline){0};
}
