"""What maskd should answer, made without maskd: Pillow decodes and resizes, numpy normalises, pads and
interpolates, ONNX Runtime runs the published graphs (runtime.mjs).

After SamPredictor, ResizeLongestSide and the ONNX example of Segment Anything."""

import json
import subprocess
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
SQUARE, LOW_RES, TOKENS = 1024, 256, 4
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
ANSWER_SECONDS = 120


class Picture:
    """An image on its way to the encoder."""

    def __init__(self, path):
        with Image.open(path) as stored:
            upright = ImageOps.exif_transpose(stored).convert("RGB")
        self.width, self.height = upright.size
        scale = SQUARE / max(upright.size)
        self.scaled_width, self.scaled_height = (int(side * scale + 0.5) for side in upright.size)
        resized = upright.resize((self.scaled_width, self.scaled_height), Image.BILINEAR)
        self.scaled = np.asarray(resized)

    def encoder_input(self):
        padded = np.zeros((1, 3, SQUARE, SQUARE), np.float32)
        normal = (self.scaled.astype(np.float32) - MEAN) / DEVIATION
        padded[0, :, : self.scaled_height, : self.scaled_width] = normal.transpose(2, 0, 1)
        return padded

    def decoder_inputs(self, prompt):
        """All inputs but the embedding. Without a box there is a padding point (utils/onnx.py). "logits" are those of
        an earlier mask: SamPredictor's mask_input."""
        points = list(prompt.get("points", []))
        labels = list(prompt.get("labels", [1] * len(points)))
        box = prompt.get("box")
        scale = np.array([self.scaled_width / self.width, self.scaled_height / self.height])
        if box:
            points += [box[:2], box[2:]]
            labels += [2, 3]
        coordinates = np.array(points, np.float64).reshape(-1, 2) * scale
        if not box:
            coordinates = np.concatenate([coordinates, [[0, 0]]])
            labels.append(-1)
        prior = prompt.get("logits")
        if "mask" in prompt:
            prior = self.prior_logits(prompt["mask"])
        return {
            "point_coords": coordinates[None],
            "point_labels": np.array([labels]),
            "mask_input": (np.zeros((LOW_RES, LOW_RES)) if prior is None else prior)[None, None],
            "has_mask_input": np.array([0 if prior is None else 1]),
            "orig_im_size": np.array([self.height, self.width]),
        }

    def prior_logits(self, mask):
        """A prior mask as mask_input: the logit of the share of each cell's image part that the mask covers,
        within [0.001, 0.999]; 0 in the padding. The rule is maskd's (engine/sam/prompt_encoder.h)."""

        def overlaps(pixels, scaled):  # [cell, pixel]: how much of a cell lies in a pixel
            edges = np.arange(pixels + 1) * (scaled / 4 / pixels)
            cells = np.arange(LOW_RES)[:, None]
            inside = np.clip(edges[None], cells, cells + 1)
            return np.diff(inside, axis=1)

        down, across = overlaps(self.height, self.scaled_height), overlaps(self.width, self.scaled_width)
        covered = down @ mask.astype(np.float64) @ across.T
        whole = np.outer(down.sum(1), across.sum(1))
        share = np.divide(covered, whole, out=np.full_like(covered, 0.5), where=whole > 1e-12)
        share = np.clip(share, 0.001, 0.999)
        return np.log(share / (1 - share))

    def upsample(self, logits):
        """Low-resolution logits to the image's size, as the graph ends (mask_postprocessing)."""
        square = interpolate(logits, SQUARE, SQUARE)
        return interpolate(square[: self.scaled_height, : self.scaled_width], self.height, self.width)


def interpolate(values, height, width):
    """Bilinear with half-pixel centres: the Resize of ONNX, interpolate(align_corners=False) of PyTorch."""

    def neighbours(size, out):
        at = np.clip((np.arange(out) + 0.5) * (size / out) - 0.5, 0, size - 1)
        low = at.astype(np.intp)
        return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)

    low, high, share = neighbours(values.shape[1], width)
    values = values[:, low] * (1 - share) + values[:, high] * share
    low, high, share = neighbours(values.shape[0], height)
    return values[low] * (1 - share)[:, None] + values[high] * share[:, None]


def stability_score(logits, threshold=0.0, offset=1.0):
    """calculate_stability_score of utils/amg.py; 0 where that would divide by zero."""
    intersection = np.count_nonzero(logits > threshold + offset)
    union = np.count_nonzero(logits > threshold - offset)
    return intersection / union if union else 0.0


class Runtime:
    """ONNX Runtime in a process of its own. `inner` names the decoder's outputs for the four masks and their IoU."""

    def __init__(self, tools, decoder, inner, directory):
        self.directory = Path(directory)
        self.inner = inner
        script = [tools.node, HERE / "runtime.mjs", tools.packages, tools.encoder, decoder]
        command = [str(word) for word in script + [directory]]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.receive()  # it is ready

    def close(self):
        try:
            self.process.communicate(timeout=10)  # the end of its input is what it ends by
        except (subprocess.TimeoutExpired, OSError):
            self.process.kill()
            self.process.wait()

    def receive(self):
        overdue = threading.Timer(ANSWER_SECONDS, self.process.kill)
        overdue.start()
        line = self.process.stdout.readline()
        overdue.cancel()
        if not line:
            raise RuntimeError("ONNX Runtime ended without an answer")
        return json.loads(line)

    def file(self, name):
        return self.directory / f"{name.replace('/', '_')}.f32"

    def run(self, graph, inputs, outputs):
        for name, values in inputs.items():
            np.ascontiguousarray(values, np.float32).tofile(self.file(name))
        shapes = {name: list(values.shape) for name, values in inputs.items()}
        self.process.stdin.write(json.dumps({"graph": graph, "inputs": shapes, "outputs": outputs}) + "\n")
        self.process.stdin.flush()
        made = self.receive()
        return [np.fromfile(self.file(name), np.float32).reshape(made[name]) for name in outputs]

    def encode(self, picture):
        return self.run("encoder", {"input": picture.encoder_input()}, ["output"])[0]

    def decode_all(self, embedding, inputs):
        """The logits of all four mask tokens, [4, 256, 256], and their predicted IoU, [4]."""
        masks, scores = self.run("decoder", {"image_embeddings": embedding, **inputs}, self.inner)
        return masks[0], scores[0]

    def decode(self, embedding, inputs):
        """The same, and what the graph chooses and gives as its answer."""
        outputs = [*self.inner, "low_res_masks", "iou_predictions", "masks"]
        results = self.run("decoder", {"image_embeddings": embedding, **inputs}, outputs)
        return Decoded(*(result[0] for result in results))


class Decoded:
    def __init__(self, masks, scores, chosen, chosen_score, chosen_logits):
        self.masks, self.scores = masks, scores
        self.chosen_score, self.chosen_logits = chosen_score[0], chosen_logits[0]  # logits at the image's size
        same = [k for k in range(TOKENS) if np.array_equal(masks[k], chosen[0]) and scores[k] == chosen_score[0]]
        self.token = same[0] if same else None  # which of the four was chosen

    def logits(self, multimask, index):
        """The low-resolution logits of a mask of the answer: SamPredictor's low_res_masks."""
        return self.masks[{"auto": self.token, True: 1 + index, False: 0}[multimask]]
