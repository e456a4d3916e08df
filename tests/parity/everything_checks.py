"""Everything mode (everything_probe.c) against the same said in numpy, on ONNX Runtime's decoder.

After SamAutomaticMaskGenerator of Segment Anything: a grid of points; of the three masks of each point those of a high
predicted IoU that do not depend much on the threshold; of masks in about the same box the one of the highest predicted
IoU."""

import json
import subprocess

import numpy as np

from reference import stability_score
from results import beyond, iou

SIDE = 8
PREDICTED_IOU, STABILITY, SAME_BOX = 0.88, 0.95, 0.7
MATCHED_IOU, COUNTS_APART = 0.99, 0.02
PROBE_SECONDS = 300


class Found:
    def __init__(self, mask, predicted_iou):
        self.mask, self.predicted_iou = mask, predicted_iou
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        self.box = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float64)

    def same_box(self, other):
        low, high = np.maximum(self.box[:2], other.box[:2]), np.minimum(self.box[2:], other.box[2:])
        both = np.prod(np.maximum(high - low, 0))
        return both > SAME_BOX * (np.prod(self.box[2:] - self.box[:2]) + np.prod(other.box[2:] - other.box[:2]) - both)


def masks_of_point(runtime, picture, embedding, point):
    """Those that pass both filters."""
    logits, scores = runtime.decode_all(embedding, picture.decoder_inputs({"points": [point]}))
    for token in np.flatnonzero(scores > PREDICTED_IOU):
        if token == 0:
            continue  # the single mask's
        full = picture.upsample(logits[token])
        if stability_score(full) >= STABILITY:
            yield Found(full > 0, scores[token])


def expected_masks(runtime, picture, embedding):
    shares = (np.arange(SIDE) + 0.5) / SIDE
    points = [[x * picture.width, y * picture.height] for y in shares for x in shares]
    found = [mask for point in points for mask in masks_of_point(runtime, picture, embedding, point)]
    kept = []
    for candidate in sorted(found, key=lambda mask: -mask.predicted_iou):
        if not any(mask.same_box(candidate) for mask in kept):
            kept.append(candidate)
    return kept


def probed_masks(tools, path, directory):
    command = [tools.everything, tools.weights, path, directory, 2, f"points_per_side={SIDE}"]
    subprocess.run([str(word) for word in command], check=True, timeout=PROBE_SECONDS)
    for mask in json.loads((directory / "everything.json").read_text())["masks"]:
        height, width = mask["size"]
        runs = np.repeat(np.arange(len(mask["counts"])) % 2 == 1, mask["counts"])
        yield Found(runs.reshape(width, height).T, mask["predicted_iou"])


def match(found, expected):
    """The IoU of each pair, where every mask has at most one partner, the most alike first."""
    alike = np.array([[iou(a.mask, b.mask) for b in expected] for a in found]).reshape(len(found), len(expected))
    pairs = []
    while alike.size and alike.max() > 0.5:
        pairs.append(alike.max())
        row, column = np.unravel_index(alike.argmax(), alike.shape)
        alike[row], alike[:, column] = 0, 0
    return pairs


def check_image(results, measured, name, tools, directory, runtime, picture, path, embedding):
    """embedding: the one that maskd's decoder gets, so that the masks alone are compared."""
    expected = expected_masks(runtime, picture, embedding)
    found = list(probed_masks(tools, path, directory))
    pairs = match(found, expected)
    apart = measured.note("everything, 1 - IoU", 1 - min(pairs, default=0))
    faults = beyond("of matched masks, IoU is less than 1 by", apart, 1 - MATCHED_IOU)
    for what, count in (("maskd's", len(found)), ("matched", len(pairs))):
        share = abs(count - len(expected)) / max(len(expected), 1)
        faults += beyond(f"{count} masks are {what}, of {len(expected)} expected: apart by", share, COUNTS_APART)
    results.check(f"{name}: everything", faults)
