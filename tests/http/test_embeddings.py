"""Embeddings that are taken away and brought in."""

import base64
import hashlib
import io
import re
import struct
import unittest

import numpy

import client
import images
import tensors
from case import DaemonCase
from client import head
from daemon import Daemon, wait_until

NAME = "image_embeddings"
SHAPE = (1, 256, 64, 64)
SAFETENSORS = "application/vnd.safetensors"
NPY = "application/x-npy"
PROMPT = {"points": [[320, 200]], "multimask": True}


class EmbeddingCase(DaemonCase):

    def export(self, image_id, query="", headers=None):
        answer = self.request("GET", f"/v1/images/{image_id}/embedding{query}", headers=headers)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def put(self, image_id, data, headers=None):
        return self.request("PUT", f"/v1/images/{image_id}/embedding", data, headers)

    def stored(self):
        """The bytes that the store holds."""
        text = self.request("GET", "/metrics").body.decode()
        return int(re.search(r'^maskd_store_bytes{tier="memory"} (\d+)$', text, re.M)[1])

    def masks(self, image_id):
        """Without their IDs, which are new each time."""
        found = self.segment(image_id, PROMPT)
        for mask in found:
            del mask["id"]
        return found


class Export(EmbeddingCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = images.disc()
        client.request(cls.daemon.port, "POST", "/v1/images?id=disc", cls.data)
        cls.model = client.request(cls.daemon.port, "GET", "/v1/models").json()["models"][0]

    def test_safetensors(self):
        answer = self.export("disc")
        metadata, found = tensors.read(answer.body)
        data_sha256 = metadata.pop("data_sha256")
        self.assertEqual(metadata, {
            "format": "maskd-embedding-1", "model": "mobile_sam", "architecture": "mobile_sam",
            "weights_sha256": self.model["weights_sha256"], "input_size": "1024",
            "image_id": "disc", "image_sha256": hashlib.sha256(self.data).hexdigest(),
            "width": "640", "height": "480", "scaled_width": "1024", "scaled_height": "768"})
        self.assertEqual(set(found), {NAME})
        self.assertEqual((found[NAME].shape, found[NAME].dtype), (SHAPE, "float16"))
        self.assertEqual(data_sha256, hashlib.sha256(found[NAME].tobytes()).hexdigest())
        self.assertTrue(numpy.isfinite(found[NAME]).all())
        self.assertGreater(found[NAME].std(dtype=float), 0.01)

    def test_headers(self):
        for accept, content_type, ending in ((None, SAFETENSORS, "safetensors"),
                                             (NPY, NPY, "npy")):
            answer = self.export("disc", headers={"Accept": accept} if accept else None)
            self.assertEqual(answer.header("Content-Type"), content_type)
            self.assertEqual(answer.header("X-Maskd-Model"), "mobile_sam")
            self.assertEqual(answer.header("X-Maskd-Weights-Sha256"), self.model["weights_sha256"])
            self.assertEqual(answer.header("X-Maskd-Size"), "640x480")
            self.assertEqual(answer.header("Vary"), "Accept")
            self.assertIn(f'filename="disc.{ending}"', answer.header("Content-Disposition"))

    def test_npy(self):
        halves = numpy.load(io.BytesIO(self.export("disc", headers={"Accept": NPY}).body))
        self.assertEqual((halves.shape, halves.dtype), (SHAPE, "float16"))
        _, found = tensors.read(self.export("disc").body)
        self.assertTrue((halves == found[NAME]).all())
        floats = numpy.load(io.BytesIO(
            self.export("disc", "?dtype=float32", {"Accept": NPY}).body))
        self.assertEqual(floats.dtype, "float32")
        self.assertTrue((floats == halves).all())

    def test_float32(self):
        _, halves = tensors.read(self.export("disc", "?dtype=float16").body)
        _, floats = tensors.read(self.export("disc", "?dtype=float32").body)
        self.assertEqual(floats[NAME].dtype, "float32")
        self.assertTrue((floats[NAME] == halves[NAME]).all())

    def test_accept(self):
        for accept, wanted in (("*/*", SAFETENSORS), ("application/*", SAFETENSORS),
                               (f"{NPY}, */*", NPY), (f"{SAFETENSORS};q=0.5, {NPY}", NPY),
                               (f"{SAFETENSORS}, {NPY};q=0.9", SAFETENSORS),
                               ("application/octet-stream", SAFETENSORS)):
            with self.subTest(accept):
                answer = self.export("disc", headers={"Accept": accept})
                self.assertEqual(answer.header("Content-Type"), wanted)

    def test_wrong_requests(self):
        for query, pointer in (("dtype=float64", "?dtype"), ("dtype=", "?dtype"),
                               ("format=npy", "?format")):
            answer = self.request("GET", "/v1/images/disc/embedding?" + query)
            self.refused(answer, "invalid-request", pointer)
        self.refused(self.request("GET", "/v1/images/none/embedding"), "unknown-image")
        answer = self.request("DELETE", "/v1/images/disc/embedding")
        self.refused(answer, "method-not-allowed")
        self.assertLessEqual({"GET", "HEAD", "PUT"}, set(answer.header("Allow").split(", ")))

    def test_head(self):
        connection = self.raw()
        connection.send(head("HEAD", "/v1/images/disc/embedding"))
        answer = connection.answer("HEAD").check()
        self.assertEqual(answer.status, 200)
        self.assertEqual(int(answer.header("Content-Length")), len(self.export("disc").body))

    def test_waits_for_its_image(self):
        for i in range(2):
            self.request("POST", f"/v1/images?id=late-{i}", images.disc(70 + i),
                         {"Prefer": "respond-async"})
        metadata, _ = tensors.read(self.export("late-1").body)
        self.assertEqual(metadata["image_id"], "late-1")

    def test_conditions(self):
        tags = [self.export("disc", query, headers).header("ETag")
                for query in ("", "?dtype=float32") for headers in (None, {"Accept": NPY})]
        self.assertEqual(len(set(tags)), 4)
        for tag in tags:
            self.assertRegex(tag, r'^"\w+"$')
        self.assertEqual(self.export("disc").header("ETag"), tags[0])
        path = "/v1/images/disc/embedding"
        answer = self.request("GET", path, headers={"If-None-Match": ", ".join(tags)})
        self.assertEqual(answer.status, 304, answer)
        self.assertEqual(answer.header("ETag"), tags[0])
        self.export("disc", headers={"If-None-Match": tags[1]})
        self.refused(self.request("GET", path, headers={"If-Match": tags[1]}),
                     "precondition-failed")


class Import(EmbeddingCase):

    def test_round_trip(self):
        """The masks of what was brought in are those of what was encoded, and so is the file."""
        before = self.upload("trip", images.disc(1))
        masks = self.masks("trip")
        for query in ("", "?dtype=float32"):
            with self.subTest(query):
                exported = self.export("trip", query).body
                tag = self.request("GET", "/v1/images/trip").header("ETag")
                self.assertEqual(self.request("DELETE", "/v1/images/trip").status, 204)
                answer = self.put("trip", exported)
                self.assertEqual(answer.status, 201, answer)
                self.assertEqual(answer.header("Location"), "/v1/images/trip")
                self.assertEqual((answer.json()["status"], answer.json()["cached"]),
                                 ("ready", False))
                shown = self.request("GET", "/v1/images/trip")
                self.assertEqual(shown.header("ETag"), tag)
                for key in ("id", "width", "height", "model"):
                    self.assertEqual(shown.json()[key], before[key])
                self.assertEqual(self.masks("trip"), masks)
                self.assertEqual(self.export("trip", query).body, exported)
        again = self.put("trip", exported)
        self.assertEqual((again.status, again.json()["cached"]), (200, True), again)
        self.assertEqual(self.upload("trip", images.disc(1))["cached"], True)
        self.assertEqual(len(self.daemon.find("encoded", image="trip")), 1)

    def test_another_id(self):
        self.upload("first", images.disc(2))
        self.assertEqual(self.put("second", self.export("first").body).status, 201)
        self.assertEqual(self.masks("second"), self.masks("first"))
        metadata, _ = tensors.read(self.export("second").body)
        self.assertEqual(metadata["image_id"], "second")

    def test_an_id_that_no_image_may_have(self):
        """It would stand in headers, and be a cursor that no list takes."""
        self.upload("fine", images.disc(13))
        data = self.export("fine").body
        for wrong in ("a%22b", "%20", "x%0Ay", "%FF", "..", "-x"):
            self.refused(self.put(wrong, data), "invalid-request")

    def test_the_id_holds_another_image(self):
        self.upload("holder", images.disc(3))
        self.upload("guest", images.disc(4))
        exported = self.export("guest").body
        self.refused(self.put("holder", exported), "id-conflict")
        self.request("POST", "/v1/images?id=busy", images.disc(5), {"Prefer": "respond-async"})
        self.refused(self.put("busy", exported), "id-conflict")

    def test_while_it_is_encoded(self):
        self.upload("known", images.disc(6))
        exported = self.export("known").body
        for name in ("before", "racing"):
            self.request("POST", f"/v1/images?id={name}", images.disc(6 + (name == "before")),
                         {"Prefer": "respond-async"})
        answer = self.put("racing", exported)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.masks("racing"), self.masks("known"))

    def test_conditions(self):
        self.upload("condition", images.disc(7))
        exported = self.export("condition")
        tag = exported.header("ETag")
        for headers, status in (({"If-None-Match": "*"}, 412), ({"If-None-Match": tag}, 412),
                                ({"If-Match": '"x"'}, 412), ({"If-Match": tag}, 200)):
            answer = self.put("condition", exported.body, headers)
            self.assertEqual(answer.status, status, answer)
        self.refused(self.put("condition-2", exported.body, {"If-Match": "*"}),
                     "precondition-failed")
        self.assertEqual(self.request("GET", "/v1/images/condition-2").status, 404)
        answer = self.put("condition-2", exported.body, {"If-None-Match": "*"})
        self.assertEqual(answer.status, 201, answer)

    def test_values_of_any_making(self):
        """Made by hand, without data_sha256, in float32 that float16 has to round."""
        self.upload("hand", images.disc(8))
        metadata, found = tensors.read(self.export("hand", "?dtype=float32").body)
        del metadata["data_sha256"]
        values = found[NAME] * numpy.float32(1.0001)
        answer = self.put("hand-made", tensors.write(metadata, {NAME: values}))
        self.assertEqual(answer.status, 201, answer)
        _, rounded = tensors.read(self.export("hand-made").body)
        self.assertTrue((rounded[NAME] == values.astype(numpy.float16)).all())

    def test_the_upload_follows(self):
        """Who brings in an embedding may upload its image later: it is not encoded again."""
        self.upload("pixels", images.disc(9))
        exported = self.export("pixels").body
        self.request("DELETE", "/v1/images/pixels")
        self.assertEqual(self.put("pixels", exported).status, 201)
        for more in (len(images.disc(9)), 0):  # the bytes are kept, once
            before = self.stored()
            answer = self.request("POST", "/v1/images?id=pixels", images.disc(9))
            self.assertEqual((answer.status, answer.json()["cached"]), (200, True), answer)
            self.assertEqual(self.stored() - before, more)
        self.assertEqual(self.export("pixels").body, exported)
        self.assertEqual(len(self.daemon.find("encoded", image="pixels")), 1)


class Refusals(EmbeddingCase):
    """Nothing of these is kept."""

    flags = ("--max-pixels", "1000000", "--max-side", "4000")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client.request(cls.daemon.port, "POST", "/v1/images?id=good", images.disc())
        answer = client.request(cls.daemon.port, "GET", "/v1/images/good/embedding")
        cls.good = answer.body
        cls.metadata, cls.found = tensors.read(cls.good)
        size, = struct.unpack_from("<Q", cls.good)
        cls.values = cls.good[8 + size:]
        cls.place = {"dtype": "F16", "shape": list(SHAPE), "data_offsets": [0, len(cls.values)]}

    def refuse(self, data, kind, *pointers):
        detail = self.refused(self.put("bad", data), kind, *pointers)
        self.assertEqual(self.request("GET", "/v1/images/bad").status, 404)
        return detail

    def refuse_metadata(self, changes, *keys):
        """None as the value of a change: without this key."""
        metadata = {**self.metadata, **changes}
        metadata = {key: value for key, value in metadata.items() if value is not None}
        data = tensors.pack({"__metadata__": metadata, NAME: self.place}, self.values)
        self.refuse(data, "invalid-embedding", *("/__metadata__/" + key for key in keys))

    def test_not_safetensors(self):
        npy = self.export("good", headers={"Accept": NPY}).body
        self.assertIn(".npy", self.refuse(npy, "unsupported-embedding"))
        for data in (b"", b"12345678", images.disc(), bytes(1000), b'{"image":"AAAA"}',
                     struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 2) + b"[]",
                     tensors.pack(b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", b""),
                     struct.pack("<Q", 1 << 24) + bytes(1 << 24)):
            with self.subTest(data[:20]):
                self.refuse(data, "unsupported-embedding")

    def test_truncated(self):
        for size in (100, 1000, len(self.good) // 2, len(self.good) - 1):
            with self.subTest(size):
                self.refuse(self.good[:size], "invalid-embedding")
        self.refuse(self.good + b"x", "invalid-embedding")

    def test_places(self):
        size = len(self.values)
        for begin, end in ((2, size), (0, size - 2), (0, 2 * size), (size, 0), (-2, size - 2),
                           (0, 1 << 60), (0.5, size)):
            with self.subTest(begin=begin, end=end):
                place = {**self.place, "data_offsets": [begin, end]}
                self.refuse(tensors.pack({"__metadata__": self.metadata, NAME: place},
                                         self.values), "invalid-embedding")
        both = {"__metadata__": self.metadata, NAME: self.place, "another": self.place}
        self.assertIn("overlap", self.refuse(tensors.pack(both, self.values), "invalid-embedding"))

    def test_tensors(self):
        values = self.found[NAME]
        cases = ((values[0], "/image_embeddings/shape"),
                 (values.transpose(0, 2, 3, 1).copy(), "/image_embeddings/shape"),
                 (values[:, :128].copy(), "/image_embeddings/shape"))
        for changed, pointer in cases:
            with self.subTest(changed.shape):
                self.refuse(tensors.write(self.metadata, {NAME: changed}), "invalid-embedding",
                            pointer)
        self.refuse(tensors.write(self.metadata, {"a/b": values}), "invalid-embedding",
                    "/image_embeddings", "/a~1b")
        self.refuse(tensors.write(self.metadata, {NAME: values, "b": values}),
                    "invalid-embedding", "/b")
        place = {**self.place, "dtype": "BF16"}
        self.refuse(tensors.pack({"__metadata__": self.metadata, NAME: place}, self.values),
                    "invalid-embedding")

    def test_metadata(self):
        self.refuse(tensors.pack({NAME: self.place}, self.values), "invalid-embedding",
                    *("/__metadata__/" + key for key in self.metadata if key != "data_sha256"))
        for changes in ({"format": "maskd-embedding-2"}, {"input_size": "512"},
                        {"weights_sha256": "ff"}, {"image_id": "../x"}, {"image_id": ""},
                        {"image_sha256": "0" * 63 + "g"}, {"image_sha256": "A" * 64},
                        {"width": "0"}, {"width": "-640"}, {"width": "640.0"}, {"width": "0640"},
                        {"width": " 640"}, {"height": "9" * 30}, {"height": ""}, {"extra": "x"},
                        {"scaled_width": "1023"}, {"scaled_height": "769"}, {"model": None},
                        {"data_sha256": "0" * 64}):
            with self.subTest(changes):
                self.refuse_metadata(changes, *changes)

    def test_all_faults(self):
        self.refuse_metadata({"format": "x", "model": None, "scaled_width": "1", "a": "b"},
                             "format", "model", "scaled_width", "a")

    def test_limits(self):
        for width, height, key in ((2000, 1000, "width"), (4001, 1, "width"),
                                   (1, 999999999, "height")):
            with self.subTest(width=width, height=height):
                self.refuse_metadata({"width": str(width), "height": str(height)}, key)

    def test_another_model(self):
        for changes in ({"weights_sha256": "0" * 64}, {"model": "sam_vit_b"},
                        {"architecture": "sam"}):
            with self.subTest(changes):
                metadata = {**self.metadata, **changes}
                data = tensors.pack({"__metadata__": metadata, NAME: self.place}, self.values)
                detail = self.refuse(data, "model-mismatch")
                self.assertIn(metadata["weights_sha256"], detail)
                self.assertIn(self.metadata["weights_sha256"], detail)

    def test_values(self):
        metadata = {key: value for key, value in self.metadata.items() if key != "data_sha256"}
        for value, dtype in ((numpy.nan, "<f2"), (numpy.inf, "<f2"), (-numpy.inf, "<f4"),
                             (numpy.nan, "<f4"), (70000.0, "<f4")):
            with self.subTest(value=value, dtype=dtype):
                values = self.found[NAME].astype(dtype)
                values[0, 255, 63, 63] = value
                self.refuse(tensors.write(metadata, {NAME: values}), "invalid-embedding",
                            "/image_embeddings")
        damaged = bytearray(self.good)
        damaged[-1] ^= 1
        self.refuse(bytes(damaged), "invalid-embedding", "/__metadata__/data_sha256")


class TwoDaemons(EmbeddingCase):

    def test_from_one_to_another(self):
        other = Daemon()
        self.addCleanup(other.stop)
        self.upload("moved", images.disc(10))
        exported = self.export("moved").body
        path = "/v1/images/moved"
        answer = client.request(other.port, "PUT", path + "/embedding", exported)
        self.assertEqual(answer.status, 201, answer)
        answer = client.request(other.port, "POST", path + "/segment", PROMPT)
        masks = answer.json()["masks"]
        for mask in masks:
            del mask["id"]
        self.assertEqual(masks, self.masks("moved"))
        answer = client.request(other.port, "GET", path + "/embedding")
        self.assertEqual(answer.body, exported)
        self.assertEqual(answer.header("ETag"), self.export("moved").header("ETag"))


class Memory(EmbeddingCase):

    flags = ("--max-body", "3M", "--upload-memory", "6M")

    def test_slow_readers_are_bounded(self):
        """Answers that nobody reads hold upload_memory; those beyond it are refused."""
        self.upload("slow", images.disc(11))
        path = "/v1/images/slow/embedding?dtype=float32"
        self.holds(head("GET", path), lambda: self.request("GET", path))

    def test_of_tools_too(self):
        """What CVAT's browsers decode is as large."""
        body = {"image": base64.b64encode(images.disc(11)).decode(), "embedding": True}
        self.request("POST", "/compat/cvat", body)
        self.holds(client.post("/compat/cvat", body),
                   lambda: self.request("POST", "/compat/cvat", body))

    def holds(self, request, again):
        """An answer to the request leaves no room for that of another, until the client leaves."""
        first = self.raw(receive_buffer=4096)
        first.send(request)
        first.head()  # it is on its way, and there is more of it than buffers hold
        self.assertIn("upload_memory", self.refused(again(), "overloaded"))
        first.close()
        wait_until(lambda: again().status == 200, 10, "room again")


if __name__ == "__main__":
    unittest.main()
