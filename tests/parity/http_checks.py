"""The daemon's answers against the reference's."""

import numpy as np

from reference import TOKENS, stability_score
from results import beyond, iou
from service import rle

MASK_IOU, MEAN_IOU = 0.995, 0.999
PREDICTED_IOU_BOUND = 0.002
STABILITY_BOUND = 0.005
INTERPOLATION_BOUND = 2e-3  # of logits; see check_choice


class Expected:
    """One mask of the reference: logits at the image's size, and what is told about it."""

    def __init__(self, logits, predicted_iou):
        self.logits = logits
        self.mask = logits > 0
        self.predicted_iou = float(predicted_iou)
        self.stability = stability_score(logits)


def check_prompt(results, measured, name, picture, answers, decoded):
    """One prompt with each multimask: 1 + 3 + 1 masks, and which of them is chosen. answers: by multimask."""
    tokens = [Expected(picture.upsample(decoded.masks[k]), decoded.scores[k]) for k in range(TOKENS)]
    chosen = Expected(decoded.chosen_logits, decoded.chosen_score)
    for multimask, expected in (("auto", [chosen]), (True, tokens[1:]), (False, tokens[:1])):
        title = f"{name}, {str(multimask).lower()}"
        answer = answers[multimask]
        if len(answer) != len(expected):
            results.check(title, [f"{len(answer)} masks, not {len(expected)}"])
            continue
        for k, (mask, reference) in enumerate(zip(answer, expected)):
            check_mask(results, measured, f"{title} {k + 1}" if len(expected) > 1 else title, mask, reference)
    check_choice(results, measured, f"{name}, choice", answers, decoded, tokens)


def check_mask(results, measured, name, answer, expected):
    mask = rle.decode(answer["segmentation"])
    if mask.shape != expected.mask.shape:
        results.check(name, [f"size {mask.shape}, not {expected.mask.shape}"])
        return
    area, reference_area = np.count_nonzero(mask), np.count_nonzero(expected.mask)
    differing = np.count_nonzero(mask != expected.mask)
    alike = iou(mask, expected.mask)
    measured.note_mask(name, alike, area, reference_area, differing)
    faults = []
    if alike < MASK_IOU:
        faults.append(f"IoU {alike:.5f} < {MASK_IOU} (area {area}, reference {reference_area}, {differing} differ)")
    if answer["area"] != area:
        faults.append(f"area {answer['area']}, but the mask has {area} pixels")
    if answer["bbox"] != rle.bbox_of(mask):
        faults.append(f"bbox {answer['bbox']}, but the mask's is {rle.bbox_of(mask)}")
    apart = measured.note("predicted IoU", abs(answer["predicted_iou"] - expected.predicted_iou))
    faults += beyond("predicted IoU differs by", apart, PREDICTED_IOU_BOUND)
    apart = measured.note("stability score", abs(answer["stability_score"] - expected.stability))
    faults += beyond("stability score differs by", apart, STABILITY_BOUND)
    results.check(name, faults)


def check_choice(results, measured, name, answers, decoded, tokens):
    """The mask of multimask auto is that of the token which the graph chose. And, since the reference
    interpolates the others itself: that it does so as the graph. (The graph's coordinates are float32, so at 1000
    they are good to 1e-4 of a pixel, and logits change by a few units from one pixel to the next.)"""

    def content(masks):
        return [(mask["segmentation"]["counts"], mask["predicted_iou"]) for mask in masks]

    faults = []
    if decoded.token is None:
        faults.append("the reference's choice is none of its masks")
    else:
        every, auto = content(answers[False] + answers[True]), content(answers["auto"])
        same = [k for k, mask in enumerate(every) if [mask] == auto]
        if decoded.token not in same:
            scores = ", ".join(f"{score:.4f}" for score in decoded.scores)
            faults.append(f"token {same}, the graph chose {decoded.token} (predicted IoU {scores})")
        apart = np.abs(tokens[decoded.token].logits - decoded.chosen_logits).max()
        apart = measured.note("numpy's and the graph's interpolation", apart)
        faults += beyond("the reference's interpolation is not the graph's:", apart, INTERPOLATION_BOUND)
    results.check(name, faults)


def check_mean(results, measured):
    mean = float(np.mean([mask["iou"] for mask in measured.masks]))
    results.check(f"{measured.name}: mean IoU", [] if mean >= MEAN_IOU else [f"{mean:.5f} < {MEAN_IOU}"])
