/* COCO's run-length encoding. The compressed form writes each count as a signed number of 5-bit
 * groups, the low group first, each in one printable character: 48 + group, plus 32 when more
 * groups follow; bit 4 of the last group is the sign. From the fourth count on it is the difference
 * to the count two before (the last run of the same colour) that is written. See rleToString and
 * rleFrString in cocoapi's common/maskApi.c. */
#include "api/mask_formats.h"

#include <inttypes.h>
#include <stdlib.h>

#include "api/api.h"

enum {
    GROUP_BITS = 5,
    GROUP_SIGN = 0x10,
    GROUP_MORE = 0x20,
    GROUP_FIRST_CHARACTER = 48,
    GROUPS_MAX = 7, /* a difference of two 32-bit counts has 33 bits with its sign */
};

/* Whether the count at this place is written as a difference. */
static bool is_difference(size_t index) {
    return index > 2;
}

char *coco_rle_encode(const struct mask *mask) {
    if (mask->count > (SIZE_MAX - 1) / GROUPS_MAX)
        return NULL;
    char *string = malloc(mask->count * GROUPS_MAX + 1);
    if (!string)
        return NULL;
    char *out = string;
    for (size_t i = 0; i < mask->count; i++) {
        int64_t value = mask->counts[i];
        if (is_difference(i))
            value -= mask->counts[i - 2];
        bool more;
        do {
            int group = (int)(value & (GROUP_MORE - 1));
            value >>= GROUP_BITS; /* arithmetic: what remains of a negative value is -1 */
            more = value != (group & GROUP_SIGN ? -1 : 0);
            *out++ = (char)(GROUP_FIRST_CHARACTER + group + (more ? GROUP_MORE : 0));
        } while (more);
    }
    *out = '\0';
    return string;
}

/* Reads one number at *at. The caller has checked that all characters are in range and that the
 * last one ends a number. False: it has more groups than any count needs. */
static bool read_number(const char *string, size_t *at, int64_t *value) {
    int64_t sum = 0;
    for (int i = 0; i < GROUPS_MAX; i++) {
        int group = string[(*at)++] - GROUP_FIRST_CHARACTER;
        sum |= (int64_t)(group & (GROUP_MORE - 1)) << (GROUP_BITS * i);
        if (!(group & GROUP_MORE)) {
            if (group & GROUP_SIGN)
                sum -= INT64_C(1) << (GROUP_BITS * (i + 1));
            *value = sum;
            return true;
        }
    }
    return false;
}

/* How many numbers the string holds; counted first, so that a short string cannot ask for much
 * memory. */
static enum status count_numbers(const char *string, size_t size, size_t *count,
                                 struct error *error) {
    *count = 0;
    bool more = false;
    for (size_t i = 0; i < size; i++) {
        int group = string[i] - GROUP_FIRST_CHARACTER;
        if (group < 0 || group >= 2 * GROUP_MORE)
            return error_set(error, STATUS_INVALID,
                             "character %zu is outside the alphabet of compressed counts", i);
        more = group & GROUP_MORE;
        *count += !more;
    }
    if (more)
        return error_set(error, STATUS_INVALID, "the counts end in the middle of a number");
    return STATUS_OK;
}

enum status coco_rle_decode(const char *string, size_t size, int height, int width,
                            struct mask *mask, struct error *error) {
    *mask = (struct mask){0};
    size_t count;
    enum status status = mask_check_size(height, width, error);
    if (status == STATUS_OK)
        status = count_numbers(string, size, &count, error);
    if (status != STATUS_OK)
        return status;
    uint32_t *counts = calloc(count ? count : 1, sizeof *counts);
    if (!counts)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    const int64_t pixels = (int64_t)height * width;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t value;
        bool fits = read_number(string, &at, &value);
        if (fits && is_difference(i))
            value += counts[i - 2];
        if (!fits || value < 0 || value > pixels) {
            free(counts);
            return error_set(error, STATUS_INVALID, "run %zu is not between 0 and %" PRId64, i,
                             pixels);
        }
        counts[i] = (uint32_t)value;
    }
    return mask_from_counts(counts, count, height, width, mask, error);
}
