/* The files of tests/unit/data/image/, and images made on the spot. */
#ifndef TESTS_UNIT_ENGINE_IMAGE_IMAGE_FIXTURE_H
#define TESTS_UNIT_ENGINE_IMAGE_IMAGE_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/image/image.h"

struct bytes {
    uint8_t *data; /* owned */
    size_t size;
};

/* A file of tests/unit/data/image/; the test fails when there is none. The memory ends where the
 * file ends, so that a sanitizer sees a read beyond. */
struct bytes fixture_read(const char *name);

/* The pixels that Pillow saw, from NAME.ppm. */
struct image fixture_pixels(const char *name);

/* Those of a file: for "grey.jpg" those of grey_jpg.ppm. */
struct image fixture_pixels_of(const char *file);

/* Generous enough for every fixture but those called huge. */
extern const struct image_limits fixture_limits;

/* The bytes of make_images.py's noise(): the high byte of a linear congruential generator. */
struct image noise_image(int width, int height);

/* Fails the test with the first place where the two differ. Releases neither. */
void assert_same_image(const char *name, const struct image *actual, const struct image *expected);

/* A yield that counts its calls in an int. */
void count_yield(void *count);

#endif
