"""Starting, and what keeps maskd from it."""

import json
import os
import shutil
import socket
import struct
import tempfile
import unittest

import client
from daemon import HOST, MODEL, Daemon, command


class Start(unittest.TestCase):

    def refuse(self, *flags):
        """What a start that fails says: exit status 1, and one line of the log that tells why."""
        process = command("--port", "0", "--log-format", "json", "--model", MODEL, *flags)
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertNotIn("listening", process.stderr)
        last = json.loads(process.stderr.strip().split("\n")[-1])
        self.assertEqual(last["level"], "error", last)
        self.assertTrue(last["why"], last)
        return last["why"]

    def test_a_port_that_is_taken(self):
        with socket.create_server((HOST, 0)) as taken:
            port = str(taken.getsockname()[1])
            why = self.refuse("--port", port)
            self.assertIn(port, why)
            self.assertIn("in use", why)

    def test_an_address_that_is_not_ours(self):
        self.assertIn("192.0.2.1", self.refuse("--host", "192.0.2.1", "--allow-anonymous", "true"))
        self.assertIn("no.such.host.invalid", self.refuse("--host", "no.such.host.invalid"))

    def test_two_daemons(self):
        daemon = Daemon()
        self.addCleanup(daemon.kill)
        self.refuse("--port", str(daemon.port))
        self.assertEqual(client.request(daemon.port, "GET", "/readyz").status, 200)
        daemon.stop()

    def test_a_port_can_be_taken_again_at_once(self):
        daemon = Daemon()
        self.addCleanup(daemon.kill)
        client.request(daemon.port, "GET", "/healthz")
        daemon.stop()
        again = Daemon("--port", str(daemon.port))
        self.addCleanup(again.kill)
        self.assertEqual(again.port, daemon.port)
        again.stop()

    def test_bad_models(self):
        with open(MODEL, "rb") as file:
            good = file.read()
        length = struct.unpack("<Q", good[:8])[0]
        header = json.loads(good[8:8 + length])

        def rebuilt(change):
            changed = json.loads(json.dumps(header))
            change(changed)
            text = json.dumps(changed).encode()
            return struct.pack("<Q", len(text)) + text + good[8 + length:]

        names = sorted(name for name in header if name != "__metadata__")
        flipped = bytearray(good)
        flipped[-1000] ^= 1
        models = {"empty": b"", "seven": b"1234567", "text": b"not a model at all" * 50,
                  "pytorch": b"PK\3\4" + bytes(1000), "onnx": b"\x08\x08\x12\x07pytorch" + bytes(99),
                  "no-header": struct.pack("<Q", 2) + b"{}", "cut-header": good[:length // 2],
                  "cut-data": good[:-1000], "longer": good + b"1234", "one-bit": bytes(flipped),
                  "endless-header": struct.pack("<Q", 2**64 - 1) + good[8:2000],
                  "no-tensor": rebuilt(lambda changed: changed.pop(names[5])),
                  "other-shape": rebuilt(lambda changed: changed[names[5]].update(shape=[1])),
                  "other-type": rebuilt(lambda changed: changed[names[5]].update(dtype="I64")),
                  "outside": rebuilt(lambda changed: changed[names[5]].update(
                      data_offsets=[2**62, 2**62 + 4])),
                  "other-model": rebuilt(lambda changed: changed["__metadata__"].update(
                      {key: "sam_vit_h" for key in changed["__metadata__"]}))}
        with tempfile.TemporaryDirectory() as directory:
            self.refuse("--model", directory)
            self.refuse("--model", os.path.join(directory, "missing.safetensors"))
            for name, data in models.items():
                with self.subTest(name):
                    path = os.path.join(directory, name + ".safetensors")
                    with open(path, "wb") as file:
                        file.write(data)
                    self.refuse("--model", path)
                    checked = command("--check-config", "--model", path)
                    self.assertEqual(checked.returncode, 1)
                    self.assertIn(path, checked.stderr)

    def test_a_model_elsewhere(self):
        """The file's name is the model's."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "our own.safetensors")
            shutil.copy(MODEL, path)
            daemon = Daemon("--model", path)
            self.addCleanup(daemon.kill)
            models = client.request(daemon.port, "GET", "/v1/models").json()["models"]
            self.assertEqual([(model["name"], model["default"]) for model in models],
                             [("our own", True)])
            daemon.stop()


if __name__ == "__main__":
    unittest.main()
