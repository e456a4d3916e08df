"""/compat/cvat, and what CVAT asks of Nuclio's dashboard."""

import numpy

import images
import rle
from compat import CompatCase, recorded

PROMPT = {"points": [[320, 200], [350, 220.5], [20, 20]], "labels": [1, 1, 0]}
X, Y, RADIUS = images.DISC
BOX = [X - RADIUS, Y - RADIUS, X + RADIUS, Y + RADIUS]


class Cvat(CompatCase):
    def test_recorded_request(self):
        body = self.post("/compat/cvat", recorded("cvat_interact", images.disc()))
        self.assertEqual(set(body), {"mask"})
        mask = numpy.array(body["mask"])
        self.assertEqual(mask.shape, (480, 640))
        self.assertTrue(set(numpy.unique(mask)) <= {0, 1})
        self.assertTrue((mask.astype(bool) == self.mask(images.disc(), PROMPT)).all())

    def test_box(self):
        request = recorded("cvat_interact", images.disc())
        request |= {"pos_points": [], "neg_points": [],
                    "obj_bbox": [[X + RADIUS, Y - RADIUS], [X - RADIUS, Y + RADIUS]]}
        mask = numpy.array(self.post("/compat/cvat/", request)["mask"], bool)
        self.assertTrue((mask == self.mask(images.disc(), {"box": BOX})).all())

    def test_image_is_encoded_once(self):
        data = images.disc(seed=31)
        for _ in range(3):
            self.post("/compat/cvat", recorded("cvat_interact", data))
        self.assertEqual(self.encodes(), len({event["image"] for event in
                                              self.daemon.find("encoded")}))

    def test_crop(self):
        request = recorded("cvat_interact", images.disc())
        whole = numpy.array(self.post("/compat/cvat", request)["mask"])
        body = self.post("/compat/cvat", request | {"crop": True})
        left, top, right, bottom = body["bounds"]
        x, y, width, height = rle.bbox_of(whole.astype(bool))
        self.assertEqual([left, top, right, bottom], [x, y, x + width - 1, y + height - 1])
        self.assertTrue((numpy.array(body["mask"]) == whole[top:bottom + 1, left:right + 1]).all())

    def test_marks_beyond_the_edge(self):
        request = recorded("cvat_interact", images.disc())
        request |= {"pos_points": [[700, -3]], "neg_points": []}
        mask = numpy.array(self.post("/compat/cvat", request)["mask"], bool)
        edge = float(numpy.nextafter(numpy.float32(640), numpy.float32(0)))
        self.assertTrue((mask == self.mask(images.disc(), {"points": [[edge, 0]]})).all())

    def test_faults(self):
        good = recorded("cvat_interact", images.disc())
        for change, kind, *pointers in (
                ({"pos_points": [[1]], "neg_points": "x"}, "invalid-prompt", "/pos_points/0",
                 "/neg_points"),
                ({"obj_bbox": [[1, 2]]}, "invalid-prompt", "/obj_bbox"),
                ({"pos_points": [], "neg_points": []}, "invalid-prompt", ""),
                ({"image": "???", "crop": 1}, "invalid-prompt", "/image", "/crop"),
                ({"image": None}, "invalid-prompt", "/image"),
                ({"image": "aGVsbG8="}, "unsupported-image"),
                ({"obj_bbox": [[700, 2], [800, 3]]}, "invalid-prompt"),
                ({"pos_points": [[1, 2]] * 65, "neg_points": []}, "invalid-prompt",
                 "/pos_points/64"),
                ({"pos_points": [["1", 2]]}, "invalid-prompt", "/pos_points/0/0")):
            with self.subTest(change):
                answer = self.request("POST", "/compat/cvat", good | change)
                self.refused(answer, kind, *pointers)
        self.refused(self.request("POST", "/compat/cvat", "{"), "bad-request")
        self.refused(self.request("POST", "/compat/cvat", "[]"), "invalid-prompt", "")


class Nuclio(CompatCase):
    """The three requests of CVAT's lambda manager."""

    def test_functions(self):
        functions = self.request("GET", "/api/functions").json()
        self.assertIn("maskd", functions)
        for name, function in functions.items():
            self.assertEqual(function["metadata"]["name"], name)
            annotations = function["metadata"]["annotations"]
            self.assertEqual(annotations["type"], "interactor")
            self.assertEqual(annotations["spec"] or "[]", "[]")  # json.loads
            self.assertGreaterEqual(int(annotations["version"]), 2)
            for key in ("min_pos_points", "min_neg_points"):
                self.assertGreaterEqual(int(annotations[key]), -1)
            self.assertTrue(function["spec"]["description"])
            self.assertIn("httpPort", function["status"])
            self.assertEqual(self.request("GET", "/api/functions/" + name).json(), function)
        self.refused(self.request("GET", "/api/functions/yolo"), "unknown-route")

    def test_invocation(self):
        headers = {"x-nuclio-project-name": "cvat", "x-nuclio-function-namespace": "nuclio",
                   "x-nuclio-invoke-via": "domain-name", "X-Nuclio-Invoke-Timeout": "120s",
                   "x-nuclio-function-name": "maskd", "x-nuclio-path": "/"}
        request = recorded("cvat_interact", images.disc())
        answer = self.request("POST", "/api/function_invocations", request, headers)
        self.assertEqual(answer.status, 200, answer)
        body = answer.json()
        left, top, right, bottom = body["bounds"]
        mask = numpy.zeros((480, 640), bool)
        mask[top:bottom + 1, left:right + 1] = body["mask"]
        self.assertTrue((mask == self.mask(images.disc(), PROMPT)).all())
        headers["x-nuclio-function-name"] = "yolo"
        self.refused(self.request("POST", "/api/function_invocations", request, headers),
                     "unknown-route")
