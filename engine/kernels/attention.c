#include "engine/kernels/kernels.h"

/* For the widest block of any instruction set: the keys, and 12 rows of scores. */
size_t window_attention_scratch(size_t tokens, size_t head_dim) {
    size_t columns = (tokens + 31) / 32 * 32;
    return columns * head_dim + columns * 12;
}
