"""Clients that mean harm, or are broken. Each behaviour takes a port and a random.Random, and is
over within a few seconds; what it gets as an answer, if any, is returned."""

import contextlib
import socket
import struct
import time

import images
from client import Raw, head, multipart, post

GOOD = images.disc()
BROKEN = images.noise(300, 200)[:-1000]  # its header is right, so it gets as far as the encoder
BOMBS = (images.png(60000, 60000, b""), images.jpeg_header(60000, 60000),
         images.webp_lossless_header(16384, 16384), BROKEN)


def slam(connection):
    """Closes with a reset, not with a goodbye."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_and_read(port, data):
    """Sends, hears the first answer, goes."""
    with Raw(port) as connection:
        connection.send_what_goes(data)
        time.sleep(0.01)  # together with the last data, the end may be noticed late
        with contextlib.suppress(OSError):
            connection.finish()
        return connection.answer()


def garbage(port, random):
    return send_and_read(port, random.randbytes(random.randint(1, 5000)) + b"\r\n\r\n")


def tls_hello(port, random):
    return send_and_read(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" +
                         random.randbytes(507))


def half_headers(port, random):
    request = post("/v1/images", GOOD)
    return send_and_read(port, request[:random.randint(1, 60)])


def long_line(port, random):
    return send_and_read(port, b"GET /" + b"a" * random.choice((1000, 33000, 500000)) +
                         b" HTTP/1.1\r\nHost: x\r\n\r\n")


def long_headers(port, random):
    fields = [f"X-{i}: " + "a" * random.randint(0, 300) for i in range(random.choice((50, 2000)))]
    return send_and_read(port, head("GET", "/healthz", *fields))


def short_body(port, random):
    """Announces more than it sends, and goes."""
    request = post("/v1/images", GOOD)
    cut = random.randint(1, len(GOOD) - 1)
    return send_and_read(port, request[:-cut])


def short_body_slammed(port, random):
    with Raw(port) as connection:
        request = post(random.choice(("/v1/images", "/v1/segment")), GOOD)
        connection.send_what_goes(request[:-random.randint(1, len(GOOD) - 1)])
        slam(connection)


def lying_length(port, random):
    """Announces less than it sends: the rest is the next request."""
    length = random.randint(0, len(GOOD) - 50)  # without its end it would still do
    return send_and_read(port, head("POST", "/v1/images", f"Content-Length: {length}") + GOOD)


def bad_length(port, random):
    length = random.choice(("-1", "abc", "", "1e3", "0x10", "9" * 40, str(2**63), str(2**64 - 1),
                            "5, 5", "5\r\nContent-Length: 50"))
    return send_and_read(port, head("POST", "/v1/images", f"Content-Length: {length}") + GOOD)


def broken_chunks(port, random):
    chunks = random.choice((b"zz\r\nabc\r\n", b"-5\r\nhello\r\n", b"F" * 40 + b"\r\nabc",
                            b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhel", b"5\r\nhello\r\n", b"0" * 5000,
                            b"5;" + b"e" * 50000 + b"\r\nhello\r\n0\r\n\r\n"))
    return send_and_read(port, head("POST", "/v1/images", "Transfer-Encoding: chunked") + chunks)


def bomb(port, random):
    data = random.choice(BOMBS + (GOOD[:random.randint(8, len(GOOD) - 50)],))
    return send_and_read(port, post("/v1/images", data))


def bad_multipart(port, random):
    body, headers = multipart(("id", b"a"), ("file", GOOD, "a.png"), ("wat", b"x"))
    body = body[:random.randint(1, len(body))]
    return send_and_read(port, post("/v1/images", body,
                                    "Content-Type: " + headers["Content-Type"]))


def bad_json(port, random):
    body = random.choice((b"[" * 100000, b'{"points":' + b"[" * 50, b'{"image":"' + b"A" * 99999,
                          b"9" * 200000, b"\xff" * 100, b'{"a":1,' * 10000, b"null", b"\0"))
    return send_and_read(port, post("/v1/segment", body, "Content-Type: application/json"))


def leaving_while_it_encodes(port, random):
    with Raw(port) as connection:
        connection.send_what_goes(post("/v1/images", BROKEN))
        time.sleep(random.random() / 20)
        if random.random() < 0.5:
            slam(connection)


def leaving_while_it_segments(port, random):
    """On an image that is there when the test has put it there."""
    with Raw(port) as connection:
        connection.send_what_goes(post("/v1/images/disc/segment", {"points": [[320, 200]]}))
        time.sleep(random.random() / 50)
        if random.random() < 0.5:
            slam(connection)


def never_reading(port, random):
    with Raw(port, receive_buffer=4096) as connection:
        connection.socket.settimeout(1)
        try:
            for _ in range(random.randint(1, 50)):
                connection.send(head("GET", "/v1/images/none") * 100)
        except OSError:
            pass


def dribble(port, random):
    """A byte now and then."""
    request = random.choice((post("/v1/images", GOOD), head("GET", "/healthz")))
    with Raw(port) as connection:
        for at in range(random.randint(5, 30)):
            if not connection.send_what_goes(request[at:at + 1]):
                break
            time.sleep(random.random() / 10)


BEHAVIOURS = (garbage, tls_hello, half_headers, long_line, long_headers, short_body,
              short_body_slammed, lying_length, bad_length, broken_chunks, bomb, bad_multipart,
              bad_json, leaving_while_it_encodes, leaving_while_it_segments, never_reading,
              dribble)
