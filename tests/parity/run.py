#!/usr/bin/python3
"""Compares maskd with ONNX Runtime on the published graphs: run.py [--report] [IMAGE ...]

Without images: three that are drawn, and the photos of ../shared/images when there are any. The last line is
"parity: N passed, M failed, K skipped". Something that is missing (npm, network, binaries) is a failure, or with
MASKD_PARITY=skip in the environment a skip. MASKD, ENGINE_PROBE and EVERYTHING_PROBE name
binaries other than those in build/."""

import argparse
import os
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engine_checks
import everything_checks
import http_checks
import onnx_graph
import prepare
import scenes
from prompts import chains_for, prompts_for
from reference import Picture, Runtime
from results import Measured, Results, report
from service import Service

PHOTOS = prepare.ROOT.parent / "shared" / "images"
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def ahead(function, items):
    """Like map, but the next result is in the making while the caller has one."""
    with ThreadPoolExecutor(1) as worker:
        pending = None
        for item in items:
            following = worker.submit(function, item)
            if pending:
                yield pending.result()
            pending = following
        if pending:
            yield pending.result()


class Comparison:
    def __init__(self, results, tools, directory):
        self.results, self.tools, self.directory = results, tools, directory
        self.measured = []
        decoder = directory / "decoder.onnx"
        inner = onnx_graph.expose_all_masks(tools.decoder, decoder)
        self.runtime = Runtime(tools, decoder, inner, directory)
        try:
            self.service = Service()
        except BaseException:
            self.runtime.close()
            raise

    def close(self):
        try:
            self.service.close()
        finally:
            self.runtime.close()

    def compare(self, path, everything):
        """One image, all checks; those of everything mode take a while."""
        results, name = self.results, path.stem
        picture = Picture(path)
        measured = Measured(name, picture.width, picture.height)
        self.measured.append(measured)
        named = prompts_for(picture.width, picture.height)
        prompts = [prompt for _, prompt in named]
        measured.prompts = len(prompts)

        embedding = self.runtime.encode(picture)
        probe = engine_checks.Probe(self.tools, path, prompts, self.directory)
        engine_checks.check_image(results, measured, name, picture, embedding, probe)

        rounded = engine_checks.Probe(self.tools, path, prompts, self.directory, "bf16")
        engine_checks.check_bf16(results, measured, name, picture, named, probe, rounded)

        image = self.service.upload(path)
        told, right = [image["width"], image["height"]], [picture.width, picture.height]
        results.check(f"{name}: size", [] if told == right else [f"{told}, not {right}"])
        answers = self.service.ask(image["id"], prompts)

        def decode(prompt):
            inputs = picture.decoder_inputs(prompt)
            alone = self.runtime.decode_all(probe.half_embedding, inputs)
            return inputs, alone, self.runtime.decode(embedding, inputs)

        for i, (inputs, alone, decoded) in enumerate(ahead(decode, prompts)):
            title = f"{name}: {named[i][0]}"
            engine_checks.check_decoder(results, measured, title, inputs, *alone, probe, i)
            to_prompt = {multimask: masks[i] for multimask, masks in answers.items()}
            http_checks.check_prompt(results, measured, title, picture, to_prompt, decoded)
        for title, steps in chains_for(picture.width, picture.height):
            self.refine(f"{name}: {title}", measured, picture, image["id"], embedding, steps)
        http_checks.check_mean(results, measured)
        if everything:
            everything_checks.check_image(results, measured, name, self.tools, self.directory, self.runtime, picture,
                                          path, probe.half_embedding)

    def refine(self, name, measured, picture, image_id, embedding, steps):
        """Masks of masks: maskd goes on with its own by their IDs, ONNX Runtime with its own logits."""
        asked = expected = {}
        for number, (prompt, multimask, index) in enumerate(steps, 1):
            answers = self.service.ask(image_id, [{**prompt, **asked}])
            decoded = self.runtime.decode(embedding, picture.decoder_inputs({**prompt, **expected}))
            answer = {key: masks[0] for key, masks in answers.items()}
            http_checks.check_prompt(self.results, measured, f"{name}, {number}", picture, answer, decoded)
            asked = {"refine": answer[multimask][index]["id"]}
            expected = {"logits": decoded.logits(multimask, index)}


def find_images(results, directory):
    images = scenes.draw(directory)
    photos = sorted(PHOTOS.iterdir()) if PHOTOS.is_dir() else []
    photos = [path for path in photos if path.suffix.lower() in PHOTO_ENDINGS]
    if not photos:
        results.skip("photos", "there is no shared/images beside the tree")
    return images + photos


def run(results, arguments):
    tools = prepare.tools()
    prepare.need(tools.maskd, "make build makes it")
    prepare.need(tools.probe, "make build/engine-probe makes it")
    prepare.need(tools.everything, "make build/everything-probe makes it")
    with tempfile.TemporaryDirectory(prefix="run.", dir=prepare.WORK) as work:
        directory = Path(work)
        images = arguments.images or find_images(results, directory)
        comparison = Comparison(results, tools, directory)
        try:
            everything = [images[0], *(path for path in images if path.parent == PHOTOS)][:2]
            for path in images:
                try:
                    comparison.compare(path, path in everything)
                except Exception as error:  # the other images can still tell something
                    traceback.print_exc()
                    results.check(path.stem, [f"{type(error).__name__}: {error}"])
        finally:
            comparison.close()
        if arguments.report:
            report(comparison.measured)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", action="store_true", help="print what was measured")
    parser.add_argument("images", nargs="*", type=Path)
    arguments = parser.parse_args()
    results = Results()
    try:
        run(results, arguments)
    except prepare.Missing as missing:
        if os.environ.get("MASKD_PARITY") == "skip":
            results.skip("the comparison", str(missing))
        else:
            results.check("what the comparison needs", [str(missing)])
            print("(MASKD_PARITY=skip makes this a skip)")
    except Exception as error:
        traceback.print_exc()
        results.check("the comparison", [f"{type(error).__name__}: {error}"])
    print(results.last_line())
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
