/* engine/weights/import: what is refused, and why it says so. Graphs are hostile input. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/weights/import/import_fixture.h"
#include "tests/unit/suites.h"

static enum status import_bytes(const uint8_t *bytes, size_t size, struct error *error) {
    struct import import = {0};
    enum status status = import_onnx_bytes(&import, bytes, size, error);
    import_free(&import);
    return status;
}

/* ---- one thing wrong with a graph -------------------------------------------------------- */

static Onnx__TensorProto *weight(struct builder *builder) {
    return builder_initialiser(builder, "a.weight", SHAPE(2, 3), NULL);
}

static void a_foreign_input(struct builder *builder) {
    builder->graph.input[0]->name = builder_text(builder, "pixels");
}
static void another_output(struct builder *builder) {
    builder->graph.output[1] = builder->graph.output[0];
    builder->graph.n_output = 2;
}
static void no_input(struct builder *builder) {
    builder->graph.n_input = 0;
}
static void a_smaller_input(struct builder *builder) {
    builder->graph.input[0]->type->tensor_type->shape->dim[2]->dim_value = 512;
}
static void an_input_of_another_rank(struct builder *builder) {
    builder->graph.input[0]->type->tensor_type->shape->n_dim = 3;
}
static void an_integer_output(struct builder *builder) {
    builder->graph.output[0]->type->tensor_type->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
}
static void an_input_without_type(struct builder *builder) {
    builder->graph.input[0]->type = NULL;
}
static void no_graph(struct builder *builder) {
    builder->model.graph = NULL;
}
static void no_operator_set(struct builder *builder) {
    builder->model.n_opset_import = 0;
}
static void an_old_operator_set(struct builder *builder) {
    builder->model.opset_import[0]->version = 6;
}
static void a_future_operator_set(struct builder *builder) {
    builder->model.opset_import[0]->version = 99;
}
static void a_foreign_operator_set(struct builder *builder) {
    builder->model.opset_import[0]->domain = builder_text(builder, "com.microsoft");
}
static void a_foreign_node(struct builder *builder) {
    builder_node(builder, "FusedConv", "/a/FusedConv", "y", 0, NULL)->domain =
        builder_text(builder, "com.microsoft");
}
static void a_line_break_in_a_name(struct builder *builder) {
    builder_node(builder, "Conv", "/a\nb/Conv", "y", 0, NULL);
}
static void an_escape_in_an_input(struct builder *builder) {
    builder->graph.input[0]->name = builder_text(builder, "\x1b[2J");
}
static void a_nameless_initialiser(struct builder *builder) {
    weight(builder)->name = NULL;
}
static void a_nameless_operator(struct builder *builder) {
    builder_node(builder, "Conv", "/a/Conv", "y", 0, NULL)->op_type = NULL;
}
static void half_floats(struct builder *builder) {
    weight(builder)->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
}
static void external_data(struct builder *builder) {
    Onnx__TensorProto *tensor = weight(builder);
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}
static void a_segment(struct builder *builder) {
    Onnx__TensorProto__Segment *segment = builder_memory(builder, sizeof *segment);
    onnx__tensor_proto__segment__init(segment);
    weight(builder)->segment = segment;
}
static void too_few_bytes(struct builder *builder) {
    weight(builder)->raw_data.len -= 4;
}
static void too_many_bytes(struct builder *builder) {
    weight(builder)->dims[1] = 2;
}
static void no_bytes(struct builder *builder) {
    weight(builder)->has_raw_data = 0;
}
static void data_in_two_fields(struct builder *builder) {
    Onnx__TensorProto *tensor = weight(builder);
    tensor->float_data = (float *)tensor->raw_data.data;
    tensor->n_float_data = 6;
}
static void a_negative_dimension(struct builder *builder) {
    weight(builder)->dims[0] = -2;
}
static void no_values(struct builder *builder) {
    Onnx__TensorProto *tensor = weight(builder);
    tensor->dims[0] = 0;
    tensor->raw_data.len = 0;
}
static void dimensions_that_overflow(struct builder *builder) {
    Onnx__TensorProto *tensor = weight(builder);
    tensor->dims[0] = 274177; /* the factors of 2^64 + 1: one value, if it wraps */
    tensor->dims[1] = 67280421310721;
    tensor->raw_data.len = sizeof(float);
}
static void nine_dimensions(struct builder *builder) {
    builder_initialiser(builder, "a.weight", SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), NULL);
}
static void a_long_name(struct builder *builder) {
    char name[200] = {0};
    memset(name, 'n', sizeof name - 1);
    builder_initialiser(builder, name, SHAPE(1), NULL);
}
static void an_initialiser_twice(struct builder *builder) {
    weight(builder);
    weight(builder);
}
static void an_idle_initialiser(struct builder *builder) {
    builder_initialiser(builder, "onnx::Conv_7", SHAPE(2), NULL);
}
static void an_operator_without_rule(struct builder *builder) {
    builder_weight(builder, "Gemm", "/a/b/Gemm", 1, SHAPE(2, 3), NULL);
}
static void a_matrix_on_the_wrong_side(struct builder *builder) {
    builder_weight(builder, "MatMul", "/a/b/MatMul", 0, SHAPE(2, 3), NULL);
}
static void a_scale_that_is_not_of_channels(struct builder *builder) {
    builder_weight(builder, "Mul", "/a/b/Mul", 0, SHAPE(2, 3, 1), NULL);
}
static void a_weight_outside_any_scope(struct builder *builder) {
    builder_weight(builder, "Conv", "/Conv", 1, SHAPE(2, 3, 1, 1), NULL);
}
static void a_node_without_scope(struct builder *builder) {
    builder_weight(builder, "Conv", "Conv_7", 1, SHAPE(2, 3, 1, 1), NULL);
}
static void the_decoders_tokens(struct builder *builder) { /* in the encoder's graph */
    builder_weight(builder, "Expand", "/Expand", 0, SHAPE(1, 5, 256), NULL);
}
static void a_table_that_is_not_of_biases(struct builder *builder) {
    builder_constant(builder, "t", SHAPE(1, 4, 4), NULL);
    builder_node(builder, "Add", "/b/attn/Add", "y", 2, (const char *const[]){"x", "t"});
}
static void a_table_over_no_square(struct builder *builder) {
    builder_constant(builder, "t", SHAPE(1, 3, 3), NULL);
    builder_node(builder, "Add", "/b/attn/Add", "y", 2, (const char *const[]){"x", "t"});
}
static void a_table_of_integers(struct builder *builder) {
    builder_constant(builder, "t", SHAPE(1, 4, 4), NULL)->data_type =
        ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    builder_node(builder, "Add", "/b/attn/Add", "y", 2, (const char *const[]){"t", "x"});
}

static const struct {
    void (*spoil)(struct builder *);
    enum status status;
    const char *message;
} refusals[] = {
    {a_foreign_input, STATUS_UNSUPPORTED,
     "is neither MobileSAM's image encoder nor SAM's mask decoder: its inputs are (pixels), its "
     "outputs (output)"},
    {another_output, STATUS_UNSUPPORTED, "its outputs (output, output)"},
    {no_input, STATUS_UNSUPPORTED, "its inputs are (), its outputs (output)"},
    {a_smaller_input, STATUS_UNSUPPORTED, "'input' is not of the type and shape"},
    {an_input_of_another_rank, STATUS_UNSUPPORTED, "'input' is not of the type and shape"},
    {an_integer_output, STATUS_UNSUPPORTED, "'output' is not of the type and shape"},
    {an_input_without_type, STATUS_UNSUPPORTED, "'input' is not of the type and shape"},
    {no_graph, STATUS_UNSUPPORTED, "it has no graph"},
    {no_operator_set, STATUS_UNSUPPORTED, "names no operator set"},
    {an_old_operator_set, STATUS_UNSUPPORTED, "uses operator set 6, not 8 to 21"},
    {a_future_operator_set, STATUS_UNSUPPORTED, "uses operator set 99, not 8 to 21"},
    {a_foreign_operator_set, STATUS_UNSUPPORTED, "uses the operators of 'com.microsoft'"},
    {a_foreign_node, STATUS_UNSUPPORTED, "node '/a/FusedConv' is of domain 'com.microsoft'"},
    {a_line_break_in_a_name, STATUS_UNSUPPORTED, "not printable ASCII"},
    {an_escape_in_an_input, STATUS_UNSUPPORTED, "not printable ASCII"},
    {a_nameless_initialiser, STATUS_UNSUPPORTED, "a name in the graph is missing"},
    {a_nameless_operator, STATUS_UNSUPPORTED, "a name in the graph is missing"},
    {half_floats, STATUS_UNSUPPORTED, "tensor 'a.weight' is of type 10, not FLOAT"},
    {external_data, STATUS_UNSUPPORTED, "tensor 'a.weight' has its data, or a part of it, else"},
    {a_segment, STATUS_UNSUPPORTED, "tensor 'a.weight' has its data, or a part of it, elsewhere"},
    {too_few_bytes, STATUS_INVALID, "tensor 'a.weight' has 20 bytes for shape [2, 3]"},
    {too_many_bytes, STATUS_INVALID, "tensor 'a.weight' has 24 bytes for shape [2, 2]"},
    {no_bytes, STATUS_INVALID, "tensor 'a.weight' has 0 bytes for shape [2, 3]"},
    {data_in_two_fields, STATUS_INVALID, "tensor 'a.weight' has 24 bytes for shape [2, 3]"},
    {a_negative_dimension, STATUS_INVALID, "tensor 'a.weight' has 24 bytes for shape [-2, 3]"},
    {no_values, STATUS_INVALID, "tensor 'a.weight' has 0 bytes for shape [0, 3]"},
    {dimensions_that_overflow, STATUS_INVALID,
     "tensor 'a.weight' has 4 bytes for shape [274177, 67280421310721]"},
    {nine_dimensions, STATUS_INVALID, "tensor 'a.weight' has 9 dimensions"},
    {a_long_name, STATUS_INVALID, "is not a tensor's name"},
    {an_initialiser_twice, STATUS_INVALID, "value 'a.weight' is there twice"},
    {an_idle_initialiser, STATUS_INVALID, "no node takes initialiser 'onnx::Conv_7'"},
    {an_operator_without_rule, STATUS_UNSUPPORTED,
     "no rule says which weight 'onnx::Gemm_0' [2, 3] is, input 1 of Gemm '/a/b/Gemm'"},
    {a_matrix_on_the_wrong_side, STATUS_UNSUPPORTED, "input 0 of MatMul '/a/b/MatMul'"},
    {a_scale_that_is_not_of_channels, STATUS_UNSUPPORTED, "input 0 of Mul '/a/b/Mul'"},
    {a_weight_outside_any_scope, STATUS_UNSUPPORTED, "input 1 of Conv '/Conv'"},
    {a_node_without_scope, STATUS_UNSUPPORTED, "input 1 of Conv 'Conv_7'"},
    {the_decoders_tokens, STATUS_UNSUPPORTED, "input 0 of Expand '/Expand'"},
    {a_table_that_is_not_of_biases, STATUS_INVALID, "'t': entry [0, 1, 0] is not the bias"},
    {a_table_over_no_square, STATUS_INVALID, "'t' is [1, 3, 3]: not a table of biases"},
    {a_table_of_integers, STATUS_UNSUPPORTED, "tensor 't' is of type 6, not FLOAT"},
};

START_TEST(a_wrong_graph_is_refused_with_the_reason) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    refusals[_i].spoil(builder);
    size_t size;
    uint8_t *bytes = builder_pack(builder, &size);
    struct error error = {0};
    enum status status = import_bytes(bytes, size, &error);
    ck_assert_msg(status == refusals[_i].status && strstr(error.message, refusals[_i].message),
                  "status %d, '%s' does not say '%s'", (int)status, error.message,
                  refusals[_i].message);
    free(bytes);
    builder_free(builder);
}
END_TEST

START_TEST(a_second_graph_of_a_kind_is_refused) {
    static const enum import_part parts[] = {IMPORT_ENCODER, IMPORT_DECODER};
    static const char *const messages[] = {"is the second encoder", "is the second decoder"};
    for (int i = 0; i < 2; i++) {
        struct builder *builder = builder_new(parts[i]);
        size_t size;
        uint8_t *bytes = builder_pack(builder, &size);
        struct import import = {0};
        struct error error = {0};
        ck_assert_int_eq(import_onnx_bytes(&import, bytes, size, &error), STATUS_OK);
        ck_assert_int_eq(import_onnx_bytes(&import, bytes, size, &error), STATUS_INVALID);
        ck_assert_str_eq(error.message, messages[i]);
        import_free(&import);
        free(bytes);
        builder_free(builder);
    }
}
END_TEST

/* ---- hostile bytes ----------------------------------------------------------------------- */

/* A small graph with some of everything. */
static uint8_t *pack_small(size_t *size) {
    struct builder *builder = builder_new(IMPORT_ENCODER);
    builder_initialiser(builder, "a.weight", SHAPE(2, 3), NULL);
    builder_weight(builder, "Conv", "/b/c/Conv", 1, SHAPE(1, 2, 1, 1), NULL);
    static const float table[16] = {1, 2, 3, 4, 2, 1, 4, 3, 3, 4, 1, 2, 4, 3, 2, 1};
    builder_constant(builder, "t", SHAPE(1, 4, 4), table);
    builder_node(builder, "Add", "/b/attn/Add", "y", 2, (const char *const[]){"x", "t"});
    uint8_t *bytes = builder_pack(builder, size);
    builder_free(builder);
    struct error error = {0};
    ck_assert_msg(import_bytes(bytes, *size, &error) == STATUS_OK, "%s", error.message);
    return bytes;
}

START_TEST(every_truncation_is_refused) {
    size_t size;
    uint8_t *bytes = pack_small(&size);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut + !cut); /* of its own, so that a sanitizer sees the end */
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, cut);
        struct error error = {0};
        ck_assert_msg(import_bytes(part, cut, &error) != STATUS_OK, "cut at %zu", cut);
        ck_assert_int_ne(error.message[0], '\0');
        free(part);
    }
    free(bytes);
}
END_TEST

START_TEST(flipped_bytes_do_no_harm) {
    size_t size;
    uint8_t *bytes = pack_small(&size);
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x7f, 0xff};
    for (size_t at = 0; at < size; at++) {
        for (size_t i = 0; i < sizeof masks; i++) {
            bytes[at] ^= masks[i];
            struct error error = {0};
            enum status status = import_bytes(bytes, size, &error);
            ck_assert_int_eq(status == STATUS_OK, error.message[0] == '\0');
            bytes[at] ^= masks[i];
        }
    }
    free(bytes);
}
END_TEST

/* Wraps content as a length-delimited field, in place, from the end of the buffer down. */
static size_t wrap(uint8_t *end, size_t size, int field) {
    uint8_t head[12];
    size_t used = 0;
    head[used++] = (uint8_t)(field << 3 | 2);
    for (size_t length = size;; length >>= 7) {
        head[used++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
        if (length <= 0x7f) {
            break;
        }
    }
    memcpy(end - size - used, head, used);
    return size + used;
}

/* Subgraphs in subgraphs: protobuf-c alone would recurse until the stack is gone. */
START_TEST(deep_nesting_is_refused) {
    enum { LEVELS = 40000, ROOM = LEVELS * 24 };
    uint8_t *buffer = calloc(1, ROOM);
    ck_assert_ptr_nonnull(buffer);
    size_t size = 0;
    for (int level = 0; level < LEVELS; level++) {
        size = wrap(buffer + ROOM, size, 6); /* AttributeProto.g */
        size = wrap(buffer + ROOM, size, 5); /* NodeProto.attribute */
        size = wrap(buffer + ROOM, size, 1); /* GraphProto.node */
        ck_assert_uint_lt(size + 64, ROOM);
    }
    size = wrap(buffer + ROOM, size, 7); /* ModelProto.graph */
    struct error error = {0};
    ck_assert_int_eq(import_bytes(buffer + ROOM - size, size, &error), STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "nested more than"));
    free(buffer);
}
END_TEST

START_TEST(a_graph_in_two_pieces_is_refused) {
    uint8_t bytes[64] = {0};
    size_t size = wrap(bytes + sizeof bytes, 0, 7);
    size += wrap(bytes + sizeof bytes - size, 0, 7);
    struct error error = {0};
    ck_assert_int_eq(import_bytes(bytes + sizeof bytes - size, size, &error), STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.message, "has two fields 'graph' in one ModelProto");
}
END_TEST

START_TEST(other_files_are_refused) {
    static const char *const contents[] = {"", "\x89PNG\r\n\x1a\n", "PK\x03\x04", "not a model",
                                           "\n"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        struct error error = {0};
        enum status status =
            import_bytes((const uint8_t *)contents[i], strlen(contents[i]), &error);
        ck_assert_int_eq(status, STATUS_UNSUPPORTED);
    }
    struct import import = {0};
    struct error error = {0};
    static const uint8_t cut[] = {7 << 3 | 2, 100, 0,
                                  0}; /* a graph of 100 bytes, of which 2 are there */
    ck_assert_int_eq(import_bytes(cut, sizeof cut, &error), STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.message,
                     "is not ONNX, or is cut short: a field of a ModelProto has no end");
    ck_assert_int_eq(import_onnx(&import, "/nowhere/encoder.onnx", &error), STATUS_IO);
    ck_assert_int_eq(import_onnx(&import, "/dev/null", &error), STATUS_UNSUPPORTED);
    import_free(&import);
}
END_TEST

Suite *import_refuse_suite(void) {
    Suite *suite = suite_create("import_refuse");
    TCase *graphs = tcase_create("graphs");
    tcase_add_loop_test(graphs, a_wrong_graph_is_refused_with_the_reason, 0,
                        sizeof refusals / sizeof *refusals);
    tcase_add_test(graphs, a_second_graph_of_a_kind_is_refused);
    suite_add_tcase(suite, graphs);

    TCase *bytes = tcase_create("bytes");
    tcase_set_timeout(bytes, 60);
    tcase_add_test(bytes, every_truncation_is_refused);
    tcase_add_test(bytes, flipped_bytes_do_no_harm);
    tcase_add_test(bytes, deep_nesting_is_refused);
    tcase_add_test(bytes, a_graph_in_two_pieces_is_refused);
    tcase_add_test(bytes, other_files_are_refused);
    suite_add_tcase(suite, bytes);
    return suite;
}
