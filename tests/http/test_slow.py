"""Clients that take their time, or more than their share of connections."""

import threading
import time
import unittest

import client
import images
from case import DaemonCase
from client import head, post
from daemon import seconds, wait_until

TIMEOUT = 2  # seconds, for each of header, body, send and idle
PACE = 0.2  # seconds between the bytes of a slow client


class Dropped(threading.Thread):
    """One slow client. It must be cut off when its time is over, and not much earlier."""

    def __init__(self, port, behave, least=TIMEOUT):
        super().__init__(daemon=True)
        self.connection = client.Raw(port, receive_buffer=4096)
        self.behave = behave
        self.least = least
        self.took = self.error = None
        self.start()

    def run(self):
        start = time.monotonic()
        try:
            self.behave(self.connection)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except Exception as error:  # told by the test's own thread
            self.error = error
        self.took = time.monotonic() - start
        self.connection.close()

    def check(self, test):
        self.join(seconds(30) + TIMEOUT)
        test.assertFalse(self.is_alive(), "never cut off")
        test.assertIsNone(self.error)
        test.assertGreater(self.took, self.least - 0.5, "cut off too early")
        test.assertLess(self.took, TIMEOUT + seconds(3), "cut off late")


def dribble(data):
    """Sends byte by byte, for longer than it may."""
    def behave(connection):
        for at in range(len(data)):
            connection.send(data[at:at + 1])
            time.sleep(PACE)
    return behave


def stall(data):
    """Sends this and nothing more, and hears nothing."""
    def behave(connection):
        connection.send(data)
        assert connection.answer() is None
    return behave


def idle_after_an_answer(connection):
    connection.send(head("GET", "/healthz"))
    connection.answer().check()
    assert connection.answer() is None


def slow_second_request(connection):
    connection.send(head("GET", "/healthz"))
    connection.answer().check()
    dribble(head("GET", "/healthz", *["X-Header: some"] * 20))(connection)


def endless_chunks(connection):
    connection.send(head("POST", "/v1/images", "Transfer-Encoding: chunked"))
    while True:
        connection.send(b"5\r\nhello\r\n")
        time.sleep(PACE / 10)


def never_reading(connection):
    while True:
        connection.send(head("GET", "/v1/images/none") * 100)


class Slow(DaemonCase):

    flags = ("--header-timeout", str(TIMEOUT), "--body-timeout", str(TIMEOUT),
             "--send-timeout", str(TIMEOUT), "--idle-timeout", str(TIMEOUT))

    def test_slow_clients_are_cut_off_and_hinder_nobody(self):
        self.upload_disc()
        files = self.daemon.files()
        body, headers = client.multipart(("file", images.disc(), "a.png"))
        form = post("/v1/images", body, "Content-Type: " + headers["Content-Type"])
        behaviours = {
            "silent": stall(b""),
            "headers": dribble(head("GET", "/healthz", *["X-Header: some"] * 20)),
            "half a line": stall(b"GET /hea"),
            "half a header": stall(head("GET", "/healthz")[:-3]),
            "body": stall(post("/v1/images", images.disc())[:-1]),
            "no body": stall(head("POST", "/v1/images", "Content-Length: 5")),
            "slow body": dribble(post("/v1/segment", bytes(200))),
            "slow form": dribble(form),
            "half a form": stall(form[:-60]),
            "half a chunk": stall(head("POST", "/v1/images", "Transfer-Encoding: chunked") +
                                  b"FFFF\r\nhello"),
            "endless chunks": endless_chunks,
            "refused slow body": dribble(post("/nothing", bytes(200))),
            "100-continue": dribble(head("POST", "/v1/images", "Content-Length: 500",
                                         "Expect: 100-continue") + bytes(100)),
            "idle": idle_after_an_answer,
            "slow second request": slow_second_request,
            "never reading": never_reading,
        }
        with self.memory_limit(150):
            clients = [(name, Dropped(self.daemon.port, behave))
                       for name, behave in behaviours.items() for _ in range(4)]
            served = 0
            while any(slow.is_alive() for _, slow in clients) and served < 2000:
                self.segment("disc", {"points": [[320, 200]]})
                served += 1
        self.assertGreater(served, 3)
        for name, slow in clients:
            with self.subTest(name):
                slow.check(self)
        wait_until(lambda: self.daemon.files() <= files, 5, "their connections are closed")

    def test_a_slow_body_that_makes_it(self):
        """Slow, but within its time."""
        connection = self.raw()
        request = post("/v1/images", b"hello")
        connection.send(request[:-3])
        for at in range(3):
            time.sleep(TIMEOUT / 8)
            connection.send(request[-3 + at:][:1])
        self.refused(connection.answer("POST"), "unsupported-image")

    def test_time_starts_anew_with_each_request(self):
        connection = self.raw()
        for _ in range(5):
            time.sleep(TIMEOUT / 4)
            connection.send(head("GET", "/healthz"))
            self.assertEqual(connection.answer().check().status, 200)

    def test_an_encode_is_not_cut_off(self):
        """The server's own time does not count."""
        uploads = [self.raw(60) for _ in range(4)]
        for seed, connection in enumerate(uploads):
            connection.send(post("/v1/images", images.disc(seed=20 + seed)))
        for connection in uploads:
            self.assertEqual(connection.answer("POST").check().status, 201)


class FewConnections(DaemonCase):

    flags = ("--max-connections", "8", "--header-timeout", "2", "--idle-timeout", "2")

    def test_more_than_there_may_be(self):
        """Those that come too many wait or are closed; as soon as others leave, there is room."""
        crowd = [self.raw(1) for _ in range(40)]
        time.sleep(0.2)
        self.assertLess(self.daemon.files(), 60)
        for connection in crowd:
            connection.close()
        wait_until(self.served, 10, "an answer after the crowd has left")

    def served(self):
        try:
            return client.request(self.daemon.port, "GET", "/healthz", timeout=5).status == 200
        except OSError:
            return False

    def test_a_silent_crowd_goes_by_itself(self):
        for _ in range(20):
            self.raw(1)
        wait_until(self.served, 30, "an answer although a crowd says nothing")


if __name__ == "__main__":
    unittest.main()
