/* image: bytes of a photograph -> oriented RGB, and Pillow-exact resampling.
 *
 * Everything here is hostile input. The limits are checked from the header, before pixels are
 * allocated. */
#ifndef ENGINE_IMAGE_IMAGE_H
#define ENGINE_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct image {
    int width, height;
    uint8_t *rgb; /* height x width x 3, rows without padding; owned, released by image_free */
};

enum image_format { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP };

struct image_limits {
    size_t max_pixels; /* width x height */
    int max_side;
};

/* What the header says. width and height are those after EXIF orientation, as a browser shows the
 * image. */
struct image_info {
    enum image_format format;
    int width, height;
    int orientation; /* EXIF 2.32, tag 0x0112: 1 (upright) to 8 */
};

/* A long decode calls this between rows, about every millisecond, so that its thread can serve
 * others. */
struct image_yield {
    void (*call)(void *argument);
    void *argument;
};

/* Reads the header alone. The content decides the format, never a file name or a content type.
 * STATUS_UNSUPPORTED: not JPEG, PNG or WebP, or a damaged header. STATUS_TOO_LARGE: over limits. */
enum status image_probe(const uint8_t *bytes, size_t size, const struct image_limits *limits,
                        struct image_info *info, struct error *error);

/* Decodes to RGB with EXIF orientation applied (JPEG APP1, PNG eXIf, WebP EXIF). Pixels are those
 * of Pillow's Image.open(...).convert("RGB"): alpha is dropped, palettes, grey and CMYK are
 * converted, 16 bits become 8 by their high byte. An animation gives its first frame.
 *
 * yield may be NULL. On STATUS_OK the caller owns *image; otherwise *image is zeroed.
 * STATUS_UNSUPPORTED: not an image that we read, damaged, or truncated. STATUS_TOO_LARGE: over
 * limits, or a JPEG of very many scans. STATUS_NO_MEMORY. */
enum status image_decode(const uint8_t *bytes, size_t size, const struct image_limits *limits,
                         const struct image_yield *yield, struct image *image, struct error *error);

/* Resamples to width x height, bilinear with antialiasing, bit for bit as Pillow's
 * Image.resize((width, height), Image.BILINEAR) (src/libImaging/Resample.c, 8 bits per channel).
 * On STATUS_OK the caller owns *resized; otherwise it is zeroed. STATUS_INVALID: a size below 1.
 * STATUS_TOO_LARGE: more than INT_MAX pixels wanted. STATUS_NO_MEMORY. */
enum status image_resize(const struct image *image, int width, int height,
                         const struct image_yield *yield, struct image *resized,
                         struct error *error);

/* Releases the pixels and zeroes *image; a zeroed image may be freed again. */
void image_free(struct image *image);

#endif
