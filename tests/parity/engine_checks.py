"""The engine's inner results (engine_probe.c) against the reference's."""

import json
import subprocess

import numpy as np

from reference import LOW_RES, TOKENS
from results import beyond, iou
from service import request_body

PROBE_SECONDS = 300

# Float32 sums depend on their order. ONNX Runtime with its graph optimisations off differs from itself by up to
# 1.2e-6 in the embedding (values up to 0.55) and 8e-5 in the decoder's logits (values up to 66); maskd with OpenBLAS's
# kernels for one processor and for another by up to 2.4e-6 in the embedding; maskd and ONNX Runtime by up to 2.7e-6
# and 7e-4. The largest difference is one value's luck, the relative norm is steady: 0.9e-6 to 1.2e-6 on all images.
# The bounds leave two and a half to five times that. LayerNorm's epsilon ten times too small makes 1.2e-5 of the norm.
EMBEDDING_BOUND = 1e-5
EMBEDDING_NORM_BOUND = 3e-6
LOGIT_BOUND = 2e-3
IOU_BOUND = 5e-5  # measured: 1.1e-5
PRIOR_BOUND = 3e-4  # measured: 7e-5, where a share of 0.999 makes 1 / (1 - share) large


class Probe:
    """What engine-probe writes."""

    def __init__(self, tools, path, prompts, directory, *precision):
        (directory / "prompts.json").write_text(json.dumps(request_body(prompts)))
        command = [tools.probe, tools.weights, path, directory / "prompts.json", directory, 2, *precision]
        subprocess.run([str(word) for word in command], check=True, timeout=PROBE_SECONDS)

        def read(name, kind, *shape):
            return np.fromfile(directory / name, kind).reshape(shape)

        self.scaled = read("scaled.rgb", np.uint8, -1)
        self.embedding = read("embedding.f32", np.float32, 1, 256, 64, 64)
        self.half_embedding = read("embedding.f16", np.float16, 1, 256, 64, 64)
        self.priors = read("prior.f32", np.float32, len(prompts), LOW_RES, LOW_RES)
        self.logits = read("logits.f32", np.float32, len(prompts), TOKENS, LOW_RES, LOW_RES)
        self.iou = read("iou.f32", np.float32, len(prompts), TOKENS)


# Mask IoU of an encoder in bfloat16 against one in float32. Measured on the photographs: mean 0.997 to 0.999, least
# 0.973, of a click and a box that contradict each other.
BF16_IOU_BOUND = 0.97
BF16_MEAN_IOU_BOUND = 0.99


def difference(a, b):
    return float(np.abs(a.astype(np.float64) - b).max())


def check_image(results, measured, name, picture, embedding, probe):
    """From the file to the embedding."""
    faults = []
    if probe.scaled.size != picture.scaled.size:
        faults.append(f"{probe.scaled.size} bytes, not {picture.scaled.size}")
    elif (wrong := np.count_nonzero(probe.scaled != picture.scaled.ravel())) > 0:
        faults.append(f"{wrong} bytes differ from Pillow's")
    results.check(f"{name}: scaled image", faults)

    apart = measured.note("embedding", difference(embedding, probe.embedding))
    relative = np.linalg.norm(embedding - probe.embedding) / np.linalg.norm(embedding)
    measured.note("embedding, relative norm", relative)
    faults = beyond("max abs difference", apart, EMBEDDING_BOUND)
    faults += beyond("relative norm of the difference", relative, EMBEDDING_NORM_BOUND)
    results.check(f"{name}: embedding", faults)
    same = np.array_equal(probe.half_embedding, probe.embedding.astype(np.float16))
    results.check(f"{name}: embedding in float16", [] if same else ["not numpy's rounding of the float32"])


def chosen_token(prompt, scores):
    """Which mask a prompt is answered with, as engine.h has it for MULTIMASK_AUTO."""
    tokens = len(prompt.get("points", ())) + (2 if "box" in prompt else 1)
    return 0 if tokens > 2 else 1 + int(np.argmax(scores[1:]))


def check_bf16(results, measured, name, picture, named, probe, rounded):
    """The masks of an encoder in bfloat16 against those in float32."""
    alike = []
    for i, (title, prompt) in enumerate(named):
        exact, near = (picture.upsample(run.logits[i][chosen_token(prompt, run.iou[i])]) > 0 for run in (probe, rounded))
        alike.append(iou(exact, near))
        faults = beyond("1 - IoU", 1 - alike[-1], 1 - BF16_IOU_BOUND)
        results.check(f"{name}: {title}: bf16", faults)
    measured.note("bf16: 1 - least IoU", 1 - min(alike))
    apart = measured.note("bf16: 1 - mean IoU", 1 - np.mean(alike))
    results.check(f"{name}: bf16, mean", beyond("1 - mean IoU", apart, 1 - BF16_MEAN_IOU_BOUND))


def check_decoder(results, measured, name, inputs, masks, scores, probe, i):
    """All four mask tokens of prompt i. masks and scores: what the graph makes of the embedding that maskd's
    decoder got, so that the decoder alone is compared."""
    faults = []
    if inputs["has_mask_input"][0]:
        apart = measured.note("prior mask logits", difference(inputs["mask_input"], probe.priors[i]))
        faults += beyond("prior mask's logits differ by", apart, PRIOR_BOUND)
    apart = measured.note("decoder logits", difference(masks, probe.logits[i]))
    faults += beyond("logits differ by", apart, LOGIT_BOUND)
    apart = measured.note("decoder predicted IoU", difference(scores, probe.iou[i]))
    faults += beyond("predicted IoU differs by", apart, IOU_BOUND)
    results.check(f"{name}: decoder", faults)
