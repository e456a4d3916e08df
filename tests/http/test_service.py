"""What starts and stops maskd: the systemd unit and the compose file, against the options."""

import configparser
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from daemon import MODEL, ROOT, binary, command


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def option(name):
    """Its default."""
    done = command("--check-config", "--model", MODEL)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(done.stdout)
    return next(int(parser[section][name]) for section in parser.sections()
                if name in parser[section])


class Unit(unittest.TestCase):

    def setUp(self):
        self.text = read("config", "maskd.service")

    def value(self, name):
        return re.search(rf"^{name}=(.*)$", self.text, re.MULTILINE)[1]

    def test_patience(self):
        self.assertGreater(int(self.value("TimeoutStopSec")), option("drain_seconds"))
        self.assertGreaterEqual(int(self.value("LimitNOFILE")), option("max_connections") + 64)

    def test_reload_is_the_signal_that_reloads(self):
        self.assertEqual(self.value("ExecReload"), "/bin/kill -HUP $MAINPID")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
    def test_systemd_understands_it(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "maskd.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.text.replace("/usr/local/bin/maskd", binary()))
            done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True,
                                  text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class Compose(unittest.TestCase):

    def test_patience(self):
        text = read("docker", "compose.yaml")
        drain = int(re.search(r'MASKD_DRAIN_SECONDS: "(\d+)"', text)[1])
        grace = int(re.search(r"stop_grace_period: (\d+)s", text)[1])
        self.assertGreater(grace, drain)

    def test_it_starts_as_it_says(self):
        """With the image's and the file's variables; the port is published to loopback only."""
        variables = dict(re.findall(r"(MASKD_[A-Z_]+)=(\S+)", read("Dockerfile")))
        text = read("docker", "compose.yaml")
        variables.update(re.findall(r'^ {6}(MASKD_[A-Z_]+): "?([^"\n]*)"?$', text, re.MULTILINE))
        self.assertEqual((variables["MASKD_HOST"], variables["MASKD_ALLOW_ANONYMOUS"]),
                         ("0.0.0.0", "true"))
        self.assertIn('- "127.0.0.1:8080:8080"', text)
        variables["MASKD_MODEL"] = MODEL
        done = command("--check-config", env=variables)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Image(unittest.TestCase):

    def setUp(self):
        listed = re.search(r"install -y --no-install-recommends \\\n(.*?)&&", read("Dockerfile"),
                           re.DOTALL)[1]
        self.packages = set(listed.replace("\\", "").split())

    def test_certificates_for_what_is_fetched(self):
        """libcurl3-gnutls only recommends them, and without them no https address is trusted."""
        self.assertIn("ca-certificates", self.packages)

    @unittest.skipUnless(shutil.which("dpkg-query") and shutil.which("objdump"), "not on Debian")
    def test_every_library_is_installed(self):
        headers = subprocess.run(["objdump", "-p", binary()], capture_output=True, text=True,
                                 timeout=60, check=True).stdout
        libraries = set(re.findall(r"NEEDED +(\S+)", headers))
        found = subprocess.run(["dpkg-query", "-S", *(f"*/{name}" for name in libraries)],
                               capture_output=True, text=True, timeout=60, check=False).stdout
        there = {os.path.basename(path) for package, path
                 in re.findall(r"^([^:\s]+)(?::\S+)?: (\S+)$", found, re.MULTILINE)
                 if package in self.packages | {"libc6", "libgcc-s1"}}
        missing = {name for name in libraries - there if not re.match(r"lib(a|t|ub)san\.", name)}
        self.assertEqual(missing, set())


if __name__ == "__main__":
    unittest.main()
