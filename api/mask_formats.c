#include "api/mask_formats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"

static const char *const names[FORMAT_COUNT] = {
    [FORMAT_COCO_RLE] = "coco_rle", [FORMAT_COCO_RLE_UNCOMPRESSED] = "coco_rle_uncompressed",
    [FORMAT_POLYGON] = "polygon",   [FORMAT_POLYGON_HOLES] = "polygon_holes",
    [FORMAT_PNG] = "png",           [FORMAT_LABELSTUDIO_RLE] = "labelstudio_rle",
    [FORMAT_CVAT_RLE] = "cvat_rle",
};

const char *mask_format_name(enum mask_format format) {
    return names[format];
}

enum mask_format mask_format_find(const char *name) {
    enum mask_format format = 0;
    while (format < FORMAT_COUNT && strcmp(names[format], name) != 0)
        format++;
    return format;
}

/* ---- writing ----------------------------------------------------------------------------- */

static void write_coco(struct text *text, const struct mask *mask, bool compressed) {
    text_format(text, "{\"size\":[%d,%d],\"counts\":", mask->height, mask->width);
    if (compressed) {
        char *counts = coco_rle_encode(mask);
        if (counts)
            text_string(text, counts); /* its alphabet has a backslash */
        else
            text_fail(text);
        free(counts);
    } else {
        text_add(text, "[");
        for (size_t i = 0; i < mask->count; i++) {
            text_append(text, ",", i > 0);
            text_unsigned(text, mask->counts[i]);
        }
        text_add(text, "]");
    }
    text_add(text, "}");
}

static void write_png(struct text *text, const struct mask *mask) {
    size_t size;
    char *png = mask_png_encode(mask, &size);
    if (!png) {
        text_fail(text);
        return;
    }
    text_add(text, "\"data:image/png;base64,");
    base64_write(text, (const uint8_t *)png, size);
    text_add(text, "\"");
    free(png);
}

void segmentation_write(struct text *text, const struct mask *mask, enum mask_format format,
                        double simplify) {
    switch (format) {
    case FORMAT_COCO_RLE:
    case FORMAT_COCO_RLE_UNCOMPRESSED:
        write_coco(text, mask, format == FORMAT_COCO_RLE);
        break;
    case FORMAT_POLYGON:
    case FORMAT_POLYGON_HOLES:
        polygons_write(text, mask, format == FORMAT_POLYGON_HOLES, simplify);
        break;
    case FORMAT_PNG:
        write_png(text, mask);
        break;
    case FORMAT_LABELSTUDIO_RLE:
        labelstudio_rle_write(text, mask);
        break;
    case FORMAT_CVAT_RLE:
        cvat_rle_write(text, mask);
        break;
    case FORMAT_COUNT:
        break;
    }
}

char *segmentation_json(const struct mask *mask, enum mask_format format, double simplify) {
    struct text text = {0};
    segmentation_write(&text, mask, format, simplify);
    return text_finish(&text);
}

/* ---- reading ----------------------------------------------------------------------------- */

enum status mask_check_size(int height, int width, struct error *error) {
    if (height <= 0 || width <= 0 || (uint64_t)height * (uint64_t)width > UINT32_MAX)
        return error_set(error, STATUS_INVALID, "a mask cannot have %d x %d pixels", height, width);
    return STATUS_OK;
}

enum status mask_from_counts(uint32_t *counts, size_t count, int height, int width,
                             struct mask *mask, struct error *error) {
    *mask = (struct mask){0};
    enum status status = mask_check_size(height, width, error);
    uint64_t sum = 0; /* count < 2^32 in any memory that holds the counts' text: no overflow */
    for (size_t i = 0; i < count; i++)
        sum += counts[i];
    if (status == STATUS_OK && sum != (uint64_t)height * (uint64_t)width)
        status = error_set(error, STATUS_INVALID, "the runs cover %" PRIu64 " pixels, not %d x %d",
                           sum, height, width);
    if (status != STATUS_OK) {
        free(counts);
        return status;
    }
    /* Run i has colour i % 2. A run of nothing does not change the colour, so the run after it
     * continues the one before it. */
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (counts[i] == 0)
            continue;
        if (i % 2 == (kept - 1) % 2)
            counts[kept - 1] += counts[i];
        else
            counts[kept++] = counts[i];
    }
    *mask = (struct mask){.height = height, .width = width, .count = kept, .counts = counts};
    return STATUS_OK;
}

enum status mask_from_rows(uint32_t *counts, size_t count, int height, int width, struct mask *mask,
                           struct error *error) {
    struct mask rows;
    *mask = (struct mask){0};
    enum status status = mask_from_counts(counts, count, width, height, &rows, error);
    if (status == STATUS_OK)
        status = mask_transpose(&rows, MASK_RUNS_MAX, mask, error);
    mask_free(&rows);
    return status;
}
