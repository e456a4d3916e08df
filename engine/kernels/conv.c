#include "engine/kernels/conv.h"

#include <string.h>

/* Three neighbouring pixels of a row, from column `first` - 1 on; outside the row, zero. */
static void copy_triple(const float *row, size_t width, size_t channels, size_t first, float *to) {
    if (row && first >= 1 && first + 1 < width) {
        memcpy(to, row + (first - 1) * channels, 3 * channels * sizeof *to);
        return;
    }
    for (size_t j = 0; j < 3; j++, to += channels) {
        size_t column = first + j; /* of the padded row */
        if (row && column >= 1 && column <= width)
            memcpy(to, row + (column - 1) * channels, channels * sizeof *to);
        else
            memset(to, 0, channels * sizeof *to);
    }
}

void conv3x3_columns(const float *const rows[3], size_t width, size_t channels, size_t stride,
                     size_t output_width, float *columns) {
    for (size_t x = 0; x < output_width; x++)
        for (size_t i = 0; i < 3; i++, columns += 3 * channels)
            copy_triple(rows[i], width, channels, x * stride, columns);
}
