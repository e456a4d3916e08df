#include "engine/weights/import/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/import/attention_bias.h"
#include "engine/weights/import/graph.h"
#include "engine/weights/import/names.h"
#include "engine/weights/import/onnx.h"
#include "engine/weights/tensor.h"

struct target {
    struct import *import;
    enum import_part part;
};

enum { NAME_SIZE = 2 * TENSOR_NAME_MAX }; /* import_add refuses what is longer than a name may be */

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *node_name(const Onnx__NodeProto *node) {
    return node->name ? node->name : "";
}

/* ---- ways a weight can have been changed ------------------------------------------------- */

static enum status add_copy(struct import *import, const char *name, int rank, const int64_t *shape,
                            const void *data, struct error *error) {
    float *values;
    enum status status = import_add(import, name, rank, shape, &values, error);
    if (status == STATUS_OK) {
        memcpy(values, data, tensor_values(rank, shape, TENSOR_F32) * sizeof *values);
    }
    return status;
}

static enum status add_transposed(struct import *import, const char *name,
                                  const struct tensor *tensor, struct error *error) {
    const int64_t inputs = tensor->shape[0], outputs = tensor->shape[1];
    const float *source = tensor->data;
    float *values;
    enum status status =
        import_add(import, name, 2, (const int64_t[]){outputs, inputs}, &values, error);
    for (int64_t i = 0; status == STATUS_OK && i < inputs; i++) {
        for (int64_t o = 0; o < outputs; o++) {
            values[o * inputs + i] = source[i * outputs + o];
        }
    }
    return status;
}

/* ---- initialisers that kept their name --------------------------------------------------- */

/* The encoder was exported alone; the decoder inside a wrapper that calls SAM "model", of which the
 * mask decoder is also an attribute (class SamOnnxModel, utils/onnx.py). */
static enum status add_named(struct target target, const struct constant *constant,
                             struct error *error) {
    struct tensor tensor;
    enum status status = onnx_tensor(constant->tensor, constant->name, &tensor, error);
    if (status != STATUS_OK) {
        return status;
    }
    const char *name = constant->name;
    char prefixed[NAME_SIZE];
    if (target.part == IMPORT_ENCODER) {
        snprintf(prefixed, sizeof prefixed, "image_encoder.%s", name);
        name = prefixed;
    } else if (has_prefix(name, "model.")) {
        name += strlen("model.");
    }
    return add_copy(target.import, name, tensor.rank, tensor.shape, tensor.data, error);
}

/* ---- anonymous initialisers, by their consumer ------------------------------------------- */

enum form { AS_IT_IS, TRANSPOSED, CHANNELS };
enum { ANY_INPUT = -1 }; /* the operator commutes */

static const struct rule {
    const char *operator;
    int input;
    int rank;
    const char *leaf;
    enum form form;
} rules[] = {
    {"Conv", 1, 4, "weight", AS_IT_IS},        /* Conv2d_BN, folded */
    {"Conv", 2, 1, "bias", AS_IT_IS},          /* Conv2d_BN, folded */
    {"MatMul", 1, 2, "weight", TRANSPOSED},    /* Linear: x W^T */
    {"Mul", ANY_INPUT, 3, "weight", CHANNELS}, /* LayerNorm2d: weight[:, None, None] */
    {"Add", ANY_INPUT, 3, "bias", CHANNELS},
};

static const struct rule *find_rule(const Onnx__NodeProto *node, size_t input,
                                    const struct tensor *tensor) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *rule = &rules[i];
        if (strcmp(node->op_type, rule->operator) == 0 && tensor->rank == rule->rank &&
            (rule->input == ANY_INPUT || (size_t)rule->input == input) &&
            (rule->form != CHANNELS || (tensor->shape[1] == 1 && tensor->shape[2] == 1))) {
            return rule;
        }
    }
    return NULL;
}

/* Modules that the exporter's wrapper calls directly have lost the name of their owner. */
static const char *owner_of(enum import_part part, const char *module) {
    if (part == IMPORT_ENCODER) {
        return "image_encoder";
    }
    return has_prefix(module, "mask_downscaling.") ? "prompt_encoder" : "mask_decoder";
}

/* What SamOnnxModel consumes in its own forward(), outside any module's scope. */
static enum status add_outermost(struct target target, const Onnx__NodeProto *node, size_t input,
                                 const struct tensor *tensor, bool *added, struct error *error) {
    const int64_t *shape = tensor->shape;
    const float *values = tensor->data;
    *added = true;
    if (strcmp(node->op_type, "Mul") == 0 && tensor->rank == 4 && shape[0] == 1 && shape[2] == 1 &&
        shape[3] == 1) {
        return add_copy(target.import, "prompt_encoder.no_mask_embed.weight", 2, shape, values,
                        error);
    }
    if (strcmp(node->op_type, "Expand") == 0 && input == 0 && tensor->rank == 3 && shape[0] == 1 &&
        shape[1] > 1) {
        /* cat([iou_token, mask_tokens]): the first row, and the others. */
        const int64_t channels = shape[2];
        enum status status = add_copy(target.import, "mask_decoder.iou_token.weight", 2,
                                      (const int64_t[]){1, channels}, values, error);
        return status != STATUS_OK
                   ? status
                   : add_copy(target.import, "mask_decoder.mask_tokens.weight", 2,
                              (const int64_t[]){shape[1] - 1, channels}, values + channels, error);
    }
    *added = false;
    return STATUS_OK;
}

static enum status add_consumed(struct target target, const Onnx__NodeProto *node, size_t input,
                                struct constant *constant, struct error *error) {
    struct tensor tensor;
    enum status status = onnx_tensor(constant->tensor, constant->name, &tensor, error);
    if (status != STATUS_OK) {
        return status;
    }
    constant->is_used = true;
    char module[NAME_SIZE], name[2 * NAME_SIZE];
    bool scoped = name_of_scope(node_name(node), module, sizeof module);
    if (scoped && module[0] == '\0' && target.part == IMPORT_DECODER) {
        bool added;
        status = add_outermost(target, node, input, &tensor, &added, error);
        if (status != STATUS_OK || added) {
            return status;
        }
    }
    const struct rule *rule = find_rule(node, input, &tensor);
    if (!scoped || module[0] == '\0' || !rule) {
        char text[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_UNSUPPORTED,
                         "no rule says which weight '%.40s' %.40s is, input %zu of %.20s '%.80s'",
                         constant->name, tensor_shape_text(text, tensor.rank, tensor.shape), input,
                         node->op_type, node_name(node));
    }
    snprintf(name, sizeof name, "%s.%s.%s", owner_of(target.part, module), module, rule->leaf);
    if (rule->form == TRANSPOSED) {
        return add_transposed(target.import, name, &tensor, error);
    }
    int rank = rule->form == CHANNELS ? 1 : tensor.rank;
    return add_copy(target.import, name, rank, tensor.shape, tensor.data, error);
}

/* ---- biases of window attention ---------------------------------------------------------- */

/* In a module "attn", what is added to the scores. Other constants are the exporter's own: sizes,
 * axes, the numbers of a GELU. */
static bool is_bias_table(const Onnx__NodeProto *node, const struct constant *constant,
                          const char *module) {
    const char *last = strrchr(module, '.');
    return last && strcmp(last, ".attn") == 0 && strcmp(node->op_type, "Add") == 0 &&
           constant->tensor->n_dims == 3;
}

static enum status add_attention_biases(struct target target, const Onnx__NodeProto *node,
                                        const struct constant *constant, struct error *error) {
    char module[NAME_SIZE], name[2 * NAME_SIZE];
    if (target.part != IMPORT_ENCODER || !name_of_scope(node_name(node), module, sizeof module) ||
        !is_bias_table(node, constant, module)) {
        return STATUS_OK;
    }
    snprintf(name, sizeof name, "image_encoder.%s.attention_biases", module);
    struct tensor table;
    int64_t shape[2];
    float *biases;
    enum status status = onnx_tensor(constant->tensor, constant->name, &table, error);
    if (status == STATUS_OK) {
        status = attention_bias_shape(&table, shape, error);
    }
    if (status == STATUS_OK) {
        status = import_add(target.import, name, 2, shape, &biases, error);
    }
    return status == STATUS_OK ? attention_bias_recover(&table, biases, error) : status;
}

/* ---- the graph --------------------------------------------------------------------------- */

static enum status add_inputs(struct target target, const Onnx__NodeProto *node,
                              const struct constants *constants, struct error *error) {
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < node->n_input; i++) {
        struct constant *constant = constants_find(constants, node->input[i]);
        if (constant && !constant->is_initialiser) {
            status = add_attention_biases(target, node, constant, error);
        } else if (constant && name_is_anonymous(constant->name)) {
            status = add_consumed(target, node, i, constant, error);
        }
    }
    return status;
}

static enum status add_all(struct target target, const Onnx__GraphProto *graph,
                           const struct constants *constants, struct error *error) {
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < graph->n_node; i++) {
        status = add_inputs(target, graph->node[i], constants, error);
    }
    for (size_t i = 0; status == STATUS_OK && i < constants->count; i++) {
        const struct constant *constant = &constants->items[i];
        if (constant->is_initialiser && !name_is_anonymous(constant->name)) {
            status = add_named(target, constant, error);
        } else if (constant->is_initialiser && !constant->is_used) {
            status = error_set(error, STATUS_INVALID, "no node takes initialiser '%.100s'",
                               constant->name);
        }
    }
    return status;
}

enum status rules_apply(struct import *import, const Onnx__GraphProto *graph, enum import_part part,
                        struct error *error) {
    struct constants constants;
    enum status status = graph_constants(graph, &constants, error);
    if (status == STATUS_OK) {
        status = add_all((struct target){import, part}, graph, &constants, error);
        free(constants.items);
    }
    return status;
}
