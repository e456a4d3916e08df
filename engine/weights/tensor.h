/* tensor: sizes, names and order of tensors, for all that reads, makes or checks them.
 *
 * Shapes come from files: products are computed so that no shape can overflow them. */
#ifndef ENGINE_WEIGHTS_TENSOR_H
#define ENGINE_WEIGHTS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/weights/safetensors.h"

enum {
    TENSOR_NAME_MAX = 160,   /* bytes: a message has room for a name and a reason */
    TENSOR_SHAPE_TEXT = 192, /* bytes of any shape as text: 8 x 20 digits, separators, the zero */
};

size_t tensor_type_size(enum tensor_type type);      /* bytes of a value: 4 or 2 */
const char *tensor_type_name(enum tensor_type type); /* as safetensors spells it: "F32", "F16" */

/* The number of values of a shape, or 0 when a dimension is not positive, or the number of values
 * or of their bytes does not fit a size_t. A scalar (rank 0) has one. */
size_t tensor_values(int rank, const int64_t *shape, enum tensor_type type);

/* Names are printable ASCII, for they go into messages and logs: 1 .. TENSOR_NAME_MAX bytes. */
bool tensor_name_valid(const char *name);

/* "[256, 64, 1, 1]"; "[]" for a scalar. Returns text. */
char *tensor_shape_text(char text[TENSOR_SHAPE_TEXT], int rank, const int64_t *shape);

/* For qsort and bsearch: two struct tensor, by name. */
int tensor_compare_names(const void *left, const void *right);

#endif
