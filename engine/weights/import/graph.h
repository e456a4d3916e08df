/* graph: what the importer asks of an ONNX graph. Private to the importer. */
#ifndef ENGINE_WEIGHTS_IMPORT_GRAPH_H
#define ENGINE_WEIGHTS_IMPORT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/status.h"
#include "engine/weights/import/import.h"
#include "onnx.pb-c.h"

/* Which of MobileSAM's graphs has these inputs and outputs. STATUS_UNSUPPORTED lists them. */
enum status graph_recognise(const Onnx__GraphProto *graph, enum import_part *part,
                            struct error *error);

/* A value that is known without running the graph. */
struct constant {
    const char *name;
    const Onnx__TensorProto *tensor;
    bool is_initialiser; /* else the output of a Constant node */
    bool is_used;        /* a mark for the caller */
};

struct constants {
    struct constant *items; /* in name order; owned (free) */
    size_t count;
};

/* STATUS_INVALID when a name is there twice. Names and tensors stay the graph's. */
enum status graph_constants(const Onnx__GraphProto *graph, struct constants *constants,
                            struct error *error);
struct constant *constants_find(const struct constants *constants, const char *name);

#endif
