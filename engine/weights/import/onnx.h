/* onnx: ONNX files through the parser that protobuf-c generates. Private to the importer. */
#ifndef ENGINE_WEIGHTS_IMPORT_ONNX_H
#define ENGINE_WEIGHTS_IMPORT_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"
#include "engine/weights/safetensors.h"
#include "onnx.pb-c.h"

/* Parses a model that has a graph of standard operators. On STATUS_OK the caller owns *model
 * (onnx_free). STATUS_UNSUPPORTED says why it is not such a model. */
enum status onnx_parse(const uint8_t *bytes, size_t size, Onnx__ModelProto **model,
                       struct error *error);
void onnx_free(Onnx__ModelProto *model); /* NULL is allowed */

/* The values of a FLOAT tensor, which stay the model's, as a tensor of the given name (borrowed).
 * STATUS_UNSUPPORTED: another type, or data outside the file; STATUS_INVALID: dims and data do not
 * fit. */
enum status onnx_tensor(const Onnx__TensorProto *proto, const char *name, struct tensor *tensor,
                        struct error *error);

#endif
