"""/compat/roboflow: the SAM of Roboflow Inference."""

import base64
import io

import numpy

import images
import rle
from compat import CompatCase, rasterise, recorded

BASE = "/compat/roboflow/sam/"
SEGMENT = BASE + "segment_image?api_key=not-a-secret"


class Roboflow(CompatCase):
    def mask_of(self, body):
        return rasterise(body["masks"], images.SIZE)

    def test_recorded_request(self):
        body = self.post(SEGMENT, recorded("roboflow_segment", images.disc()))
        self.assertEqual(set(body), {"masks", "low_res_masks", "time"})
        self.assertGreater(body["time"], 0)
        mask = self.mask(images.disc(), {"points": [[320, 200]]})
        self.assertTrue((self.mask_of(body) == mask).all())
        small = rasterise(body["low_res_masks"], (256, 256))
        self.assertAlmostEqual(small.sum() / mask.sum(), (256 / 640) ** 2, delta=0.004)

    def test_image_id_alone(self):
        request = recorded("roboflow_segment", images.disc())
        first = self.post(SEGMENT, request)
        encodes = self.encodes()
        del request["image"]
        again = self.post(SEGMENT, request)
        self.assertEqual([first["masks"], encodes], [again["masks"], self.encodes()])
        request["image_id"] = "nobody"
        self.refused(self.request("POST", SEGMENT, request), "unknown-image")

    def test_labels(self):
        """Background is 0 or -1; the original's default is no point."""
        request = recorded("roboflow_segment", images.disc())
        request |= {"point_coords": [[320, 200], [30, 30], [0, 0]], "point_labels": [1, 0, -1]}
        zero = self.post(SEGMENT, request)["masks"]
        request["point_labels"][1] = -1
        self.assertEqual(self.post(SEGMENT, request)["masks"], zero)
        mask = self.mask(images.disc(), {"points": [[320, 200], [30, 30]], "labels": [1, 0]})
        self.assertTrue((rasterise(zero, images.SIZE) == mask).all())

    def test_embedding(self):
        request = {"image": {"type": "base64", "value": base64.b64encode(images.disc()).decode()}}
        answer = self.request("POST", BASE + "embed_image", request | {"format": "binary"})
        self.assertEqual(answer.header("Content-Type"), "application/octet-stream")
        binary = numpy.load(io.BytesIO(answer.body))
        self.assertEqual([binary.shape, binary.dtype], [(1, 256, 64, 64), numpy.float32])
        self.assertGreater(binary.std(), 0.01)
        text = self.post(BASE + "embed_image", request)
        self.assertGreater(text["time"], 0)
        values = numpy.array(text["embeddings"], numpy.float32)
        self.assertEqual(values.shape, (1, 256, 64, 64))
        self.assertTrue(numpy.allclose(values, binary, rtol=1e-5, atol=1e-9))
        cvat = self.post("/compat/cvat", {"image": request["image"]["value"], "embedding": True})
        self.assertEqual(base64.b64decode(cvat["blob"]), binary.tobytes())
        ours = self.request("GET", f"/v1/images/{self.daemon.find('encoded')[-1]['image']}/"
                            "embedding?dtype=float32", headers={"Accept": "application/x-npy"})
        self.assertTrue((numpy.load(io.BytesIO(ours.body)) == binary).all())

    def test_faults(self):
        good = recorded("roboflow_segment", images.disc())
        for change, kind, *pointers in (
                ({"image": "x"}, "invalid-request", "/image"),
                ({"image": {"type": "numpy", "value": "x"}}, "invalid-request", "/image/type"),
                ({"image": None, "image_id": None}, "invalid-request", "/image"),
                ({"image_id": "../x"}, "invalid-request", "/image_id"),
                ({"point_labels": []}, "invalid-request", "/point_labels"),
                ({"point_labels": [2]}, "invalid-request", "/point_labels/0"),
                ({"point_coords": [[1, "2"]]}, "invalid-request", "/point_coords/0/1"),
                ({"point_coords": [[0, 0]], "point_labels": [-1]}, "invalid-request",
                 "/point_coords"),
                ({"format": "xml"}, "invalid-request", "/format"),
                ({"format": "binary"}, "not-implemented"),
                ({"has_mask_input": True}, "not-implemented"),
                ({"embeddings": [[[[0]]]]}, "not-implemented"),
                ({"image": {"type": "url", "value": "http://127.0.0.1/a.png"}, "image_id": None},
                 "invalid-request")):
            with self.subTest(change):
                self.refused(self.request("POST", SEGMENT, good | change), kind, *pointers)
