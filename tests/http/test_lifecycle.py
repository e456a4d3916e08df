"""Stopping, and clients that leave early."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import client
import hostile
import images
from case import DaemonCase
from client import head, post
from daemon import Daemon, seconds, wait_until

PROMPT = {"points": [[320, 200]]}
SLOW_EPOLL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow_epoll.c")


class Stop(unittest.TestCase):
    """Each test stops its own daemon."""

    def start(self, *flags):
        daemon = Daemon(*flags)
        self.addCleanup(daemon.kill)
        return daemon

    def raw(self, daemon):
        connection = client.Raw(daemon.port, 60)
        self.addCleanup(connection.close)
        return connection

    def half_a_request(self, daemon, path="/v1/images", body=None):
        """A request in flight for as long as we like: the function sends the rest."""
        connection = self.raw(daemon)
        request = post(path, body or images.plain(20, 20))
        connection.send(request[:-5])
        time.sleep(seconds(0.2))  # it is accepted, and read so far
        return connection, lambda: connection.send_what_goes(request[-5:])

    def end(self, daemon, timeout=60):
        daemon.check_end(daemon.wait(timeout))

    def test_nothing_to_do(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.start()
            idle = self.raw(daemon)
            daemon.signal(number)
            self.end(daemon, timeout=10)
            self.assertTrue(idle.closed())
            self.assertEqual(daemon.events[-1]["event"], "stopped")

    def test_no_thread_dies_of_the_signal(self):
        """Whichever thread the kernel gives SIGTERM to, it must not end the process: blocked in
        all threads but the main one, or caught."""
        bit = 1 << (signal.SIGTERM - 1)
        daemon = self.start()
        tasks = f"/proc/{daemon.process.pid}/task"
        for task in sorted(os.listdir(tasks), key=int):
            with open(f"{tasks}/{task}/status", encoding="ascii") as status:
                masks = {line.split()[0]: int(line.split()[1], 16) for line in status
                         if line.startswith(("SigBlk:", "SigCgt:"))}
            if int(task) != daemon.process.pid:
                self.assertTrue((masks["SigBlk:"] | masks["SigCgt:"]) & bit, f"thread {task}")

    def test_what_is_in_flight_is_answered(self):
        daemon = self.start("--workers", "1")
        watch = client.Client(daemon.port)
        uploads = [self.raw(daemon) for _ in range(7)]
        for number, upload in enumerate(uploads):  # the last is in flight while the others encode
            path = f"/v1/images/{number}"
            upload.send(post(f"/v1/images?id={number}", images.disc(seed=number)))
            wait_until(lambda: watch.request("GET", path).status == 200, 10, "a claim")
        prompt = self.raw(daemon)
        prompt.send(post(path + "/segment", PROMPT))
        time.sleep(seconds(0.2))  # it is read
        daemon.signal()
        daemon.wait_event("draining")
        wait_until(daemon.refuses, 5, "nobody listens")
        self.assertTrue(daemon.alive())
        for connection, status in ((uploads[-1], 201), (prompt, 200)):
            answer = connection.answer("POST")
            self.assertEqual(answer.check().status, status, answer)
            self.assertEqual(answer.header("Connection"), "close")
        self.end(daemon, timeout=20)

    def test_draining_as_a_client_sees_it(self):
        daemon = self.start()
        watch, poster = self.raw(daemon), self.raw(daemon)
        for connection in (watch, poster):
            connection.send(head("GET", "/readyz"))
            self.assertEqual(connection.answer().check().status, 200)
        held, send_rest = self.half_a_request(daemon)
        daemon.signal()
        daemon.wait_event("draining")
        for connection, request in ((watch, head("GET", "/readyz")),
                                    (poster, post("/v1/images", images.plain(9, 9)))):
            connection.send(request)
            answer = connection.answer()
            self.assertEqual(answer.check().status, 503, answer)
            self.assertEqual(answer.json()["type"], "/problems/draining")
            self.assertEqual(answer.header("Connection"), "close")
            self.assertTrue(connection.closed())
        self.assertTrue(daemon.refuses())
        send_rest()  # it came before the signal: it is served
        self.assertEqual(held.answer("POST").check().status, 201)
        self.end(daemon, timeout=20)

    def test_draining_ends(self):
        daemon = self.start("--drain-seconds", "1")
        self.half_a_request(daemon)
        daemon.signal()
        time.sleep(0.6)
        self.assertTrue(daemon.alive())
        self.end(daemon, timeout=10)

    def test_a_second_signal_is_enough(self):
        daemon = self.start("--drain-seconds", "600", "--body-timeout", "600")
        self.half_a_request(daemon)
        daemon.signal()
        daemon.wait_event("draining")
        time.sleep(1)
        self.assertTrue(daemon.alive())
        daemon.signal()
        self.end(daemon, timeout=10)

    def test_a_third_signal_changes_nothing(self):
        daemon = self.start()
        self.half_a_request(daemon)
        for seed in range(2):
            self.raw(daemon).send(post("/v1/images", images.disc(seed=seed)))
        time.sleep(0.2)
        for _ in range(5):
            daemon.signal()
            time.sleep(0.15)
        self.end(daemon, timeout=20)

    def test_a_long_list_of_prompts_does_not_hold_it_up(self):
        daemon = self.start("--workers", "1", "--drain-seconds", "1")
        client.request(daemon.port, "POST", "/v1/images?id=disc", images.disc())
        prompts = {"prompts": [PROMPT] * 250}
        lists = [self.raw(daemon) for _ in range(2)]
        for connection in lists:
            connection.send(post("/v1/images/disc/segment", prompts))
        time.sleep(0.3)
        started = time.monotonic()
        daemon.signal()
        for connection in lists:
            answer = connection.answer("POST").check()
            self.assertEqual(answer.json()["type"], "/problems/draining", answer)
        self.end(daemon, timeout=20)
        self.assertLess(time.monotonic() - started, seconds(3))

    def test_what_waits_is_told(self):
        """Encodes that have not begun when draining is over."""
        daemon = self.start("--workers", "1", "--drain-seconds", "0")
        uploads = [self.raw(daemon) for _ in range(4)]
        for seed, connection in enumerate(uploads):
            connection.send(post("/v1/images", images.disc(seed=seed)))
        time.sleep(0.2)
        daemon.signal()
        answers = [connection.answer("POST").check() for connection in uploads]
        self.assertLessEqual({answer.status for answer in answers}, {201, 503})
        refused = [answer.json()["type"] for answer in answers if answer.status == 503]
        self.assertGreater(len(refused), 0)
        self.assertEqual(set(refused), {"/problems/draining"})
        self.end(daemon, timeout=20)

    def test_a_body_that_ends_after_draining(self):
        """The request came before the signal, its body after drain_seconds."""
        prompt = json.dumps(PROMPT)
        for path, body, pause in (("/v1/images", None, 0.05), ("/v1/images", None, 0.3),
                                  ("/v1/images", None, 1), ("/v1/segment", None, 0.3),
                                  ("/v1/images/disc/segment", prompt, 0.3)):
            with self.subTest(path, pause=pause):
                daemon = self.start("--drain-seconds", "0")
                if body:
                    client.request(daemon.port, "POST", "/v1/images?id=disc", images.disc())
                connection, send_rest = self.half_a_request(daemon, path, body)
                daemon.signal()
                daemon.wait_event("draining")
                time.sleep(pause)
                send_rest()
                answer = connection.answer("POST")
                self.end(daemon, timeout=20)
                if answer:
                    answer.check()

    def test_polling_threads_awake_while_it_stops(self):
        """They stop listening just when libmicrohttpd makes them: the moment in between, that is
        otherwise too short for a test, lasts."""
        with tempfile.TemporaryDirectory() as directory:
            library = os.path.join(directory, "slow_epoll.so")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SLOW_EPOLL], check=True)
            daemon = Daemon(env={"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0"})
            self.addCleanup(daemon.kill)
            stopped = threading.Event()

            def call():
                while not stopped.is_set():
                    try:
                        client.request(daemon.port, "GET", "/healthz")
                    except OSError:
                        time.sleep(0.01)

            crowd = [threading.Thread(target=call) for _ in range(8)]
            for thread in crowd:
                thread.start()
            time.sleep(seconds(0.2))
            daemon.signal()
            try:
                self.end(daemon, timeout=20)
            finally:
                stopped.set()
                for thread in crowd:
                    thread.join()

    def test_a_busy_daemon_stops(self):
        """With clients of all kinds, many times over."""
        for pause in (0.2, 0.5):
            daemon = self.start("--drain-seconds", "1")
            client.request(daemon.port, "POST", "/v1/images?id=disc", images.disc())
            stopped = threading.Event()

            def work(port, seed, over):
                while not over.is_set():
                    try:
                        if seed % 2:
                            client.request(port, "POST", "/v1/images/disc/segment", PROMPT)
                        else:
                            client.request(port, "POST", f"/v1/images?id=x{seed}",
                                           images.disc(seed=seed))
                            client.request(port, "DELETE", f"/v1/images/x{seed}")
                    except OSError:
                        time.sleep(0.01)

            crowd = [threading.Thread(target=work, args=(daemon.port, seed, stopped))
                     for seed in range(10)]
            for thread in crowd:
                thread.start()
            time.sleep(pause)
            daemon.signal()
            try:
                self.end(daemon, timeout=20)
            finally:
                stopped.set()
                for thread in crowd:
                    thread.join()


class Leaving(DaemonCase):
    """Clients that do not wait for their answers."""

    def test_while_the_image_is_encoded(self):
        before = None
        for image_id, leave in (("closed", lambda raw: raw.close()), ("reset", hostile.slam),
                                ("half", lambda raw: raw.finish())):
            connection = self.raw()
            connection.send(post(f"/v1/images?id={image_id}", images.disc()))
            before = before or self.daemon.files()
            wait_until(lambda name=image_id: self.request("GET", f"/v1/images/{name}").status
                       == 200, 10, "a claim")
            leave(connection)
            self.daemon.wait_event("encoded", image=image_id)
            self.assertEqual(self.upload_disc(image_id)["cached"], True)
        self.assertEqual(connection.answer("POST").check().status, 201)
        wait_until(lambda: self.daemon.files() <= before, 10, "connections are closed")

    def test_while_their_prompts_wait(self):
        self.upload_disc()
        for leave in (lambda raw: raw.close(), hostile.slam) * 20:
            connection = self.raw()
            connection.send(post("/v1/images/disc/segment", PROMPT))
            time.sleep(0.005)
            leave(connection)
        self.assertEqual(len(self.segment("disc", PROMPT)), 1)
        # those who close have sent their prompt; a reset may have gone before it was read
        self.daemon.wait_event("request", count=21, path="/v1/images/disc/segment")


class Crowd(DaemonCase):

    flags = ("--workers", "1")

    def test_prompts_of_those_who_left_are_skipped(self):
        self.upload_disc()
        for _ in range(60):
            with self.raw() as connection:
                connection.send(post("/v1/images/disc/segment", PROMPT))
        self.assertEqual(len(self.segment("disc", PROMPT)), 1)  # waits behind them
        path = "/v1/images/disc/segment"
        self.daemon.wait_event("request", count=61, path=path)
        self.assertGreater(len(self.daemon.find("request", path=path, status=503)), 30)

    def test_a_client_that_only_sends_no_more_is_answered(self):
        self.upload_disc()
        connection = self.raw()
        connection.send(post("/v1/images/disc/segment", PROMPT))
        connection.finish()
        self.assertEqual(connection.answer("POST").check().status, 200)
        self.assertTrue(connection.closed())


if __name__ == "__main__":
    unittest.main()
