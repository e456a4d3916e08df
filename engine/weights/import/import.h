/* import: checkpoints in other formats -> tensors by the names of the original PyTorch module.
 *
 * ONNX graphs of MobileSAM, as torch.onnx.export writes them: one of the TinyViT image encoder, one
 * of SAM's prompt encoder and mask decoder (export_onnx_model.py of segment-anything). What a graph
 * holds is recognised by its inputs and outputs, so the order of the files does not matter. Files
 * are hostile input. Messages name the tensor or the node at fault, not the file. */
#ifndef ENGINE_WEIGHTS_IMPORT_IMPORT_H
#define ENGINE_WEIGHTS_IMPORT_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"
#include "engine/weights/safetensors.h"

enum import_part { IMPORT_ENCODER = 1, IMPORT_DECODER = 2 };

/* Starts zeroed; ends with import_free. Names and data are owned. */
struct import {
    struct tensor *tensors;
    size_t count, capacity;
    unsigned parts; /* the import_part of the graphs that were read */
};

/* Reads one graph and adds its tensors. STATUS_IO; STATUS_TOO_LARGE (2 GiB, protobuf's own limit);
 * STATUS_UNSUPPORTED: not ONNX, cut short, or not a graph we know; STATUS_INVALID: such a graph,
 * but inconsistent, or the second of its kind; STATUS_NO_MEMORY. After an error, only import_free
 * may follow. */
enum status import_onnx(struct import *import, const char *path, struct error *error);
/* The same from memory. */
enum status import_onnx_bytes(struct import *import, const uint8_t *bytes, size_t size,
                              struct error *error);

/* Puts the tensors in name order and checks that they are all of MobileSAM's, each once and of the
 * right shape. STATUS_INVALID says which is not. */
enum status import_finish(struct import *import, struct error *error);

void import_free(struct import *import); /* zeroes it; a zeroed import may be freed again */

#endif
