/* EXIF orientation: EXIF 2.32 (CIPA DC-008), tag 0x0112 of the first directory, read by libexif. */
#include <stdlib.h>
#include <string.h>

#include <libexif/exif-data.h>

#include "engine/image/internal.h"

/* libexif and a JPEG's APP1 segment want this in front of the TIFF header; PNG and WebP chunks
 * mostly leave it out. */
static const uint8_t exif_prefix[6] = "Exif\0";

/* A JPEG's segment holds no more. Other chunks could, but the first directory stands in front. */
enum { EXIF_SIZE_MAX = 65536 };

static int entry_orientation(const ExifEntry *entry, ExifByteOrder order) {
    if (!entry || entry->components != 1)
        return 1;
    unsigned long value = 0;
    if (entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        value = exif_get_short(entry->data, order);
    else if (entry->format == EXIF_FORMAT_LONG && entry->size >= 4)
        value = exif_get_long(entry->data, order);
    else if (entry->format == EXIF_FORMAT_BYTE && entry->size >= 1)
        value = entry->data[0];
    return value >= 1 && value <= 8 ? (int)value : 1;
}

int image_exif_orientation(const uint8_t *bytes, size_t size) {
    if (size >= sizeof exif_prefix && memcmp(bytes, exif_prefix, sizeof exif_prefix) == 0) {
        bytes += sizeof exif_prefix;
        size -= sizeof exif_prefix;
    }
    if (size > EXIF_SIZE_MAX - sizeof exif_prefix)
        size = EXIF_SIZE_MAX - sizeof exif_prefix;
    uint8_t *prefixed = malloc(sizeof exif_prefix + size);
    ExifData *data = exif_data_new();
    int orientation = 1;
    if (prefixed && data) {
        memcpy(prefixed, exif_prefix, sizeof exif_prefix);
        memcpy(prefixed + sizeof exif_prefix, bytes, size);
        /* Without this, libexif rewrites what it finds into what the specification asks for. */
        exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
        exif_data_load_data(data, prefixed, (unsigned)(sizeof exif_prefix + size));
        orientation =
            entry_orientation(exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION),
                              exif_data_get_byte_order(data));
    }
    exif_data_unref(data);
    free(prefixed);
    return orientation;
}
