/* CVAT's mask shape (cvat-core/src/object-utils.ts, mask2Rle): run lengths in rows within the
 * mask's bounding box, the first of zeros, then the box: left, top, right, bottom, inclusive. A
 * mask without pixels is 0, 0, 0, 0 there, without runs (cropMask). */
#include <stdlib.h>

#include "api/mask_formats.h"

enum { BOX_VALUES = 4 };

/* Runs in rows of the box. What ends at its right side and goes on at its left is one run. */
struct box_writer {
    struct text *text;
    uint64_t written;    /* pixels of the box */
    uint64_t begin, end; /* of the run that may still grow */
};

static void write_count(struct box_writer *writer, uint64_t end) {
    text_unsigned(writer->text, end - writer->written);
    text_append(writer->text, ",", 1);
    writer->written = end;
}

static void write_open_run(struct box_writer *writer) {
    if (writer->begin == writer->end)
        return;
    write_count(writer, writer->begin);
    write_count(writer, writer->end);
}

static void write_runs(struct text *text, const struct mask *rows, uint32_t width,
                       const int bbox[4]) {
    struct box_writer writer = {.text = text};
    const uint64_t box_width = (uint64_t)bbox[2];
    uint32_t at = 0;
    for (size_t i = 0; i < rows->count; at += rows->counts[i++]) {
        if (i % 2 == 0)
            continue;
        /* a run of more than one row is in a box of the whole width */
        const uint64_t begin =
            (at / width - (uint32_t)bbox[1]) * box_width + at % width - (uint32_t)bbox[0];
        if (begin != writer.end || writer.begin == writer.end) {
            write_open_run(&writer);
            writer.begin = begin;
        }
        writer.end = begin + rows->counts[i];
    }
    write_open_run(&writer);
    if (writer.written < box_width * (uint64_t)bbox[3])
        write_count(&writer, box_width * (uint64_t)bbox[3]);
}

void cvat_rle_write(struct text *text, const struct mask *mask) {
    struct mask rows;
    size_t area;
    int bbox[4];
    mask_describe(mask, &area, bbox);
    if (area == 0) {
        text_add(text, "[0,0,0,0]");
        return;
    }
    if (mask_transpose(mask, SIZE_MAX, &rows, NULL) != STATUS_OK) {
        text_fail(text);
        return;
    }
    text_add(text, "[");
    write_runs(text, &rows, (uint32_t)mask->width, bbox);
    text_format(text, "%d,%d,%d,%d]", bbox[0], bbox[1], bbox[0] + bbox[2] - 1,
                bbox[1] + bbox[3] - 1);
    mask_free(&rows);
}

/* ---- reading ----------------------------------------------------------------------------- */

struct box {
    uint32_t left, top, width, height;
};

static enum status read_box(const uint32_t *values, int height, int width, struct box *box,
                            struct error *error) {
    const uint32_t left = values[0], top = values[1], right = values[2], bottom = values[3];
    if (left > right || top > bottom || right >= (uint32_t)width || bottom >= (uint32_t)height)
        return error_set(error, STATUS_INVALID,
                         "the last four numbers must be left, top, right and bottom of a box "
                         "within %d x %d",
                         width, height);
    *box = (struct box){left, top, right - left + 1, bottom - top + 1};
    return STATUS_OK;
}

static enum status check_cover(const uint32_t *values, size_t count, const struct box *box,
                               struct error *error) {
    const uint64_t pixels = (uint64_t)box->width * box->height;
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    if (count > 0 && sum != pixels)
        return error_set(error, STATUS_INVALID,
                         "the runs cover %llu pixels, not %u x %u as the box",
                         (unsigned long long)sum, box->height, box->width);
    return STATUS_OK;
}

/* Puts the box's rows into the image's: what is at the sides of the box goes between. Runs of
 * nothing are merged later. */
static size_t unfold(const uint32_t *values, size_t count, const struct box *box, uint32_t width,
                     uint32_t *counts) {
    size_t made = 0;
    uint32_t x = 0, zeros = box->top * width + box->left;
    for (size_t i = 0; i < count; i++) {
        uint32_t left = values[i];
        while (left > 0) {
            const uint32_t take = left < box->width - x ? left : box->width - x;
            if (i % 2) {
                counts[made++] = zeros;
                counts[made++] = take;
                zeros = 0;
            } else {
                zeros += take;
            }
            left -= take;
            x += take;
            if (x == box->width) {
                x = 0;
                zeros += width - box->width;
            }
        }
    }
    return made;
}

/* Behind the last run; the sum of all is the image's. */
static size_t finish(uint32_t *counts, size_t made, uint32_t pixels) {
    for (size_t i = 0; i < made; i++)
        pixels -= counts[i];
    counts[made] = pixels;
    return made + 1;
}

enum status cvat_rle_decode(const uint32_t *values, size_t count, int height, int width,
                            struct mask *mask, struct error *error) {
    struct box box = {0};
    *mask = (struct mask){0};
    enum status status = mask_check_size(height, width, error);
    if (status == STATUS_OK && count < BOX_VALUES)
        status = error_set(error, STATUS_INVALID, "must end with the four numbers of a box");
    if (status != STATUS_OK)
        return status;
    count -= BOX_VALUES;
    status = read_box(values + count, height, width, &box, error);
    if (status == STATUS_OK)
        status = check_cover(values, count, &box, error);
    if (status != STATUS_OK)
        return status;
    /* each row of the box may begin one more run */
    uint32_t *counts = calloc(2 * (count + box.height) + 1, sizeof *counts);
    if (!counts)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    size_t made = unfold(values, count, &box, (uint32_t)width, counts);
    made = finish(counts, made, (uint32_t)height * (uint32_t)width);
    return mask_from_rows(counts, made, height, width, mask, error);
}
