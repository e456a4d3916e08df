/* Label Studio's brush RLE, that of the npm package @thi.ng/rle-pack over RGBA: the number of bytes
 * in 32 bits, the size of a word less 1 in 5 bits, then four sizes of counts less 1 in 4 bits each.
 * What follows are blocks: a bit that says whether one word is repeated or each is written out, 2
 * bits that choose a size, a count less 1 of this size, and the words. Sizes and padding are those
 * of label-studio-converter's brush.py, encode_rle. */
#include <stdlib.h>

#include "api/mask_formats.h"

enum {
    CHANNELS = 4,
    WORD_BITS = 8,
    WORD_SIZE_BITS = 5,
    COUNT_SIZES = 4,
    COUNT_SIZE_BITS = 4,
    TOTAL_BITS = 32,
};

static const unsigned count_bits[COUNT_SIZES] = {3, 4, 8, 16};

/* ---- writing ----------------------------------------------------------------------------- */

struct bit_writer {
    struct text *text;
    uint64_t bits; /* the last of them are not written yet */
    unsigned count;
    bool begun;
};

static void write_byte(struct bit_writer *writer, uint64_t byte) {
    text_append(writer->text, ",", writer->begun);
    text_unsigned(writer->text, byte & 0xff);
    writer->begun = true;
}

static void write_bits(struct bit_writer *writer, uint32_t value, unsigned count) {
    writer->bits = writer->bits << count | value;
    for (writer->count += count; writer->count >= 8; writer->count -= 8)
        write_byte(writer, writer->bits >> (writer->count - 8));
}

/* Bytes of one value, of which a block holds as many as the widest count says. */
static void write_run(struct bit_writer *writer, uint64_t bytes, uint32_t value) {
    const uint64_t most = UINT64_C(1) << count_bits[COUNT_SIZES - 1];
    while (bytes > 0) {
        const uint64_t count = bytes < most ? bytes : most;
        unsigned size = 0;
        while (count > UINT64_C(1) << count_bits[size])
            size++;
        write_bits(writer, 1, 1);
        write_bits(writer, size, 2);
        write_bits(writer, (uint32_t)(count - 1), count_bits[size]);
        write_bits(writer, value, WORD_BITS);
        bytes -= count;
    }
}

void labelstudio_rle_write(struct text *text, const struct mask *mask) {
    const uint64_t total = (uint64_t)mask->height * (uint64_t)mask->width * CHANNELS;
    struct bit_writer writer = {.text = text};
    struct mask rows;
    if (total > UINT32_MAX || mask_transpose(mask, SIZE_MAX, &rows, NULL) != STATUS_OK) {
        text_fail(text);
        return;
    }
    text_add(text, "[");
    write_bits(&writer, (uint32_t)total, TOTAL_BITS);
    write_bits(&writer, WORD_BITS - 1, WORD_SIZE_BITS);
    for (int i = 0; i < COUNT_SIZES; i++)
        write_bits(&writer, count_bits[i] - 1, COUNT_SIZE_BITS);
    for (size_t i = 0; i < rows.count; i++)
        write_run(&writer, (uint64_t)rows.counts[i] * CHANNELS, i % 2 ? 0xff : 0);
    write_byte(&writer, writer.bits << (8 - writer.count)); /* brush.py has one more byte always */
    text_add(text, "]");
    mask_free(&rows);
}

/* ---- reading ----------------------------------------------------------------------------- */

struct bit_reader {
    const uint8_t *bytes;
    uint64_t at, end; /* in bits */
};

/* Zeros behind the end; the caller looks whether it was passed. */
static uint32_t read_bits(struct bit_reader *reader, unsigned count) {
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++, reader->at++) {
        const uint32_t bit = reader->at < reader->end
                                 ? reader->bytes[reader->at / 8] >> (7 - reader->at % 8) & 1
                                 : 0;
        value = value << 1 | bit;
    }
    return value;
}

/* Runs of pixels, from the values of the alpha channel. */
struct pixels {
    uint32_t *counts;
    size_t count; /* the last one is being counted */
};

static void add_pixels(struct pixels *pixels, uint32_t count, bool set) {
    if (count == 0)
        return;
    if ((pixels->count - 1) % 2 != set)
        pixels->count++;
    pixels->counts[pixels->count - 1] += count;
}

/* The bytes first <= i < last, in a block. Every fourth of them is the alpha of a pixel. */
static void read_words(struct bit_reader *reader, uint64_t first, uint64_t last, bool repeated,
                       struct pixels *pixels) {
    if (repeated) {
        const bool set = read_bits(reader, WORD_BITS) != 0;
        add_pixels(pixels, (uint32_t)(last / CHANNELS - first / CHANNELS), set);
        return;
    }
    for (uint64_t i = first; i < last; i++) {
        const bool set = read_bits(reader, WORD_BITS) != 0;
        add_pixels(pixels, i % CHANNELS == CHANNELS - 1, set);
    }
}

static enum status read_blocks(struct bit_reader *reader, uint64_t total, struct pixels *pixels,
                               struct error *error) {
    unsigned sizes[COUNT_SIZES];
    for (int i = 0; i < COUNT_SIZES; i++)
        sizes[i] = read_bits(reader, COUNT_SIZE_BITS) + 1;
    for (uint64_t i = 0; i < total;) {
        const bool repeated = read_bits(reader, 1);
        const unsigned size = sizes[read_bits(reader, 2)];
        const uint64_t last = i + read_bits(reader, size) + 1;
        if (last > total)
            return error_set(error, STATUS_INVALID, "a run goes beyond the last pixel");
        read_words(reader, i, last, repeated, pixels);
        if (reader->at > reader->end)
            return error_set(error, STATUS_INVALID, "the bytes end before the last pixel");
        i = last;
    }
    return STATUS_OK;
}

enum status labelstudio_rle_decode(const uint8_t *bytes, size_t size, int height, int width,
                                   struct mask *mask, struct error *error) {
    struct bit_reader reader = {bytes, 0, (uint64_t)size * 8};
    *mask = (struct mask){0};
    enum status status = mask_check_size(height, width, error);
    if (status != STATUS_OK)
        return status;
    const uint64_t wanted = (uint64_t)height * (uint64_t)width * CHANNELS;
    const uint64_t total = read_bits(&reader, TOTAL_BITS);
    const unsigned word_bits = read_bits(&reader, WORD_SIZE_BITS) + 1;
    if (total != wanted)
        return error_set(error, STATUS_INVALID, "it is of %llu bytes, not 4 x %d x %d",
                         (unsigned long long)total, height, width);
    if (word_bits != WORD_BITS)
        return error_set(error, STATUS_INVALID, "it is of words of %u bits, not 8", word_bits);
    /* a block takes 12 bits or more: there are no more runs than bytes, and the first */
    struct pixels pixels = {calloc(size + 2, sizeof *pixels.counts), 1};
    if (!pixels.counts)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    status = read_blocks(&reader, total, &pixels, error);
    if (status == STATUS_OK)
        return mask_from_rows(pixels.counts, pixels.count, height, width, mask, error);
    free(pixels.counts);
    return status;
}
