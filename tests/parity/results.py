"""Counts checks, keeps the extremes, prints."""

import numpy as np


class Results:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, faults):
        """One check. faults: what is wrong, as texts; empty when all is well."""
        if faults:
            self.failed += 1
            print(f"FAIL {name}: {'; '.join(faults)}", flush=True)
        else:
            self.passed += 1

    def skip(self, name, why):
        self.skipped += 1
        print(f"skip {name}: {why}", flush=True)

    def last_line(self):
        return f"parity: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def beyond(what, value, bound):
    """A fault when value is above bound, or not a number."""
    return [] if value <= bound else [f"{what} {value:.3g} > {bound:g}"]


def iou(a, b):
    """Of two masks; two empty ones are the same."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


class Measured:
    """What was measured on one image."""

    def __init__(self, name, width, height):
        self.name, self.size = name, f"{width}x{height}"
        self.prompts = 0
        self.masks = []
        self.largest = {}  # of every difference that is bounded

    def note(self, what, value):
        self.largest[what] = max(float(value), self.largest.get(what, 0.0))
        return float(value)

    def note_mask(self, prompt, alike, area, reference_area, differing):
        mask = {"prompt": prompt, "iou": alike, "area": area, "reference": reference_area, "differing": differing}
        self.masks.append(mask)

    def worst_masks(self, count):
        return sorted((mask for mask in self.masks if mask["iou"] < 1), key=lambda mask: mask["iou"])[:count]


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def report(measured):
    """For every image the extremes, then the masks that differ most."""
    rows = [["image", "size", "prompts", "masks", "identical", "empty", "smallest area", "min IoU", "mean IoU"]]
    for image in measured:
        values = [mask["iou"] for mask in image.masks]
        if values:
            same = sum(mask["differing"] == 0 for mask in image.masks)
            areas = [mask["reference"] for mask in image.masks]
            row = [image.name, image.size, image.prompts, len(values), same, areas.count(0), min(areas)]
            rows.append([str(cell) for cell in row] + [f"{min(values):.5f}", f"{np.mean(values):.6f}"])
    print("\nMasks over HTTP")
    print_table(rows)

    print("\nLargest differences")
    whats = list(dict.fromkeys(what for image in measured for what in image.largest))
    print_table(
        [["", *(image.name for image in measured)]]
        + [[what, *(f"{image.largest.get(what, 0):.2e}" for image in measured)] for what in whats]
    )

    print("\nMasks that differ most, of each image")
    rows = [["image: prompt, multimask", "IoU", "area", "reference", "differing pixels"]]
    for image in measured:
        for mask in image.worst_masks(3):
            cells = [mask["area"], mask["reference"], mask["differing"]]
            rows.append([mask["prompt"], f"{mask['iou']:.5f}", *(str(cell) for cell in cells)])
    print_table(rows)
    print()
