"""The test case that has a daemon."""

import contextlib
import unittest

import client
import images
from daemon import SLOWDOWN, Daemon


class DaemonCase(unittest.TestCase):
    """One daemon a class, with the class's flags; it must survive every test."""

    flags = ()
    daemon = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.flags)

    @classmethod
    def tearDownClass(cls):
        if cls.daemon:
            cls.daemon.stop()

    def setUp(self):
        if not self.daemon.alive():  # a test before this one killed it and has failed
            self.daemon.kill()
            type(self).daemon = Daemon(*self.flags)

    def tearDown(self):
        self.assertTrue(self.daemon.alive(),
                        f"maskd died with {self.daemon.process.poll()}; {self.daemon.last_words()}")
        self.assertEqual(self.request("GET", "/healthz").status, 200)

    # ---- requests

    def request(self, method, path, body=None, headers=None):
        return client.request(self.daemon.port, method, path, body, headers)

    def raw(self, timeout=30, receive_buffer=None):
        connection = client.Raw(self.daemon.port, timeout, receive_buffer)
        self.addCleanup(connection.close)
        return connection

    def upload(self, image_id, data):
        """Uploads, or finds there already, an image under this ID."""
        answer = self.request("POST", f"/v1/images?id={image_id}", data)
        self.assertIn(answer.status, (200, 201), answer)
        return answer.json()

    def upload_disc(self, image_id="disc", seed=0):
        return self.upload(image_id, images.disc(seed))

    def segment(self, image_id, prompt):
        """The masks."""
        answer = self.request("POST", f"/v1/images/{image_id}/segment", prompt)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["masks"]

    # ---- expectations

    @contextlib.contextmanager
    def memory_limit(self, megabytes):
        """What is done meanwhile takes no more than this at any time. Not with sanitizers, which
        keep freed memory for long."""
        before = self.daemon.memory()
        self.daemon.reset_peak()
        yield
        if SLOWDOWN <= 1:
            taken = (self.daemon.peak() - before) / (1 << 20)
            self.assertLess(taken, megabytes, "megabytes taken at most")

    def refused(self, answer, kind, *pointers):
        """The answer is this problem; with pointers, its faults are at exactly these."""
        self.assertIsNotNone(answer, "the connection was closed without an answer")
        answer.check()
        self.assertGreaterEqual(answer.status, 400, answer)
        problem = answer.json()
        self.assertEqual(problem["type"], "/problems/" + kind, answer)
        if pointers:
            found = [error["pointer"] for error in problem.get("errors", [])]
            self.assertEqual(sorted(found), sorted(pointers), answer)
        return problem["detail"]
