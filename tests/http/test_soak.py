"""Three hundred clients at once, half of them hostile. MASKD_HTTP_SOAK is for how many seconds."""

import os
import random
import threading
import time
import unittest

import client
import hostile
import images
from case import DaemonCase
from daemon import SLOWDOWN, seconds, wait_until

SECONDS = float(os.environ.get("MASKD_HTTP_SOAK", "10"))
CLIENTS = 300
KNOWN = {"disc": images.disc(0), "other": images.disc(1)}  # those that are there all the time
POINTS = ([320, 200], [350, 230], [30, 30])


class Soak(DaemonCase):

    flags = ("--header-timeout", "3", "--body-timeout", "3", "--send-timeout", "3",
             "--idle-timeout", "3", "--max-body", "2M", "--upload-memory", "64M",
             "--access-log", "false")

    def setUp(self):
        super().setUp()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.faults = []
        self.answered = {}
        self.expected = {}
        for image_id, data in KNOWN.items():
            self.upload(image_id, data)
            for i, point in enumerate(POINTS):
                masks = self.segment(image_id, {"points": [point]})
                self.expected[image_id, i] = masks[0]["segmentation"]

    # ---- good clients

    def one_request(self, connection, choice):
        """Sends a request of some kind; returns its kind, or None when it was told to come back."""
        image_id = choice.choice(list(KNOWN))
        kind = choice.choice(("prompt",) * 4 + ("health", "look", "list", "upload", "unknown",
                                                "wrong"))
        method, path, body, status = {
            "prompt": ("POST", f"/v1/images/{image_id}/segment", {}, 200),
            "health": ("GET", "/healthz", None, 200),
            "look": ("HEAD", f"/v1/images/{image_id}", None, 200),
            "list": ("GET", "/v1/images?limit=1", None, 200),
            "upload": ("POST", f"/v1/images?id={image_id}", KNOWN[image_id], 200),
            "unknown": ("GET", "/v1/images/none", None, 404),
            "wrong": ("POST", f"/v1/images/{image_id}/segment", {"points": [[-1, 5]]}, 422),
        }[kind]
        i = choice.randrange(len(POINTS))
        if kind == "prompt":
            body = {"points": [POINTS[i]]}
        answer = connection.request(method, path, body)
        if answer.status == 503:
            assert answer.json()["type"] in ("/problems/overloaded", "/problems/deadline"), answer
            time.sleep(min(float(answer.header("Retry-After")), 1))
            return None
        assert answer.status == status, f"{kind}: {answer}"
        if kind == "prompt":
            mask = answer.json()["masks"][0]["segmentation"]
            assert mask == self.expected[image_id, i], "another mask than before"
        return kind

    def good(self, seed):
        choice = random.Random(seed)
        connection = client.Client(self.daemon.port, timeout=60)
        while not self.over.is_set():
            kind = self.one_request(connection, choice)
            with self.lock:
                self.answered[kind] = self.answered.get(kind, 0) + 1
        connection.close()

    # ---- hostile clients

    def bad(self, seed):
        choice = random.Random(seed)
        while not self.over.is_set():
            choice.choice(hostile.BEHAVIOURS)(self.daemon.port, choice)
            time.sleep(choice.random() / 10)

    def run_client(self, seed):
        try:
            (self.bad if seed % 2 else self.good)(seed)
        except Exception as error:
            with self.lock:
                self.faults.append(f"{'bad' if seed % 2 else 'good'} client {seed}: {error!r}")

    def crowd(self, count, how_long):
        threads = [threading.Thread(target=self.run_client, args=(seed,))
                   for seed in range(count)]
        self.over.clear()
        for thread in threads:
            thread.start()
        time.sleep(how_long)
        self.over.set()
        for thread in threads:
            thread.join(seconds(90))
        self.assertFalse(any(thread.is_alive() for thread in threads), "a client hangs")

    def test_good_and_hostile_clients(self):
        self.crowd(40, 1)  # what is allocated once is there
        time.sleep(4)  # and what can be given back was given back
        memory, files = self.daemon.memory(), self.daemon.files()
        self.answered.clear()
        self.crowd(CLIENTS, SECONDS)
        self.assertEqual(self.faults, [])
        self.assertTrue(self.daemon.alive(), self.daemon.last_words())
        for kind in ("prompt", "health", "look", "list", "upload", "unknown", "wrong"):
            self.assertGreater(self.answered.get(kind, 0), 0, self.answered)
        wait_until(lambda: self.daemon.files() <= files + 2, 10, "connections are closed")
        time.sleep(4)  # again
        records = self.request("GET", "/v1/images").json()["images"]
        self.assertEqual([record["id"] for record in records], sorted(KNOWN))
        if SLOWDOWN <= 1:  # sanitizers keep what is freed
            grown = (self.daemon.memory() - memory) / (1 << 20)
            self.assertLess(grown, 30, "megabytes more than before")


if __name__ == "__main__":
    unittest.main()
