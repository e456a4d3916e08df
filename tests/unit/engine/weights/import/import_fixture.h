/* Small ONNX graphs, and whole synthetic ones, for the importer's tests. */
#ifndef TESTS_UNIT_ENGINE_WEIGHTS_IMPORT_IMPORT_FIXTURE_H
#define TESTS_UNIT_ENGINE_WEIGHTS_IMPORT_IMPORT_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/weights/import/import.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "onnx.pb-c.h"

/* A model under construction. Tests may change any field before it is packed; all memory is the
 * builder's. */
struct builder {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    struct block *blocks;
};

/* A graph with the inputs and outputs of that part, operator set 17, and nothing in it. */
struct builder *builder_new(enum import_part part);
void builder_free(struct builder *builder);

/* Zeroed memory, and a copy of text, that live as long as the builder. */
void *builder_memory(struct builder *builder, size_t size);
char *builder_text(struct builder *builder, const char *text);

/* Values 0, 1, 2 ... as raw data, unless given. */
Onnx__TensorProto *builder_initialiser(struct builder *builder, const char *name, int rank,
                                       const int64_t *shape, const float *values);
Onnx__NodeProto *builder_node(struct builder *builder, const char *operator, const char * name,
                              const char *output, int input_count, const char *const *inputs);
/* A Constant node; the tensor is its attribute's. */
Onnx__TensorProto *builder_constant(struct builder *builder, const char *output, int rank,
                                    const int64_t *shape, const float *values);

/* The file. The caller frees the bytes. */
uint8_t *builder_pack(const struct builder *builder, size_t *size);

/* A node that takes an anonymous initialiser: what the exporter makes of a folded parameter. */
void builder_weight(struct builder *builder, const char *operator, const char * node, int input,
                    int rank, const int64_t *shape, const float *values);

#define SHAPE(...)                                                                                 \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {           \
        __VA_ARGS__                                                                                \
    }

/* ---- the whole model --------------------------------------------------------------------- */

/* The value of a synthetic weight: of the tensor with the seed of that name, at that index. */
uint32_t synthetic_seed(const char *name);
float synthetic_value(uint32_t seed, size_t index);

/* A graph that torch.onnx.export could have made of a MobileSAM with synthetic weights. The tensor
 * "without", if not NULL, is left out. */
struct builder *synthetic_graph(enum import_part part, const char *without);

#endif
