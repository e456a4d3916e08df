#include "tests/unit/engine/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/suites.h"

struct bitmap bitmap_make(int height, int width) {
    struct bitmap bitmap = {height, width, calloc((size_t)height * (size_t)width, 1)};
    ck_assert_ptr_nonnull(bitmap.pixels);
    return bitmap;
}

void bitmap_free(struct bitmap *bitmap) {
    free(bitmap->pixels);
    *bitmap = (struct bitmap){0};
}

static void draw_box(struct bitmap *bitmap, struct rng *rng, int colour) {
    int x = (int)(rng_bits(rng) % (uint64_t)bitmap->width),
        y = (int)(rng_bits(rng) % (uint64_t)bitmap->height);
    int right = x + 1 + (int)(rng_bits(rng) % (uint64_t)(bitmap->width - x)),
        bottom = y + 1 + (int)(rng_bits(rng) % (uint64_t)(bitmap->height - y));
    for (int row = y; row < bottom; row++)
        memset(bitmap->pixels + row * bitmap->width + x, colour, (size_t)(right - x));
}

struct bitmap bitmap_random(struct rng *rng, int most) {
    int height = 1 + (int)(rng_bits(rng) % (uint64_t)most),
        width = 1 + (int)(rng_bits(rng) % (uint64_t)most);
    if (rng_bits(rng) % 8 == 0)
        height = 1;
    if (rng_bits(rng) % 8 == 0)
        width = 1;
    struct bitmap bitmap = bitmap_make(height, width);
    const size_t pixels = (size_t)height * (size_t)width;
    const uint64_t kind = rng_bits(rng) % 6, share = rng_bits(rng) % 101,
                   period = 1 + rng_bits(rng) % 5;
    for (size_t i = 0; i < pixels; i++) {
        const size_t x = i % (size_t)width, y = i / (size_t)width;
        if (kind == 0)
            bitmap.pixels[i] = rng_bits(rng) % 100 < share;
        else if (kind == 1)
            bitmap.pixels[i] = (share % 2 ? x : y) / period % 2 == 0;
        else if (kind == 2)
            bitmap.pixels[i] = share % 2;
        else if (kind == 3)
            bitmap.pixels[i] = (x / period + y / period) % 2 == 0;
    }
    for (uint64_t i = 0; kind >= 4 && i < share / 8; i++)
        draw_box(&bitmap, rng, i % 2 == 0);
    return bitmap;
}

struct bitmap bitmap_of(const char *rows) {
    const int width = (int)strcspn(rows, " ");
    struct bitmap bitmap = bitmap_make((int)(strlen(rows) + 1) / (width + 1), width);
    for (int i = 0; i < bitmap.height * width; i++)
        bitmap.pixels[i] = rows[i / width * (width + 1) + i % width] == '1';
    return bitmap;
}

struct mask bitmap_mask(const struct bitmap *bitmap) {
    const int height = bitmap->height, width = bitmap->width;
    uint32_t *counts = calloc((size_t)height * (size_t)width + 1, sizeof *counts);
    ck_assert_ptr_nonnull(counts);
    size_t last = 0;
    for (int x = 0; x < width; x++) {
        for (int y = 0; y < height; y++) {
            if (bitmap->pixels[y * width + x] != last % 2)
                last++;
            counts[last]++;
        }
    }
    return (struct mask){height, width, last + 1, counts};
}

void assert_mask_is(const struct mask *mask, const struct bitmap *bitmap) {
    struct mask wanted = bitmap_mask(bitmap);
    ck_assert_int_eq(mask->height, wanted.height);
    ck_assert_int_eq(mask->width, wanted.width);
    ck_assert_uint_eq(mask->count, wanted.count);
    ck_assert_mem_eq(mask->counts, wanted.counts, wanted.count * sizeof *wanted.counts);
    mask_free(&wanted);
}

/* Labels what is connected to pixel i, which is of the colour and without a label. */
static void flood(const struct bitmap *bitmap, int from, int label, bool corners, int *labels,
                  int *stack) {
    int size = 0;
    stack[size++] = from;
    labels[from] = label;
    while (size > 0) {
        const int at = stack[--size];
        for (int dy = -1; dy <= 1; dy++) {
            for (int dx = -1; dx <= 1; dx++) {
                const int x = at % bitmap->width + dx, y = at / bitmap->width + dy;
                if (x < 0 || y < 0 || x >= bitmap->width || y >= bitmap->height ||
                    (dx && dy && !corners))
                    continue;
                const int to = y * bitmap->width + x;
                if (labels[to] == 0 && bitmap->pixels[to] == bitmap->pixels[from]) {
                    labels[to] = label;
                    stack[size++] = to;
                }
            }
        }
    }
}

int bitmap_label(const struct bitmap *bitmap, int colour, bool corners, int *labels) {
    const int pixels = bitmap->height * bitmap->width;
    int *stack = calloc((size_t)pixels, sizeof *stack), count = 0;
    ck_assert_ptr_nonnull(stack);
    memset(labels, 0, (size_t)pixels * sizeof *labels);
    for (int i = 0; i < pixels; i++)
        if (bitmap->pixels[i] == colour && labels[i] == 0)
            flood(bitmap, i, ++count, corners, labels, stack);
    free(stack);
    return count;
}
