"""What bench.py lets take turns: the engine and ONNX Runtime in processes of their own, the daemon over HTTP, and the
processor itself. And the daemon's start and memory."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "http")]

import client  # noqa: E402
import daemon  # noqa: E402

LIST = 16  # prompts in one request
IMAGES = 10  # in the store, when its memory is looked at
IDLE_SECONDS = 4.5  # until the daemon has given back what it can


@dataclass(frozen=True)
class Configuration:
    """A way to run maskd, measured beside the others."""

    name: str
    engine: tuple = ()  # further arguments of engine-bench
    daemon: tuple = ()  # further flags of maskd


@dataclass(frozen=True)
class Sample:
    """One run."""

    milliseconds: float
    stages: tuple = ()  # of (name, multiply-adds, milliseconds)
    engine: float = None  # the part that the daemon reports as the engine's


class Child:
    """A process that does what each line says, once, and answers with a line that begins with a number."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.name = os.path.basename(str(command[0]))

    def ask(self, what):
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # there is no answer either
        fields = self.process.stdout.readline().rstrip("\n").split("\t")
        if not fields[0]:
            sys.exit(f"bench: {self.name} has ended")
        return float(fields[0]), fields[1:]

    def run(self, what):
        milliseconds, fields = self.ask(what)
        stages = [field.split(" ", 2) for field in fields]
        return Sample(milliseconds, tuple((name, float(macs), float(took)) for took, macs, name in stages))

    def close(self):
        self.process.communicate(timeout=60)


class Peak(Child):
    """The most multiply-adds, as GFLOP/s, that the cores were seen to do; asked again and again, as its runs take turns
    with the others'."""

    def __init__(self, binary, threads):
        super().__init__(binary, threads)
        self.gflops = 0

    def run(self, what):
        gflops, (self.instructions,) = self.ask(what)
        self.gflops = max(self.gflops, gflops)
        return Sample(0)


class Service:
    """A daemon over one keep-alive connection. Every upload gets an ID of its own, so that it is encoded."""

    def __init__(self, threads, flags, photo):
        self.daemon = daemon.Daemon("--workers", str(threads), "--access-log", "false", "--idle-timeout", "600", *flags)
        self.connection = client.Raw(self.daemon.port, timeout=600)
        self.photo = photo
        self.uploads = 0
        record, _ = self.upload()
        width, height = record["width"], record["height"]
        self.click = {"points": [[width / 2, height / 2]]}
        side = int(LIST ** 0.5)
        self.clicks = [{"points": [[(x + 0.5) / side * width, (y + 0.5) / side * height]]}
                       for y in range(side) for x in range(side)]

    def post(self, path, body):
        """The answer, and the milliseconds from the first byte sent to the last one read."""
        request = client.post(path, body)
        start = time.perf_counter()
        self.connection.send(request)
        answer = self.connection.answer()
        took = (time.perf_counter() - start) * 1000
        if answer is None or answer.status not in (200, 201):
            sys.exit(f"bench: {path}: {answer}")
        return answer.json(), took

    def upload(self):
        self.uploads += 1
        return self.post(f"/v1/images?id=bench-{self.uploads}", self.photo)

    def segment(self, body):
        answer, took = self.post(f"/v1/images/bench-{self.uploads}/segment", body)
        return Sample(took, engine=answer["timing_ms"]["segment"])

    def run(self, what):
        if what == "encode":
            record, took = self.upload()
            return Sample(took, engine=record["timing_ms"]["encode"])
        if what == "singles":
            return Sample(sum(self.segment(click).milliseconds for click in self.clicks))
        return self.segment({"prompts": self.clicks} if what == "list" else self.click)

    def close(self):
        self.connection.close()
        self.daemon.stop()


# ---- start and memory


def ready_milliseconds(flags):
    """From the start of the process until /readyz answers 200."""
    with tempfile.TemporaryDirectory() as empty:  # no configuration file
        with socket.create_server((daemon.HOST, 0)) as free:
            port = free.getsockname()[1]
        command = [daemon.binary(), "--port", str(port), "--model", daemon.MODEL, "--log-level", "error", *flags]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=empty, env=daemon.environment())
        try:
            while not is_ready(port):
                if process.poll() is not None:
                    sys.exit("bench: maskd does not start")
                time.sleep(0.001)
            return (time.perf_counter() - start) * 1000
        finally:
            process.terminate()
            process.wait(60)


def is_ready(port):
    try:
        return client.request(port, "GET", "/readyz").status == 200
    except ConnectionRefusedError:
        return False


def life(flags, photo):
    """A daemon's start, and its resident memory in bytes: idle, while images are uploaded all at once, idle again."""
    facts = {"images": IMAGES, "ready_ms": statistics.median(ready_milliseconds(flags) for _ in range(5))}
    service = daemon.Daemon("--access-log", "false", *flags)

    def upload(number):
        return client.request(service.port, "POST", f"/v1/images?id=bench-{number}", photo, timeout=600)

    try:
        time.sleep(IDLE_SECONDS)
        facts["idle"] = service.memory()
        with ThreadPoolExecutor(IMAGES) as pool:
            for answer in pool.map(upload, range(IMAGES)):
                if answer.status != 201:
                    sys.exit(f"bench: {answer}")
        facts["peak"] = service.peak()
        time.sleep(IDLE_SECONDS)
        facts["with_images"] = service.memory()
    finally:
        service.stop()
    return facts
