"""Requests of annotation tools, kept in their own form in data/compat/, and how to read what they get."""

import base64
import json
import os

import numpy

import rle
from case import DaemonCase

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "compat")


def recorded(name, image=None):
    """A request, with the image, bytes or a string, where it says $IMAGE."""
    with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as file:
        text = file.read()
    if isinstance(image, bytes):
        image = base64.b64encode(image).decode()
    return json.loads(text.replace("$IMAGE", image or ""))


def rasterise(polygons, size):
    """Closed rings along the edges of pixels become [h, w] of bool, by the even-odd rule."""
    width, height = size
    mask = numpy.zeros((height, width), bool)
    rows, columns = numpy.mgrid[0:height, 0:width] + 0.5
    for polygon in polygons:
        for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1]):
            if y1 == y2:
                continue
            crosses = (rows >= min(y1, y2)) & (rows < max(y1, y2))
            mask ^= crosses & (columns < x1 + (rows - y1) * (x2 - x1) / (y2 - y1))
    return mask


class CompatCase(DaemonCase):
    def mask(self, image, prompt):
        """What our own API says of it."""
        body = {"image": base64.b64encode(image).decode(), **prompt}
        answer = self.request("POST", "/v1/segment", body)
        self.assertEqual(answer.status, 200, answer)
        return rle.decode(answer.json()["masks"][0]["segmentation"])

    def post(self, path, body):
        answer = self.request("POST", path, body)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def encodes(self):
        return len(self.daemon.find("encoded"))
