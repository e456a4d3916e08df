/* JPEG by libjpeg-turbo with its default settings (the accurate integer DCT, fancy upsampling), as
 * Pillow and the browsers use it.
 *
 * Memory: a JPEG of several scans (a progressive one) is held as coefficients until the last scan,
 * two bytes for each sample of at most four components. The limit on pixels therefore bounds it, at
 * 8 bytes a pixel, and libjpeg's own max_memory_to_use adds nothing. Time: each scan may visit
 * every coefficient again at the cost of a few bytes, hence the limit on scans.
 *
 * Truncation: libjpeg only warns, and paints what is missing grey. The input has really ended,
 * rather than lacking just its EOI marker, when bits are asked for after its end. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
/* after jpeglib.h, which it needs */
#include <jerror.h>

#include "engine/image/internal.h"

/* Encoders write about ten. */
enum { SCANS_MAX = 50 };

enum phase {
    PHASE_HEADER,
    PHASE_SCANS, /* reading all of several scans, before the first row comes out */
    PHASE_ROWS,
};

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct image_input *input;
    enum phase phase;
    bool ended; /* the bytes have run out */
    struct image image;
    struct error *error;
    enum status status;
    jmp_buf failure;
};

static _Noreturn void fail(struct reader *reader, enum status status) {
    reader->status = status;
    longjmp(reader->failure, 1);
}

static void on_error(j_common_ptr common) {
    struct reader *reader = common->client_data;
    char message[JMSG_LENGTH_MAX];
    switch (common->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        fail(reader, error_set(reader->error, STATUS_NO_MEMORY, "no memory to decode a JPEG"));
    case JERR_IMAGE_TOO_BIG:
        fail(reader, error_set(reader->error, STATUS_TOO_LARGE,
                               "%u x %u pixels; the limit of JPEG is %d pixels a side",
                               reader->jpeg.image_width, reader->jpeg.image_height,
                               (int)JPEG_MAX_DIMENSION));
    default:
        common->err->format_message(common, message);
        fail(reader, error_set(reader->error, STATUS_UNSUPPORTED, "the JPEG cannot be decoded: %s",
                               message));
    }
}

/* Warnings tell of damage that libjpeg goes on after; all but the end of the input are let pass. */
static void on_message(j_common_ptr common, int level) {
    struct reader *reader = common->client_data;
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (level >= 0)
        return;
    common->err->num_warnings++;
    if (common->err->msg_code == JWRN_JPEG_EOF) {
        reader->ended = true;
        if (reader->phase == PHASE_HEADER)
            fail(reader,
                 error_set(reader->error, STATUS_UNSUPPORTED, "the JPEG ends within its header"));
        if (reader->phase == PHASE_SCANS)
            fail(reader, error_set(reader->error, STATUS_UNSUPPORTED, "the JPEG ends in scan %d",
                                   jpeg->input_scan_number));
    }
    /* An arithmetic decoder never asks for bits in vain, so there the end alone must do. */
    if (reader->ended && (common->err->msg_code == JWRN_HIT_MARKER || jpeg->arith_code))
        fail(reader,
             error_set(reader->error, STATUS_UNSUPPORTED, "the JPEG ends after row %u of %u",
                       jpeg->output_scanline, jpeg->image_height));
}

static void print_nothing(j_common_ptr common) {
    (void)common;
}

/* libjpeg calls this for each row of blocks of a scan, then for each row of pixels. */
static void on_progress(j_common_ptr common) {
    struct reader *reader = common->client_data;
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (jpeg->input_scan_number > SCANS_MAX)
        fail(reader, error_set(reader->error, STATUS_TOO_LARGE,
                               "a JPEG of more than %d scans, which is the limit", SCANS_MAX));
    size_t rows = reader->phase == PHASE_SCANS ? (size_t)jpeg->max_v_samp_factor * DCTSIZE : 1;
    image_pace(&reader->input->pace, jpeg->image_width * rows);
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->data_length >= 6 && memcmp(marker->data, "Exif\0", 6) == 0)
            return image_exif_orientation(marker->data, marker->data_length);
    return 1;
}

/* a x b / 255, rounded, for a, b in 0 .. 255 */
static inline unsigned multiply_255(unsigned a, unsigned b) {
    unsigned product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

/* Adobe stores ink inverted (255 is none), and so reads everyone, whether or not the file says that
 * it is Adobe's. The formula is Pillow's (src/libImaging/Convert.c): what black leaves over, less
 * the share of the coloured ink. */
static void rgb_from_inverted_cmyk(uint8_t *rgb, const uint8_t *cmyk, size_t width) {
    for (size_t x = 0; x < width; x++, rgb += 3, cmyk += 4) {
        unsigned light = cmyk[3];
        for (int ink = 0; ink < 3; ink++)
            rgb[ink] = (uint8_t)(light - multiply_255(255u - cmyk[ink], light));
    }
}

static void read_rows(struct reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    bool inks = jpeg->num_components == 4;
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    reader->phase = jpeg_has_multiple_scans(jpeg) ? PHASE_SCANS : PHASE_ROWS;
    jpeg_start_decompress(jpeg);
    reader->phase = PHASE_ROWS;
    JSAMPROW ink_row = NULL;
    if (inks)
        ink_row =
            *jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, jpeg->output_width * 4, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *rgb = reader->image.rgb + (size_t)jpeg->output_scanline * jpeg->output_width * 3;
        JSAMPROW row = inks ? ink_row : rgb;
        if (jpeg_read_scanlines(jpeg, &row, 1) == 1 && inks)
            rgb_from_inverted_cmyk(rgb, ink_row, jpeg->output_width);
    }
}

static enum status read_jpeg(struct reader *reader, struct image_info *info, bool header_only) {
    if (setjmp(reader->failure))
        return reader->status;
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, reader->input->bytes, reader->input->size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);

    enum status status = image_check_size(jpeg->image_width, jpeg->image_height,
                                          reader->input->limits, reader->error);
    if (status != STATUS_OK)
        return status;
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        return error_set(reader->error, STATUS_UNSUPPORTED,
                         "a JPEG of %d components; grey has 1, colour 3 and CMYK 4",
                         jpeg->num_components);
    *info = (struct image_info){.format = IMAGE_JPEG,
                                .width = (int)jpeg->image_width,
                                .height = (int)jpeg->image_height,
                                .orientation = orientation_of(jpeg)};
    if (header_only)
        return STATUS_OK;
    status = image_allocate(info->width, info->height, &reader->image, reader->error);
    if (status == STATUS_OK)
        read_rows(reader);
    return status;
}

enum status image_read_jpeg(struct image_input *input, struct image_info *info, struct image *image,
                            struct error *error) {
    struct reader reader = {.input = input, .error = error};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.jpeg.client_data = &reader;
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.errors.output_message = print_nothing;
    reader.progress.progress_monitor = on_progress;
    enum status status = read_jpeg(&reader, info, image == NULL);
    jpeg_destroy_decompress(&reader.jpeg);
    if (status == STATUS_OK && image)
        *image = reader.image;
    else
        image_free(&reader.image);
    return status;
}
