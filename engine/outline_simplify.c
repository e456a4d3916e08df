#include <stdlib.h>
#include <string.h>

#include "engine/mask.h"

/* A ring at work; its points are counted from `first` on, and around. */
struct line {
    int32_t (*points)[2]; /* of the ring */
    size_t count, first;
    bool *kept; /* in the order of points */
};

/* Points from to to, with none between them looked at yet. */
struct span {
    size_t from, to;
};

static const int32_t *point_at(const struct line *line, size_t i) {
    return line->points[(line->first + i) % line->count];
}

static double square_distance(const int32_t *a, const int32_t *b) {
    const double dx = (double)a[0] - b[0], dy = (double)a[1] - b[1];
    return dx * dx + dy * dy;
}

/* Squared, of p to the segment from a to b. */
static double segment_distance(const int32_t *p, const int32_t *a, const int32_t *b) {
    const double dx = (double)b[0] - a[0], dy = (double)b[1] - a[1];
    const double along = ((double)p[0] - a[0]) * dx + ((double)p[1] - a[1]) * dy;
    const double length = dx * dx + dy * dy;
    if (along <= 0)
        return square_distance(p, a);
    if (along >= length)
        return square_distance(p, b);
    const double across = ((double)p[0] - a[0]) * dy - ((double)p[1] - a[1]) * dx;
    return across * across / length;
}

/* Of the points between, the one that is the farthest from the segment; squared, how far. */
static double find_farthest(const struct line *line, struct span span, size_t *farthest) {
    const int32_t *a = point_at(line, span.from), *b = point_at(line, span.to);
    double most = -1;
    for (size_t i = span.from + 1; i < span.to; i++) {
        const double distance = segment_distance(point_at(line, i), a, b);
        if (distance > most) {
            most = distance;
            *farthest = i;
        }
    }
    return most;
}

/* Says how many points it keeps between. The spans have room for as many as the ring has points. */
static size_t divide(struct line *line, struct span whole, double tolerance, struct span *spans) {
    size_t kept = 0, open = 0;
    spans[open++] = whole;
    while (open > 0) {
        const struct span span = spans[--open];
        size_t middle;
        if (span.to - span.from < 2 || find_farthest(line, span, &middle) <= tolerance * tolerance)
            continue;
        line->kept[(line->first + middle) % line->count] = true;
        kept++;
        spans[open++] = (struct span){middle, span.to};
        spans[open++] = (struct span){span.from, middle};
    }
    return kept;
}

/* The leftmost point, of several the highest: it is a corner of the convex hull. */
static size_t find_corner(const struct line *line) {
    size_t corner = 0;
    for (size_t i = 1; i < line->count; i++) {
        const int32_t *a = line->points[i], *b = line->points[corner];
        if (a[0] < b[0] || (a[0] == b[0] && a[1] < b[1]))
            corner = i;
    }
    return corner;
}

static size_t find_opposite(const struct line *line) {
    size_t opposite = 1;
    double most = -1;
    for (size_t i = 1; i < line->count; i++) {
        const double distance = square_distance(point_at(line, 0), point_at(line, i));
        if (distance > most) {
            most = distance;
            opposite = i;
        }
    }
    return opposite;
}

static void choose(struct line *line, double tolerance, struct span *spans) {
    line->first = find_corner(line);
    const size_t opposite = find_opposite(line);
    const struct span there = {0, opposite}, back = {opposite, line->count};
    line->kept[line->first] = true;
    line->kept[(line->first + opposite) % line->count] = true;
    if (divide(line, there, tolerance, spans) + divide(line, back, tolerance, spans) > 0)
        return;
    size_t one = 0, other = 0;
    const double far = find_farthest(line, there, &one), as_far = find_farthest(line, back, &other);
    line->kept[(line->first + (far > as_far ? one : other)) % line->count] = true;
}

enum status outline_simplify(struct outline *outline, double tolerance, struct error *error) {
    size_t longest = 0;
    for (size_t i = 0; i < outline->ring_count; i++)
        longest = outline->rings[i].count > longest ? outline->rings[i].count : longest;
    bool *kept = calloc(longest + 1, sizeof *kept);
    struct span *spans = calloc(longest + 1, sizeof *spans);
    if (!kept || !spans) {
        free(kept);
        free(spans);
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    }
    outline->point_count = 0;
    for (size_t i = 0; i < outline->ring_count; i++) {
        struct ring *ring = &outline->rings[i];
        struct line line = {outline->points + ring->first, ring->count, 0, kept};
        memset(kept, 0, line.count * sizeof *kept);
        choose(&line, tolerance, spans);
        ring->count = 0;
        for (size_t k = 0; k < line.count; k++)
            if (line.kept[k])
                memmove(&line.points[ring->count++], &line.points[k], sizeof *line.points);
        outline->point_count += ring->count;
    }
    free(kept);
    free(spans);
    return STATUS_OK;
}
