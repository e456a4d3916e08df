#!/usr/bin/python3
"""maskd against ONNX Runtime on the same weights, image and threads: `make bench`.

The two take turns, run by run, so that a machine whose speed drifts is fair to both; medians are compared.
BENCH_IMAGE=path chooses the image (default: the demo's, at 2250 x 1500), BENCH_RUNS the runs, BENCH_JSON=file also writes
the numbers as JSON.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "parity"), str(ROOT / "tests" / "http"), str(ROOT / "tools")]

import draw_sample  # noqa: E402
import prepare  # noqa: E402
from daemon import Daemon  # noqa: E402
from reference import Picture  # noqa: E402

ENCODES = int(os.environ.get("BENCH_RUNS", "7"))
PROMPTS = 4 * ENCODES


class Child:
    """A process that runs "encode" or "prompt" once for each line and answers with milliseconds."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


class Service:
    """A daemon over one keep-alive connection; every upload gets an ID of its own, so that it is encoded."""

    def __init__(self, build, threads, photo):
        os.environ["MASKD"] = str(build / "maskd")
        self.daemon = Daemon("--workers", str(threads), "--access-log", "false")
        self.connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port)
        self.photo = photo
        self.uploads = 0
        self.run("encode")

    def run(self, what):
        width, height = self.size if what == "prompt" else (0, 0)
        body = json.dumps({"points": [[width / 2, height / 2]]}) if what == "prompt" else self.photo
        path = f"/v1/images/bench-{self.uploads}/segment"
        if what == "encode":
            self.uploads += 1
            path = f"/v1/images?id=bench-{self.uploads}"
        start = time.perf_counter()
        self.connection.request("POST", path, body)
        answer = self.connection.getresponse()
        content = answer.read()
        took = (time.perf_counter() - start) * 1000
        if answer.status not in (200, 201):
            sys.exit(f"bench: {path}: {answer.status} {content.decode()}")
        if what == "encode":
            parsed = json.loads(content)
            self.size = parsed["width"], parsed["height"]
        return took

    def close(self):
        self.connection.close()
        self.daemon.stop()


def take_turns(runners, what, runs):
    """The median milliseconds of each runner."""
    times = {name: [] for name in runners}
    for _ in range(runs):
        for name, runner in runners.items():
            times[name].append(runner.run(what))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(build, tools, image_path, threads):
    picture = Picture(image_path)
    with tempfile.NamedTemporaryFile(suffix=".f32") as tensor:
        tensor.write(picture.encoder_input().tobytes())
        tensor.flush()
        runners = {
            "maskd": Child([build / "engine-bench", tools.weights, image_path, threads]),
            "http": Service(build, threads, Path(image_path).read_bytes()),
            "onnx": Child([tools.node, ROOT / "tests/bench/onnx_bench.mjs", tools.packages, tools.encoder,
                           tools.decoder, tensor.name, picture.height, picture.width, threads]),
        }
        result = {what: take_turns(runners, what, runs) for what, runs in (("encode", ENCODES), ("prompt", PROMPTS))}
        for runner in runners.values():
            runner.close()
    return result


def sample(directory):
    path = os.path.join(directory, "sample.jpg")
    draw_sample.draw_sample().resize((2250, 1500)).save(path, quality=90)
    return path


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def print_table(results):
    print(f"\n{cpu_name()}; medians of {ENCODES} encodes and {PROMPTS} prompts, taking turns\n")
    print("| | threads | maskd | ONNX Runtime | ratio |\n| --- | --- | --- | --- | --- |")
    rows = [("image encoder, in process", "encode", "maskd"), ("upload over HTTP, JPEG decoding included", "encode", "http"),
            ("prompt to run lengths, in process", "prompt", "maskd"), ("prompt over HTTP", "prompt", "http")]
    for threads, result in results.items():
        for title, what, ours in rows:
            mine, theirs = result[what][ours], result[what]["onnx"]
            print(f"| {title} | {threads} | {mine:.1f} ms | {theirs:.1f} ms | {mine / theirs:.2f} |")


def main():
    build = (ROOT / sys.argv[1]).resolve()
    try:
        tools = prepare.tools()
    except prepare.Missing as missing:
        sys.exit(f"bench: {missing}")
    with tempfile.TemporaryDirectory() as directory:
        image_path = os.environ.get("BENCH_IMAGE") or sample(directory)
        results = {threads: measure(build, tools, image_path, threads) for threads in (1, 2)}
    print_table(results)
    if os.environ.get("BENCH_JSON"):
        Path(os.environ["BENCH_JSON"]).write_text(json.dumps({"cpu": cpu_name(), "milliseconds": results}, indent=1))


if __name__ == "__main__":
    main()
