#include "tests/unit/engine/weights/import/import_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/tensor.h"

enum { NODES_MAX = 1024 };

struct block {
    struct block *next;
    max_align_t memory[];
};

void *builder_memory(struct builder *builder, size_t size) {
    struct block *block = calloc(1, sizeof *block + size);
    ck_assert_ptr_nonnull(block);
    block->next = builder->blocks;
    builder->blocks = block;
    return block->memory;
}

char *builder_text(struct builder *builder, const char *text) {
    return strcpy(builder_memory(builder, strlen(text) + 1), text);
}

void builder_free(struct builder *builder) {
    while (builder->blocks) {
        struct block *block = builder->blocks;
        builder->blocks = block->next;
        free(block);
    }
    free(builder);
}

/* ---- graphs ------------------------------------------------------------------------------ */

/* 0 is a dimension that is left open. */
static Onnx__ValueInfoProto *port(struct builder *builder, const char *name, int rank,
                                  const int64_t *shape) {
    Onnx__TensorShapeProto *dims = builder_memory(builder, sizeof *dims);
    onnx__tensor_shape_proto__init(dims);
    dims->n_dim = (size_t)rank;
    dims->dim = builder_memory(builder, (size_t)rank * sizeof *dims->dim);
    for (int i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = builder_memory(builder, sizeof *dim);
        onnx__tensor_shape_proto__dimension__init(dim);
        if (shape[i] == 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = builder_text(builder, "batch");
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = shape[i];
        }
        dims->dim[i] = dim;
    }
    Onnx__TypeProto__Tensor *tensor = builder_memory(builder, sizeof *tensor);
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = dims;
    Onnx__TypeProto *type = builder_memory(builder, sizeof *type);
    onnx__type_proto__init(type);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    Onnx__ValueInfoProto *value = builder_memory(builder, sizeof *value);
    onnx__value_info_proto__init(value);
    value->name = builder_text(builder, name);
    value->type = type;
    return value;
}

static void add_ports(struct builder *builder, enum import_part part) {
    Onnx__GraphProto *graph = &builder->graph;
    graph->input = builder_memory(builder, 8 * sizeof *graph->input);
    graph->output = builder_memory(builder, 8 * sizeof *graph->output);
    if (part == IMPORT_ENCODER) {
        graph->input[graph->n_input++] = port(builder, "input", SHAPE(0, 3, 1024, 1024));
        graph->output[graph->n_output++] = port(builder, "output", SHAPE(0, 256, 64, 64));
        return;
    }
    graph->input[graph->n_input++] = port(builder, "image_embeddings", SHAPE(1, 256, 64, 64));
    graph->input[graph->n_input++] = port(builder, "point_coords", SHAPE(1, 0, 2));
    graph->input[graph->n_input++] = port(builder, "point_labels", SHAPE(1, 0));
    graph->input[graph->n_input++] = port(builder, "mask_input", SHAPE(1, 1, 256, 256));
    graph->input[graph->n_input++] = port(builder, "has_mask_input", SHAPE(1));
    graph->input[graph->n_input++] = port(builder, "orig_im_size", SHAPE(2));
    graph->output[graph->n_output++] = port(builder, "masks", SHAPE(0, 0, 0, 0));
    graph->output[graph->n_output++] = port(builder, "iou_predictions", SHAPE(0, 1));
    graph->output[graph->n_output++] = port(builder, "low_res_masks", SHAPE(0, 1, 0, 0));
}

struct builder *builder_new(enum import_part part) {
    struct builder *builder = calloc(1, sizeof *builder);
    ck_assert_ptr_nonnull(builder);
    onnx__model_proto__init(&builder->model);
    onnx__graph_proto__init(&builder->graph);
    builder->model.graph = &builder->graph;
    builder->model.has_ir_version = 1;
    builder->model.ir_version = 8;

    Onnx__OperatorSetIdProto *set = builder_memory(builder, sizeof *set);
    onnx__operator_set_id_proto__init(set);
    set->has_version = 1;
    set->version = 17;
    builder->model.opset_import = builder_memory(builder, sizeof set);
    builder->model.opset_import[0] = set;
    builder->model.n_opset_import = 1;

    Onnx__GraphProto *graph = &builder->graph;
    graph->node = builder_memory(builder, NODES_MAX * sizeof *graph->node);
    graph->initializer = builder_memory(builder, NODES_MAX * sizeof *graph->initializer);
    add_ports(builder, part);
    return builder;
}

static Onnx__TensorProto *new_tensor(struct builder *builder, int rank, const int64_t *shape,
                                     const float *values) {
    Onnx__TensorProto *tensor = builder_memory(builder, sizeof *tensor);
    onnx__tensor_proto__init(tensor);
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->n_dims = (size_t)rank;
    tensor->dims = builder_memory(builder, (size_t)rank * sizeof *shape);
    memcpy(tensor->dims, shape, (size_t)rank * sizeof *shape);
    size_t count = tensor_values(rank, shape, TENSOR_F32);
    float *data = builder_memory(builder, count * sizeof *data);
    for (size_t i = 0; i < count; i++) {
        data[i] = values ? values[i] : (float)i;
    }
    tensor->has_raw_data = 1;
    tensor->raw_data.len = count * sizeof *data;
    tensor->raw_data.data = (uint8_t *)data;
    return tensor;
}

Onnx__TensorProto *builder_initialiser(struct builder *builder, const char *name, int rank,
                                       const int64_t *shape, const float *values) {
    Onnx__TensorProto *tensor = new_tensor(builder, rank, shape, values);
    tensor->name = builder_text(builder, name);
    ck_assert_uint_lt(builder->graph.n_initializer, NODES_MAX);
    builder->graph.initializer[builder->graph.n_initializer++] = tensor;
    return tensor;
}

Onnx__NodeProto *builder_node(struct builder *builder, const char *operator, const char * name,
                              const char *output, int input_count, const char *const *inputs) {
    Onnx__NodeProto *node = builder_memory(builder, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = builder_text(builder, operator);
    node->name = builder_text(builder, name);
    node->n_input = (size_t)input_count;
    node->input = builder_memory(builder, (size_t)(input_count + 1) * sizeof *node->input);
    for (int i = 0; i < input_count; i++) {
        node->input[i] = builder_text(builder, inputs[i]);
    }
    node->n_output = 1;
    node->output = builder_memory(builder, sizeof *node->output);
    node->output[0] = builder_text(builder, output);
    ck_assert_uint_lt(builder->graph.n_node, NODES_MAX);
    builder->graph.node[builder->graph.n_node++] = node;
    return node;
}

Onnx__TensorProto *builder_constant(struct builder *builder, const char *output, int rank,
                                    const int64_t *shape, const float *values) {
    Onnx__NodeProto *node = builder_node(builder, "Constant", "", output, 0, NULL);
    Onnx__AttributeProto *attribute = builder_memory(builder, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = builder_text(builder, "value");
    attribute->t = new_tensor(builder, rank, shape, values);
    node->n_attribute = 1;
    node->attribute = builder_memory(builder, sizeof *node->attribute);
    node->attribute[0] = attribute;
    return attribute->t;
}

void builder_weight(struct builder *builder, const char *operator, const char * node, int input,
                    int rank, const int64_t *shape, const float *values) {
    char name[64];
    const char *inputs[3] = {"x", "x", "x"};
    snprintf(name, sizeof name, "onnx::%s_%zu", operator, builder->graph.n_initializer);
    inputs[input] = name;
    builder_initialiser(builder, name, rank, shape, values);
    builder_node(builder, operator, node, "y", 3, inputs);
}

uint8_t *builder_pack(const struct builder *builder, size_t *size) {
    *size = onnx__model_proto__get_packed_size(&builder->model);
    uint8_t *bytes = malloc(*size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(onnx__model_proto__pack(&builder->model, bytes), *size);
    return bytes;
}

/* ---- the whole model --------------------------------------------------------------------- */

uint32_t synthetic_seed(const char *name) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    }
    return hash;
}

float synthetic_value(uint32_t seed, size_t index) {
    return (float)((seed ^ (uint32_t)index * 2654435761u) >> 8); /* 24 bits: a float has them */
}

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static float *synthetic_values(struct builder *builder, const struct tensor_spec *spec) {
    size_t count = tensor_values(spec->rank, spec->shape, TENSOR_F32);
    float *values = builder_memory(builder, count * sizeof *values);
    uint32_t seed = synthetic_seed(spec->name);
    for (size_t i = 0; i < count; i++) {
        values[i] = synthetic_value(seed, i);
    }
    return values;
}

/* In the scope of a module, or outside any ("") */
static void add_anonymous(struct builder *builder, const char *operator, const char * module,
                          int input, int rank, const int64_t *shape, const float *values) {
    char node[160];
    snprintf(node, sizeof node, "%s%s/%s", *module ? "/" : "", module, operator);
    builder_weight(builder, operator, node, input, rank, shape, values);
}

static void add_linear(struct builder *builder, const char *module, const struct tensor_spec *spec,
                       const float *values) {
    const int64_t outputs = spec->shape[0], inputs = spec->shape[1];
    float *transposed = builder_memory(builder, (size_t)(outputs * inputs) * sizeof *transposed);
    for (int64_t o = 0; o < outputs; o++) {
        for (int64_t i = 0; i < inputs; i++) {
            transposed[i * outputs + o] = values[o * inputs + i];
        }
    }
    add_anonymous(builder, "MatMul", module, 1, SHAPE(inputs, outputs), transposed);
}

static void add_bias_table(struct builder *builder, const char *module,
                           const struct tensor_spec *spec, const float *values) {
    const int64_t heads = spec->shape[0], n = spec->shape[1], side = n == 49 ? 7 : 14;
    float *table = builder_memory(builder, (size_t)(heads * n * n) * sizeof *table);
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < n; j++) {
                int64_t dy = llabs(i / side - j / side), dx = llabs(i % side - j % side);
                table[(h * n + i) * n + j] = values[h * n + dy * side + dx];
            }
        }
    }
    char output[160], node[160];
    snprintf(output, sizeof output, "/%s/Constant_output_0", module);
    snprintf(node, sizeof node, "/%s/Add", module);
    builder_constant(builder, output, SHAPE(heads, n, n), table);
    builder_node(builder, "Add", node, "y", 2, (const char *const[]){"scores", output});
}

/* LayerNorm2d: its parameters are viewed as [C, 1, 1]. */
static bool is_norm2d(const char *module) {
    static const char *const modules[] = {
        "image_encoder.neck.1",
        "image_encoder.neck.3",
        "prompt_encoder.mask_downscaling.1",
        "prompt_encoder.mask_downscaling.4",
        "mask_decoder.output_upscaling.1",
    };
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (strcmp(module, modules[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_linear(const struct tensor_spec *spec) {
    return spec->rank == 2 && ends_with(spec->name, ".weight") &&
           (strncmp(spec->name, "image_encoder.", 14) == 0 ||
            strncmp(spec->name, "mask_decoder.transformer.", 25) == 0);
}

static void add_spec(struct builder *builder, const struct tensor_spec *spec) {
    const float *values = synthetic_values(builder, spec);
    char owned[TENSOR_SPEC_NAME], named[TENSOR_SPEC_NAME + 8];
    snprintf(owned, sizeof owned, "%s", spec->name);
    char *leaf = strrchr(owned, '.');
    *leaf++ = '\0';
    const char *point = strchr(owned, '.');
    const char *module = point ? point + 1 : "";
    bool weight = strcmp(leaf, "weight") == 0;
    if (ends_with(owned, ".c")) {
        add_anonymous(builder, "Conv", module, weight ? 1 : 2, spec->rank, spec->shape, values);
    } else if (strcmp(leaf, "attention_biases") == 0) {
        add_bias_table(builder, module, spec, values);
    } else if (is_norm2d(owned)) {
        add_anonymous(builder, weight ? "Mul" : "Add", module, weight ? 0 : 1,
                      SHAPE(spec->shape[0], 1, 1), values);
    } else if (is_linear(spec)) {
        add_linear(builder, module, spec, values);
    } else if (strcmp(owned, "prompt_encoder.no_mask_embed") == 0) {
        add_anonymous(builder, "Mul", "", 1, SHAPE(1, 256, 1, 1), values);
    } else {
        const char *prefix = strncmp(owned, "prompt_encoder.", 15) == 0 ? "model." : "";
        const char *rest = strncmp(owned, "image_encoder.", 14) == 0 ? spec->name + 14 : spec->name;
        snprintf(named, sizeof named, "%s%s", prefix, rest);
        builder_initialiser(builder, named, spec->rank, spec->shape, values);
    }
}

static void add_tokens(struct builder *builder) {
    enum { CHANNELS = 256 };
    const uint32_t iou = synthetic_seed("mask_decoder.iou_token.weight");
    const uint32_t masks = synthetic_seed("mask_decoder.mask_tokens.weight");
    float tokens[5 * CHANNELS];
    for (size_t i = 0; i < 5 * CHANNELS; i++) {
        tokens[i] = i < CHANNELS ? synthetic_value(iou, i) : synthetic_value(masks, i - CHANNELS);
    }
    add_anonymous(builder, "Expand", "", 0, SHAPE(1, 5, CHANNELS), tokens);
}

struct builder *synthetic_graph(enum import_part part, const char *without) {
    struct builder *builder = builder_new(part);
    size_t count = mobile_sam_tensors(NULL, 0);
    struct tensor_spec *specs = builder_memory(builder, count * sizeof *specs);
    mobile_sam_tensors(specs, count);
    for (size_t i = 0; i < count; i++) {
        bool encoder = strncmp(specs[i].name, "image_encoder.", 14) == 0;
        bool token = ends_with(specs[i].name, "iou_token.weight") ||
                     ends_with(specs[i].name, "mask_tokens.weight"); /* one initialiser for both */
        if (encoder == (part == IMPORT_ENCODER) && !token &&
            (!without || strcmp(specs[i].name, without) != 0)) {
            add_spec(builder, &specs[i]);
        }
    }
    if (part == IMPORT_DECODER) {
        add_tokens(builder);
    }
    return builder;
}
