"""/compat/labelstudio: the ML backend's protocol, and a Label Studio to fetch images from."""

import base64
import contextlib
import http.server
import os
import tempfile
import threading
import time

import numpy

import client
import images
import rle
from compat import CompatCase, recorded
from daemon import HOST, Daemon
from test_formats import prepare, read_labelstudio

BASE = "/compat/labelstudio"
CENTRE = {"points": [[320, 200]]}
TOKEN = "0123456789abcdef0123456789abcdef01234567"


def data_uri(image):
    return "data:image/png;base64," + base64.b64encode(image).decode()


def read_bits(bits, count):
    value = 0
    for bit in bits[:count]:
        value = value * 2 + int(bit)
    del bits[:count]
    return value


def decode(region):
    """Label Studio's RLE (@thi.ng/rle-pack) of RGBA, of which the alpha counts: [h, w] of bool."""
    bits = list(numpy.unpackbits(numpy.array(region["value"]["rle"], numpy.uint8)))
    total, word = read_bits(bits, 32), read_bits(bits, 5) + 1
    sizes = [read_bits(bits, 4) + 1 for _ in range(4)]
    values, at = numpy.zeros(total, numpy.uint8), 0
    bits = "".join(map(str, bits))
    place = 0

    def take(count):
        nonlocal place
        value = int(bits[place:place + count], 2)
        place += count
        return value

    while at < total:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        if repeated:
            values[at:at + length] = take(word)
        else:
            values[at:at + length] = [take(word) for _ in range(length)]
        at += length
    shape = region["original_height"], region["original_width"], 4
    assert total == shape[0] * shape[1] * 4, (total, shape)
    return values.reshape(shape)[:, :, 3] > 0


class LabelStudio(CompatCase):
    def test_health_and_setup(self):
        for path in ("", "/", "/health"):
            health = self.request("GET", BASE + path).json()
            self.assertEqual(health["status"], "UP")
            self.assertTrue(health["model_class"])
        version = self.post(BASE + "/setup", recorded("labelstudio_setup"))["model_version"]
        self.assertRegex(version, r"^mobile_sam-[0-9a-f]{8}$")
        self.assertEqual(self.request("GET", BASE + "/versions").json(), {"versions": [version]})
        self.assertEqual(self.request("GET", BASE + "/metrics").json(), {})
        answer = self.request("POST", BASE + "/webhook", {"action": "ANNOTATION_CREATED"})
        self.assertEqual([answer.status, answer.json()["status"]], [201, "ok"])

    def test_recorded_request(self):
        request = recorded("labelstudio_predict", data_uri(images.disc()))
        body = self.post(BASE + "/predict", request)
        self.assertEqual(len(body["results"]), 1)
        prediction = body["results"][0]
        self.assertEqual(set(prediction), {"result", "model_version", "score"})
        region, = prediction["result"]
        self.assertRegex(region.pop("id"), "^maskd-[0-9a-f]{10}$")
        mask = decode(region)
        value = region.pop("value")
        self.assertEqual([value["format"], value["brushlabels"]], ["rle", ["Disc"]])
        self.assertAlmostEqual(region.pop("score"), prediction["score"])
        self.assertEqual(region, {
            "from_name": "tag", "to_name": "image", "original_width": 640,
            "original_height": 480, "image_rotation": 0, "type": "brushlabels",
            "readonly": False})
        x, y = 50.0 * 640 / 100, 41.66666666666667 * 480 / 100
        self.assertTrue((mask == self.mask(images.disc(), {"points": [[x, y]]})).all())

    def test_rle_pack_reads_it(self):
        """@thi.ng/rle-pack, by which Label Studio's own page decodes."""
        region, = self.predict(self.keypoint(320, 200))[0]["result"]
        try:
            found, = read_labelstudio([region["value"]["rle"]], 480, 640)
        except prepare.Missing as missing:
            self.skipTest(str(missing))
        self.assertTrue((found == decode(region)).all())

    def predict(self, *regions, **changes):
        request = recorded("labelstudio_predict", data_uri(images.disc()))
        request["params"]["context"]["result"] = list(regions)
        return self.post(BASE + "/predict", request | changes)["results"]

    def keypoint(self, x, y, **changes):
        region = recorded("labelstudio_predict")["params"]["context"]["result"][0]
        region["value"] |= {"x": x / 6.4, "y": y / 4.8}
        return region | changes

    def test_points_and_rectangle(self):
        rectangle = recorded("labelstudio_rectangle")
        found = self.predict(rectangle, self.keypoint(320, 200),
                             self.keypoint(32, 24, is_positive=False))
        region, = found[0]["result"]
        self.assertEqual(region["value"]["brushlabels"], ["Other"])
        expected = self.mask(images.disc(), {"box": [220, 100, 420, 300], "labels": [1, 0],
                                             "points": [[320, 200], [32, 24]]})
        self.assertGreater(rle.iou(decode(region), expected), 0.999)

    def test_positive_in_other_ways(self):
        for changes, label in (({"is_positive": 1}, 1), ({"is_positive": 0}, 0),
                               ({"is_positive": None}, 1)):
            with self.subTest(changes):
                found = self.predict(self.keypoint(320, 192), self.keypoint(64, 48, **changes))
                expected = self.mask(images.disc(), {"points": [[320, 192], [64, 48]],
                                                     "labels": [1, label]})
                self.assertGreater(rle.iou(decode(found[0]["result"][0]), expected), 0.999)

    def test_nothing_clicked(self):
        request = recorded("labelstudio_predict", "http://nowhere.invalid/image.png")
        for context in (None, {}, {"result": []}, {"result": None},
                        {"result": [{"type": "choices", "value": {"choices": ["a"]}}]}):
            request["params"]["context"] = context
            self.assertEqual(self.post(BASE + "/predict", request), {"results": []})
        del request["params"]
        self.assertEqual(self.post(BASE + "/predict", request), {"results": []})

    def test_a_task_with_many_masks(self):
        """More numbers than a request may have values, in members that are not read."""
        request = recorded("labelstudio_predict", data_uri(images.disc()))
        region = request["tasks"][0]["annotations"][0]["result"][0]
        region["value"]["rle"] = list(range(256)) * 1200
        request["tasks"][0]["predictions"] = [{"result": [region], "quote": "\\\"]}"}]
        self.assertEqual(len(self.post(BASE + "/predict", request)["results"]), 1)

    def test_faults(self):
        good = recorded("labelstudio_predict", data_uri(images.disc()))
        point = self.keypoint(1, 1)
        rotated = self.keypoint(1, 1, image_rotation=90)
        strange = point | {"value": {"x": "1"}, "is_positive": "yes"}
        for change, *pointers in (
                ({"label_config": "<View/>"}, "/label_config"),
                ({"label_config": "<View"}, "/label_config"),
                ({"label_config": "<!DOCTYPE a [<!ENTITY b 'c'>]><View>&b;</View>"},
                 "/label_config"),
                ({"label_config": None}, "/label_config"),
                ({"tasks": []}, "/tasks"),
                ({"tasks": [{"data": {"video": "x"}}]}, "/tasks/0/data/image"),
                ({"params": {"context": {"result": [rotated]}}},
                 "/params/context/result/0/image_rotation"),
                ({"params": {"context": {"result": [strange]}}},
                 "/params/context/result/0/value/x", "/params/context/result/0/value/y",
                 "/params/context/result/0/is_positive"),
                ({"params": {"context": {"result": 1}}}, "/params/context/result")):
            with self.subTest(change):
                answer = self.request("POST", BASE + "/predict", good | change)
                self.refused(answer, "invalid-request", *pointers)
        self.refused(self.request("POST", BASE + "/predict", "{"), "bad-request")

    def test_address_without_allowed_hosts(self):
        request = recorded("labelstudio_predict", "http://127.0.0.1:1/image.png")
        detail = self.refused(self.request("POST", BASE + "/predict", request), "invalid-request")
        self.assertIn("fetch_hosts", detail)


class Store(http.server.BaseHTTPRequestHandler):
    """Serves images as Label Studio does, to whoever has the token."""

    seen = []  # path and token
    hurry = threading.Event()

    def log_message(self, *unused):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def do_GET(self):
        token = self.headers.get("Authorization")
        self.seen.append((self.path, token))
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/data/") and token != f"Token {TOKEN}":
            self.reply(404)
        elif name.startswith("disc"):
            self.reply(200, images.disc(int(name[4:-4])))
        elif name == "away":
            self.reply(302, Location=f"http://localhost:{self.server.server_port}/disc7.png")
        elif name == "here":
            self.reply(302, Location="/data/upload/disc8.png")
        elif name == "file":
            self.reply(302, Location="file:///etc/passwd")
        elif name == "round":
            self.reply(302, Location="/round")
        elif name == "large":
            self.reply(200, bytes(300_000))
        elif name == "endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    self.wfile.write(bytes(10_000))
        elif name == "slow":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"\x89PNG")
            self.wfile.flush()
            self.hurry.wait(30)
        elif name == "text.png":
            self.reply(200, b"<html>log in, please</html>")
        else:
            self.reply(404, b"no")


@contextlib.contextmanager
def store():
    server = http.server.ThreadingHTTPServer((HOST, 0), Store)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Store.hurry.clear()
    try:
        yield server.server_port
    finally:
        Store.hurry.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Fetching(CompatCase):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            cls.store_port = stack.enter_context(store())
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            token = os.path.join(directory, "token")
            with open(token, "w", encoding="ascii") as file:
                file.write(TOKEN + "\n")
            cls.flags = ("--fetch-base", f"http://{HOST}:{cls.store_port}/", "--fetch-token-file",
                         token, "--fetch-timeout", "2", "--max-body", "200000")
            super().setUpClass()
            cls.addClassCleanup(stack.pop_all().close)  # whatever becomes of the daemon

    def setUp(self):
        super().setUp()
        Store.seen.clear()

    def predict(self, address):
        return self.request("POST", BASE + "/predict", recorded("labelstudio_predict", address))

    def fetched(self, address):
        answer = self.predict(address)
        self.assertEqual(answer.status, 200, answer)
        return decode(answer.json()["results"][0]["result"][0])

    def at(self, path, host=HOST):
        return f"http://{host}:{self.store_port}{path}"

    def test_relative_address_with_the_token(self):
        mask = self.fetched("/data/upload/disc1.png")
        self.assertEqual(Store.seen, [("/data/upload/disc1.png", f"Token {TOKEN}")])
        x, y = 50.0 * 640 / 100, 41.66666666666667 * 480 / 100
        self.assertTrue((mask == self.mask(images.disc(1), {"points": [[x, y]]})).all())

    def test_the_same_address_is_fetched_once(self):
        for _ in range(3):
            self.fetched(self.at("/data/upload/disc2.png"))
        self.assertEqual(len(Store.seen), 1)
        digest = self.daemon.find("encoded")[-1]["image"]
        self.assertEqual(self.request("DELETE", "/v1/images/" + digest).status, 204)
        self.fetched(self.at("/data/upload/disc2.png"))
        self.assertEqual(len(Store.seen), 2)

    def test_redirects(self):
        self.fetched("/data/upload/here")
        self.assertEqual([path for path, _ in Store.seen],
                         ["/data/upload/here", "/data/upload/disc8.png"])
        for path, kind, words in (("/away", "invalid-request", "localhost"),
                                  ("/file", "invalid-request", "http and https"),
                                  ("/round", "fetch-failed", "more than 5")):
            with self.subTest(path):
                Store.seen.clear()
                self.assertIn(words, self.refused(self.predict(self.at(path)), kind))
                self.assertEqual({seen for seen, _ in Store.seen}, {path})

    def test_hosts_that_are_not_allowed(self):
        for address in (self.at("/disc1.png", "localhost"), f"http://{HOST}/disc1.png",
                        f"http://{HOST}.:{self.store_port}/disc1.png", "http://example.com/a.png",
                        f"//localhost:{self.store_port}/disc1.png"):
            with self.subTest(address):
                self.assertIn("fetch_hosts", self.refused(self.predict(address),
                                                          "invalid-request"))
        for address in ("file:///etc/passwd", "ftp://localhost/", "s3://bucket/a.png",
                        f"http://user:word@{HOST}:{self.store_port}/disc1.png",
                        f"http://{HOST}@localhost:{self.store_port}/disc1.png",
                        "http://[::1/", "http://"):
            with self.subTest(address):
                self.refused(self.predict(address), "invalid-request")
        self.assertEqual(Store.seen, [])

    def test_what_may_go_wrong(self):
        for path, kind, words in (("/nothing.png", "fetch-failed", "404"),
                                  ("/text.png", "unsupported-image", ""),
                                  ("/large", "too-large", "max_body"),
                                  ("/endless", "too-large", "max_body"),
                                  ("/slow", "fetch-failed", "imeout")):
            with self.subTest(path):
                self.assertIn(words, self.refused(self.predict(self.at(path)), kind))

    def test_a_slow_address_keeps_nobody_waiting(self):
        slow = self.raw()
        body = recorded("labelstudio_predict", self.at("/slow"))
        self.fetched("/data/upload/disc3.png")
        slow.send(client.post(BASE + "/predict", body))
        self.fetched("/data/upload/disc3.png")
        self.fetched("/data/upload/disc4.png")
        self.refused(slow.answer("POST"), "fetch-failed")

    def test_stopping_while_it_is_fetched(self):
        daemon = Daemon(*self.flags, "--drain-seconds", "0", "--fetch-timeout", "20")
        try:
            connection = client.Raw(daemon.port)
            connection.send(client.post(BASE + "/predict",
                                        recorded("labelstudio_predict", self.at("/slow"))))
            end = time.monotonic() + 10
            while not Store.seen and time.monotonic() < end:
                time.sleep(0.01)
        finally:
            daemon.stop()
        answer = connection.answer("POST")
        self.refused(answer, "draining")
        connection.close()
