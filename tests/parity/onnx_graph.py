"""Makes a published graph tell two of its inner results, without a library for ONNX.

SAM's exported decoder chooses one of four masks and gives only that (utils/onnx.py, select_masks). What it
chooses from is found by structure, not by name: going back from the output low_res_masks along first inputs,
the first Flatten is where the four masks are indexed; likewise for iou_predictions.

A .onnx file is a protobuf message, ModelProto. By protobuf's rules a second value of a message field is merged
into the first, so outputs are added to the graph by appending a few bytes to the file.
"""

# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
NODE_INPUT, NODE_OUTPUT, NODE_TYPE = 1, 2, 4
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR, TENSOR_ELEMENT, FLOAT = 1, 1, 1

LENGTH_DELIMITED = 2


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """Yields (number, bytes) of every length-delimited field of a message."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == LENGTH_DELIMITED:
            size, at = read_varint(data, at)
            yield number, data[at : at + size]
            at += size
        elif kind == 0:
            _, at = read_varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"not protobuf: wire type {kind}")


def varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded + bytes([value]))


def field(number, data):
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(data)) + data


def producers(model):
    """The name of every tensor that a node makes -> (the node's type, its inputs)."""
    made = {}
    for graph in (data for number, data in fields(model) if number == MODEL_GRAPH):
        for node in (data for number, data in fields(graph) if number == GRAPH_NODE):
            parts = [(number, bytes(data)) for number, data in fields(node)]
            kind = next(data for number, data in parts if number == NODE_TYPE)
            inputs = [data.decode() for number, data in parts if number == NODE_INPUT]
            for output in (data for number, data in parts if number == NODE_OUTPUT):
                made[output.decode()] = kind.decode(), inputs
    return made


def chosen_from(made, output):
    name = output
    while name in made:
        kind, inputs = made[name]
        if kind == "Flatten":
            return inputs[0]
        name = inputs[0] if inputs else ""
    raise ValueError(f"the graph does not choose {output} from several: another kind of export?")


def expose_all_masks(source, target):
    """Writes the decoder with two outputs more; returns their names: the four masks', and their IoU's."""
    with open(source, "rb") as file:
        model = file.read()
    made = producers(memoryview(model))
    names = [chosen_from(made, output) for output in ("low_res_masks", "iou_predictions")]
    floats = field(TYPE_TENSOR, varint(TENSOR_ELEMENT << 3) + varint(FLOAT))
    values = (field(VALUE_NAME, name.encode()) + field(VALUE_TYPE, floats) for name in names)
    outputs = b"".join(field(GRAPH_OUTPUT, value) for value in values)
    with open(target, "wb") as file:
        file.write(model + field(MODEL_GRAPH, outputs))
    return names
