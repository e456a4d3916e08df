/* WebP by libwebp: the container by its demuxer, the first frame by its incremental decoder. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "engine/image/internal.h"

/* What the container's header says that the file has: 32 bits after "RIFF", lowest byte first, then
 * as many bytes. */
static uint64_t riff_size(const uint8_t *bytes) {
    uint64_t size = 8;
    for (int i = 0; i < 4; i++)
        size += (uint64_t)bytes[4 + i] << (8 * i);
    return size;
}

static int orientation_of(const WebPDemuxer *demuxer) {
    WebPChunkIterator chunk;
    int orientation = 1;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk))
        orientation = image_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

/* Feeds the frame in slices of input, to yield between them. How much input makes a millisecond's
 * worth of rows varies within an image, so each slice learns from the one before. */
static VP8StatusCode decode_slices(WebPIDecoder *decoder, const WebPIterator *frame,
                                   struct image_pace *pace) {
    const WebPData *data = &frame->fragment;
    bool lossless = data->size >= 4 && memcmp(data->bytes, "VP8L", 4) == 0;
    size_t wanted = IMAGE_PACE_PIXELS / (size_t)frame->width + 1; /* rows from one slice */
    size_t slice = data->size * wanted / (size_t)frame->height + 256;
    size_t fed = 0;
    int rows = 0;
    for (;;) {
        fed += slice < data->size - fed ? slice : data->size - fed;
        VP8StatusCode status = WebPIUpdate(decoder, data->bytes, fed);
        if (status != VP8_STATUS_SUSPENDED || fed == data->size)
            return status;
        int before = rows;
        WebPIDecGetRGB(decoder, &rows, NULL, NULL, NULL);
        size_t gained = (size_t)(rows - before);
        if (gained > wanted / 2)
            slice = slice * wanted / gained + 1;
        else if (rows > 0 || lossless)
            slice *= 2; /* a lossless header is parsed anew with each slice until it is whole */
        image_pace(pace, IMAGE_PACE_PIXELS);
    }
}

/* The frame goes straight to its place. Alpha is dropped, and what an animation's first frame does
 * not cover is black: its canvas starts out transparent (WebP container specification, "Canvas
 * assembly"). */
static enum status decode_frame(const WebPIterator *frame, struct image_pace *pace,
                                struct image *image, struct error *error) {
    if (frame->x_offset < 0 || frame->y_offset < 0 || frame->width < 1 || frame->height < 1 ||
        frame->width > image->width - frame->x_offset ||
        frame->height > image->height - frame->y_offset)
        return error_set(error, STATUS_UNSUPPORTED, "the WebP's first frame leaves its canvas");
    size_t stride = (size_t)image->width * 3;
    size_t offset = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * 3;
    if (frame->width != image->width || frame->height != image->height)
        memset(image->rgb, 0, stride * (size_t)image->height);

    WebPDecBuffer output;
    if (!WebPInitDecBuffer(&output))
        return error_set(error, STATUS_UNSUPPORTED, "libwebp is of another version");
    output.colorspace = MODE_RGB;
    output.is_external_memory = 1;
    output.u.RGBA.rgba = image->rgb + offset;
    output.u.RGBA.stride = (int)stride;
    output.u.RGBA.size = stride * (size_t)image->height - offset;
    WebPIDecoder *decoder = WebPINewDecoder(&output);
    VP8StatusCode status = VP8_STATUS_OUT_OF_MEMORY;
    if (decoder)
        status = decode_slices(decoder, frame, pace);
    WebPIDelete(decoder);
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return error_set(error, STATUS_NO_MEMORY, "no memory to decode a WebP");
    if (status == VP8_STATUS_SUSPENDED)
        return error_set(error, STATUS_UNSUPPORTED, "the WebP's first frame is incomplete");
    if (status != VP8_STATUS_OK)
        return error_set(error, STATUS_UNSUPPORTED, "the WebP cannot be decoded (error %d)",
                         (int)status);
    return STATUS_OK;
}

static enum status decode(const WebPDemuxer *demuxer, const struct image_info *info,
                          struct image_pace *pace, struct image *image, struct error *error) {
    struct image canvas = {0};
    WebPIterator frame;
    memset(&frame, 0, sizeof frame);
    enum status status = STATUS_UNSUPPORTED;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame))
        error_set(error, status, "a WebP without a frame");
    else
        status = image_allocate(info->width, info->height, &canvas, error);
    if (status == STATUS_OK)
        status = decode_frame(&frame, pace, &canvas, error);
    WebPDemuxReleaseIterator(&frame);
    if (status == STATUS_OK)
        *image = canvas;
    else
        image_free(&canvas);
    return status;
}

enum status image_read_webp(struct image_input *input, struct image_info *info, struct image *image,
                            struct error *error) {
    WebPData data = {.bytes = input->bytes, .size = input->size};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    enum status status;
    if (state == WEBP_DEMUX_PARSE_ERROR) {
        status = error_set(error, STATUS_UNSUPPORTED, "the WebP's chunks are damaged");
    } else if (!demuxer || state == WEBP_DEMUX_PARSING_HEADER) {
        status = error_set(error, STATUS_UNSUPPORTED, "the WebP ends within its header");
    } else {
        uint32_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
        uint32_t height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
        status = image_check_size(width, height, input->limits, error);
        if (status == STATUS_OK)
            *info = (struct image_info){.format = IMAGE_WEBP,
                                        .width = (int)width,
                                        .height = (int)height,
                                        .orientation = orientation_of(demuxer)};
        if (status == STATUS_OK && image && state != WEBP_DEMUX_DONE)
            status =
                error_set(error, STATUS_UNSUPPORTED, "the WebP ends after %zu bytes of %" PRIu64,
                          input->size, riff_size(input->bytes));
        else if (status == STATUS_OK && image)
            status = decode(demuxer, info, &input->pace, image, error);
    }
    WebPDemuxDelete(demuxer);
    return status;
}
