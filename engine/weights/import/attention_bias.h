/* attention_bias: a window attention's learned biases, from the table that the exporter made. */
#ifndef ENGINE_WEIGHTS_IMPORT_ATTENTION_BIAS_H
#define ENGINE_WEIGHTS_IMPORT_ATTENTION_BIAS_H

#include "engine/status.h"
#include "engine/weights/safetensors.h"

/* TinyViT learns one bias a head for each distance (|dy|, |dx|) inside a window of side x side
 * positions (class Attention, tiny_vit_sam.py). The graph has them spread out over all pairs of
 * positions: table [heads, side^2, side^2]. Row 0 of a head, the distances from the upper left
 * corner, has each once, at dy * side + dx; that is also the order of attention_biases, numbered as
 * they are first met. */

/* The shape [heads, side^2] for the table's, into biases. STATUS_INVALID: not such a table. */
enum status attention_bias_shape(const struct tensor *table, int64_t biases[2],
                                 struct error *error);

/* Fills biases [heads, side^2]. STATUS_INVALID when any entry of the table is not the bias of its
 * distance, and names it: then the table is not made of biases. */
enum status attention_bias_recover(const struct tensor *table, float *biases, struct error *error);

#endif
