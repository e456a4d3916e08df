#include "engine/image/image.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image/internal.h"

enum status image_check_size(uint64_t width, uint64_t height, const struct image_limits *limits,
                             struct error *error) {
    if (width == 0 || height == 0)
        return error_set(error, STATUS_UNSUPPORTED,
                         "%" PRIu64 " x %" PRIu64 " pixels: an empty image", width, height);
    if (limits->max_side < 0 || width > (uint64_t)limits->max_side ||
        height > (uint64_t)limits->max_side)
        return error_set(error, STATUS_TOO_LARGE,
                         "%" PRIu64 " x %" PRIu64 " pixels; the limit is %d pixels a side", width,
                         height, limits->max_side);
    if (width > limits->max_pixels / height)
        return error_set(error, STATUS_TOO_LARGE,
                         "%" PRIu64 " x %" PRIu64 " pixels; the limit is %zu pixels", width, height,
                         limits->max_pixels);
    return STATUS_OK;
}

enum status image_allocate(int width, int height, struct image *image, struct error *error) {
    size_t size;
    uint8_t *rgb = NULL;
    if (!__builtin_mul_overflow((size_t)width * 3, (size_t)height, &size))
        rgb = malloc(size);
    if (!rgb)
        return error_set(error, STATUS_NO_MEMORY, "no memory for %d x %d pixels", width, height);
    *image = (struct image){.width = width, .height = height, .rgb = rgb};
    return STATUS_OK;
}

void image_free(struct image *image) {
    free(image->rgb);
    *image = (struct image){0};
}

static bool starts_with(const struct image_input *input, size_t offset, const char *magic,
                        size_t length) {
    return input->size >= offset + length && memcmp(input->bytes + offset, magic, length) == 0;
}

static enum status read_any(struct image_input *input, struct image_info *info, struct image *image,
                            struct error *error) {
    if (starts_with(input, 0, "\xff\xd8\xff", 3))
        return image_read_jpeg(input, info, image, error);
    if (starts_with(input, 0, "\x89PNG\r\n\x1a\n", 8))
        return image_read_png(input, info, image, error);
    if (starts_with(input, 0, "RIFF", 4) && starts_with(input, 8, "WEBP", 4))
        return image_read_webp(input, info, image, error);
    return error_set(error, STATUS_UNSUPPORTED, "not a JPEG, PNG or WebP image");
}

enum status image_probe(const uint8_t *bytes, size_t size, const struct image_limits *limits,
                        struct image_info *info, struct error *error) {
    struct image_input input = {.bytes = bytes, .size = size, .limits = limits};
    struct image_info stored = {0};
    enum status status = read_any(&input, &stored, NULL, error);
    *info = stored;
    if (stored.orientation >= 5) {
        info->width = stored.height;
        info->height = stored.width;
    }
    return status;
}

enum status image_decode(const uint8_t *bytes, size_t size, const struct image_limits *limits,
                         const struct image_yield *yield, struct image *image,
                         struct error *error) {
    struct image_input input = {
        .bytes = bytes, .size = size, .limits = limits, .pace.yield = yield};
    struct image_info info = {0};
    *image = (struct image){0};
    enum status status = read_any(&input, &info, image, error);
    if (status == STATUS_OK)
        status = image_orient(image, info.orientation, &input.pace, error);
    if (status != STATUS_OK)
        image_free(image);
    return status;
}
