"""COCO's run-length encoding, read independently of maskd (cocoapi, common/maskApi.c)."""

import os
import sys

import numpy

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

from coco_rle import counts_of  # noqa: E402


def text_of(counts):
    """Run lengths become the compressed form."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            group = value & 31
            value >>= 5
            last = value == (-1 if group & 16 else 0)
            text += chr(48 + group + (0 if last else 32))
            if last:
                break
    return text


def decode(segmentation):
    """{"size": [h, w], "counts": text or list} becomes [h, w] of bool."""
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = counts_of(counts)
    assert all(count >= 0 for count in counts), "a negative run"
    assert all(count > 0 for count in counts[1:]), "an empty run in the middle"
    assert sum(counts) == height * width, f"{sum(counts)} pixels, not {height} x {width}"
    values = numpy.arange(len(counts)) % 2 == 1
    return numpy.repeat(values, counts).reshape(width, height).T


def encode(mask):
    """[h, w] of bool becomes an uncompressed RLE."""
    pixels = mask.T.reshape(-1)
    changes = numpy.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = numpy.concatenate(([0], changes, [pixels.size]))
    counts = numpy.diff(edges).tolist()
    if pixels[0]:
        counts.insert(0, 0)
    return {"size": list(mask.shape), "counts": counts}


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def bbox_of(mask):
    """x, y, width, height of the pixels that are set; zeros when there are none."""
    rows, columns = numpy.flatnonzero(mask.any(axis=1)), numpy.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1),
            int(rows[-1] - rows[0] + 1)]
