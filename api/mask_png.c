#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask_formats.h"

static void on_warning(png_structp png, png_const_charp message) {
    (void)png, (void)message;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Rows have few runs, which deflate finds at its lowest level and without filters. */
enum { LEVEL = 1 };

static _Noreturn void on_write_error(png_structp png, png_const_charp message) {
    (void)message;
    png_longjmp(png, 1);
}

static void on_write(png_structp png, png_bytep bytes, size_t size) {
    text_append(png_get_io_ptr(png), (const char *)bytes, size);
}

static void on_flush(png_structp png) {
    (void)png;
}

/* Sets the bits first <= x < last. */
static void set_bits(uint8_t *row, uint32_t first, uint32_t last) {
    const uint32_t from = first / 8, to = last / 8;
    const uint8_t head = 0xff >> first % 8, tail = (uint8_t)(0xff00 >> last % 8);
    if (from == to) {
        row[from] |= head & tail;
        return;
    }
    row[from] |= head;
    memset(row + from + 1, 0xff, to - from - 1);
    if (tail)
        row[to] |= tail;
}

static void write_rows(png_structp png, const struct mask *rows, uint8_t *row) {
    const uint32_t width = (uint32_t)rows->height, height = (uint32_t)rows->width;
    const size_t stride = (width + 7) / 8;
    size_t run = 0;
    uint32_t left = rows->counts[0];
    for (uint32_t y = 0; y < height; y++) {
        memset(row, 0, stride);
        for (uint32_t x = 0; x < width;) {
            while (left == 0)
                left = rows->counts[++run];
            const uint32_t take = left < width - x ? left : width - x;
            if (run % 2)
                set_bits(row, x, x + take);
            x += take;
            left -= take;
        }
        png_write_row(png, row);
    }
}

static bool write_png(png_structp png, png_infop info, const struct mask *rows, uint8_t *row,
                      struct text *out) {
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, out, on_write, on_flush);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_compression_level(png, LEVEL);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_IHDR(png, info, (png_uint_32)rows->height, (png_uint_32)rows->width, 1,
                 PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    write_rows(png, rows, row);
    png_write_end(png, info);
    return true;
}

char *mask_png_encode(const struct mask *mask, size_t *size) {
    struct mask rows;
    struct text out = {0};
    if (mask_transpose(mask, SIZE_MAX, &rows, NULL) != STATUS_OK)
        return NULL;
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_write_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t *row = malloc(((size_t)mask->width + 7) / 8);
    if (!info || !row || !write_png(png, info, &rows, row, &out))
        text_fail(&out);
    png_destroy_write_struct(&png, &info);
    free(row);
    mask_free(&rows);
    *size = out.size;
    return text_finish(&out);
}

/* ---- reading ----------------------------------------------------------------------------- */

struct reader {
    const uint8_t *bytes;
    size_t left;
    struct error *error;
    enum status status; /* set once it failed */
    uint8_t *row;
    uint32_t *counts; /* row-major; the last one is being counted */
    size_t count, capacity;
};

static _Noreturn void fail(png_structp png, struct reader *reader, enum status status,
                           const char *message) {
    reader->status = error_set(reader->error, status, "%s", message);
    png_longjmp(png, 1);
}

static _Noreturn void on_read_error(png_structp png, png_const_charp message) {
    struct reader *reader = png_get_error_ptr(png);
    reader->status =
        error_set(reader->error, STATUS_INVALID, "the PNG cannot be decoded: %s", message);
    png_longjmp(png, 1);
}

static void on_read(png_structp png, png_bytep to, size_t count) {
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->left)
        fail(png, reader, STATUS_INVALID, "the PNG is cut short");
    memcpy(to, reader->bytes, count);
    reader->bytes += count;
    reader->left -= count;
}

/* A run of the other colour begins. */
static void begin_run(png_structp png, struct reader *reader) {
    if (reader->count == reader->capacity) {
        if (reader->capacity >= MASK_RUNS_MAX)
            fail(png, reader, STATUS_TOO_LARGE, "the mask has too many runs");
        uint32_t *counts = realloc(reader->counts, 2 * reader->capacity * sizeof *counts);
        if (!counts)
            fail(png, reader, STATUS_NO_MEMORY, "out of memory");
        reader->counts = counts;
        reader->capacity *= 2;
    }
    reader->counts[reader->count++] = 0;
}

static void read_row(png_structp png, struct reader *reader, uint32_t width, size_t channels) {
    png_read_row(png, reader->row, NULL);
    for (uint32_t x = 0; x < width; x++) {
        bool set = false;
        for (size_t k = 0; k < channels; k++)
            set |= reader->row[x * channels + k] != 0;
        if ((reader->count - 1) % 2 != set)
            begin_run(png, reader);
        reader->counts[reader->count - 1]++;
    }
}

static void check_header(png_structp png, png_infop info, struct reader *reader, int height,
                         int width) {
    const png_uint_32 found_height = png_get_image_height(png, info),
                      found_width = png_get_image_width(png, info);
    if (found_height != (png_uint_32)height || found_width != (png_uint_32)width) {
        reader->status = error_set(reader->error, STATUS_INVALID,
                                   "the PNG is %u x %u pixels, not %d x %d as the image",
                                   found_width, found_height, width, height);
        png_longjmp(png, 1);
    }
    if (png_get_interlace_type(png, info) != PNG_INTERLACE_NONE)
        fail(png, reader, STATUS_INVALID, "the PNG is interlaced, which masks may not be");
}

/* reader's memory outlives a longjmp: the caller frees it. */
static bool read_png(png_structp png, png_infop info, struct reader *reader, int height,
                     int width) {
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_read_fn(png, reader, on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, reader->left);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, info);
    check_header(png, info, reader, height, width);
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_read_update_info(png, info);
    reader->row = malloc(png_get_rowbytes(png, info));
    reader->capacity = 64;
    reader->counts = calloc(reader->capacity, sizeof *reader->counts);
    if (!reader->row || !reader->counts)
        fail(png, reader, STATUS_NO_MEMORY, "out of memory");
    reader->count = 1;
    for (int y = 0; y < height; y++)
        read_row(png, reader, (uint32_t)width, png_get_channels(png, info));
    return true;
}

enum status mask_png_decode(const uint8_t *bytes, size_t size, int height, int width,
                            struct mask *mask, struct error *error) {
    struct reader reader = {.bytes = bytes, .left = size, .error = error};
    *mask = (struct mask){0};
    enum status status = mask_check_size(height, width, error);
    if (status != STATUS_OK)
        return status;
    png_structp png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_read_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info)
        status = error_set(error, STATUS_NO_MEMORY, "out of memory");
    else if (read_png(png, info, &reader, height, width))
        status = STATUS_OK;
    else
        status = reader.status;
    png_destroy_read_struct(&png, &info, NULL);
    free(reader.row);
    if (status == STATUS_OK)
        return mask_from_rows(reader.counts, reader.count, height, width, mask, error);
    free(reader.counts);
    return status;
}
