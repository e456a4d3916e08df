/* libFuzzer target: masks of clients in the forms of other tools: what can be read is a mask, and
 * is written and read again the same. The first byte chooses the form, the next two the size. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LABELSTUDIO, CVAT, PNG, FORMS };

static enum status decode(int form, const uint8_t *bytes, size_t size, int height, int width,
                          struct mask *mask) {
    struct error error;
    if (form == LABELSTUDIO)
        return labelstudio_rle_decode(bytes, size, height, width, mask, &error);
    if (form == PNG)
        return mask_png_decode(bytes, size, height, width, mask, &error);
    uint32_t *values = calloc(size / 2 + 1, sizeof *values);
    if (!values)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < size / 2; i++) /* 16 bits each, and what they cannot say */
        values[i] = bytes[2 * i] << 8 | bytes[2 * i + 1] | (bytes[2 * i] == 0xff ? 0xffff0000 : 0);
    enum status status = cvat_rle_decode(values, size / 2, height, width, mask, &error);
    free(values);
    return status;
}

/* The runs cover the mask, and only the first may be of length zero. */
static void check(const struct mask *mask, int height, int width) {
    uint64_t sum = 0;
    for (size_t i = 0; i < mask->count; i++) {
        if (i > 0 && mask->counts[i] == 0)
            abort();
        sum += mask->counts[i];
    }
    if (mask->height != height || mask->width != width || sum != (uint64_t)height * (uint64_t)width)
        abort();
}

static void write_all(const struct mask *mask) {
    for (int format = 0; format < FORMAT_COUNT; format++) {
        char *json = segmentation_json(mask, format, format == FORMAT_POLYGON ? 1 : 0);
        if (!json)
            abort();
        free(json);
    }
}

/* What is read again is the same; what cleaning makes of it is a mask. */
static void round_trip(struct mask *mask) {
    const struct cleaning cleaning = {.min_area = 3, .fill_holes = true};
    struct segmentation segmentation = {.count = 1};
    struct mask again;
    size_t size;
    uint8_t *png = (uint8_t *)mask_png_encode(mask, &size);
    if (!png || mask_png_decode(png, size, mask->height, mask->width, &again, NULL) != STATUS_OK ||
        again.count != mask->count ||
        memcmp(again.counts, mask->counts, mask->count * sizeof *mask->counts) != 0)
        abort();
    free(png);
    segmentation.segments[0].mask = again;
    if (segmentation_clean(&segmentation, &cleaning, NULL) != STATUS_OK)
        abort();
    check(&segmentation.segments[0].mask, mask->height, mask->width);
    segmentation_free(&segmentation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mask mask;
    if (size < 3)
        return 0;
    const int height = 1 + data[1], width = 1 + data[2];
    if (decode(data[0] % FORMS, data + 3, size - 3, height, width, &mask) != STATUS_OK) {
        if (mask.counts)
            abort();
        return 0;
    }
    check(&mask, height, width);
    write_all(&mask);
    round_trip(&mask);
    mask_free(&mask);
    return 0;
}
