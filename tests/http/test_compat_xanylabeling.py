"""/compat/xanylabeling."""

import images
import rle
from compat import CompatCase, rasterise, recorded

BASE = "/compat/xanylabeling"
PROMPT = {"points": [[320, 200], [20, 20]], "labels": [1, 0]}
SHAPE = {"label", "shape_type", "points", "score"}


class XAnyLabeling(CompatCase):
    def test_health_and_models(self):
        health = self.request("GET", BASE + "/health").json()
        self.assertEqual([health["status"], health["models_loaded"]], ["healthy", 1])
        models = self.request("GET", BASE + "/v1/models").json()
        self.assertIs(models["success"], True)
        self.assertEqual(list(models["data"]), ["mobile_sam"])
        model = models["data"]["mobile_sam"]
        self.assertEqual(model["display_name"], "mobile_sam")
        self.assertEqual(model["batch_processing_mode"], "default")
        names = [widget["name"] for widget in model["widgets"]]
        self.assertTrue({"button_add_point", "button_add_rect", "button_finish_object"} <=
                        set(names))
        info = self.request("GET", BASE + "/v1/models/mobile_sam/info").json()
        self.assertEqual(info["data"], {"model_id": "mobile_sam", **model})

    def test_recorded_request(self):
        request = recorded("xanylabeling_predict", images.disc())
        body = self.post(BASE + "/v1/predict", request)
        self.assertEqual([body["success"], body["data"]["description"], body["data"]["replace"]],
                         [True, "", False])
        for shape in body["data"]["shapes"]:
            self.assertEqual(set(shape), SHAPE)
            self.assertEqual([shape["label"], shape["shape_type"]],
                             ["AUTOLABEL_OBJECT", "polygon"])
            self.assertEqual(shape["points"][0], shape["points"][-1])
            self.assertTrue(0 <= shape["score"] <= 1)
        polygons = [shape["points"] for shape in body["data"]["shapes"]]
        mask = self.mask(images.disc(), PROMPT)
        self.assertGreater(rle.iou(rasterise(polygons, images.SIZE), mask), 0.97)

    def test_fineness(self):
        request = recorded("xanylabeling_predict", images.disc())
        request["params"]["epsilon_factor"] = 0
        fine = self.post(BASE + "/v1/predict", request)["data"]["shapes"]
        exact = rasterise([shape["points"] for shape in fine], images.SIZE)
        self.assertTrue((exact == self.mask(images.disc(), PROMPT)).all())
        request["params"]["epsilon_factor"] = 0.02
        coarse = self.post(BASE + "/v1/predict", request)["data"]["shapes"]
        self.assertLess(len(coarse[0]["points"]), len(fine[0]["points"]) / 4)

    def test_a_shape_for_each_rectangle(self):
        request = recorded("xanylabeling_predict", images.disc())
        request["params"]["marks"] = [
            {"type": "rectangle", "data": [420, 300, 220, 100], "label": 1},
            {"type": "rectangle", "data": [0, 0, 640, 480], "label": 1}]
        shapes = self.post(BASE + "/v1/predict", request)["data"]["shapes"]
        self.assertEqual(len(shapes), 2)
        mask = self.mask(images.disc(), {"box": [220, 100, 420, 300]})
        self.assertGreater(rle.iou(rasterise([shapes[0]["points"]], images.SIZE), mask), 0.97)

    def test_without_marks(self):
        request = recorded("xanylabeling_predict", images.disc())
        del request["params"]["marks"]
        self.assertEqual(self.post(BASE + "/v1/predict", request)["data"]["shapes"], [])

    def refused_in_its_form(self, answer, status, code):
        self.assertEqual(answer.status, status)
        body = answer.json()
        self.assertIs(body["success"], False)
        self.assertEqual(set(body["error"]), {"code", "message"})
        self.assertEqual(body["error"]["code"], code)
        return body["error"]["message"]

    def test_errors(self):
        good = recorded("xanylabeling_predict", images.disc())
        params = good["params"]
        for change, status, code, message in (
                ({"model": "sam3"}, 501, "MODEL_NOT_FOUND", "sam3"),
                ({"image": "aGVsbG8="}, 415, "INVALID_IMAGE", ""),
                ({"image": 3}, 422, "INVALID_REQUEST", "/image must be a string"),
                ({"params": {"marks": [{"type": "star"}]}}, 422, "INVALID_REQUEST",
                 "/params/marks/0/type"),
                ({"params": {"marks": [{"type": "rectangle", "data": [1, 1, 9, 9], "label": 0}]}},
                 422, "INVALID_REQUEST", "background"),
                ({"params": {"marks": [{"type": "rectangle", "data": [9, 9, 9, 9]}]}}, 422,
                 "INVALID_REQUEST", "no area"),
                ({"params": params | {"epsilon_factor": -1}}, 422, "INVALID_REQUEST",
                 "epsilon_factor"),
                ({"params": {"text_prompt": "a disc"}}, 501, "MODEL_NOT_FOUND", "CLIP")):
            with self.subTest(change):
                answer = self.request("POST", BASE + "/v1/predict", good | change)
                self.assertIn(message, self.refused_in_its_form(answer, status, code))
        answer = self.request("GET", BASE + "/v1/models/sam3/info")
        self.refused_in_its_form(answer, 501, "MODEL_NOT_FOUND")
