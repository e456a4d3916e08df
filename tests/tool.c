#include "tests/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die(path, "cannot open");
    long end = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)end + 1);
    if (!bytes || fread(bytes, 1, (size_t)end, file) != (size_t)end)
        die(path, "cannot read");
    fclose(file);
    *size = (size_t)end;
    return bytes;
}

void read_image(const char *path, struct image *image) {
    struct image_limits limits = {.max_pixels = 200000000, .max_side = 65500};
    struct error error = {0};
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    if (image_decode(bytes, size, &limits, NULL, image, &error) != STATUS_OK)
        die(path, error.message);
    free(bytes);
}

void scale_image(const struct image *image, int input_size, struct image *scaled,
                 struct geometry *geometry) {
    struct error error = {0};
    geometry_fit(image->width, image->height, input_size, geometry);
    if (image_resize(image, geometry->scaled_width, geometry->scaled_height, NULL, scaled,
                     &error) != STATUS_OK)
        die("resampling", error.message);
}

void read_scaled_image(const char *path, int input_size, struct image *scaled,
                       struct geometry *geometry) {
    struct image image;
    read_image(path, &image);
    scale_image(&image, input_size, scaled, geometry);
    image_free(&image);
}
