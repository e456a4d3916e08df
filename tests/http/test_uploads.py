"""How an image comes in: the forms of upload, IDs, and the list."""

import base64
import hashlib
import re
import time
import unittest

import client
import images
from case import DaemonCase
from client import multipart


class Forms(DaemonCase):
    """The same bytes in every form: encoded once, and known again by their hash."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = images.disc()
        cls.digest = hashlib.sha256(cls.data).hexdigest()[:32]
        cls.first = client.request(cls.daemon.port, "POST", "/v1/images", cls.data)

    def known(self, answer):
        """It is the image of setUpClass."""
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json()["id"], self.digest)
        self.assertTrue(answer.json()["cached"])

    def test_first(self):
        self.assertEqual(self.first.status, 201, self.first)
        self.assertEqual(self.first.header("Location"), f"/v1/images/{self.digest}")
        body = self.first.json()
        self.assertEqual({key: body[key] for key in body if key != "timing_ms"},
                         {"id": self.digest, "width": 640, "height": 480, "model": "mobile_sam",
                          "status": "ready", "cached": False})
        self.assertEqual(set(body["timing_ms"]), {"queue", "decode", "encode"})
        for span in ("queue", "decode", "encode"):
            self.assertIn(span + ";dur=", self.first.header("Server-Timing"))
            self.assertGreaterEqual(body["timing_ms"][span], 0)

    def test_raw(self):
        for content_type in ("image/png", "image/jpeg", "application/octet-stream",
                             "application/x-www-form-urlencoded", ""):
            with self.subTest(content_type):
                self.known(self.request("POST", "/v1/images", self.data,
                                        {"Content-Type": content_type}))

    def test_raw_without_a_type(self):
        connection = self.raw()
        connection.send(client.post("/v1/images", self.data))
        self.known(connection.answer().check())

    def test_chunked(self):
        connection = self.raw()
        connection.send(client.head("POST", "/v1/images", "Transfer-Encoding: chunked"))
        for at in range(0, len(self.data), 999):
            piece = self.data[at:at + 999]
            connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        connection.send(b"0\r\n\r\n")
        self.known(connection.answer().check())

    def test_json(self):
        text = base64.b64encode(self.data).decode()
        lines = "\n".join(text[i:i + 76] for i in range(0, len(text), 76))
        for name, image in (("base64", text), ("lines", lines),
                            ("uri", "data:image/png;base64," + text),
                            ("uri-wrong-type", "data:text/plain;charset=x;base64," + text)):
            with self.subTest(name):
                self.known(self.request("POST", "/v1/images", {"image": image}))
        answer = self.request("POST", "/v1/images", {"model": "mobile_sam", "image": text},
                              {"Content-Type": "text/plain"})
        self.known(answer)

    def test_json_by_its_type(self):
        headers = {"Content-Type": "application/json; charset=utf-8"}
        for body, kind in (("garbage", "bad-request"), ("[1]", "invalid-request"),
                           ("null", "invalid-request")):
            for path in ("/v1/images", "/v1/segment"):
                self.refused(self.request("POST", path, body, headers), kind)

    def test_multipart(self):
        file = ("file", self.data, "a.png")
        for name, parts in (("file", [file]), ("no-filename", [("file", self.data)]),
                            ("model-before", [("model", b"mobile_sam"), file]),
                            ("model-after", [file, ("model", b"mobile_sam")])):
            with self.subTest(name):
                self.known(self.request("POST", "/v1/images", *multipart(*parts)))

    def test_multipart_boundaries(self):
        file = ("file", self.data, "a.png")
        for name, boundary in (("short", b"xy"), ("long", b"b" * 70), ("signs", b"'()+_,-./:=?")):
            with self.subTest(name):
                body, headers = multipart(file, boundary=boundary)
                quoted = f'multipart/form-data; boundary="{boundary.decode()}"'
                self.known(self.request("POST", "/v1/images", body, {"Content-Type": quoted}))
                if name != "signs":
                    self.known(self.request("POST", "/v1/images", body, headers))

    def test_multipart_type_with_other_parameters(self):
        body, _ = multipart(("file", self.data, "a.png"), boundary=b"XX")
        for parameters in ("charset=utf-8; boundary=XX", "boundary=XX; charset=utf-8"):
            with self.subTest(parameters):
                headers = {"Content-Type": "multipart/form-data; " + parameters}
                self.known(self.request("POST", "/v1/images", body, headers))

    def test_multipart_before_and_after(self):
        body, headers = multipart(("file", self.data, "a.png"))
        for name, whole in (("preamble", b"what old clients show\r\n" + body),
                            ("epilogue", body + b"what nobody reads\r\n")):
            with self.subTest(name):  # RFC 2046, 5.1.1: both are to be ignored
                self.known(self.request("POST", "/v1/images", whole, headers))

    def test_multipart_in_two_pieces(self):
        """Cut at every place: in boundaries, headers, and what looks like a boundary."""
        file = b"0123456789\r\n\r\n--XX hello\r\n--XX"
        body, headers = multipart(("id", b"pieces"), ("file", file, "a.png"), boundary=b"XXX")
        request = client.post("/v1/images", body, "Content-Type: " + headers["Content-Type"])
        connection = self.raw()
        for cut in range(len(request) - len(body), len(request)):
            with self.subTest(after=request[:cut][-16:]):
                connection.send(request[:cut])
                time.sleep(0.005)
                connection.send(request[cut:])
                self.refused(connection.answer("POST"), "unsupported-image")

    def test_multipart_byte_by_byte(self):
        body, headers = multipart(("file", self.data, "a.png"), boundary=b"XXX")
        request = client.post("/v1/images", body, "Content-Type: " + headers["Content-Type"])
        connection = self.raw()
        for at in range(len(request)):
            connection.send(request[at:at + 1])
        self.known(connection.answer("POST").check())

    def test_bad_multipart(self):
        file = ("file", self.data, "a.png")
        for name, parts, kind in (("no-file", [("id", b"a")], "invalid-request"),
                                  ("unknown-part", [file, ("wat", b"1")], "invalid-request"),
                                  ("file-twice", [file, file], "invalid-request"),
                                  ("id-twice", [("id", b"a"), ("id", b"b"), file],
                                   "invalid-request"),
                                  ("prompt", [file, ("prompt", b"{}")], "invalid-request"),
                                  ("bad-id", [file, ("id", b"../a")], "invalid-request"),
                                  ("long-id", [file, ("id", b"a" * 129)], "invalid-request"),
                                  ("zero-in-id", [file, ("id", b"a\0b")], "invalid-request"),
                                  ("long-model", [file, ("model", b"m" * 5000)],
                                   "invalid-request"),
                                  ("other-model", [file, ("model", b"sam_vit_h")],
                                   "not-installed"),
                                  ("empty-file", [("file", b"", "a.png")], "unsupported-image")):
            with self.subTest(name):
                answer = self.request("POST", "/v1/images", *multipart(*parts))
                self.refused(answer, kind)

    def test_broken_multipart(self):
        body, headers = multipart(("file", self.data, "a.png"))
        plain = "multipart/form-data"
        for name, sent, content_type in (
                ("no-last-boundary", body[:-24], None), ("cut", body[:-100], None),
                ("cut-in-header", body[:40], None), ("empty", b"", None),
                ("only-an-end", b"-------a-boundary--\r\n", None),
                ("other-boundary", body, plain + "; boundary=other"),
                ("no-boundary", body, plain), ("empty-boundary", body, plain + "; boundary="),
                ("long-header", b"-------a-boundary\r\nX: " + b"a" * 200000, None),
                ("lf-only", body.replace(b"\r\n--", b"\n--"), None)):
            with self.subTest(name):
                kind = {"Content-Type": content_type} if content_type else headers
                self.refused(self.request("POST", "/v1/images", sent, kind), "bad-request")

    def test_other_models(self):
        for path, body in (("/v1/images?model=sam_vit_h", self.data),
                           ("/v1/images", {"image": base64.b64encode(self.data).decode(),
                                           "model": "sam_vit_h"})):
            with self.subTest(path):
                detail = self.refused(self.request("POST", path, body), "not-installed")
                self.assertIn("sam_vit_h", detail)
        self.known(self.request("POST", "/v1/images?model=mobile_sam", self.data))


class Ids(DaemonCase):

    def test_good_ids(self):
        for image_id in ("a" * 128, "A.b_c-9"):
            with self.subTest(image_id):
                answer = self.request("POST", "/v1/images?id=" + image_id, images.plain(9, 9))
                self.assertEqual(answer.status, 201, answer)
                self.assertEqual(answer.header("Location"), "/v1/images/" + image_id)
                self.assertEqual(self.request("GET", "/v1/images/" + image_id).status, 200)

    def test_bad_ids(self):
        data = images.plain(8, 8)
        for bad in ("", "a" * 129, ".a", "-a", "_a", "a/b", "..", "../../etc/passwd", "a b",
                    "é", "a\n", "a%", "a'", "\x7f", "a" * 5000):
            with self.subTest(bad[:20]):
                quoted = "".join(f"%{byte:02x}" for byte in bad.encode())
                answer = self.request("POST", "/v1/images?id=" + quoted, data)
                self.refused(answer, "invalid-request", "?id")
                body = {"image": base64.b64encode(data).decode(), "id": bad}
                self.refused(self.request("POST", "/v1/images", body), "invalid-request", "/id")
        self.assertEqual(self.daemon.find("encoded", width=8), [])

    def test_an_id_does_not_end_at_a_zero(self):
        data = images.plain(7, 7)
        answer = self.request("POST", "/v1/images?id=zero%00/../x", data)
        self.refused(answer, "invalid-request", "?id")

    def test_a_path_does_not_end_at_a_zero(self):
        for path in ("/healthz%00/../x", "/v1/images%00x"):
            self.refused(self.request("GET", path), "unknown-route")

    def test_two_ids(self):
        body = {"image": base64.b64encode(images.plain(8, 8)).decode(), "id": "one"}
        self.refused(self.request("POST", "/v1/images?id=two", body), "invalid-request", "?id")

    def test_strange_paths(self):
        for path in ("/v1/images/.a", "/v1/images/..", "/v1/images/" + "b" * 128,
                     "/v1/images/" + "b" * 129, "/v1/images/" + "b" * 9000,
                     "/v1/images/../../etc/passwd", "/v1/images/%2e%2e%2fsecret", "/v1/images/",
                     "/v1/images/%ff%fe", "/v1/images/%zz", "/v1/images/%",
                     "/v1/images/%01%1b%22%5c", "/v1/images/" + "%c3%a9" * 200,
                     "//", "/..", "/v1/", "/v2/images", "/nothing%ff%00" + "%e2%82" * 70):
            with self.subTest(path[:40]):
                for method in ("GET", "HEAD", "DELETE", "POST"):
                    answer = self.request(method, path)
                    self.assertIn(answer.status, (404, 405), answer)
                answer = self.request("POST", path + "/segment", {"points": [[1, 1]]})
                self.assertIn(answer.status, (404, 405), answer)

    def test_conflict_and_delete(self):
        first, second = images.plain(5, 6), images.plain(6, 5)
        self.assertEqual(self.request("POST", "/v1/images?id=held", first).status, 201)
        again = self.request("POST", "/v1/images?id=held", first)
        self.assertEqual((again.status, again.header("Location")), (200, None))
        self.assertTrue(again.json()["cached"])
        self.refused(self.request("POST", "/v1/images?id=held", second), "id-conflict")
        self.assertEqual(self.request("GET", "/v1/images/held").json()["width"], 5)
        self.assertEqual(self.request("HEAD", "/v1/images/held").status, 200)
        self.assertEqual(self.request("DELETE", "/v1/images/held").status, 204)
        for method in ("DELETE", "GET"):
            detail = self.refused(self.request(method, "/v1/images/held"), "unknown-image")
            self.assertIn("upload it again", detail)
        self.assertEqual(self.request("HEAD", "/v1/images/held").status, 404)
        answer = self.request("POST", "/v1/images/held/segment", {"points": [[1, 1]]})
        self.assertIn("upload it again", self.refused(answer, "unknown-image"))
        self.assertEqual(self.request("POST", "/v1/images?id=held", second).status, 201)
        self.assertEqual(self.request("GET", "/v1/images/held").json()["width"], 6)


class List(DaemonCase):

    def page(self, query=""):
        """Its IDs and the next cursor; the header Link must lead to the same next page."""
        answer = self.request("GET", "/v1/images" + query)
        self.assertEqual(answer.status, 200, answer)
        cursor, link = answer.json()["next"], answer.header("Link")
        if cursor:
            limit = re.search(r"limit=(\d+)", query)[1]
            self.assertEqual(link, f'</v1/images?limit={limit}&cursor={cursor}>; rel="next"')
        else:
            self.assertIsNone(link)
        return [image["id"] for image in answer.json()["images"]], cursor

    def test_pages(self):
        self.assertEqual(self.page(), ([], None))
        names = ["b", "a", "B", "a.1", "a-1", "z", "1"]
        for name in names:
            self.upload(name, images.plain(4, 4))
        ordered = sorted(names)
        self.assertEqual(self.page(), (ordered, None))
        self.assertEqual(self.page("?limit=7"), (ordered, None))
        for limit in (1, 2, 3, 6):
            with self.subTest(limit=limit):
                seen, cursor = self.page(f"?limit={limit}")
                while cursor:
                    found, cursor = self.page(f"?limit={limit}&cursor={cursor}")
                    self.assertTrue(0 < len(found) <= limit)
                    seen += found
                self.assertEqual(seen, ordered)
        self.assertEqual(self.page("?cursor=a.0"), (["a.1", "b", "z"], None))  # it may be gone
        self.assertEqual(self.page("?cursor=zz"), ([], None))

    def test_bad_pages(self):
        for query, pointer in (("limit=0", "?limit"), ("limit=-1", "?limit"),
                               ("limit=1001", "?limit"), ("limit=1e2", "?limit"),
                               ("limit=", "?limit"), ("limit=99999999999999999999", "?limit"),
                               ("limit=5;", "?limit"), ("cursor=", "?cursor"),
                               ("cursor=../x", "?cursor"), ("cursor=" + "a" * 129, "?cursor"),
                               ("page=2", "?page"), ("Limit=2", "?Limit")):
            with self.subTest(query[:20]):
                answer = self.request("GET", "/v1/images?" + query)
                self.refused(answer, "invalid-request", pointer)


if __name__ == "__main__":
    unittest.main()
