/* What the files of image/ share: the limits, the pace and one reader for each format. */
#ifndef ENGINE_IMAGE_INTERNAL_H
#define ENGINE_IMAGE_INTERNAL_H

#include "engine/image/image.h"

/* Pixels between two calls of yield: libjpeg-turbo decodes about this many in a millisecond. */
enum { IMAGE_PACE_PIXELS = 128 * 1024 };

struct image_pace {
    const struct image_yield *yield; /* may be NULL */
    size_t pixels;                   /* since the last yield */
};

/* Says that this many more pixels are done. */
static inline void image_pace(struct image_pace *pace, size_t pixels) {
    pace->pixels += pixels;
    if (pace->pixels >= IMAGE_PACE_PIXELS) {
        pace->pixels = 0;
        if (pace->yield)
            pace->yield->call(pace->yield->argument);
    }
}

/* STATUS_UNSUPPORTED for an image without pixels, STATUS_TOO_LARGE for one over the limits. */
enum status image_check_size(uint64_t width, uint64_t height, const struct image_limits *limits,
                             struct error *error);

/* Uninitialised pixels. *image is only written on STATUS_OK. */
enum status image_allocate(int width, int height, struct image *image, struct error *error);

struct image_input {
    const uint8_t *bytes;
    size_t size;
    const struct image_limits *limits;
    struct image_pace pace;
};

/* One reader for each format. Each checks the limits before it allocates pixels and fills *info,
 * with the size as stored, before orientation. image is NULL when the header is all that is wanted;
 * otherwise it gets the stored pixels on STATUS_OK and is left alone on failure. */
enum status image_read_jpeg(struct image_input *input, struct image_info *info, struct image *image,
                            struct error *error);
enum status image_read_png(struct image_input *input, struct image_info *info, struct image *image,
                           struct error *error);
enum status image_read_webp(struct image_input *input, struct image_info *info, struct image *image,
                            struct error *error);

/* The orientation, 1 to 8, in EXIF data: a TIFF header and its directories, with or without
 * "Exif\0\0" in front. 1 when there is none or it cannot be read. */
int image_exif_orientation(const uint8_t *bytes, size_t size);

/* Turns and mirrors stored pixels so that they are upright: in place for 1 to 4, by a second image
 * for 5 to 8, which exchange width and height. STATUS_NO_MEMORY leaves *image as it was. */
enum status image_orient(struct image *image, int orientation, struct image_pace *pace,
                         struct error *error);

#endif
