"""Keep-alive clients, a thread each, that ask as fast as they are answered. They share the cores with the daemon, so they do
little: a request's bytes are made before, and of an answer they read only what is measured."""

import re
import socket
import threading
import time

from client import post
from daemon import HOST

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
QUEUE = re.compile(rb"server-timing:[^\r]*queue;dur=([\d.]+)", re.IGNORECASE)


class Lane:
    """What the clients of one lane saw."""

    def __init__(self):
        self.latencies = []  # seconds, of the 2xx answers
        self.queued = []     # milliseconds, as the daemon tells them
        self.until = 0.0     # seconds from the start to the last 2xx answer
        self.refused = 0     # 503
        self.failed = 0      # other answers, and broken connections
        self.waited = []     # seconds that those that were not answered until the end had waited


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def ask(self, request):
        """The answer's status and headers."""
        self.socket.sendall(request)
        data = self.rest
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        left = int(LENGTH.search(head).group(1)) - len(body)
        while left > 0:
            left -= len(self._receive())
        return int(head.split(b" ", 2)[1]), head

    def _receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed by the daemon")
        return data

    def close(self):
        """Also wakes the thread that waits for an answer."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already


class Client(threading.Thread):
    def __init__(self, port, number, lane, make_request, start, end):
        super().__init__(daemon=True)
        self.connection = Connection(port)
        self.number = number
        self.lane = lane
        self.make_request = make_request
        self.began = start
        self.end = end

    def run(self):
        lane, count = self.lane, 0
        while time.monotonic() < self.end:
            request = self.make_request(self.number, count)
            count += 1
            start = time.monotonic()
            try:
                status, head = self.connection.ask(request)
            except OSError:
                if time.monotonic() >= self.end:  # cut off by run_clients
                    lane.waited.append(self.end - start)
                else:
                    lane.failed += 1
                return
            now = time.monotonic()
            if 200 <= status < 300:
                lane.latencies.append(now - start)
                lane.until = max(lane.until, now - self.began)
                queue = QUEUE.search(head)
                if queue:
                    lane.queued.append(float(queue.group(1)))
            elif status == 503:
                lane.refused += 1
                time.sleep(0.05)  # not Retry-After, but no busy loop either
            else:
                lane.failed += 1


# ---- requests: functions of the client's number and of how many it has sent

def prompts(path, prompt):
    request = post(path, prompt, "Content-Type: application/json")
    return lambda client, count: request


def uploads(photo):
    """Every upload gets an ID of its own, so that it is encoded."""
    return lambda client, count: post(f"/v1/images?id=upload-{client}-{count}", photo, "Content-Type: image/jpeg")


def run_clients(port, seconds, **lanes):
    """Runs count clients for each name=(count, make_request), all at the same time; returns a Lane for each."""
    start = time.monotonic()
    end = start + seconds
    seen = {name: Lane() for name in lanes}
    clients = [Client(port, i, seen[name], make_request, start, end)
               for name, (count, make_request) in lanes.items() for i in range(count)]
    for client in clients:
        client.start()
    time.sleep(max(0, end - time.monotonic()))
    for client in clients:
        client.connection.close()
    for client in clients:
        client.join()
    return seen
