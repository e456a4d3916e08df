#!/usr/bin/python3
"""Tests the web page in Chromium: run.py [PATTERN]

Starts a daemon, and one that asks for a key, and gives them to run.mjs. Its last line is "page: N passed, M failed, K
skipped". MASKD names the daemon (build/maskd), CHROMIUM the browser; VERBOSE=1 tells of every test."""

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


def main():
    packages = prepare.install()
    check_scripts()
    daemon = Daemon()
    keys = Path(daemon.directory.name) / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o600)
    keyed = Daemon("--api-keys", str(keys))
    run = ["node", HERE / "run.mjs", packages, daemon.url, keyed.url, KEY, *sys.argv[1:]]
    try:
        return subprocess.run(run).returncode
    finally:
        for one in (keyed, daemon):
            one.stop()


if __name__ == "__main__":
    sys.exit(main())
