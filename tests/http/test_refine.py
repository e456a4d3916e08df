"""Refining earlier masks by their IDs."""

import json
import threading
import unittest

import images
import rle
from case import DaemonCase
from client import multipart

X, Y, RADIUS = images.DISC
CENTRE = {"points": [[X, Y]]}
AWAY = {"points": [[X + 60, Y - 50], [X, Y + RADIUS + 30]], "labels": [1, 0]}
UNKNOWN = "m_0123456789abcdef"


def alike(one, other):
    """Whether two masks are the same but for the last bits of their logits: an image that many
    prompts come for is prepared, and then its sums are made in another order."""
    a, b = rle.decode(one["segmentation"]), rle.decode(other["segmentation"])
    return rle.iou(a, b) > 0.998 and abs(one["predicted_iou"] - other["predicted_iou"]) < 1e-4


class Refine(DaemonCase):

    def setUp(self):
        super().setUp()
        self.upload_disc()

    def masks(self, **prompt):
        return self.segment("disc", prompt)

    def refuse(self, prompt, *pointers, image_id="disc"):
        answer = self.request("POST", f"/v1/images/{image_id}/segment", prompt)
        return self.refused(answer, "invalid-prompt", *pointers)

    # ---- what it does

    def test_a_second_click(self):
        first = self.masks(**CENTRE)[0]
        refined = self.masks(refine=first["id"], **AWAY)
        self.assertEqual(len(refined), 1)
        self.assertNotEqual(refined[0]["id"], first["id"])
        self.assertFalse(alike(refined[0], self.masks(**AWAY)[0]))
        self.assertFalse(alike(refined[0], first))
        self.assertTrue(alike(refined[0], self.masks(refine=first["id"], **AWAY)[0]))

    def test_each_mask_has_its_own_logits(self):
        three = self.masks(multimask=True, **CENTRE)
        again = [self.masks(refine=mask["id"], **AWAY)[0] for mask in three]
        self.assertFalse(alike(again[0], again[1]))
        self.assertFalse(alike(again[1], again[2]))
        one = self.masks(**CENTRE)[0]
        best = max(range(3), key=lambda k: three[k]["predicted_iou"])
        self.assertTrue(alike(self.masks(refine=one["id"], **AWAY)[0], again[best]))
        single = self.masks(multimask=False, **CENTRE)[0]
        for other in again:
            self.assertFalse(alike(self.masks(refine=single["id"], **AWAY)[0], other))

    def test_it_depends_on_the_logits_and_not_on_the_mask(self):
        """The threshold makes another mask of the same logits."""
        plain = self.masks(**CENTRE)[0]
        wide = self.masks(threshold=-5, **CENTRE)[0]
        self.assertGreater(wide["area"], plain["area"])
        self.assertTrue(alike(self.masks(refine=plain["id"], **AWAY)[0],
                              self.masks(refine=wide["id"], **AWAY)[0]))

    def test_again_and_again(self):
        mask, seen = self.masks(**CENTRE)[0], []
        for _ in range(4):
            mask = self.masks(refine=mask["id"], **AWAY)[0]
            self.assertFalse(any(alike(mask, other) for other in seen[:1]))
            seen.append(mask)

    def test_with_all_that_a_prompt_may_have(self):
        first = self.masks(**CENTRE)[0]["id"]
        box = [X - RADIUS, Y - RADIUS, X + RADIUS, Y + RADIUS]
        for prompt, count in (({}, 1), ({"multimask": True}, 3), ({"box": box}, 1),
                              ({"box": box, **AWAY, "multimask": False, "threshold": 1,
                                "format": "coco_rle_uncompressed"}, 1)):
            with self.subTest(prompt):
                self.assertEqual(len(self.masks(refine=first, **prompt)), count)

    def test_a_mask_of_a_mask(self):
        prior = rle.encode(images.disc_mask())
        first = self.masks(mask=prior, **CENTRE)[0]
        refined = self.masks(refine=first["id"], **AWAY)[0]
        self.assertFalse(alike(refined, self.masks(mask=prior, **AWAY)[0]))
        self.assertTrue(alike(refined, self.masks(refine=first["id"], **AWAY)[0]))

    def test_lists(self):
        three = self.masks(multimask=True, **CENTRE)
        alone = [self.masks(refine=mask["id"], **AWAY)[0] for mask in three]
        prompts = [{"refine": mask["id"], **AWAY} for mask in three] + [CENTRE]
        masks = self.masks(prompts=prompts)
        self.assertEqual([mask["prompt"] for mask in masks], [0, 1, 2, 3])
        for mask, expected in zip(masks, alone):
            self.assertTrue(alike(mask, expected))
        self.refuse({"prompts": [CENTRE, {"refine": UNKNOWN}, {"refine": three[0]["id"]},
                                 {"refine": UNKNOWN}]}, "/prompts/1/refine", "/prompts/3/refine")
        self.refuse({"prompts": [{"refine": UNKNOWN}]}, "/prompts/0/refine")

    def test_many_at_once(self):
        first = self.masks(**CENTRE)[0]["id"]
        found = []
        crowd = [threading.Thread(
            target=lambda: found.append(self.masks(refine=first, **AWAY)[0])) for _ in range(12)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        self.assertEqual(len(found), 12)
        self.assertTrue(all(alike(mask, found[0]) for mask in found))

    def test_with_the_image_in_one_request(self):
        first = self.masks(**CENTRE)[0]
        for prompt, status in (({"refine": first["id"], **AWAY}, 200), ({"refine": UNKNOWN}, 422)):
            body, headers = multipart(("file", images.disc(), "a.png"),
                                      ("prompt", json.dumps(prompt).encode()))
            answer = self.request("POST", "/v1/segment?id=disc", body, headers)
            self.assertEqual(answer.status, status, answer)

    # ---- what cannot be refined

    def test_unknown(self):
        self.assertIn("send the mask itself", self.refuse({"refine": UNKNOWN, **CENTRE},
                                                          "/refine"))
        for wrong in ("", "m_", "disc", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.upper(), "m_é" * 9,
                      "../../etc/passwd", 7, None, [UNKNOWN], {"id": UNKNOWN}, True):
            with self.subTest(wrong):
                self.refuse({"refine": wrong, **CENTRE}, "/refine")

    def test_one_prior_mask_only(self):
        first = self.masks(**CENTRE)[0]
        self.refuse({"refine": first["id"], "mask": first["segmentation"]}, "/refine")
        self.refuse({"refine": UNKNOWN, "mask": {"size": [1, 1], "counts": "~"},
                     "points": [[-1, 1]]}, "/refine",
                    "/mask/size", "/mask/counts", "/points/0/0")

    def test_of_another_image(self):
        first = self.masks(**CENTRE)[0]["id"]
        self.upload_disc("twin")  # the same bytes
        self.upload_disc("other", seed=1)
        for image_id in ("twin", "other"):
            self.refuse({"refine": first, **CENTRE}, "/refine", image_id=image_id)
        self.assertEqual(len(self.masks(refine=first, **CENTRE)), 1)

    def test_a_deleted_image_takes_its_masks_along(self):
        for seed in (2, 3):  # the same bytes again, and others
            self.upload_disc("gone", seed=2)
            mask = self.segment("gone", CENTRE)[0]["id"]
            refined = self.segment("gone", {"refine": mask})[0]["id"]
            self.assertEqual(self.request("DELETE", "/v1/images/gone").status, 204)
            self.upload_disc("gone", seed=seed)
            for old in (mask, refined):
                self.refuse({"refine": old, **CENTRE}, "/refine", image_id="gone")
            self.assertEqual(self.request("DELETE", "/v1/images/gone").status, 204)

    def test_an_embedding_that_is_brought_in_starts_anew(self):
        """Which image it is of is only what its file says."""
        self.upload_disc("moved", seed=4)
        mask = self.segment("moved", CENTRE)[0]["id"]
        path = "/v1/images/moved/embedding"
        embedding = self.request("GET", path).body
        self.assertEqual(len(self.segment("moved", {"refine": mask})), 1)
        self.assertEqual(self.request("DELETE", "/v1/images/moved").status, 204)
        self.assertEqual(self.request("PUT", path, embedding).status, 201)
        self.refuse({"refine": mask, **CENTRE}, "/refine", image_id="moved")
        own = self.segment("moved", CENTRE)[0]["id"]
        self.assertEqual(len(self.segment("moved", {"refine": own, **AWAY})), 1)
        answer = self.request("POST", "/v1/images/moved/everything", {"crop_n_layers": 1})
        self.refused(answer, "invalid-request", "/crop_n_layers")


class Small(DaemonCase):
    """Of room for two images, and for three masks' logits with what belongs to them."""

    flags = ("--store-memory", "4M", "--refine-memory", "1M")

    def test_the_oldest_is_forgotten(self):
        self.upload_disc()
        prior = rle.encode(images.disc_mask())
        ids = [self.segment("disc", {"mask": prior, **CENTRE})[0]["id"] for _ in range(6)]
        for old in ids[:3]:
            answer = self.request("POST", "/v1/images/disc/segment", {"refine": old})
            self.refused(answer, "invalid-prompt", "/refine")
        self.assertEqual(len(self.segment("disc", {"refine": ids[-1]})), 1)

    def test_of_an_image_that_was_evicted_and_came_back(self):
        self.upload_disc()
        mask = self.segment("disc", CENTRE)[0]["id"]
        for seed in range(1, 4):
            self.upload_disc(f"disc-{seed}", seed)
        self.assertEqual(self.request("GET", "/v1/images/disc").status, 404)
        self.upload_disc()
        self.assertEqual(len(self.segment("disc", {"refine": mask, **AWAY})), 1)


if __name__ == "__main__":
    unittest.main()
