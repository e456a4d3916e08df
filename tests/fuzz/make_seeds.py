#!/usr/bin/python3
"""Makes the seeds in corpus/ (those of images are the fixtures in tests/unit/data/image). Needs python3-onnx."""
import json
import os
import struct

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def save(target, name, content):
    path = os.path.join(HERE, "corpus", target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def prompts():
    save("prompt", "point", '{"points":[[5,7]]}')
    save("prompt", "labels", '{"points":[[5,7],[1.5,2e0]],"labels":[1,0],"multimask":true,"threshold":-0.5}')
    save("prompt", "box", '{"box":[1,2,30,20],"format":"coco_rle_uncompressed","multimask":"auto"}')
    save("prompt", "mask", '{"mask":{"size":[30,40],"counts":[600,10,590]}}')
    save("prompt", "mask_text", '{"mask":{"size":[30,40],"counts":"hb0:n1"},"min_area":0}')
    save("prompt", "list", '{"prompts":[{"points":[[0,0]]},{"box":[0,0,40,30]}],"format":"coco_rle"}')
    save("prompt", "boxes", '{"boxes":[[0,0,1,1],[2,2,3,3]],"fill_holes":false,"simplify":0}')
    save("prompt", "text", '{"text":"\\u00e9","refine":"m_0","unknown":[{"a":null}]}')


def uploads():
    save("upload", "plain", '0{"image":"AAECAwQ=","id":"a.b-c_d","model":"mobile_sam"}')
    save("upload", "uri", '1{"image":"data:image/png;base64,iVBORw0KGgo=","points":[[1,1]]}')


def forms():
    def part(name, content):
        return f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n{content}\r\n'
    save("multipart", "plain", "0multipart/form-data; boundary=XX\n" + part("file", "png") + part("id", "a") + "--XX--")
    save("multipart", "prompt", '1multipart/form-data; boundary="XX"; charset=utf-8\nbefore\r\n' + part("model", "sam") +
         part("file", "\r\n--X\r\n") + part("prompt", '{"points":[[1,1]]}') + "--XX-- \r\nafter")


def rles():
    save("rle", "vector", bytes([3, 5]) + b"6122OO2O2")
    save("rle", "long", bytes([200, 200]) + b"`cWa?3XU1=G>B9H9F:G9F")


def safetensors():
    header = json.dumps({"__metadata__": {"architecture": "mobile_sam"},
                         "a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                         "b.bias": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]}})
    header += " " * (-(8 + len(header)) % 64)
    save("safetensors", "two", struct.pack("<Q", len(header)) + header.encode() + bytes(range(22)))
    save("safetensors", "none", struct.pack("<Q", 2) + b"{}")


def graphs():
    weight = numpy_helper.from_array(np.arange(32 * 27, dtype=np.float32).reshape(32, 3, 3, 3), "onnx::Conv_1")
    bias = numpy_helper.from_array(np.arange(32, dtype=np.float32), "onnx::Conv_2")
    matrix = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "onnx::MatMul_3")
    nodes = [helper.make_node("Conv", ["input", "onnx::Conv_1", "onnx::Conv_2"], ["x"],
                              name="/patch_embed/seq/seq.0/c/Conv", kernel_shape=[3, 3], strides=[2, 2]),
             helper.make_node("MatMul", ["x", "onnx::MatMul_3"], ["output"],
                              name="/layers.1/blocks.0/mlp/fc1/MatMul")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 1024, 1024])
            for name in ("input", "output")]
    graph = helper.make_graph(nodes, "encoder", ends[:1], ends[1:], [weight, bias, matrix])
    save("onnx", "encoder", helper.make_model(graph).SerializeToString())
    names = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in names]
    gaussian = numpy_helper.from_array(np.zeros((2, 128), np.float32),
                                       "model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")
    scale = numpy_helper.from_array(np.zeros((4, 1, 1), np.float32), "onnx::Mul_9")
    nodes = [helper.make_node("Mul", ["onnx::Mul_9", "mask_input"], ["masks"],
                              name="/mask_downscaling/mask_downscaling.1/Mul")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
               for name in ("masks", "iou_predictions", "low_res_masks")]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, [gaussian, scale])
    save("onnx", "decoder", helper.make_model(graph).SerializeToString())


if __name__ == "__main__":
    for make in (prompts, uploads, forms, rles, safetensors, graphs):
        make()
