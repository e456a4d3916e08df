/* libFuzzer target: image_probe, image_decode and image_resize on any bytes. */
#include <stdlib.h>

#include "engine/image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct image_limits limits = {.max_pixels = 1 << 20, .max_side = 4096};
    struct image_info info;
    struct image image, resized;
    struct error error;
    enum status probed = image_probe(data, size, &limits, &info, &error);
    if (image_decode(data, size, &limits, NULL, &image, &error) != STATUS_OK)
        return 0;
    /* what was decoded is what the header promised */
    if (probed != STATUS_OK || image.width != info.width || image.height != info.height)
        abort();
    if (image_resize(&image, 1 + image.height % 97, 1 + image.width % 89, NULL, &resized, &error) ==
        STATUS_OK)
        image_free(&resized);
    image_free(&image);
    return 0;
}
