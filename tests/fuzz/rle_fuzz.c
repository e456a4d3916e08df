/* libFuzzer target: compressed COCO RLE: what can be read is written back and read again the same.
 */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mask mask, again;
    struct error error;
    if (size < 2)
        return 0;
    int height = 1 + data[0], width = 1 + data[1];
    if (coco_rle_decode((const char *)data + 2, size - 2, height, width, &mask, &error) !=
        STATUS_OK)
        return 0;
    char *text = coco_rle_encode(&mask);
    if (!text || coco_rle_decode(text, strlen(text), height, width, &again, &error) != STATUS_OK ||
        again.count != mask.count ||
        memcmp(again.counts, mask.counts, mask.count * sizeof *mask.counts) != 0)
        abort();
    free(text);
    mask_free(&mask);
    mask_free(&again);
    return 0;
}
