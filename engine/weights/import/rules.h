/* rules: which weight of the PyTorch module a value of the graph is. Private to the importer. */
#ifndef ENGINE_WEIGHTS_IMPORT_RULES_H
#define ENGINE_WEIGHTS_IMPORT_RULES_H

#include "engine/status.h"
#include "engine/weights/import/import.h"
#include "onnx.pb-c.h"

/* Adds a tensor with a copy of name; *values is where its tensor_values go. STATUS_INVALID: not a
 * name or not a shape; STATUS_NO_MEMORY. */
enum status import_add(struct import *import, const char *name, int rank, const int64_t *shape,
                       float **values, struct error *error);

/* Adds every weight of the graph:
 *
 * - an initialiser that kept its name, under that name in the module that the part is;
 * - an anonymous one by who consumes it: the node's scope is the module, the operator says which of
 *   its parameters it is, and whether it was transposed (Linear) or viewed (LayerNorm2d);
 * - SAM's tokens and its embedding of "no mask", which are consumed outside any scope, by shape;
 * - the biases of window attention from the tables that the graph adds to the scores.
 *
 * STATUS_INVALID or STATUS_UNSUPPORTED when a weight fits no rule. Whether all are there, once, and
 * of the right shape is for import_finish. */
enum status rules_apply(struct import *import, const Onnx__GraphProto *graph, enum import_part part,
                        struct error *error);

#endif
