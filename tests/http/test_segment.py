"""Prompts that are right, and the masks they give."""

import base64
import json
import re
import unittest

import client
import images
import rle
from case import DaemonCase
from client import multipart

X, Y, RADIUS = images.DISC
BOX = [X - RADIUS, Y - RADIUS, X + RADIUS, Y + RADIUS]
CENTRE = {"points": [[X, Y]]}


def essence(mask):
    """A mask without what differs from answer to answer."""
    return {key: value for key, value in mask.items() if key not in ("id", "prompt")}


class Masks(DaemonCase):
    """All on one image: a disc."""

    flags = ("--max-prompts", "20")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client.request(cls.daemon.port, "POST", "/v1/images?id=disc", images.disc())

    def masks(self, **prompt):
        return self.segment("disc", prompt)

    # ---- what is in a mask

    def test_the_disc(self):
        drawn = images.disc_mask()
        for prompt in (CENTRE, {"box": BOX}, {"points": [[X, Y], [X + 60, Y - 50]]},
                       {"points": [[X, Y], [20, 20]], "labels": [1, 0]},
                       {"points": [[X - 30.5, Y + 20.25]], "box": BOX}):
            with self.subTest(prompt):
                masks = self.masks(**prompt)
                self.assertEqual(len(masks), 1)
                self.assertGreater(rle.iou(rle.decode(masks[0]["segmentation"]), drawn), 0.9)

    def test_the_answer_around_the_masks(self):
        answer = self.request("POST", "/v1/images/disc/segment", CENTRE)
        body = answer.json()
        self.assertEqual(set(body), {"image_id", "model", "width", "height", "masks",
                                     "timing_ms"})
        self.assertEqual([body[key] for key in ("image_id", "model", "width", "height")],
                         ["disc", "mobile_sam", 640, 480])
        self.assertEqual(set(body["timing_ms"]), {"queue", "segment"})
        self.assertRegex(answer.header("Server-Timing"), r"^queue;.*segment;.*total;")

    def test_numbers_agree_with_the_mask(self):
        prompts = [CENTRE, {"box": [10, 10, 630, 470]}, {"points": [[5, 5]]},
                   {"points": [[X, Y]], "threshold": 5}, {"points": [[X, Y]], "threshold": 1e6},
                   {"points": [[X, Y]], "threshold": -1e6}]
        masks = self.masks(prompts=prompts, multimask=True)
        self.assertEqual(len(masks), 3 * len(prompts))
        for mask in masks:
            self.assertEqual(set(mask), {"id", "prompt", "segmentation", "bbox", "area",
                                         "predicted_iou", "stability_score"})
            self.assertRegex(mask["id"], r"^m_[0-9a-f]{16}$")
            self.assertEqual(mask["segmentation"]["size"], [480, 640])
            pixels = rle.decode(mask["segmentation"])
            self.assertEqual(mask["area"], int(pixels.sum()))
            self.assertEqual(mask["bbox"], rle.bbox_of(pixels))
            self.assertTrue(0 <= mask["stability_score"] <= 1, mask["stability_score"])
            self.assertTrue(-1 < mask["predicted_iou"] < 2, mask["predicted_iou"])
            if mask["area"] == 0:
                self.assertEqual(mask["stability_score"], 0)
        self.assertEqual([mask["area"] for mask in masks[12:]], [0] * 3 + [480 * 640] * 3)
        self.assertEqual(len({mask["id"] for mask in masks}), len(masks))

    def test_a_higher_threshold_gives_less(self):
        areas = [self.masks(threshold=t, multimask=False, **CENTRE)[0]["area"]
                 for t in (-8, -2, 0, 2, 8)]
        self.assertEqual(areas, sorted(areas, reverse=True))
        self.assertEqual(len(set(areas)), 5)

    def test_stability_is_that_of_the_thresholds_around(self):
        """utils/amg.py: the IoU of the masks at threshold + 1 and threshold - 1, here on the
        image's pixels, there on the low-resolution logits or not: nearly the same."""
        mask = self.masks(multimask=False, **CENTRE)[0]
        outer = self.masks(threshold=-1, multimask=False, **CENTRE)[0]["area"]
        inner = self.masks(threshold=1, multimask=False, **CENTRE)[0]["area"]
        self.assertAlmostEqual(mask["stability_score"], inner / outer, delta=0.02)

    # ---- how it is asked for

    def test_formats_agree(self):
        for prompt in (CENTRE, {"box": BOX}, {"points": [[3, 3]]}):
            with self.subTest(prompt):
                text = self.masks(format="coco_rle", multimask=True, **prompt)
                lists = self.masks(format="coco_rle_uncompressed", multimask=True, **prompt)
                for one, other in zip(text, lists, strict=True):
                    self.assertIsInstance(one["segmentation"]["counts"], str)
                    self.assertIsInstance(other["segmentation"]["counts"], list)
                    decoded = rle.decode(other["segmentation"])
                    self.assertTrue((rle.decode(one["segmentation"]) == decoded).all())
                    self.assertEqual(rle.text_of(other["segmentation"]["counts"]),
                                     one["segmentation"]["counts"])
        self.assertEqual(essence(self.masks(**CENTRE)[0]),
                         essence(self.masks(format="coco_rle", **CENTRE)[0]))

    def test_format_of_each_prompt(self):
        masks = self.masks(prompts=[CENTRE, dict(CENTRE, format="coco_rle")],
                           format="coco_rle_uncompressed")
        self.assertEqual([type(mask["segmentation"]["counts"]) for mask in masks], [list, str])

    def test_multimask(self):
        counts = {value: len(self.masks(multimask=value, **CENTRE))
                  for value in ("auto", True, False)}
        self.assertEqual(counts, {"auto": 1, True: 3, False: 1})
        self.assertEqual(essence(self.masks(**CENTRE)[0]),
                         essence(self.masks(multimask="auto", **CENTRE)[0]))

    def test_auto_chooses_as_the_onnx_export(self):
        """utils/onnx.py, select_masks: the best of three for one point or a box, and the single
        mask once there are more points."""
        for prompt in (CENTRE, {"box": BOX}):
            three = self.masks(multimask=True, **prompt)
            best = max(three, key=lambda mask: mask["predicted_iou"])
            self.assertEqual(essence(self.masks(**prompt)[0]), essence(best), prompt)
        for prompt in ({"points": [[X, Y]], "box": BOX}, {"points": [[X, Y], [X, Y + 9], [X, 9]],
                                                         "labels": [1, 1, 0]}):
            single = self.masks(multimask=False, **prompt)
            self.assertEqual(essence(self.masks(**prompt)[0]), essence(single[0]), prompt)

    def test_lists(self):
        boxes = [BOX, [5, 5, 300, 300], [0, 0, 640, 480]]
        alone = [essence(self.masks(box=box)[0]) for box in boxes]
        for body in ({"boxes": boxes}, {"prompts": [{"box": box} for box in boxes]}):
            masks = self.masks(**body)
            self.assertEqual([mask["prompt"] for mask in masks], [0, 1, 2])
            self.assertEqual([essence(mask) for mask in masks], alone)
        masks = self.masks(prompts=[dict(CENTRE, multimask=True), {"box": BOX}, CENTRE])
        self.assertEqual([mask["prompt"] for mask in masks], [0, 0, 0, 1, 2])
        masks = self.masks(boxes=boxes, multimask=True, format="coco_rle_uncompressed")
        self.assertEqual([mask["prompt"] for mask in masks], [0, 0, 0, 1, 1, 1, 2, 2, 2])

    def test_determinism(self):
        prompts = [CENTRE, {"box": BOX}, {"points": [[5, 5], [X, Y]], "labels": [0, 1]}]
        first = [essence(mask) for mask in self.masks(prompts=prompts, multimask=True)]
        for _ in range(5):
            again = [essence(mask) for mask in self.masks(prompts=prompts, multimask=True)]
            self.assertEqual(first, again)

    def test_labels_matter(self):
        two = {"points": [[X, Y], [20, 20]]}
        both = self.masks(labels=[1, 1], **two)[0]
        self.assertEqual(essence(self.masks(**two)[0]), essence(both))
        self.assertNotEqual(essence(self.masks(labels=[1, 0], **two)[0]), essence(both))

    def test_the_edges_of_the_image(self):
        for prompt in ({"points": [[0, 0]]}, {"points": [[639.999, 479.999]]},
                       {"points": [[639.99999999, 0]]}, {"box": [0, 0, 640, 480]},
                       {"box": [639.5, 479.5, 640, 480]}, {"box": [0, 0, 1e-3, 1e-3]}):
            with self.subTest(prompt):
                self.assertEqual(len(self.masks(**prompt)), 1)

    def test_as_many_as_there_may_be(self):
        points = [[X + i % 8, Y + i // 8] for i in range(64)]
        self.assertEqual(len(self.masks(points=points, box=BOX)), 1)
        self.assertEqual(len(self.masks(boxes=[BOX] * 20, multimask=False)), 20)

    def test_off_is_accepted(self):
        mask = self.masks(min_area=0, fill_holes=False, simplify=0, threshold=0.0, **CENTRE)[0]
        self.assertEqual(essence(mask), essence(self.masks(**CENTRE)[0]))

    # ---- prior masks

    def test_prior_mask(self):
        drawn = images.disc_mask()
        prior = rle.encode(drawn)
        text = {"size": prior["size"], "counts": rle.text_of(prior["counts"])}
        for more in ({}, CENTRE, {"box": BOX}):
            with self.subTest(more):
                one, other = self.masks(mask=prior, **more)[0], self.masks(mask=text, **more)[0]
                self.assertEqual(essence(one), essence(other))
                if more:  # SAM makes little of a mask alone
                    self.assertGreater(rle.iou(rle.decode(one["segmentation"]), drawn), 0.9)
        self.assertNotEqual(essence(self.masks(mask=prior, **CENTRE)[0]),
                            essence(self.masks(**CENTRE)[0]))

    def test_our_masks_are_prior_masks(self):
        for form in ("coco_rle", "coco_rle_uncompressed"):
            for threshold in (-1e6, 0, 1e6):
                mask = self.masks(format=form, threshold=threshold, **CENTRE)[0]
                self.assertEqual(len(self.masks(mask=mask["segmentation"])), 1)

    # ---- image and prompt in one request

    def test_segment_in_one_request(self):
        data = images.disc()
        expected = essence(self.masks(**CENTRE)[0])
        file, prompt = ("file", data, "a.png"), ("prompt", json.dumps(CENTRE).encode())
        forms = [multipart(file, prompt), multipart(prompt, file),
                 multipart(("id", b"disc"), file, prompt),
                 ({"image": base64.b64encode(data).decode(), "id": "disc", **CENTRE}, None)]
        for body, headers in forms:
            answer = self.request("POST", "/v1/segment?id=disc", body, headers)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(essence(answer.json()["masks"][0]), expected)
            self.assertEqual(set(answer.json()["timing_ms"]), {"queue", "segment"})

    def test_segment_encodes_and_keeps(self):
        data = images.disc(seed=1)
        body, headers = multipart(("file", data, "a.png"), ("prompt", b'{"box":[0,0,640,480]}'))
        answer = self.request("POST", "/v1/segment", body, headers)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(set(answer.json()["timing_ms"]),
                         {"queue", "decode", "encode", "segment"})
        image = answer.json()["image_id"]
        self.assertTrue(re.fullmatch("[0-9a-f]{32}", image))
        self.assertEqual(self.request("GET", "/v1/images/" + image).json()["status"], "ready")
        self.assertEqual(self.request("POST", "/v1/images", data).status, 200)


class Turned(DaemonCase):

    def test_coordinates_are_those_of_the_upright_image(self):
        size, circle = (300, 440), (80, 120, 50)
        upright = images.disc_image(size, circle)
        drawn = images.disc_mask(size, circle)
        for orientation in (3, 6, 7):
            with self.subTest(orientation=orientation):
                data = images.rotated(upright, orientation, "JPEG", quality=95)
                answer = self.upload(f"turned-{orientation}", data)
                self.assertEqual((answer["width"], answer["height"]), size)
                for prompt in ({"points": [[80, 120]]}, {"box": [30, 70, 130, 170]}):
                    mask = self.segment(f"turned-{orientation}", prompt)[0]
                    self.assertEqual(mask["segmentation"]["size"], [440, 300])
                    self.assertGreater(rle.iou(rle.decode(mask["segmentation"]), drawn), 0.9)


if __name__ == "__main__":
    unittest.main()
