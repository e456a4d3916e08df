#include "engine/weights/import/onnx.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "engine/weights/tensor.h"

/* ---- the wire format, before protobuf-c sees it ------------------------------------------ */

enum {
    DEPTH_MAX = 16, /* the deepest of a flat graph is 8: a dimension of an input's type */
    FIELDS_MAX = 64 /* of one message type; ONNX's largest has 18 */
};

struct wire {
    const uint8_t *at, *end;
};

/* protobuf's base-128 integer: 7 bits a byte, the lowest first. */
static bool read_varint(struct wire *wire, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        uint8_t byte = *wire->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* Steps over one field's value; a length-delimited one is left in *content. */
static bool skip_value(struct wire *wire, unsigned wire_type, struct wire *content) {
    uint64_t length;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(wire, &length);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        length = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        length = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(wire, &length)) {
            return false;
        }
        break;
    default: /* groups, which ONNX never had */
        return false;
    }
    if (length > (uint64_t)(wire->end - wire->at)) {
        return false;
    }
    *content = (struct wire){wire->at, wire->at + length};
    wire->at += length;
    return true;
}

/* protobuf-c recurses into messages without a limit, and merges a message that is given in several
 * pieces. Neither happens in a graph that an exporter wrote; both are refused here, and a file that
 * was cut short gets a message of its own. */
static enum status check_wire(struct wire wire, const ProtobufCMessageDescriptor *type, int depth,
                              struct error *error) {
    uint64_t seen = 0;
    if (depth > DEPTH_MAX || type->n_fields > FIELDS_MAX) {
        return error_set(error, STATUS_UNSUPPORTED, "is nested more than %d deep", DEPTH_MAX);
    }
    while (wire.at < wire.end) {
        uint64_t key;
        struct wire content = {0};
        if (!read_varint(&wire, &key) || key >> 3 == 0 || key >> 3 > INT32_MAX ||
            !skip_value(&wire, key & 7, &content)) {
            return error_set(error, STATUS_UNSUPPORTED,
                             "is not ONNX, or is cut short: a field of a %s has no end",
                             type->short_name);
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
        if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE || !content.at) {
            continue;
        }
        uint64_t bit = (uint64_t)1 << (field - type->fields);
        if (field->label != PROTOBUF_C_LABEL_REPEATED && (seen & bit)) {
            return error_set(error, STATUS_UNSUPPORTED, "has two fields '%s' in one %s",
                             field->name, type->short_name);
        }
        seen |= bit;
        enum status status = check_wire(content, field->descriptor, depth + 1, error);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* ---- the model --------------------------------------------------------------------------- */

static bool is_standard_domain(const char *domain) {
    return !domain || domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

/* Names go into messages: printable ASCII, as exporters write them, or absent. */
static bool is_plain(const char *text) {
    for (; text && *text; text++) {
        if (*text < 0x20 || *text > 0x7e) {
            return false;
        }
    }
    return true;
}

static bool are_plain(char *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_plain(texts[i])) {
            return false;
        }
    }
    return true;
}

static bool has_plain_name(const char *name) {
    return name && is_plain(name);
}

/* What the rest of the importer relies on: only a node's own name and domain may be NULL. */
static enum status check_names(const Onnx__GraphProto *graph, struct error *error) {
    bool plain = true;
    for (size_t i = 0; plain && i < graph->n_initializer; i++) {
        plain = has_plain_name(graph->initializer[i]->name);
    }
    for (size_t i = 0; plain && i < graph->n_input; i++) {
        plain = has_plain_name(graph->input[i]->name);
    }
    for (size_t i = 0; plain && i < graph->n_output; i++) {
        plain = has_plain_name(graph->output[i]->name);
    }
    for (size_t i = 0; plain && i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        plain = has_plain_name(node->op_type) && is_plain(node->name) && is_plain(node->domain) &&
                are_plain(node->input, node->n_input) && are_plain(node->output, node->n_output);
    }
    return plain ? STATUS_OK
                 : error_set(error, STATUS_UNSUPPORTED,
                             "a name in the graph is missing or not printable ASCII");
}

/* The operators whose weights we read (Conv, MatMul, Add, Mul, Expand, Constant) have meant the
 * same since numpy's broadcasting came to Add and Mul (7) and Expand appeared (8); 21 is the newest
 * set that was read for changes. */
static enum status check_operators(const Onnx__ModelProto *model, struct error *error) {
    enum { OPSET_MIN = 8, OPSET_MAX = 21 };
    if (model->n_opset_import == 0) {
        return error_set(error, STATUS_UNSUPPORTED, "names no operator set: not an ONNX model");
    }
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = model->opset_import[i];
        if (!is_standard_domain(set->domain)) {
            return error_set(error, STATUS_UNSUPPORTED, "uses the operators of '%.100s'",
                             is_plain(set->domain) ? set->domain : "?");
        }
        if (set->version < OPSET_MIN || set->version > OPSET_MAX) {
            return error_set(error, STATUS_UNSUPPORTED,
                             "uses operator set %" PRId64 ", not %d to %d", set->version, OPSET_MIN,
                             OPSET_MAX);
        }
    }
    for (size_t i = 0; i < model->graph->n_node; i++) {
        const Onnx__NodeProto *node = model->graph->node[i];
        if (!is_standard_domain(node->domain)) {
            return error_set(error, STATUS_UNSUPPORTED, "node '%.100s' is of domain '%.60s'",
                             node->name ? node->name : "", node->domain);
        }
    }
    return STATUS_OK;
}

enum status onnx_parse(const uint8_t *bytes, size_t size, Onnx__ModelProto **model,
                       struct error *error) {
    struct wire wire = {bytes, bytes + size};
    enum status status = check_wire(wire, &onnx__model_proto__descriptor, 0, error);
    if (status != STATUS_OK) {
        return status;
    }
    Onnx__ModelProto *made = onnx__model_proto__unpack(NULL, size, bytes);
    if (!made) {
        return error_set(error, STATUS_UNSUPPORTED, "is not ONNX, or memory ran out");
    }
    if (!made->graph) {
        status = error_set(error, STATUS_UNSUPPORTED, "is not ONNX: it has no graph");
    } else if ((status = check_names(made->graph, error)) == STATUS_OK) {
        status = check_operators(made, error);
    }
    if (status != STATUS_OK) {
        onnx_free(made);
        return status;
    }
    *model = made;
    return STATUS_OK;
}

void onnx_free(Onnx__ModelProto *model) {
    onnx__model_proto__free_unpacked(model, NULL);
}

/* ---- tensors ----------------------------------------------------------------------------- */

enum status onnx_tensor(const Onnx__TensorProto *proto, const char *name, struct tensor *tensor,
                        struct error *error) {
    if (proto->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return error_set(error, STATUS_UNSUPPORTED, "tensor '%.100s' is of type %d, not FLOAT (1)",
                         name, (int)proto->data_type);
    }
    if (proto->n_external_data > 0 || proto->segment ||
        proto->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT) {
        return error_set(error, STATUS_UNSUPPORTED,
                         "tensor '%.100s' has its data, or a part of it, elsewhere", name);
    }
    if (proto->n_dims > TENSOR_RANK_MAX) {
        return error_set(error, STATUS_INVALID,
                         "tensor '%.100s' has %zu dimensions; %d is the most", name, proto->n_dims,
                         TENSOR_RANK_MAX);
    }
    *tensor = (struct tensor){.name = name, .type = TENSOR_F32, .rank = (int)proto->n_dims};
    if (proto->n_dims > 0) {
        memcpy(tensor->shape, proto->dims, proto->n_dims * sizeof *proto->dims);
    }
    bool raw = proto->n_float_data == 0;
    size_t bytes = raw ? proto->raw_data.len : proto->n_float_data * sizeof *proto->float_data;
    size_t values = tensor_values(tensor->rank, tensor->shape, TENSOR_F32);
    tensor->bytes = values * sizeof(float);
    tensor->data = raw ? (const void *)proto->raw_data.data : proto->float_data;
    if (values == 0 || tensor->bytes != bytes || (!raw && proto->raw_data.len > 0)) {
        char text[TENSOR_SHAPE_TEXT];
        return error_set(error, STATUS_INVALID, "tensor '%.100s' has %zu bytes for shape %.60s",
                         name, bytes, tensor_shape_text(text, tensor->rank, tensor->shape));
    }
    return STATUS_OK;
}
