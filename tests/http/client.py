"""A small HTTP client that checks what the contract says of every answer."""

import http.client
import json
import re
import socket

import contract
from daemon import HOST, seconds

STATUS_OF = {
    "/problems/bad-request": 400,
    "/problems/unauthorized": 401,
    "/problems/unknown-image": 404,
    "/problems/unknown-run": 404,
    "/problems/unknown-route": 404,
    "/problems/method-not-allowed": 405,
    "/problems/id-conflict": 409,
    "/problems/model-mismatch": 409,
    "/problems/length-required": 411,
    "/problems/precondition-failed": 412,
    "/problems/too-large": 413,
    "/problems/unsupported-image": 415,
    "/problems/unsupported-embedding": 415,
    "/problems/invalid-image": 422,
    "/problems/invalid-embedding": 422,
    "/problems/invalid-prompt": 422,
    "/problems/invalid-request": 422,
    "/problems/too-many-requests": 429,
    "/problems/internal": 500,
    "/problems/not-installed": 501,
    "/problems/not-implemented": 501,
    "/problems/fetch-failed": 502,
    "/problems/overloaded": 503,
    "/problems/deadline": 503,
    "/problems/draining": 503,
}

TIMING = re.compile(r"([a-z]+;dur=\d+\.\d+, )*total;dur=\d+\.\d+")


class Answer:
    def __init__(self, status, headers, body, method="GET"):
        self.status = status
        self.headers = headers  # pairs, in order
        self.body = body
        self.method = method

    def header(self, name):
        """The one header of this name, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.status} {self.body[:200]!r}>"

    def check(self, problems=True):
        """What holds for every answer that maskd itself gives; without problems, faults are told in another form."""
        request_id = self.header("X-Request-Id")
        assert request_id and re.fullmatch(r"[!-~]{1,128}", request_id), f"{request_id!r} {self}"
        timing = self.header("Server-Timing")
        assert timing and TIMING.fullmatch(timing), f"Server-Timing {timing!r} {self}"
        if self.status == 405:
            assert self.header("Allow"), f"no Allow {self}"
        if self.status == 503:
            assert re.fullmatch(r"[1-9]\d*", self.header("Retry-After") or ""), \
                f"no Retry-After {self}"
        content_type = self.header("Content-Type")
        if self.status >= 400 and (problems or content_type != "application/json"):
            assert content_type == "application/problem+json", f"{content_type} {self}"
            if self.method != "HEAD":
                self._check_problem()
        elif self.status in (204, 304) or self.method == "HEAD":
            assert not self.body, f"a body {self}"
        else:
            assert content_type and self.body, f"{content_type} {self}"
            if content_type == "application/json":
                self.json()
        return self

    def _check_problem(self):
        problem = self.json()
        assert {"type", "title", "status", "detail"} <= set(problem) \
            <= {"type", "title", "status", "detail", "errors"}, f"members of {self}"
        assert problem["status"] == self.status, f"status in {self}"
        assert STATUS_OF.get(problem["type"]) == self.status, f"type of {self}"
        assert problem["title"] and problem["detail"], f"nothing told: {self}"
        for error in problem.get("errors", []):
            assert set(error) == {"pointer", "detail"} and error["detail"], f"errors of {self}"
            assert error["pointer"] == "" or error["pointer"][0] in "/?", f"pointer in {self}"


def encode(body):
    """dicts and lists become JSON."""
    if isinstance(body, (dict, list)):
        return json.dumps(body).encode()
    return body.encode() if isinstance(body, str) else body


class Client:
    """One keep-alive connection, reopened when the daemon closed it."""

    def __init__(self, port, timeout=60):
        self.connection = http.client.HTTPConnection(HOST, port, timeout=seconds(timeout))

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            headers.setdefault("Content-Type", "application/json")
        self.connection.request(method, path, encode(body), headers)
        response = self.connection.getresponse()
        answer = Answer(response.status, response.getheaders(), response.read(), method)
        contract.check(method, path, answer)
        return answer.check(contract.refuses_by_problems(method, path))

    def close(self):
        self.connection.close()


def request(port, method, path, body=None, headers=None, timeout=60):
    """On a connection of its own."""
    client = Client(port, timeout)
    try:
        return client.request(method, path, body, headers)
    finally:
        client.close()


def multipart(*parts, boundary=b"-----a-boundary", end=True):
    """Parts are (name, bytes) or (name, bytes, filename); returns the body and its type."""
    body = b""
    for name, data, *filename in parts:
        body += b"--" + boundary + b"\r\nContent-Disposition: form-data; name=\"" + \
            name.encode() + b"\""
        if filename:
            body += b"; filename=\"" + filename[0].encode() + b"\"\r\nContent-Type: image/png"
        body += b"\r\n\r\n" + data + b"\r\n"
    if end:
        body += b"--" + boundary + b"--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=" + boundary.decode()}


class Raw:
    """A connection on which anything can be sent. Answers are read one by one."""

    def __init__(self, port, timeout=30, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds(timeout))
        self.socket.connect((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_what_goes(self, data):
        """For when the daemon may answer and close before it has read all."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def finish(self):
        """Nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def _receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.rest += data
        return bool(data)

    def head(self, method="GET"):
        """The next answer's status and headers, or None when the connection was closed."""
        while b"\r\n\r\n" not in self.rest:
            if not self._receive():
                assert not self.rest, f"half an answer: {self.rest[:200]!r}"
                return None
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = lines[0].split(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        return Answer(int(status), headers, b"", method)

    def answer(self, method="GET"):
        """The next answer, its body included, or None when the connection was closed."""
        answer = self.head(method)
        if answer is None:
            return None
        wanted = int(answer.header("Content-Length") or 0) if method != "HEAD" else 0
        if answer.status == 100:
            wanted = 0
        while len(self.rest) < wanted:
            assert self._receive(), f"half a body: {answer} {self.rest[:200]!r}"
        answer.body, self.rest = self.rest[:wanted], self.rest[wanted:]
        return answer

    def closed(self):
        """Waits until the daemon closes. False: it has sent something more."""
        while self._receive():
            pass
        return not self.rest


def head(method, path, *headers):
    """The bytes of a request up to its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: maskd", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(path, body, *headers):
    body = encode(body)
    return head("POST", path, f"Content-Length: {len(body)}", *headers) + body
