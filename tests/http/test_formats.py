"""Every format of a mask over HTTP, read by others' decoders, and what is done to masks."""

import base64
import io
import json
import subprocess
import sys
import unittest
from pathlib import Path

import numpy
from PIL import Image, ImageDraw

import client
import images
import rle
from case import DaemonCase
from client import multipart

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "parity"))

import prepare  # noqa: E402

X, Y, RADIUS = images.DISC
CENTRE = {"points": [[X, Y]]}
EVERYWHERE = {"points": [[5, 5]], "threshold": -3, "multimask": True}
ROUGH = {"points": [[X - RADIUS, Y]], "threshold": 2.5, "multimask": True}
FORMATS = ("coco_rle", "coco_rle_uncompressed", "polygon", "polygon_holes", "png",
           "labelstudio_rle", "cvat_rle")


def read_png(data):
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("PNG", "1"), (image.format, image.mode)
    return numpy.array(image)


def read_data_uri(text):
    scheme, data = text.split(",")
    assert scheme == "data:image/png;base64", scheme
    return read_png(base64.b64decode(data, validate=True))


def read_cvat(values, height, width):
    *counts, left, top, right, bottom = values
    mask = numpy.zeros((height, width), bool)
    box = (bottom - top + 1, right - left + 1)
    if counts:
        assert counts[0] >= 0 and all(count > 0 for count in counts[1:]), "an empty run"
        mask[top:bottom + 1, left:right + 1] = numpy.repeat(
            numpy.arange(len(counts)) % 2 == 1, counts).reshape(box)
    return mask


def fill(rings, height, width):
    """The even-odd rule, for rings along the edges of pixels."""
    edges = numpy.zeros((height, width + 1), bool)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring, ring[1:] + ring[:1]):
            assert x == next_x or y == next_y, "a slanted side"
            edges[min(y, next_y):max(y, next_y), x] ^= True
    return numpy.logical_xor.accumulate(edges, axis=1)[:, :-1]


def read_polygons(polygons, height, width):
    """Whether each is drawn by itself or all at once does not matter."""
    rings = [list(zip(flat[::2], flat[1::2])) for flat in polygons]
    mask = fill(rings, height, width)
    alone = numpy.zeros_like(mask)
    for ring in rings:
        alone |= fill([ring], height, width)
    assert (mask == alone).all()
    return mask


def read_multi_polygon(polygons, height, width):
    mask = numpy.zeros((height, width), bool)
    for rings in polygons:
        part = fill(rings, height, width)
        assert not (mask & part).any(), "polygons overlap"
        mask |= part
    return mask


def draw(polygons, height, width):
    """Slanted sides too, about."""
    image = Image.new("1", (width, height))
    for outer, *holes in polygons:
        ImageDraw.Draw(image).polygon([tuple(point) for point in outer], fill=1)
        for hole in holes:
            ImageDraw.Draw(image).polygon([tuple(point) for point in hole], fill=0)
    return numpy.array(image)


def fill_holes(mask):
    """What is not connected by edges to the outside."""
    padded = Image.fromarray(numpy.pad(mask, 1).astype(numpy.uint8) * 255).copy()
    ImageDraw.floodfill(padded, (0, 0), 128)
    return numpy.array(padded)[1:-1, 1:-1] != 128


def read_labelstudio(encoded, height, width):
    """By @thi.ng/rle-pack itself."""
    package = prepare.install() / "node_modules" / "@thi.ng" / "rle-pack" / "index.js"
    run = subprocess.run([prepare.command("node"), HERE / "labelstudio.mjs", package],
                         input=json.dumps(encoded), capture_output=True, text=True, check=True)
    masks = []
    for text in json.loads(run.stdout):
        alpha = numpy.frombuffer(base64.b64decode(text), numpy.uint8)
        assert set(numpy.unique(alpha)) <= {0, 255}
        masks.append(alpha.reshape(height, width) == 255)
    return masks


class Formats(DaemonCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client.request(cls.daemon.port, "POST", "/v1/images?id=disc", images.disc())

    def masks(self, **prompt):
        return self.segment("disc", prompt)

    def in_format(self, name, **prompt):
        return [mask["segmentation"] for mask in self.masks(**prompt, format=name)]

    def assert_read(self, name, read):
        for prompt in (CENTRE, EVERYWHERE, ROUGH, dict(CENTRE, threshold=1e6),
                       dict(CENTRE, threshold=-1e6)):
            with self.subTest(prompt):
                for mask, wanted in zip(self.in_format(name, **prompt),
                                        self.in_format("coco_rle", **prompt), strict=True):
                    wanted = rle.decode(wanted)
                    self.assertTrue((read(mask, *wanted.shape) == wanted).all())

    # ---- each format

    def test_png(self):
        self.assert_read("png", lambda text, height, width: read_data_uri(text))

    def test_cvat(self):
        self.assert_read("cvat_rle", read_cvat)
        self.assertEqual(self.in_format("cvat_rle", threshold=1e6, **CENTRE), [[0, 0, 0, 0]])

    def test_polygon_with_holes(self):
        self.assert_read("polygon_holes", read_multi_polygon)
        for polygons in self.in_format("polygon_holes", **ROUGH):
            for ring in (ring for polygon in polygons for ring in polygon):
                self.assertEqual(ring[0], ring[-1])
                self.assertGreaterEqual(len(ring), 5)

    def test_polygon(self):
        for prompt in (CENTRE, EVERYWHERE, ROUGH):
            for polygons, mask in zip(self.in_format("polygon", **prompt),
                                      self.in_format("coco_rle", **prompt), strict=True):
                mask = rle.decode(mask)
                drawn = read_polygons(polygons, *mask.shape)
                self.assertTrue((mask <= drawn).all() and (drawn <= fill_holes(mask)).all())
        mask = rle.decode(self.in_format("coco_rle", **CENTRE)[0])
        drawn = read_polygons(self.in_format("polygon", **CENTRE)[0], *mask.shape)
        self.assertTrue((drawn == fill_holes(mask)).all())

    def test_labelstudio(self):
        try:
            prepare.install()
        except prepare.Missing as missing:
            self.skipTest(str(missing))
        prompts = [CENTRE, EVERYWHERE, ROUGH, dict(CENTRE, threshold=1e6),
                   dict(CENTRE, threshold=-1e6)]
        encoded = self.in_format("labelstudio_rle", prompts=prompts)
        wanted = self.in_format("coco_rle", prompts=prompts)
        self.assertEqual(len(encoded), 9)
        for mask, decoded in zip(wanted, read_labelstudio(encoded, 480, 640), strict=True):
            self.assertTrue((decoded == rle.decode(mask)).all())

    def test_formats_of_one_request(self):
        masks = self.masks(prompts=[dict(CENTRE, format=name) for name in FORMATS])
        coco, counts, polygon, holes, png, labelstudio, cvat = \
            [mask["segmentation"] for mask in masks]
        self.assertEqual(rle.text_of(counts["counts"]), coco["counts"])
        wanted = rle.decode(coco)
        self.assertTrue((read_data_uri(png) == wanted).all())
        self.assertTrue((read_cvat(cvat, 480, 640) == wanted).all())
        self.assertTrue((read_multi_polygon(holes, 480, 640) == wanted).all())
        self.assertEqual(polygon[0], [value for point in holes[0][0][:-1] for value in point])
        self.assertEqual(labelstudio[:7], list((480 * 640 * 4).to_bytes(4, "big")) + [57, 27, 255])
        for mask in masks:
            self.assertEqual((mask["area"], mask["bbox"]), (wanted.sum(), rle.bbox_of(wanted)))

    # ---- simplified

    def test_simplify(self):
        exact = self.in_format("polygon_holes", **CENTRE)[0]
        drawn = read_multi_polygon(exact, 480, 640)
        sizes = []
        for simplify in (0, 1, 3, 20, 1e5):
            polygons = self.in_format("polygon_holes", simplify=simplify, **CENTRE)[0]
            self.assertEqual(len(polygons), len(exact))
            sizes.append(sum(len(ring) for polygon in polygons for ring in polygon))
            self.assertTrue(all(len(ring) >= 4 for polygon in polygons for ring in polygon))
            if simplify in (1, 3):
                self.assertGreater(rle.iou(draw(polygons, 480, 640), drawn), 0.95)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertLess(sizes[1], sizes[0] / 3)
        self.assertEqual(self.in_format("coco_rle", simplify=5, **CENTRE),
                         self.in_format("coco_rle", **CENTRE))

    # ---- the PNG itself

    def test_accept_png(self):
        wanted = rle.decode(self.in_format("coco_rle", **CENTRE)[0])
        iou = self.masks(**CENTRE)[0]["predicted_iou"]
        for accept in ("image/png", "image/*", "image/png, */*;q=0.5",
                       "image/png, */*", "application/json;q=0.1, image/png;q=0.2"):
            answer = self.request("POST", "/v1/images/disc/segment", CENTRE, {"Accept": accept})
            self.assertEqual((answer.status, answer.header("Content-Type")), (200, "image/png"))
            self.assertTrue((read_png(answer.body) == wanted).all())
            self.assertEqual(float(answer.header("X-Maskd-Predicted-Iou")), iou)

    def test_accept_json(self):
        several = dict(CENTRE, multimask=True)
        for accept, prompt in (("*/*", CENTRE), ("application/json, image/png", CENTRE),
                               ("text/html", CENTRE), ("image/png;q=0.9, */*", CENTRE),
                               ("image/png, */*;q=0.1", several)):
            answer = self.request("POST", "/v1/images/disc/segment", prompt, {"Accept": accept})
            self.assertEqual((answer.status, answer.header("Content-Type")),
                             (200, "application/json"))

    def test_one_png_is_one_mask(self):
        for prompt in (dict(CENTRE, multimask=True), {"boxes": [[1, 1, 50, 50], [9, 9, 80, 80]]}):
            answer = self.request("POST", "/v1/images/disc/segment", prompt,
                                  {"Accept": "image/png"})
            self.assertIn("one mask", self.refused(answer, "invalid-request"))

    def test_png_of_a_photo_in_one_request(self):
        body, headers = multipart(("file", images.disc(), "a.png"),
                                  ("prompt", json.dumps(CENTRE).encode()))
        answer = self.request("POST", "/v1/segment", body, {**headers, "Accept": "image/png"})
        self.assertEqual((answer.status, answer.header("Content-Type")), (200, "image/png"))
        wanted = rle.decode(self.in_format("coco_rle", **CENTRE)[0])
        self.assertTrue((read_png(answer.body) == wanted).all())

    # ---- masks of the client's

    def test_prior_masks_in_every_form(self):
        forms = {name: self.in_format(name, **CENTRE)[0] for name in FORMATS}
        size = forms["coco_rle"]["size"]
        priors = [forms["coco_rle"], forms["coco_rle_uncompressed"], {"png": forms["png"]},
                  {"size": size, "png": forms["png"].split(",")[1]},
                  {"size": size, "labelstudio_rle": forms["labelstudio_rle"]},
                  {"size": size, "cvat_rle": forms["cvat_rle"]}]
        grey = io.BytesIO()
        Image.fromarray(rle.decode(forms["coco_rle"]).astype(numpy.uint8) * 3).save(grey, "PNG")
        priors.append({"png": base64.b64encode(grey.getvalue()).decode()})
        found = [self.in_format("coco_rle", mask=prior)[0] for prior in priors]
        self.assertEqual(found, found[:1] * len(found))
        self.assertNotEqual(found[0], self.in_format("coco_rle", mask={
            "size": size, "cvat_rle": [0, 4, 10, 10, 11, 11]})[0])

    def test_large_prompts(self):
        """A worker reads what a polling thread would take long for: right, wrong, and of an image
        that is not there."""
        size = [480, 640]
        mask = {"size": size, "cvat_rle": [0] + [1] * 639 + [0, 0, 638, 0]}
        self.assertEqual(len(self.masks(mask=mask)), 1)
        answer = self.request("POST", "/v1/images/disc/segment",
                              {"mask": {**mask, "cvat_rle": [0] + [1] * 640 + [0, 0, 638, 0]}})
        self.refused(answer, "invalid-prompt", "/mask/cvat_rle")
        answer = self.request("POST", "/v1/images/none/segment", {"mask": mask})
        self.refused(answer, "unknown-image")
        for prompt, status in ((mask, 200), ({"size": size, "cvat_rle": [9] * 999}, 422)):
            body, headers = multipart(("file", images.disc(), "a.png"),
                                      ("prompt", json.dumps({"mask": prompt}).encode()))
            answer = self.request("POST", "/v1/segment", body, headers)
            self.assertEqual(answer.status, status, answer)

    # ---- cleaning

    def test_cleaning(self):
        prompt = ROUGH
        before = [rle.decode(mask) for mask in self.in_format("coco_rle", **prompt)]
        plain = self.masks(**prompt)
        for min_area, fill in ((0, False), (60, False), (400, True), (0, True), (10**6, True)):
            with self.subTest(min_area=min_area, fill=fill):
                masks = self.masks(min_area=min_area, fill_holes=fill, **prompt)
                for mask, given, raw in zip(masks, before, plain, strict=True):
                    pixels = rle.decode(mask["segmentation"])
                    self.assertEqual(mask["area"], pixels.sum())
                    self.assertEqual(mask["bbox"], rle.bbox_of(pixels))
                    self.assertEqual(mask["stability_score"], raw["stability_score"])
                    self.assertEqual(mask["predicted_iou"], raw["predicted_iou"])
                    self.assert_cleaned(given, pixels, min_area, fill)

    def assert_cleaned(self, before, after, min_area, fill):
        wanted = before.copy()
        if fill:
            wanted = self.without_small(~wanted, min_area, whole=min_area == 0)
            wanted = ~wanted
        if min_area:
            cleaned = self.without_small(wanted, min_area)
            wanted = cleaned if cleaned.any() else self.largest(wanted)
        self.assertTrue((after == wanted).all())

    @staticmethod
    def regions(mask):
        """The regions of the pixels that are set, connected by corners too: of runs in rows."""
        runs, roots, before = [], [], []

        def root(i):
            while roots[i] != i:
                i = roots[i]
            return i

        for y, row in enumerate(mask):
            ends = numpy.flatnonzero(numpy.diff(numpy.pad(row, 1).astype(numpy.int8))).tolist()
            here = []
            for first, last in zip(ends[::2], ends[1::2]):
                here.append(len(runs))
                roots.append(len(runs))
                runs.append((y, first, last))
                for other in before:
                    if runs[other][1] <= last and first <= runs[other][2]:
                        roots[root(other)] = root(here[-1])
            before = here
        regions = {}
        for i, (y, first, last) in enumerate(runs):
            region = regions.setdefault(root(i), numpy.zeros_like(mask))
            region[y, first:last] = True
        return list(regions.values())

    def without_small(self, mask, least, whole=False):
        """Without regions of fewer pixels; whole: without those that do not touch the border."""
        kept = numpy.zeros_like(mask)
        for region in self.regions(mask):
            edge = region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any()
            if edge if whole else region.sum() >= least:
                kept |= region
        return kept

    def largest(self, mask):
        return max(self.regions(mask), key=lambda region: region.sum(), default=mask)


if __name__ == "__main__":
    unittest.main()
