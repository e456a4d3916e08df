#include "api/mask_formats.h"

static void write_coordinates(struct text *text, const int32_t point[2]) {
    text_unsigned(text, (uint64_t)point[0]);
    text_append(text, ",", 1);
    text_unsigned(text, (uint64_t)point[1]);
}

/* COCO: x1, y1, x2, y2, and so on. */
static void write_flat(struct text *text, const struct outline *outline, const struct ring *ring) {
    text_append(text, "[", 1);
    for (size_t i = 0; i < ring->count; i++) {
        text_append(text, ",", i > 0);
        write_coordinates(text, outline->points[ring->first + i]);
    }
    text_append(text, "]", 1);
}

/* GeoJSON (RFC 7946, 3.1.6): positions, the first of them again as the last. */
static void write_closed(struct text *text, const struct outline *outline,
                         const struct ring *ring) {
    text_append(text, "[", 1);
    for (size_t i = 0; i <= ring->count; i++) {
        text_append(text, ",[", i > 0 ? 2 : 0);
        text_append(text, "[", i == 0);
        write_coordinates(text, outline->points[ring->first + i % ring->count]);
        text_append(text, "]", 1);
    }
    text_append(text, "]", 1);
}

/* A polygon is an outer ring; a part within a hole that is filled is a part no more. */
static void write_polygons(struct text *text, const struct outline *outline) {
    const char *separator = "";
    text_add(text, "[");
    for (size_t i = 0; i < outline->ring_count; i++) {
        const struct ring *ring = &outline->rings[i];
        if (ring->hole || ring->covered)
            continue;
        text_add(text, separator);
        write_flat(text, outline, ring);
        separator = ",";
    }
    text_add(text, "]");
}

/* A polygon is an outer ring and its holes. */
static void write_multi_polygon(struct text *text, const struct outline *outline) {
    text_add(text, "[");
    for (size_t i = 0; i < outline->ring_count; i++) {
        const struct ring *ring = &outline->rings[i];
        text_add(text, ring->hole ? "," : i > 0 ? "],[" : "[");
        write_closed(text, outline, ring);
    }
    text_add(text, outline->ring_count > 0 ? "]]" : "]");
}

void polygons_write(struct text *text, const struct mask *mask, bool holes, double simplify) {
    struct outline outline;
    if (mask_outline(mask, &outline, NULL) != STATUS_OK ||
        (simplify > 0 && outline_simplify(&outline, simplify, NULL) != STATUS_OK))
        text_fail(text);
    else if (holes)
        write_multi_polygon(text, &outline);
    else
        write_polygons(text, &outline);
    outline_free(&outline);
}
