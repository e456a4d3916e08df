#include "tests/unit/engine/image/image_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct image_limits fixture_limits = {.max_pixels = 1000000, .max_side = 10000};

struct bytes fixture_read(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/unit/data/image/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s here", path);
    uint8_t buffer[16384];
    size_t size = fread(buffer, 1, sizeof buffer, file);
    fclose(file);
    ck_assert_uint_lt(size, sizeof buffer);
    struct bytes bytes = {.data = malloc(size), .size = size};
    ck_assert_ptr_nonnull(bytes.data);
    memcpy(bytes.data, buffer, size);
    return bytes;
}

struct image fixture_pixels(const char *name) {
    char file[128];
    snprintf(file, sizeof file, "%s.ppm", name);
    struct bytes bytes = fixture_read(file);
    char header[32] = "";
    memcpy(header, bytes.data, bytes.size < sizeof header ? bytes.size : sizeof header - 1);
    struct image image = {0};
    int offset = 0;
    ck_assert_int_eq(sscanf(header, "P6 %d %d 255%n", &image.width, &image.height, &offset), 2);
    size_t size = (size_t)image.width * (size_t)image.height * 3;
    ck_assert_uint_eq(bytes.size, (size_t)offset + 1 + size);
    image.rgb = malloc(size);
    ck_assert_ptr_nonnull(image.rgb);
    memcpy(image.rgb, bytes.data + offset + 1, size);
    free(bytes.data);
    return image;
}

struct image fixture_pixels_of(const char *file) {
    char name[128];
    snprintf(name, sizeof name, "%s", file);
    *strchr(name, '.') = '_';
    return fixture_pixels(name);
}

struct image noise_image(int width, int height) {
    size_t size = (size_t)width * (size_t)height * 3;
    struct image image = {.width = width, .height = height, .rgb = malloc(size)};
    ck_assert_ptr_nonnull(image.rgb);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        image.rgb[i] = (uint8_t)(state >> 24);
    }
    return image;
}

void assert_same_image(const char *name, const struct image *actual, const struct image *expected) {
    ck_assert_msg(actual->width == expected->width && actual->height == expected->height,
                  "%s: %d x %d pixels, not %d x %d", name, actual->width, actual->height,
                  expected->width, expected->height);
    for (int y = 0; y < expected->height; y++) {
        for (int x = 0; x < expected->width; x++) {
            size_t at = ((size_t)y * (size_t)expected->width + (size_t)x) * 3;
            const uint8_t *a = actual->rgb + at, *b = expected->rgb + at;
            ck_assert_msg(memcmp(a, b, 3) == 0,
                          "%s: the pixel at %d, %d is (%d, %d, %d), not (%d, %d, %d)", name, x, y,
                          a[0], a[1], a[2], b[0], b[1], b[2]);
        }
    }
}

void count_yield(void *count) {
    ++*(int *)count;
}
