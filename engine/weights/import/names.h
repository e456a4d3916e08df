/* names: where a weight was in the PyTorch module, from what torch.onnx.export left of it. */
#ifndef ENGINE_WEIGHTS_IMPORT_NAMES_H
#define ENGINE_WEIGHTS_IMPORT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The exporter keeps a parameter's name until it folds it with something (a batch norm, a
 * transpose, a view); then the value is called "onnx::Conv_123". */
bool name_is_anonymous(const char *value);

/* The module that a node was traced in. "/patch_embed/seq/seq.0/c/Conv" gives
 * "patch_embed.seq.0.c": the operator goes; so does a container that its child repeats ("seq"
 * before "seq.0"). A node of the outermost module ("/Mul_9") gives "". False when the name is no
 * scope or does not fit. */
bool name_of_scope(const char *node, char *module, size_t size);

#endif
