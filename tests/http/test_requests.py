"""Requests that are wrong in anything but the prompt: bodies, parameters, methods."""

import base64
import json
import unittest

import client
import images
from case import DaemonCase
from daemon import Daemon


class Requests(DaemonCase):
    """Faults of anything but a prompt. No image is needed."""

    def test_upload_json(self):
        image = base64.b64encode(images.plain(4, 4)).decode()
        for body, *pointers in (({}, "/image"), ({"image": image, "x": 1}, "/x"),
                                ({"image": image, "id": 5}, "/id"),
                                ({"image": 5, "id": "../x", "model": 5, "x": 1},
                                 "/image", "/id", "/model", "/x"),
                                ({"image": ""}, "/image"), ({"image": "data:,"}, "/image"),
                                ({"image": "data:image/png;base64,"}, "/image"),
                                ({"image": "data:image/png," + image}, "/image"),
                                ({"image": image[:-1]}, "/image"), ({"image": "#" * 50}, "/image"),
                                ({"image": None}, "/image"), ({"image": [image]}, "/image"),
                                ({"image": image, "model": ""}, "/model"),
                                ({"image": image, "points": [[1, 1]]}, "/points")):
            with self.subTest(pointers):
                answer = self.request("POST", "/v1/images", body)
                self.refused(answer, "invalid-request", *pointers)
        twice = '{"image":"' + image + '","image":"' + image + '"}'
        self.refused(self.request("POST", "/v1/images", twice), "invalid-request", "/image")
        answer = self.request("POST", "/v1/images", {"image": base64.b64encode(b"text").decode()})
        self.refused(answer, "unsupported-image")

    def test_segment_json(self):
        image = base64.b64encode(images.plain(4, 4)).decode()
        for body, kind, *pointers in (({"points": [[1, 1]]}, "invalid-request", "/image"),
                                      ({"image": image}, "invalid-prompt", ""),
                                      ({"image": image, "points": [[1, 4], [9, 1]], "x": 1},
                                       "invalid-prompt", "/points/0/1", "/points/1/0", "/x")):
            with self.subTest(body):
                answer = self.request("POST", "/v1/segment", body)
                self.refused(answer, kind, *pointers)
        for number in ("1e999", "-1e999"):
            body = '{"image":"' + image + '","points":[[1,' + number + "]]}"
            self.refused(self.request("POST", "/v1/segment", body), "invalid-prompt",
                         "/points/0/1")
        self.assertEqual(self.daemon.find("encoded"), [])
        self.refused(self.request("POST", "/v1/segment", images.plain(4, 4)), "bad-request")

    def test_unknown_parameters(self):
        for method, path in (("GET", "/healthz"), ("GET", "/v1/models"), ("GET", "/v1/images"),
                             ("GET", "/v1/images/x"), ("DELETE", "/v1/images/x"),
                             ("POST", "/v1/images"), ("POST", "/v1/segment"),
                             ("POST", "/v1/images/x/segment")):
            for name in ("wat", "ID", "%20", "q" * 3000):
                with self.subTest(path, name=name[:20]):
                    answer = self.request(method, f"{path}?{name}=1", "{}" if method == "POST"
                                          else None)
                    self.refused(answer, "invalid-request")
                    self.assertEqual(answer.json()["errors"][0]["pointer"][0], "?")

    def test_two_names_in_one(self):
        answer = self.request("GET", "/v1/images?limit%20cursor=1")
        self.refused(answer, "invalid-request", "?limit cursor")

    def test_all_parameters_at_once(self):
        self.refused(self.request("GET", "/v1/images?limit=0&cursor=!&wat=1&wat2"),
                     "invalid-request", "?limit", "?cursor", "?wat", "?wat2")
        self.refused(self.request("POST", "/v1/images?id=!&wat=1", images.plain(4, 4)),
                     "invalid-request", "?id", "?wat")

    def test_methods(self):
        for path, allowed in (("/healthz", {"GET", "HEAD"}), ("/v1/images", {"GET", "HEAD", "POST"}),
                              ("/v1/images/x", {"GET", "HEAD", "DELETE"}), ("/v1/segment", {"POST"}),
                              ("/v1/images/x/segment", {"POST"}), ("/v1/models", {"GET", "HEAD"})):
            for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"} - allowed:
                with self.subTest(path, method=method):
                    answer = self.request(method, path)
                    self.assertEqual(answer.status, 405, answer)
                    self.assertEqual(set(answer.header("Allow").split(", ")),
                                     allowed | {"OPTIONS"})

    def test_what_a_problem_looks_like(self):
        answer = self.request("GET", "/v1/images/none")
        self.assertEqual(list(answer.json()), ["type", "title", "status", "detail"])
        answer = self.request("GET", "/v1/images?limit=0")
        self.assertEqual(json.loads(answer.body.decode("ascii"))["errors"],
                         [{"pointer": "?limit", "detail": "must be a whole number from 1 to 1000"}])


class Headers(unittest.TestCase):

    def test_the_limit_of_headers(self):
        for limit, fits, too_many in (("8K", 4000, 9000), ("256K", 200000, 270000)):
            daemon = Daemon("--max-headers", limit)
            self.addCleanup(daemon.kill)
            for size, status in ((fits, 200), (too_many, 431)):
                with client.Raw(daemon.port) as connection:
                    connection.send_what_goes(client.head("GET", "/healthz", "X: " + "a" * size))
                    self.assertEqual(connection.head().status, status, (limit, size))
            daemon.stop()


if __name__ == "__main__":
    unittest.main()
