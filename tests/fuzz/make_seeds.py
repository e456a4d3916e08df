#!/usr/bin/python3
"""Makes the seeds in corpus/ (those of images are the fixtures in tests/unit/data/image). Needs python3-onnx."""
import base64
import io
import json
import os
import struct

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

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
    save("prompt", "mask_cvat", '{"mask":{"size":[30,40],"cvat_rle":[1,2,1,0,0,1,1]},"format":"png","min_area":5}')
    save("prompt", "mask_labelstudio", '{"mask":{"size":[30,40],"labelstudio_rle":[0,0,18,192,57,27,255,255]},"fill_holes":true}')
    save("prompt", "mask_png", '{"mask":{"png":"data:image/png;base64,iVBORw0KGgo="},"format":"polygon","simplify":1.5}')
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


def masks():
    """One mask of 4 x 6 in each form: its number, height - 1 and width - 1, then the form's bytes."""
    save("mask", "labelstudio", bytes([0, 3, 5, 0, 0, 0, 96, 57, 27, 254, 31, 0, 159, 254, 216, 5, 255, 251, 96, 17, 255,
                                       219, 0, 0]))
    save("mask", "cvat", bytes([1, 3, 5]) + struct.pack(">11H", 1, 2, 1, 4, 1, 1, 2, 1, 1, 4, 3))
    save("mask", "cvat_empty", bytes([1, 3, 5]) + bytes(8))
    for mode in ("1", "L", "RGBA", "P"):
        image = Image.new("1", (6, 4))
        image.paste(1, (1, 1, 4, 3))
        file = io.BytesIO()
        image.convert(mode).save(file, "PNG")
        save("mask", "png_" + mode.lower(), bytes([2, 3, 5]) + file.getvalue())


def safetensors():
    header = json.dumps({"__metadata__": {"architecture": "mobile_sam"},
                         "a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                         "b.bias": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]}})
    header += " " * (-(8 + len(header)) % 64)
    save("safetensors", "two", struct.pack("<Q", len(header)) + header.encode() + bytes(range(22)))
    save("safetensors", "none", struct.pack("<Q", 2) + b"{}")


def embeddings():
    """Their headers, to which the target adds values."""
    metadata = {"format": "maskd-embedding-1", "model": "mobile_sam", "architecture": "mobile_sam",
                "weights_sha256": "0" * 64, "image_id": "a", "image_sha256": "1" * 64, "width": "32", "height": "20", "scaled_width": "16",
                "scaled_height": "10", "input_size": "16"}
    for dtype, size in (("F16", 2 << 20), ("F32", 4 << 20)):
        header = json.dumps({"__metadata__": metadata, "image_embeddings": {
            "dtype": dtype, "shape": [1, 256, 64, 64], "data_offsets": [0, size]}})
        header += " " * (-(8 + len(header)) % 64)
        save("embedding", "header_" + dtype.lower(), struct.pack("<Q", len(header)) + header.encode())


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


def configurations():
    with open(os.path.join(HERE, "..", "..", "config", "maskd.ini"), "rb") as file:
        save("options", "shipped", file.read())
    save("options", "units", "[limits]\nmax_body = 1M\nupload_memory: 2g\nmax_side = 9999999999999999999\n")
    save("options", "lines", "\ufeff[server]\n  port = 80 ; comment\n  more\n[ log\nlog_level=\nhost\n" + "x" * 300 + "\n")


def tools(image):
    """What annotation tools send: a name, the path, and the body."""
    config = ('<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="x"/></BrushLabels>'
              '<KeyPointLabels name="k" toName="i"/></View>')
    regions = [{"type": "keypointlabels", "is_positive": 1, "value": {"x": 9, "y": 50, "keypointlabels": ["x"]}},
               {"type": "rectanglelabels", "image_rotation": 0, "value": {"x": 0, "y": 0, "width": 50, "height": 99,
                                                                          "rectanglelabels": ["x"]}}]
    task = {"id": 1, "data": {"image": "data:image/png;base64," + image}, "annotations": [{"result": [1, [2], {}]}]}
    yield "labelstudio", "/compat/labelstudio/predict", {"tasks": [task], "label_config": config,
                                                         "params": {"context": {"result": regions}}}
    yield "cvat", "/compat/cvat", {"image": image, "pos_points": [[1, 1]], "neg_points": [[0, 0.5]],
                                   "obj_bbox": [[0, 0], [3, 2]], "crop": True}
    yield "cvat_embedding", "/api/function_invocations", {"image": image, "embedding": True, "obj_bbox": None}
    yield "roboflow_embed", "/compat/roboflow/sam/embed_image", {"image": {"type": "base64", "value": image}, "format": "binary"}
    yield "roboflow", "/compat/roboflow/sam/segment_image", {"image": {"type": "url", "value": "http://127.0.0.1/x"},
                                                             "image_id": "a", "point_coords": [[1, 1], [0, 0]],
                                                             "point_labels": [1, -1], "format": "json"}
    yield "xanylabeling", "/compat/xanylabeling/v1/predict", {
        "model": "mobile_sam", "image": image, "params": {"epsilon_factor": 0.01, "marks": [
            {"type": "point", "data": [1, 1], "label": 1}, {"type": "rectangle", "data": [0, 0, 3, 2]}]}}


def tool_bodies():
    for name, path, body in tools("AAEC"):
        tool = ("labelstudio", "cvat", "embed_image", "segment_image", "xanylabeling")
        chosen = next((i for i, part in enumerate(tool) if part in path), 1)
        save("compat", name, bytes([chosen]) + json.dumps(body).encode())


def conversations():
    """What a client sends on one connection."""
    def request(method, path, body=b"", *headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
        lines += [f"Content-Length: {len(body)}"] if method in ("POST", "PUT") else []
        return "\r\n".join([*lines, "", ""]).encode() + body
    with open(os.path.join(HERE, "..", "unit", "data", "image", "grey1.png"), "rb") as file:
        image = file.read()
    image_json = {"image": base64.b64encode(image).decode(), "id": "b"}
    upload = request("POST", "/v1/images?id=a", image)
    form = "multipart/form-data; boundary=X"
    part = b"--X\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
    both = part % (b"file", image) + part % (b"prompt", b'{"points":[[1,1]]}') + b"--X--\r\n"
    chunks = request("GET", "/v1/images", b"", "Transfer-Encoding: chunked").replace(b"GET", b"POST", 1)
    prompt = {"points": [[1, 1], [2, 2]], "labels": [1, 0]}
    save("http", "upload", upload + request("GET", "/v1/images/a") + request("HEAD", "/v1/images/a") +
         request("GET", "/v1/images?limit=1&cursor=a") + request("DELETE", "/v1/images/a"))
    save("http", "upload_json", request("POST", "/v1/images", image_json, "Content-Type: application/json"))
    save("http", "upload_form", request("POST", "/v1/images?model=mobile_sam", part % (b"file", image) + b"--X--",
                                        "Content-Type: " + form))
    save("http", "upload_chunks", chunks + b"%x\r\n%s\r\n0\r\n\r\n" % (len(image), image))
    save("http", "segment", upload + request("POST", "/v1/images/a/segment", {"prompts": [prompt, {"box": [0, 0, 2, 2]}]}))
    save("http", "segment_form", request("POST", "/v1/segment", both, "Content-Type: " + form))
    save("http", "segment_json", request("POST", "/v1/segment", {**image_json, **prompt, "multimask": True}))
    save("http", "status", request("GET", "/healthz", b"", "X-Request-Id: mine") + request("GET", "/readyz") +
         request("GET", "/v1/models") + request("OPTIONS", "/v1/models") + request("GET", "http://x/nothing?a=%41&b"))
    plain = base64.b64encode(image).decode()
    save("http", "refine", upload + request("POST", "/v1/images/a/segment", {**prompt, "multimask": True}) +
         request("POST", "/v1/images/a/segment", {"refine": "m_0123456789abcdef", "points": [[1, 1]]}))
    for name in ("polygon", "polygon_holes", "png", "labelstudio_rle", "cvat_rle"):
        save("http", "format_" + name, request("POST", "/v1/segment", {**image_json, **prompt, "format": name, "simplify": 1,
                                               "min_area": 3, "fill_holes": True}, "Accept: image/png;q=0.5, */*;q=0.1"))
    save("http", "async", request("POST", "/v1/images?id=a", image, "Prefer: respond-async, wait=1") +
         request("GET", "/v1/images/a", b"", "If-None-Match: W/\"x\", \"y\"") +
         request("POST", "/v1/images/a/everything", {"points_per_side": 2, "format": "polygon"}, "Prefer: respond-async") +
         request("GET", "/v1/images/a/everything?format=png&simplify=0.5"))
    save("http", "everything", upload + request("POST", "/v1/images/a/everything", {"crop_n_layers": 1}))
    save("http", "embedding", upload + request("GET", "/v1/images/a/embedding?dtype=float32", b"", "Accept: application/x-npy") +
         request("PUT", "/v1/images/b/embedding", b"\x02\0\0\0\0\0\0\0{}", "If-None-Match: *"))
    save("http", "cross_origin", request("OPTIONS", "/v1/images", b"", "Origin: https://x.example",
                                         "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: prefer") +
         request("GET", "/v1/models", b"", "Origin: https://x.example", "X-API-Key: x", "Authorization: Basic eDp5"))
    save("http", "files", request("GET", "/") + request("GET", "/openapi.json") + request("GET", "/metrics"))
    for name, path, body in tools(plain):
        save("http", name, request("POST", path, body, "Content-Type: application/json", "x-nuclio-function-name: maskd"))
    save("http", "expect", request("POST", "/v1/segment", b"", "Expect: 100-continue", "Connection: close"))
    save("http", "framing", upload[:30] + b"\r\nContent-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabc")


if __name__ == "__main__":
    for make in (prompts, uploads, forms, rles, masks, safetensors, embeddings, graphs, configurations, tool_bodies,
                 conversations):
        make()
