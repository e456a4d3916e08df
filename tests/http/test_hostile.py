"""What is not HTTP, what lies about itself, and what is too much."""

import random
import time
import unittest

import client
import hostile
import images
from case import DaemonCase
from client import head, post
from daemon import wait_until

HOST = b"Host: x\r\n"
POST = b"POST /v1/images HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NOTHING = None  # the daemon closes without a word

# What must be refused, by an answer of 400 or more or by closing, and how it is refused today;
# most of it libmicrohttpd (0.9.75) does by itself.
REFUSED = {
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00" + bytes(range(256)), {NOTHING}),
    "words": (b"hello world this is nothing\r\n\r\n", {400}),
    "one word": (b"GET\r\n\r\n", {NOTHING}),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", {400}),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n", {505}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "long line": (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {414}),
    "long header": (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n", {431}),
    "many headers": (b"GET /healthz HTTP/1.1\r\n" + b"X: a\r\n" * 9000 + b"\r\n", {431}),
    "header without colon": (b"GET /healthz HTTP/1.1\r\nnothing\r\n\r\n", {400}),
    "empty lines": (b"\r\n" * 50000, {414}),
    "zero in path": (b"GET /nothing\0 HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
    "strange method": (b"G\xffT /healthz HTTP/1.1\r\n" + HOST + b"\r\n", {405}),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
    "TRACE": (b"TRACE /healthz HTTP/1.1\r\n" + HOST + b"\r\n", {405}),
    "nothing": (b"", {NOTHING}),
    "half a line": (b"GET /hea", {NOTHING}),
    "half a header": (b"GET /healthz HTTP/1.1\r\nHost: ", {NOTHING}),
    "no body": (POST + b"\r\n", {411}),
    "short body": (POST + b"Content-Length: 500\r\n\r\nhello", {NOTHING}),
    "length -5": (POST + b"Content-Length: -5\r\n\r\nhello", {400}),
    "length abc": (POST + b"Content-Length: abc\r\n\r\nhello", {400}),
    "no length": (POST + b"Content-Length: \r\n\r\nhello", {400}),
    "length +5": (POST + b"Content-Length: +5\r\n\r\nhello", {400}),
    "length 5x": (POST + b"Content-Length: 5x\r\n\r\nhello", {400}),
    "length 0x5": (POST + b"Content-Length: 0x5\r\n\r\nhello", {400}),
    "length 5, 5": (POST + b"Content-Length: 5, 5\r\n\r\nhello", {400}),
    "length 2^63 - 1": (POST + b"Content-Length: 9223372036854775807\r\n\r\nhello", {413}),
    "length 2^64 - 1": (POST + b"Content-Length: 18446744073709551615\r\n\r\nhello", {413}),
    "length 2^64": (POST + b"Content-Length: 18446744073709551616\r\n\r\nhello", {413}),
    "length 10^40": (POST + b"Content-Length: 1" + b"0" * 40 + b"\r\n\r\nhello", {413}),
    "length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", {400}),
    "lengths 5 and 50": (POST + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
                         {400}),
    "lengths 50 and 5": (POST + b"Content-Length: 50\r\nContent-Length: 5\r\n\r\nhello",
                         {400}),
    "length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"5\r\nhello\r\n0\r\n\r\n", {400}),
    "two encodings": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5\r\nhello\r\n0\r\n\r\n", {400}),
    "lengths of a GET": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n"
                         b"Content-Length: 33\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\nhello", {400}),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                      {400}),
    "chunk of no size": (CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", {400}),
    "chunk of -5": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", {400}),
    "chunk of 2^64 - 1": (CHUNKED + b"FFFFFFFFFFFFFFFF\r\nhello\r\n", {NOTHING}),
    "chunk of 2^68": (CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nhello\r\n", {413}),
    "chunk without end": (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", {400}),
    "half a chunk": (CHUNKED + b"5\r\nhel", {NOTHING}),
    "no last chunk": (CHUNKED + b"5\r\nhello\r\n", {NOTHING}),
    "endless chunk size": (CHUNKED + b"0" * 100000, {500}),
    "unknown expectation": (POST + b"Expect: cake\r\nContent-Length: 5\r\n\r\nhello", {415, 417}),
}

# What is let pass today though it is not quite right.
TOLERATED = {
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 200),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 204),
    "absolute target": (b"GET http://maskd:80/healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "empty lines first": (b"\r\n\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "two hosts": (b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 200),
    "folded header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 200),
    "space before colon": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 200),
    "strange cookies": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Cookie: a=; ;=;\"\r\n\r\n", 200),
    "upgrade": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\n"
                b"Upgrade: websocket\r\n\r\n", 200),
    "chunk extension": (CHUNKED + b"5;a=\"b\"\r\nhello\r\n0\r\n\r\n", 415),
    "chunk trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", 415),
    "chunk line feeds": (CHUNKED + b"5\nhello\n0\n\n", 415),
}


class NotHttp(DaemonCase):

    flags = ("--header-timeout", "3", "--body-timeout", "3")

    def test_refused(self):
        for name, (data, today) in REFUSED.items():
            with self.subTest(name):
                answer = hostile.send_and_read(self.daemon.port, data)
                status = answer.status if answer else None
                self.assertTrue(status is None or 400 <= status < 600, answer)
                self.assertIn(status, today, f"not as it was: {answer}")
                self.assertEqual(self.request("GET", "/healthz").status, 200)

    def test_tolerated(self):
        for name, (data, status) in TOLERATED.items():
            with self.subTest(name):
                answer = hostile.send_and_read(self.daemon.port, data)
                self.assertEqual(answer.status, status, answer)
                answer.check()

    def test_nothing_follows_an_unframed_body(self):
        """What one reader takes for the body, another could take for a request."""
        for headers in ("Content-Length: 3\r\nContent-Length: 40",
                        "Content-Length: 3\r\nTransfer-Encoding: chunked"):
            with self.subTest(headers):
                connection = self.raw()
                connection.send(head("POST", "/v1/images", headers) + b"abc" +
                                head("GET", "/healthz"))
                self.refused(connection.answer("POST"), "bad-request")
                self.assertTrue(connection.closed())

    def test_a_lying_length(self):
        """The rest of the body is the next request: refused, or answered as one."""
        connection = self.raw()
        connection.send(head("POST", "/v1/images", "Content-Length: 2") + b"hello world\r\n\r\n")
        self.refused(connection.answer("POST"), "unsupported-image")
        rest = connection.answer()
        self.assertTrue(rest is None or rest.status == 400, rest)
        self.assertTrue(connection.closed())
        connection = self.raw()
        connection.send(head("POST", "/v1/images", "Content-Length: 2") + b"he" +
                        head("GET", "/healthz"))
        self.refused(connection.answer("POST"), "unsupported-image")
        self.assertEqual(connection.answer().check().status, 200)

    def test_every_behaviour(self):
        self.upload_disc()
        for behaviour in hostile.BEHAVIOURS:
            for seed in range(5):
                with self.subTest(behaviour.__name__, seed=seed):
                    answer = behaviour(self.daemon.port, random.Random(seed))
                    if answer:
                        self.assertTrue(200 <= answer.status < 600, answer)
                    self.assertEqual(self.request("GET", "/healthz").status, 200)
                    self.assertTrue(self.daemon.alive())


class TooMuch(DaemonCase):

    flags = ("--max-body", "100K", "--upload-memory", "300K", "--body-timeout", "1")
    LIMIT = 100 << 10

    def too_large(self, connection):
        detail = self.refused(connection.answer("POST"), "too-large")
        self.assertIn(str(self.LIMIT), detail)
        self.assertIn("max_body", detail)

    def goes_on(self, connection):
        """The connection serves the next request, or was closed."""
        if connection.send_what_goes(head("GET", "/healthz")):
            answer = connection.answer()
            self.assertTrue(answer is None or answer.check().status == 200)

    def test_too_large(self):
        for path in ("/v1/images", "/v1/segment", "/v1/images/x/segment", "/nothing"):
            for size in (self.LIMIT + 1, 3 * self.LIMIT, 4 * self.LIMIT + 1, 100 * self.LIMIT):
                with self.subTest(path, size=size):
                    connection = self.raw()
                    connection.send_what_goes(post(path, bytes(size)))
                    if path == "/nothing":
                        self.refused(connection.answer("POST"), "unknown-route")
                    else:
                        self.too_large(connection)
                    self.goes_on(connection)

    def test_too_large_for_a_get(self):
        connection = self.raw()
        connection.send(head("GET", "/healthz", f"Content-Length: {self.LIMIT + 1}"))
        connection.send_what_goes(bytes(self.LIMIT + 1))
        self.too_large(connection)

    def test_too_large_with_expect(self):
        """A client that asks first is told before it sends."""
        for size in (self.LIMIT + 1, 100 * self.LIMIT, 10**18):
            with self.subTest(size=size):
                connection = self.raw()
                connection.send(head("POST", "/v1/images", f"Content-Length: {size}",
                                     "Expect: 100-continue"))
                self.too_large(connection)
                self.goes_on(connection)

    def test_too_large_in_chunks(self):
        for chunks in (3, 6):
            with self.subTest(chunks=chunks):
                connection = self.raw()
                connection.send(head("POST", "/v1/images", "Transfer-Encoding: chunked"))
                for _ in range(chunks):
                    connection.send_what_goes(b"C800\r\n" + bytes(0xC800) + b"\r\n")
                connection.send_what_goes(b"0\r\n\r\n")
                self.too_large(connection)
                self.goes_on(connection)

    def test_an_endless_body_is_not_read_for_ever(self):
        for path in ("/v1/images", "/nothing"):
            with self.subTest(path):
                connection = self.raw()
                connection.send(head("POST", path, "Transfer-Encoding: chunked"))
                chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
                sent = 0
                while sent < 1000 and connection.send_what_goes(chunk):
                    sent += 1
                self.assertLess(sent, 300, "chunks of 64 KiB, of a body of 100 KiB at most")

    def test_too_large_in_multipart(self):
        body, headers = client.multipart(("file", bytes(self.LIMIT), "a.png"))
        connection = self.raw()
        connection.send(post("/v1/images", body, "Content-Type: " + headers["Content-Type"]))
        self.too_large(connection)

    def test_expect(self):
        connection = self.raw()
        connection.send(head("POST", "/v1/images", "Content-Length: 5", "Expect: 100-continue"))
        self.assertEqual(connection.answer().status, 100)
        connection.send(b"hello")
        self.refused(connection.answer("POST"), "unsupported-image")
        for path, kind in (("/nothing", "unknown-route"), ("/healthz", "method-not-allowed")):
            connection = self.raw()
            connection.send(head("POST", path, "Content-Length: 5", "Expect: 100-continue"))
            self.refused(connection.answer("POST"), kind)

    def test_as_large_as_allowed(self):
        for body in (bytes(self.LIMIT), b" " * (self.LIMIT - 2) + b"{}"):
            answer = self.request("POST", "/v1/images", body)
            self.assertIn(answer.status, (415, 422), answer)

    def test_broken_uploads_leave_no_memory_taken(self):
        """More than upload_memory in all; then there must be room again."""
        large = bytes(90 << 10)
        body, headers = client.multipart(("id", b"a"), ("file", large, "a.png"))
        content_type = "Content-Type: " + headers["Content-Type"]
        requests = (post("/v1/images", large), post("/v1/images", b'{"image":"' + b"A" * 90000),
                    post("/v1/images", body, content_type),
                    head("POST", "/v1/images", "Transfer-Encoding: chunked") + b"FFFF\r\n" + large,
                    post("/v1/images", body[:-30], content_type),
                    post("/v1/segment", b'{"image":"' + b"QUJD" * 20000 + b'"}'),
                    post("/v1/images/x/segment", large), post("/v1/images", hostile.BROKEN))
        for request in requests:
            with self.subTest(request[:40]):
                for cut in (len(request) // 2, len(request) - 1, len(request)):
                    for _ in range(4):
                        hostile.send_and_read(self.daemon.port, request[:cut])
                wait_until(self.has_room, 5, "all memory of bodies is free again")

    def has_room(self):
        """For two bodies at once: with what one more needs, upload_memory would be full."""
        connections = [self.raw() for _ in range(2)]
        for connection in connections:
            connection.send(post("/v1/images", bytes(90 << 10))[:-1])
        time.sleep(0.05)
        statuses = set()
        for connection in connections:
            connection.send(b"x")
            statuses.add(connection.answer("POST").status)
            connection.close()
        return statuses == {415}


class Leaving(DaemonCase):

    def test_clients_that_leave_are_noticed(self):
        """Not only when body_timeout is over: until then their bodies would fill memory."""
        request = post("/v1/images", bytes(300_000))
        for _ in range(30):
            with self.raw() as connection:
                connection.send(request[:200_000])
        self.daemon.wait_event("request", count=30, timeout=5, end="broken")


class JustEnough(DaemonCase):
    """As much memory for uploads as for one body: --check-config says that this is enough."""

    flags = ("--max-body", "100000", "--upload-memory", "100000")

    def test_a_body_fits(self):
        for size in (60_000, 70_000, 99_999, 100_000):
            with self.subTest(size=size):
                answer = self.request("POST", "/v1/images", bytes(size))
                self.refused(answer, "unsupported-image")


if __name__ == "__main__":
    unittest.main()
