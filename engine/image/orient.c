/* The eight orientations of EXIF 2.32, tag 0x0112: rows and columns exchanged or not, each axis
 * mirrored or not. */
#include <stdbool.h>
#include <string.h>

#include "engine/image/internal.h"

static inline void copy_pixel(uint8_t *to, const uint8_t *from) {
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
}

static void reverse_pixels(uint8_t *row, int width) {
    for (uint8_t *left = row, *right = row + 3 * ((size_t)width - 1); left < right;
         left += 3, right -= 3) {
        uint8_t pixel[3];
        copy_pixel(pixel, left);
        copy_pixel(left, right);
        copy_pixel(right, pixel);
    }
}

static void exchange_rows(uint8_t *upper, uint8_t *lower, size_t size) {
    uint8_t part[1024];
    for (size_t done = 0; done < size; done += sizeof part) {
        size_t count = size - done < sizeof part ? size - done : sizeof part;
        memcpy(part, upper + done, count);
        memcpy(upper + done, lower + done, count);
        memcpy(lower + done, part, count);
    }
}

static void mirror(struct image *image, bool columns, bool rows, struct image_pace *pace) {
    size_t stride = (size_t)image->width * 3;
    for (int y = 0; columns && y < image->height; y++) {
        reverse_pixels(image->rgb + (size_t)y * stride, image->width);
        image_pace(pace, (size_t)image->width);
    }
    for (int y = 0; rows && y < image->height / 2; y++) {
        exchange_rows(image->rgb + (size_t)y * stride,
                      image->rgb + (size_t)(image->height - 1 - y) * stride, stride);
        image_pace(pace, (size_t)image->width);
    }
}

/* Tiles of 32 x 32 pixels keep the lines that are read and those that are written in the
 * first-level cache. */
enum { TILE = 32 };

static void transpose_tile(const struct image *from, struct image *to, int left, int top) {
    int right = left + TILE < to->width ? left + TILE : to->width;
    int bottom = top + TILE < to->height ? top + TILE : to->height;
    for (int y = top; y < bottom; y++) {
        uint8_t *target = to->rgb + ((size_t)y * (size_t)to->width + (size_t)left) * 3;
        const uint8_t *source = from->rgb + ((size_t)left * (size_t)from->width + (size_t)y) * 3;
        for (int x = left; x < right; x++) {
            copy_pixel(target, source);
            target += 3;
            source += (size_t)from->width * 3;
        }
    }
}

static enum status transpose(struct image *image, struct image_pace *pace, struct error *error) {
    struct image turned;
    enum status status = image_allocate(image->height, image->width, &turned, error);
    if (status != STATUS_OK)
        return status;
    for (int top = 0; top < turned.height; top += TILE) {
        for (int left = 0; left < turned.width; left += TILE) {
            transpose_tile(image, &turned, left, top);
            image_pace(pace, TILE * TILE);
        }
    }
    image_free(image);
    *image = turned;
    return STATUS_OK;
}

enum status image_orient(struct image *image, int orientation, struct image_pace *pace,
                         struct error *error) {
    /* Mirroring comes after the exchange of rows and columns, so it speaks of the upright image. */
    static const struct {
        bool transpose, columns, rows;
    } steps[9] = {
        [2] = {.columns = true},
        [3] = {.columns = true, .rows = true},
        [4] = {.rows = true},
        [5] = {.transpose = true},
        [6] = {.transpose = true, .columns = true},
        [7] = {.transpose = true, .columns = true, .rows = true},
        [8] = {.transpose = true, .rows = true},
    };
    if (orientation < 1 || orientation > 8)
        return STATUS_OK;
    if (steps[orientation].transpose) {
        enum status status = transpose(image, pace, error);
        if (status != STATUS_OK)
            return status;
    }
    mirror(image, steps[orientation].columns, steps[orientation].rows, pace);
    return STATUS_OK;
}
