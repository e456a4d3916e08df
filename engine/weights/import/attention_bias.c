#include "engine/weights/import/attention_bias.h"

#include <stdlib.h>
#include <string.h>

#include "engine/weights/tensor.h"

enum { SIDE_MAX = 64 }; /* windows are 7 or 14 wide; the largest TinyViT has 32 */

/* The window's side when positions are its square, else 0. */
static int64_t window_side(int64_t positions) {
    for (int64_t side = 1; side <= SIDE_MAX; side++) {
        if (side * side == positions) {
            return side;
        }
    }
    return 0;
}

enum status attention_bias_shape(const struct tensor *table, int64_t biases[2],
                                 struct error *error) {
    if (table->rank != 3 || table->shape[1] != table->shape[2] ||
        window_side(table->shape[1]) == 0) {
        char text[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_INVALID,
                         "'%.100s' is %.60s: not a table of biases over a square window",
                         table->name, tensor_shape_text(text, table->rank, table->shape));
    }
    biases[0] = table->shape[0];
    biases[1] = table->shape[1];
    return STATUS_OK;
}

enum status attention_bias_recover(const struct tensor *table, float *biases, struct error *error) {
    int64_t shape[2];
    enum status status = attention_bias_shape(table, shape, error);
    if (status != STATUS_OK) {
        return status;
    }
    const int64_t positions = shape[1], side = window_side(positions);
    for (int64_t head = 0; head < shape[0]; head++) {
        const float *entries = (const float *)table->data + head * positions * positions;
        float *bias = memcpy(biases + head * positions, entries, (size_t)positions * sizeof *bias);
        for (int64_t i = 0; i < positions; i++) {
            for (int64_t j = 0; j < positions; j++) {
                int64_t distance = llabs(i / side - j / side) * side + llabs(i % side - j % side);
                if (!(entries[i * positions + j] == bias[distance])) { /* also when it is NaN */
                    return error_set(error, STATUS_INVALID,
                                     "'%.100s': entry [%jd, %jd, %jd] is not the bias of its "
                                     "distance",
                                     table->name, (intmax_t)head, (intmax_t)i, (intmax_t)j);
                }
            }
        }
    }
    return STATUS_OK;
}
