#!/usr/bin/python3
"""maskd against ONNX Runtime, and against this machine, on the same weights, image and threads: `make bench`.

All take turns, run by run, so that a machine whose speed drifts is fair to each; medians are compared. Markdown goes to
standard output. BENCH_IMAGE=path chooses the image (default: the demo's, at 2250 x 1500), BENCH_RUNS the runs,
BENCH_JSON=file also writes the numbers, each single run included, as JSON.
"""

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "parity"), str(ROOT / "tools")]

import draw_sample  # noqa: E402
import prepare  # noqa: E402
import summary  # noqa: E402
import tables  # noqa: E402
from machine import Others, cpu_flags, describe  # noqa: E402
from reference import Picture  # noqa: E402
from runners import Child, Configuration, Peak, Service, life  # noqa: E402

# Each has rows of its own in all tables.
CONFIGURATIONS = [Configuration("fp32")]
if "avx512_bf16" in cpu_flags():
    CONFIGURATIONS.append(Configuration("bf16", engine=("bf16",), daemon=("--precision", "bf16")))
THREADS = (1, 2)

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
ROUNDS = {"encode": RUNS, "prompt": 4 * RUNS, "first": 2 * RUNS, "list": 3 * RUNS, "singles": 3 * RUNS,
          "all": (RUNS + 1) // 2}

# ONNX Runtime's threads go on spinning for some 30 ms after a run; who comes next should have the cores for itself.
PAUSE_SECONDS = 0.1


def make_runners(build, tools, image_path, picture, tensor):
    """One after the other: its key, which is (threads, who, configuration), and itself."""
    photo = Path(image_path).read_bytes()
    peer = [tools.node, ROOT / "tests/bench/onnx_bench.mjs", tools.packages, tools.encoder, tools.decoder, tensor,
            picture.height, picture.width]
    for threads in THREADS:
        yield (threads, "peak", None), Peak(build / "fma-peak", threads)
        for chosen in CONFIGURATIONS:
            engine = [build / "engine-bench", tools.weights, image_path, threads, *chosen.engine]
            yield (threads, "engine", chosen.name), Child(*engine)
            yield (threads, "http", chosen.name), Service(threads, chosen.daemon, photo)
        yield (threads, "onnx", None), Child(*peer, threads)


def take_turns(runners, tasks):
    """Lists of samples by (threads, who, configuration, task). In each round each runner runs each task once."""
    samples = {}
    for number in range(ROUNDS[tasks[0]]):
        for key, runner in runners.items():
            for task in tasks:
                tell(f"{tasks[0]} {number + 1} of {ROUNDS[tasks[0]]}")
                samples.setdefault((*key, task), []).append(runner.run(task))
                time.sleep(PAUSE_SECONDS)
    return samples


def run_all(build, tools, image_path, picture):
    """The samples of all runners, and the peaks."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        tensor = Path(directory, "input.f32")
        tensor.write_bytes(picture.encoder_input().tobytes())
        runners = {}
        tell("starting")
        for key, runner in make_runners(build, tools, image_path, picture, tensor):
            stack.callback(runner.close)
            runners[key] = runner
            runner.run("prompt")  # what it starts with is over
        peaks = {key[0]: runner for key, runner in runners.items() if key[1] == "peak"}
        samples = take_turns(runners, ["encode"])
        samples |= take_turns({key: runner for key, runner in runners.items() if key[1] != "peak"}, ["prompt"])
        samples |= take_turns({key: runner for key, runner in runners.items() if key[1] == "engine"}, ["first"])
        samples |= take_turns({key: runner for key, runner in runners.items() if key[1] == "http"}, ["list", "singles"])
        samples |= take_turns({key: runner for key, runner in runners.items() if key[1] == "engine"}, ["all"])
    return samples, peaks


def measure(build, tools, image_path):
    picture = Picture(image_path)
    others = Others()
    samples, peaks = run_all(build, tools, image_path, picture)
    share = others.share()
    lives = {}
    for chosen in CONFIGURATIONS:
        tell(f"start and memory, {chosen.name}")
        lives[chosen.name] = life(chosen.daemon, Path(image_path).read_bytes())
    tell("")
    machine = describe(build / "maskd") | {"others": share}
    machine["peak"] = {"instructions": peaks[THREADS[0]].instructions,
                       "gflops": {threads: peak.gflops for threads, peak in peaks.items()}}
    image = {"width": picture.width, "height": picture.height}
    names = [chosen.name for chosen in CONFIGURATIONS]
    return summary.gather(machine, image, ROUNDS, THREADS, names, samples, lives)


def tell(what):
    """Progress, for whoever watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def sample(directory):
    path = os.path.join(directory, "sample.jpg")
    draw_sample.draw_sample().resize((2250, 1500)).save(path, quality=90)
    return path


def main():
    build = (ROOT / sys.argv[1]).resolve()
    os.environ["MASKD"] = str(build / "maskd")
    try:
        tools = prepare.tools()
    except prepare.Missing as missing:
        sys.exit(f"bench: {missing}")
    with tempfile.TemporaryDirectory() as directory:
        image_path = os.environ.get("BENCH_IMAGE") or sample(directory)
        if not Path(image_path).is_file():
            sys.exit(f"bench: {image_path} is not there")
        found = measure(build, tools, image_path)
    print(tables.markdown(found))
    if os.environ.get("BENCH_JSON"):
        Path(os.environ["BENCH_JSON"]).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
