"""Gets together what the comparison needs: the binaries, the weights, ONNX Runtime and the published graphs.

The packages are those of package-lock.json, put into build/parity/ by npm, without running their scripts. What is
missing is told by Missing."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / "build" / "parity"
INSTALL_SECONDS = 600


class Missing(Exception):
    pass


class Tools:
    """Paths; encoder and decoder are the graphs as they were published. The binaries are the caller's to need()."""

    def __init__(self, model):
        self.maskd = binary("MASKD", "maskd")
        self.probe = binary("ENGINE_PROBE", "engine-probe")
        self.everything = binary("EVERYTHING_PROBE", "everything-probe")
        self.weights = need(ROOT / "models" / model["file"]["name"], "make models fetches it")
        self.node = command("node")
        self.packages = install()
        self.encoder, self.decoder = (graph(self.packages, model, file) for file in model["sources"][0]["files"])


def binary(variable, name):
    return ROOT / os.environ.get(variable, f"build/{name}")  # relative to the tree, or absolute


def need(path, remedy):
    if not path.exists():
        raise Missing(f"{os.path.relpath(path, ROOT)} is not there ({remedy})")
    return path


def command(name):
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not there (make deps installs it)")
    return found


def install():
    """Brings build/parity/node_modules to the state of package-lock.json; nothing to do when it is there."""
    lock = (HERE / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()
    stamp = WORK / "installed"
    if stamp.exists() and stamp.read_text() == digest:
        return WORK
    npm = command("npm")
    print("fetching ONNX Runtime, the graphs and a driver of Chromium with npm", flush=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, WORK / name)
    options = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--no-update-notifier"]
    retries = ["--fetch-retries", "2", "--fetch-retry-mintimeout", "2000", "--loglevel", "error"]
    log = WORK / "npm.log"
    with log.open("w") as out:
        try:
            run = [npm, "ci", *options, *retries]
            status = subprocess.run(run, cwd=WORK, stdout=out, stderr=out, timeout=INSTALL_SECONDS).returncode
        except subprocess.TimeoutExpired:
            status = f"nothing after {INSTALL_SECONDS} s"
    if status != 0:
        reasons = "".join(f"\n  {line}" for line in log.read_text().splitlines()[:5])
        raise Missing(f"npm ci could not install the packages of tests/parity ({status}):{reasons}")
    stamp.write_text(digest)
    return WORK


def graph(packages, model, file):
    """A graph of the package that the weights were made from, with the hash of models/manifest.json."""
    name = model["sources"][0]["package"].removeprefix("npm:").rpartition("@")[0]
    path = need(packages / "node_modules" / name / file["path"], "remove build/parity and try again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != file["sha256"]:
        raise Missing(f"{path.relative_to(ROOT)} is not the one of models/manifest.json: its SHA-256 is {found}")
    return path


def tools():
    models = json.loads((ROOT / "models" / "manifest.json").read_text())["models"]
    return Tools(next(model for model in models if model["default"]))
