#!/usr/bin/python3
"""Tests the web page in Chromium: run.py [PATTERN]
Measures how far previews are behind the pointer: run.py --measure
Makes the pictures of README: run.py --screenshots

Starts a daemon, for the tests also one that asks for a key, and gives them to run.mjs, measure.mjs or screenshots.mjs. The
tests' last line is "page: N passed, M failed, K skipped". MASKD names the daemon (build/maskd), CHROMIUM the browser;
VERBOSE=1 tells of every test."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent / "parity")]

import prepare  # noqa: E402
from daemon import Daemon  # noqa: E402

KEY = "a-key-for-the-page-alone"


def check_scripts():
    """Their syntax, before a browser stumbles over it. To Node.js, a module's name ends in .mjs."""
    with tempfile.TemporaryDirectory() as directory:
        for script in sorted((prepare.ROOT / "api" / "page").glob("*.js")):
            module = shutil.copy(script, Path(directory) / f"{script.stem}.mjs")
            subprocess.run(["node", "--check", module], check=True)


def node(script, *arguments):
    return subprocess.run(["node", HERE / script, *arguments]).returncode


def test(packages, daemon):
    check_scripts()
    keys = Path(daemon.directory.name) / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o600)
    keyed = Daemon("--api-keys", str(keys))
    try:
        return node("run.mjs", packages, daemon.url, keyed.url, KEY, *sys.argv[1:])
    finally:
        keyed.stop()


def take_screenshots(packages, daemon):
    from PIL import Image
    with tempfile.TemporaryDirectory() as directory:
        status = node("screenshots.mjs", packages, daemon.url, directory)
        for picture in sorted(Path(directory).glob("*.png")):
            path = prepare.ROOT / "docs" / f"{picture.stem}.jpg"
            Image.open(picture).convert("RGB").save(path, quality=78, subsampling=0, optimize=True)
            print(f"docs/{path.name}: {path.stat().st_size} bytes")
    return status


def main():
    packages = prepare.install()
    daemon = Daemon()
    try:
        if sys.argv[1:] == ["--screenshots"]:
            return take_screenshots(packages, daemon)
        if sys.argv[1:] == ["--measure"]:
            return node("measure.mjs", packages, daemon.url)
        return test(packages, daemon)
    finally:
        daemon.stop()


if __name__ == "__main__":
    sys.exit(main())
