#include "engine/weights/import/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- recognition ------------------------------------------------------------------------- */

enum { PORTS_MAX = 6, PORT_RANK_MAX = 4, ANY = 0 };

struct port { /* an input or output of a graph; name NULL ends a list */
    const char *name;
    int rank; /* -1: not looked at, for the exporter could not know it */
    int64_t shape[PORT_RANK_MAX];
};

static const struct signature {
    enum import_part part;
    const char *title;
    struct port inputs[PORTS_MAX + 1], outputs[PORTS_MAX + 1];
} signatures[] = {
    {
        .part = IMPORT_ENCODER,
        .title = "MobileSAM's image encoder",
        .inputs = {{"input", 4, {ANY, 3, 1024, 1024}}},
        .outputs = {{"output", 4, {ANY, 256, 64, 64}}},
    },
    {
        .part = IMPORT_DECODER,
        .title = "SAM's mask decoder",
        .inputs = {{"image_embeddings", 4, {1, 256, 64, 64}},
                   {"point_coords", 3, {1, ANY, 2}},
                   {"point_labels", 2, {1, ANY}},
                   {"mask_input", 4, {1, 1, 256, 256}},
                   {"has_mask_input", 1, {1}},
                   {"orig_im_size", 1, {2}}},
        .outputs = {{"masks", -1, {0}}, {"iou_predictions", -1, {0}}, {"low_res_masks", -1, {0}}},
    },
};

static const Onnx__ValueInfoProto *find_port(Onnx__ValueInfoProto *const *values, size_t count,
                                             const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(values[i]->name, name) == 0) {
            return values[i];
        }
    }
    return NULL;
}

static bool has_ports(Onnx__ValueInfoProto *const *values, size_t count, const struct port *ports) {
    size_t wanted = 0;
    for (; ports[wanted].name; wanted++) {
        if (!find_port(values, count, ports[wanted].name)) {
            return false;
        }
    }
    return count == wanted;
}

/* A dimension that the graph leaves open is any. */
static bool shape_fits(const Onnx__ValueInfoProto *value, const struct port *port) {
    const Onnx__TypeProto *type = value->type;
    if (port->rank < 0) {
        return true;
    }
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type ||
        type->tensor_type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
        !type->tensor_type->shape || type->tensor_type->shape->n_dim != (size_t)port->rank) {
        return false;
    }
    for (int i = 0; i < port->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dimension = type->tensor_type->shape->dim[i];
        if (port->shape[i] != ANY &&
            dimension->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
            dimension->dim_value != port->shape[i]) {
            return false;
        }
    }
    return true;
}

static enum status check_shapes(Onnx__ValueInfoProto *const *values, size_t count,
                                const struct port *ports, const char *title, struct error *error) {
    for (; ports->name; ports++) {
        if (!shape_fits(find_port(values, count, ports->name), ports)) {
            return error_set(error, STATUS_UNSUPPORTED,
                             "'%s' is not of the type and shape that %s has", ports->name, title);
        }
    }
    return STATUS_OK;
}

/* "a, b, c", cut to fit. */
static void list_names(char *text, size_t size, Onnx__ValueInfoProto *const *values, size_t count) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%.40s", i > 0 ? ", " : "",
                                 values[i]->name);
    }
}

enum status graph_recognise(const Onnx__GraphProto *graph, enum import_part *part,
                            struct error *error) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *known = &signatures[i];
        if (has_ports(graph->input, graph->n_input, known->inputs) &&
            has_ports(graph->output, graph->n_output, known->outputs)) {
            *part = known->part;
            enum status status =
                check_shapes(graph->input, graph->n_input, known->inputs, known->title, error);
            return status == STATUS_OK ? check_shapes(graph->output, graph->n_output,
                                                      known->outputs, known->title, error)
                                       : status;
        }
    }
    char inputs[100], outputs[60];
    list_names(inputs, sizeof inputs, graph->input, graph->n_input);
    list_names(outputs, sizeof outputs, graph->output, graph->n_output);
    return error_set(error, STATUS_UNSUPPORTED,
                     "is neither %s nor %s: its inputs are (%s), its outputs (%s)",
                     signatures[0].title, signatures[1].title, inputs, outputs);
}

/* ---- constants --------------------------------------------------------------------------- */

static const Onnx__TensorProto *constant_of(const Onnx__NodeProto *node) {
    if (strcmp(node->op_type, "Constant") != 0 || node->n_output != 1) {
        return NULL;
    }
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->name && strcmp(attribute->name, "value") == 0) {
            return attribute->t;
        }
    }
    return NULL;
}

static int compare_constants(const void *left, const void *right) {
    return strcmp(((const struct constant *)left)->name, ((const struct constant *)right)->name);
}

enum status graph_constants(const Onnx__GraphProto *graph, struct constants *constants,
                            struct error *error) {
    struct constant *items = calloc(graph->n_initializer + graph->n_node + 1, sizeof *items);
    size_t count = 0;
    if (!items) {
        return error_set(error, STATUS_NO_MEMORY, "no memory for %zu nodes", graph->n_node);
    }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const Onnx__TensorProto *tensor = graph->initializer[i];
        items[count++] = (struct constant){tensor->name, tensor, .is_initialiser = true};
    }
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__TensorProto *tensor = constant_of(graph->node[i]);
        if (tensor) {
            items[count++] = (struct constant){graph->node[i]->output[0], tensor, 0, 0};
        }
    }
    qsort(items, count, sizeof *items, compare_constants);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(items[i - 1].name, items[i].name) == 0) {
            enum status status =
                error_set(error, STATUS_INVALID, "value '%.100s' is there twice", items[i].name);
            free(items);
            return status;
        }
    }
    *constants = (struct constants){items, count};
    return STATUS_OK;
}

struct constant *constants_find(const struct constants *constants, const char *name) {
    const struct constant key = {.name = name};
    return bsearch(&key, constants->items, constants->count, sizeof key, compare_constants);
}
