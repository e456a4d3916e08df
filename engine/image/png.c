/* PNG by libpng, through its classic interface: rows come out as RGB of 8 bits straight into the
 * image. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "engine/image/internal.h"

struct reader {
    png_structp png;
    png_infop info;
    struct image_input *input;
    size_t position;
    bool ended;     /* libpng asked for bytes after the last */
    bool no_memory; /* libpng was refused memory */
    int rows;       /* complete ones */
    struct image image;
    struct error *error;
    enum status status;
};

static _Noreturn void on_error(png_structp png, png_const_charp message) {
    struct reader *reader = png_get_error_ptr(png);
    if (reader->no_memory)
        reader->status = error_set(reader->error, STATUS_NO_MEMORY, "no memory to decode a PNG");
    else if (reader->ended && !reader->image.rgb)
        reader->status =
            error_set(reader->error, STATUS_UNSUPPORTED, "the PNG ends within its header");
    else if (reader->ended)
        reader->status =
            error_set(reader->error, STATUS_UNSUPPORTED, "the PNG ends after row %d of %d",
                      reader->rows, reader->image.height);
    else
        reader->status =
            error_set(reader->error, STATUS_UNSUPPORTED, "the PNG cannot be decoded: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    struct reader *reader = png_get_mem_ptr(png);
    void *memory = malloc(size);
    if (!memory)
        reader->no_memory = true;
    return memory;
}

static void on_free(png_structp png, png_voidp memory) {
    (void)png;
    free(memory);
}

static void on_read(png_structp png, png_bytep to, size_t count) {
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->input->size - reader->position) {
        reader->ended = true;
        png_error(png, "out of bytes");
    }
    memcpy(to, reader->input->bytes + reader->position, count);
    reader->position += count;
}

/* The chunk may stand after the pixels, where libpng would only see it once they are decoded. So
 * this walks the chunks: length, type, data, CRC (PNG specification, third edition, 5.3). */
static int orientation_of(const struct image_input *input) {
    size_t at = 8;
    while (input->size - at >= 12) {
        const uint8_t *chunk = input->bytes + at;
        size_t length = png_get_uint_32(chunk);
        if (length > input->size - at - 12)
            break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            return image_exif_orientation(chunk + 8, length);
        at += 12 + length;
    }
    return 1;
}

static void set_limits(struct reader *reader) {
    /* Our own limits are checked once the header is read and have the better message. */
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(reader->png, reader->input->size);
    /* With -1, every chunk but IHDR, PLTE, tRNS, IDAT and IEND is skipped unread: none of the
     * others changes a pixel, and no colour profile or compressed text is ever unpacked. */
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

static void read_rows(struct reader *reader) {
    struct image *image = &reader->image;
    png_structp png = reader->png;
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
    size_t stride = (size_t)image->width * 3;
    if (png_get_rowbytes(png, reader->info) != stride)
        png_error(png, "rows of an unexpected size");
    for (int pass = 1; pass <= passes; pass++) {
        for (int y = 0; y < image->height; y++) {
            png_read_row(png, image->rgb + (size_t)y * stride, NULL);
            if (pass == passes)
                reader->rows = y + 1;
            image_pace(&reader->input->pace, (size_t)image->width);
        }
    }
}

static enum status read_png(struct reader *reader, struct image_info *info, bool header_only) {
    if (setjmp(png_jmpbuf(reader->png)))
        return reader->status;
    png_set_read_fn(reader->png, reader, on_read);
    set_limits(reader);
    png_read_info(reader->png, reader->info);

    png_uint_32 width = png_get_image_width(reader->png, reader->info);
    png_uint_32 height = png_get_image_height(reader->png, reader->info);
    enum status status = image_check_size(width, height, reader->input->limits, reader->error);
    if (status != STATUS_OK)
        return status;
    *info = (struct image_info){.format = IMAGE_PNG,
                                .width = (int)width,
                                .height = (int)height,
                                .orientation = orientation_of(reader->input)};
    if (header_only)
        return STATUS_OK;
    status = image_allocate(info->width, info->height, &reader->image, reader->error);
    if (status == STATUS_OK)
        read_rows(reader);
    return status;
}

enum status image_read_png(struct image_input *input, struct image_info *info, struct image *image,
                           struct error *error) {
    struct reader reader = {.input = input, .error = error};
    reader.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning,
                                          &reader, on_malloc, on_free);
    if (reader.png)
        reader.info = png_create_info_struct(reader.png);
    enum status status;
    if (reader.info)
        status = read_png(&reader, info, image == NULL);
    else
        status = error_set(error, STATUS_NO_MEMORY, "no memory to decode a PNG");
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    if (status == STATUS_OK && image)
        *image = reader.image;
    else
        image_free(&reader.image);
    return status;
}
