"""Everything mode: all masks of an image."""

import re
import threading
import time
import unittest

import client
import images
import rle
from case import DaemonCase
from client import post
from daemon import Daemon, wait_until

FEW = {"points_per_side": 4}
LONG = {"points_per_side": 128}  # takes much longer than any test waits
MEMBERS = {"image_id", "model", "width", "height", "parameters", "status", "cached", "masks"}
DEFAULTS = {"points_per_side": 32, "pred_iou_thresh": 0.88, "stability_score_thresh": 0.95,
            "stability_score_offset": 1, "box_nms_thresh": 0.7, "crop_n_layers": 0,
            "crop_nms_thresh": 0.7, "crop_overlap_ratio": 0.341333,
            "crop_n_points_downscale_factor": 1, "min_mask_region_area": 0}
ASYNC = {"Prefer": "respond-async"}


class EverythingCase(DaemonCase):

    def setUp(self):
        super().setUp()
        self.upload_disc()

    def path(self, image_id="disc"):
        return f"/v1/images/{image_id}/everything"

    def run_it(self, body=None, image_id="disc", headers=None):
        """The answer of a run that is waited for."""
        answer = self.request("POST", self.path(image_id), {} if body is None else body, headers)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def look(self, query="", image_id="disc"):
        answer = self.request("GET", self.path(image_id) + query)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def begin(self, body=None, image_id="disc"):
        """A run that nobody waits for."""
        answer = self.request("POST", self.path(image_id), LONG if body is None else body, ASYNC)
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(answer.json()["status"], "running")
        return answer

    def end_runs(self, image_id="disc"):
        self.assertEqual(self.request("DELETE", f"/v1/images/{image_id}").status, 204)


class Results(EverythingCase):

    def test_masks_of_the_disc(self):
        answer = self.run_it(FEW)
        self.assertEqual(set(answer), MEMBERS | {"timing_ms"})
        self.assertEqual((answer["image_id"], answer["width"], answer["height"]),
                         ("disc", *images.SIZE))
        self.assertEqual(answer["status"], "ready")
        self.assertFalse(answer["cached"])
        self.assertEqual(answer["parameters"], {**DEFAULTS, **FEW})
        self.assertEqual(set(answer["timing_ms"]), {"queue", "segment"})
        best = 0
        for mask in answer["masks"]:
            self.assertEqual(set(mask), {"segmentation", "bbox", "area", "predicted_iou",
                                         "stability_score", "point_coords", "crop_box"})
            pixels = rle.decode(mask["segmentation"])
            self.assertEqual(mask["area"], pixels.sum())
            self.assertEqual(mask["bbox"], rle.bbox_of(pixels))
            self.assertGreater(mask["predicted_iou"], 0.88)
            self.assertGreaterEqual(mask["stability_score"], 0.95)
            self.assertEqual(mask["crop_box"], [0, 0, *images.SIZE])
            (x, y), = mask["point_coords"]
            self.assertIn(x, [80, 240, 400, 560])
            self.assertIn(y, [60, 180, 300, 420])
            best = max(best, rle.iou(pixels, images.disc_mask()))
        self.assertGreater(best, 0.95)
        scores = [mask["predicted_iou"] for mask in answer["masks"]]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_parameters_matter(self):
        few = len(self.run_it(FEW)["masks"])
        self.assertGreater(len(self.run_it({**FEW, "pred_iou_thresh": 0, "box_nms_thresh": 1,
                                            "stability_score_thresh": 0})["masks"]), few)
        for mask in self.run_it({**FEW, "pred_iou_thresh": 0.99})["masks"]:
            self.assertGreater(mask["predicted_iou"], 0.99)

    def test_the_same_again(self):
        wanted = {"points_per_side": 3}
        before = len(self.daemon.find("everything"))
        first, second = self.run_it(wanted), self.run_it(wanted)
        self.assertFalse(first.pop("cached"))
        first.pop("timing_ms")
        self.assertTrue(second.pop("cached"))
        self.assertEqual(first, second)
        self.assertEqual(len(self.daemon.find("everything")), before + 1)
        self.assertTrue(self.run_it({**wanted, "box_nms_thresh": 0.7})["cached"])
        self.assertFalse(self.run_it({**wanted, "box_nms_thresh": 0.71})["cached"])

    def test_formats_share_a_run(self):
        plain = self.run_it({"points_per_side": 2, "pred_iou_thresh": 0.5})["masks"]
        for form in ("coco_rle_uncompressed", "polygon", "png"):
            answer = self.run_it({"points_per_side": 2, "pred_iou_thresh": 0.5, "format": form,
                                  "simplify": 1})
            self.assertTrue(answer["cached"])
            self.assertEqual([mask["area"] for mask in answer["masks"]],
                             [mask["area"] for mask in plain])
            self.assertEqual(self.look(f"?format={form}&simplify=1")["masks"], answer["masks"])
        self.assertEqual(self.look()["masks"], plain)

    def test_nothing_means_the_defaults(self):
        """It is only begun: to end would take seconds."""
        for body in (b"", b"{}", b'{"format":"polygon"}'):
            answer = self.request("POST", self.path(), body, ASYNC)
            self.assertIn(answer.status, (200, 202), answer)
            self.assertEqual(answer.json()["parameters"], DEFAULTS)
        self.end_runs()

    def test_crops(self):
        disc = (150, 120, 80)  # wholly within the first of four crops
        self.upload("corner", images.save(images.disc_image(disc=disc)))
        answer = self.run_it({"points_per_side": 3, "crop_n_layers": 1}, "corner")
        self.assertEqual(set(answer["timing_ms"]), {"queue", "decode", "segment"})
        found = {tuple(mask["crop_box"]): rle.decode(mask["segmentation"])
                 for mask in answer["masks"]
                 if rle.iou(rle.decode(mask["segmentation"]), images.disc_mask(circle=disc)) > 0.95}
        self.assertEqual(len(found), 1)
        (x, y, width, height), = found
        self.assertEqual((x, y), (0, 0))
        self.assertTrue(320 < width < 640 and 240 < height < 480, (width, height))

    def test_crops_cut_no_mask(self):
        """A disc across the edges of crops is found whole, or not at all."""
        self.upload("across", images.save(images.disc_image(disc=(320, 240, 110))))
        answer = self.run_it({"points_per_side": 4, "crop_n_layers": 1, "crop_nms_thresh": 1},
                             "across")
        self.assertTrue(answer["masks"])
        for mask in answer["masks"]:
            left, top, width, height = mask["bbox"]
            x, y, across, down = mask["crop_box"]
            for end, edge, border in ((left, x, 0), (top, y, 0),
                                      (left + width - 1, x + across, 640),
                                      (top + height - 1, y + down, 480)):
                self.assertFalse(abs(end - edge) <= 20 < abs(end - border), mask)

    def test_together(self):
        """Many ask for the same: one run."""
        answers = []
        crowd = [threading.Thread(target=lambda: answers.append(
            self.run_it({"points_per_side": 6, "format": form}))) for form in
            ("coco_rle", "coco_rle_uncompressed", "polygon") * 3]
        before = len(self.daemon.find("everything"))
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        self.assertEqual(len(answers), 9)
        self.assertEqual(len({tuple(mask["area"] for mask in answer["masks"])
                              for answer in answers}), 1)
        self.assertEqual(len(self.daemon.find("everything")), before + 1)

    def test_of_an_image_that_is_being_encoded(self):
        connection = self.raw()
        connection.send(post("/v1/images?id=fresh", images.disc(seed=9)))
        wait_until(lambda: self.request("GET", "/v1/images/fresh").status == 200, 10, "a claim")
        self.assertEqual(self.run_it(FEW, "fresh")["image_id"], "fresh")
        self.assertEqual(connection.answer("POST").check().status, 201)


class Faults(EverythingCase):

    def fault(self, body, *pointers):
        return self.refused(self.request("POST", self.path(), body), "invalid-request", *pointers)

    def test_values(self):
        wrong = {"points_per_side": [0, -1, 129, 1e9, 2.5, "8", None, [], {}, True],
                 "pred_iou_thresh": [-0.1, 1.1, "1", None],
                 "stability_score_thresh": [-1, 2, []], "stability_score_offset": [-1, 1e9, {}],
                 "box_nms_thresh": [-1, 1.5, "x"], "crop_n_layers": [-1, 4, 0.5, None],
                 "crop_nms_thresh": [-1, 1.5], "crop_overlap_ratio": [-1, 2, None],
                 "crop_n_points_downscale_factor": [0, -1, 1.5, 1000],
                 "min_mask_region_area": [-1, 0.5, 1e18, "1"],
                 "format": [1, None, "", "bmp"], "simplify": [-1, "1", None]}
        for member, values in wrong.items():
            for value in values:
                with self.subTest(member, value=value):
                    self.fault({member: value}, "/" + member)

    def test_numbers_that_are_none(self):
        for number in ("NaN", "Infinity", "-Infinity", "01", "+1", "0x10"):
            body = '{"points_per_side":' + number + "}"
            self.refused(self.request("POST", self.path(), body), "bad-request")
        self.fault('{"pred_iou_thresh":1e999,"points_per_side":-1e999}', "/pred_iou_thresh",
                   "/points_per_side")

    def test_all_at_once(self):
        self.fault({"points_per_side": 0, "crop_n_layer": 1, "points": [[1, 1]], "format": 7},
                   "/points_per_side", "/crop_n_layer", "/points", "/format")

    def test_what_does_not_go_together(self):
        self.assertIn("limit", self.fault({"points_per_side": 128, "crop_n_layers": 3}, ""))
        self.fault({"points_per_side": 2, "crop_n_layers": 2,
                    "crop_n_points_downscale_factor": 2}, "")

    def test_not_json(self):
        for body in ("[", "points_per_side=4", b"\xff", "{} {}"):
            self.refused(self.request("POST", self.path(), body), "bad-request")
        for body in ("[]", "null", "7"):
            self.fault(body, "")

    def test_unknown(self):
        for method in ("POST", "GET"):
            answer = self.request(method, self.path("nobody"), {} if method == "POST" else None)
            self.refused(answer, "unknown-image")
        self.upload_disc("idle", seed=3)
        self.refused(self.request("GET", self.path("idle")), "unknown-run")
        answer = self.request("PUT", self.path(), {})
        self.refused(answer, "method-not-allowed")

    def test_queries(self):
        for query, pointers in (("?format=bmp", ["?format"]), ("?simplify=-1", ["?simplify"]),
                                ("?simplify=nan&format=", ["?simplify", "?format"]),
                                ("?simplify=inf", ["?simplify"]), ("?simplify=", ["?simplify"]),
                                ("?points_per_side=1", ["?points_per_side"])):
            with self.subTest(query):
                self.refused(self.request("GET", self.path() + query), "invalid-request",
                             *pointers)
        self.refused(self.request("POST", self.path() + "?format=png", {}), "invalid-request",
                     "?format")


class Unattended(EverythingCase):

    def test_from_beginning_to_end(self):
        answer = self.begin({**FEW, "format": "polygon", "simplify": 1.5})
        self.assertEqual(answer.header("Preference-Applied"), "respond-async")
        running = answer.json()
        self.assertEqual(set(running), (MEMBERS - {"masks", "cached"}) | {"done", "total"})
        self.assertEqual((running["done"], running["total"]), (0, 16))
        location = answer.header("Location")
        self.assertEqual(location, self.path() + "?format=polygon&simplify=1.5")

        def ready():
            answer = self.request("GET", location).json()
            return answer["status"] == "ready" and answer
        shown = wait_until(ready, 20, "masks")
        self.assertEqual(set(shown), MEMBERS)
        self.assertIsInstance(shown["masks"][0]["segmentation"], list)
        self.assertTrue(self.run_it(FEW)["cached"])
        answer = self.request("POST", self.path(), FEW, ASYNC)  # there is nothing to wait for
        self.assertEqual(answer.status, 200)
        self.assertIsNone(answer.header("Preference-Applied"))

    def test_progress(self):
        self.begin()
        seen = {wait_until(lambda: self.look()["done"], 20, "progress")}
        seen.add(wait_until(lambda: max(seen) < self.look()["done"] and self.look()["done"], 20,
                            "more"))
        look = self.look()
        self.assertEqual((look["status"], look["total"]), ("running", 128 * 128))
        self.assertLess(max(seen), look["total"])
        self.assertEqual(len(self.segment("disc", {"points": [[320, 200]]})), 1)
        self.end_runs()

    def test_uploads_go_in_between(self):
        self.begin(LONG)
        self.upload("other", images.disc(1))  # encoded
        self.upload("another", images.disc(2))
        self.assertEqual(self.look()["status"], "running")
        self.end_runs()

    def test_the_latest_is_shown(self):
        self.run_it({"points_per_side": 1})
        self.run_it({"points_per_side": 2})
        self.assertEqual(self.look()["parameters"]["points_per_side"], 2)
        self.run_it({"points_per_side": 1})
        self.assertEqual(self.look()["parameters"]["points_per_side"], 1)

    def test_location_without_a_format(self):
        self.assertEqual(self.begin().header("Location"), self.path())
        self.end_runs()

    def test_deleted_meanwhile(self):
        """Who waits is told; the next run of the same image is a new one."""
        connection = self.raw()
        connection.send(post(self.path(), LONG))
        wait_until(lambda: self.request("GET", self.path()).status == 200
                   and self.look()["done"] > 0, 20, "progress")
        self.end_runs()
        self.refused(connection.answer("POST"), "unknown-image")
        self.refused(self.request("GET", self.path()), "unknown-image")
        self.upload_disc()
        self.refused(self.request("GET", self.path()), "unknown-run")
        self.assertFalse(self.run_it({"points_per_side": 1})["cached"])


class Leaving(EverythingCase):

    def test_nobody_waits(self):
        """The run ends, or what comes after it would wait for minutes."""
        connections = [self.raw(), self.raw()]
        for connection in connections:
            connection.send(post(self.path(), LONG))
        wait_until(lambda: self.request("GET", self.path()).status == 200
                   and self.look()["done"] > 0, 20, "progress")
        connections[0].close()
        time.sleep(0.5)
        self.assertEqual(self.look()["status"], "running")  # the other one waits
        connections[1].close()
        path = "/v1/images/{id}/everything"
        self.daemon.wait_event("request", count=2, method="POST", route=path, status=503)
        self.refused(self.request("GET", self.path()), "unknown-run")
        self.assertFalse(self.run_it({"points_per_side": 1})["cached"])

    def test_somebody_comes_back(self):
        """A run of those who left is not for those who come later."""
        with self.raw() as connection:
            connection.send(post(self.path(), LONG))
            wait_until(lambda: self.request("GET", self.path()).status == 200
                       and self.look()["done"] > 0, 20, "progress")
        self.begin()
        time.sleep(1)
        self.assertEqual(self.look()["status"], "running")
        self.end_runs()


class Limits(unittest.TestCase):

    def start(self, *flags):
        daemon = Daemon(*flags)
        self.addCleanup(daemon.kill)
        for seed in range(2):
            client.request(daemon.port, "POST", f"/v1/images?id=disc{seed}", images.disc(seed))
        return daemon

    def test_drain(self):
        daemon = self.start("--drain-seconds", "60")
        waiting = []
        for number in range(2):
            connection = client.Raw(daemon.port)
            self.addCleanup(connection.close)
            connection.send(post(f"/v1/images/disc{number}/everything", LONG))
            waiting.append(connection)
        for number in range(2):
            wait_until(lambda n=number: client.request(
                daemon.port, "GET", f"/v1/images/disc{n}/everything").status == 200, 10, "it runs")
        daemon.signal()
        for connection in waiting:
            answer = connection.answer("POST").check()
            self.assertEqual(answer.json()["type"], "/problems/draining", answer)
        daemon.check_end(daemon.wait(20))

    def test_memory(self):
        """Thresholds that let all pass, on an image whose masks are large."""
        daemon = self.start("--everything-memory", "1M")
        client.request(daemon.port, "POST", "/v1/images?id=large", images.noise(2500, 2000))
        answer = client.request(daemon.port, "POST", "/v1/images/large/everything",
                                {"points_per_side": 12, "pred_iou_thresh": 0, "box_nms_thresh": 1,
                                 "stability_score_thresh": 0})
        self.assertEqual(answer.json()["type"], "/problems/invalid-request", answer)
        self.assertIn("pred_iou_thresh", answer.json()["detail"])

    def test_prompts_go_in_between_masks_that_are_written(self):
        daemon = self.start("--workers", "1")
        path = "/v1/images/large/everything"
        client.request(daemon.port, "POST", "/v1/images?id=large", images.noise(2500, 2000))
        client.request(daemon.port, "POST", path, {"points_per_side": 6, "pred_iou_thresh": 0,
                                                   "box_nms_thresh": 1,
                                                   "stability_score_thresh": 0})
        writing = client.Raw(daemon.port)
        self.addCleanup(writing.close)
        writing.send(client.head("GET", path + "?format=png"))
        prompt = client.request(daemon.port, "POST", "/v1/images/disc0/segment",
                                {"points": [[320, 200]]})
        written = writing.answer()
        self.assertEqual(written.status, 200, written)
        took = float(re.search(r"total;dur=([\d.]+)", written.header("Server-Timing"))[1])
        self.assertLess(prompt.json()["timing_ms"]["queue"], took / 4)

    def test_the_queue_is_bounded_and_patience_too(self):
        daemon = self.start("--upload-queue", "1", "--upload-deadline", "1")

        def begin(number, side):
            return client.request(daemon.port, "POST", f"/v1/images/disc{number}/everything",
                                  {"points_per_side": side}, ASYNC)

        def look(number):
            return client.request(daemon.port, "GET", f"/v1/images/disc{number}/everything").json()
        self.assertEqual(begin(0, 128).status, 202)
        wait_until(lambda: look(0)["done"] > 0, 20, "progress")
        self.assertEqual(begin(1, 127).status, 202)
        answer = begin(1, 126)
        self.assertEqual(answer.json()["type"], "/problems/overloaded", answer)
        self.assertIsNotNone(answer.header("Retry-After"))
        self.assertEqual(begin(1, 127).status, 202)  # it waits already
        wait_until(lambda: look(1)["status"] == "failed", 10, "a deadline")
        self.assertEqual(look(1)["problem"]["type"], "/problems/deadline")
        self.assertEqual(look(0)["status"], "running")


if __name__ == "__main__":
    unittest.main()
