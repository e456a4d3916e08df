"""Conditional requests on an image (RFC 9110, 13)."""

import unittest

import client
import images
from case import DaemonCase

OTHER = '"another"'


class Images(DaemonCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, data in (("a", images.plain(30, 20)), ("copy", images.plain(30, 20)),
                           ("b", images.plain(30, 21))):
            client.request(cls.daemon.port, "POST", f"/v1/images?id={name}", data)
        cls.tag = client.request(cls.daemon.port, "GET", "/v1/images/a").header("ETag")

    def get(self, headers=None, name="a", method="GET"):
        return self.request(method, f"/v1/images/{name}", headers=headers)

    def test_the_tag_is_of_the_image(self):
        self.assertRegex(self.tag, r'^"[0-9a-f-]+"$')  # strong
        self.assertEqual(self.get().header("ETag"), self.tag)
        self.assertEqual(self.get(method="HEAD").header("ETag"), self.tag)
        self.assertEqual(self.get(name="copy").header("ETag"), self.tag)
        self.assertNotEqual(self.get(name="b").header("ETag"), self.tag)
        self.assertIn("no-cache", self.get().header("Cache-Control"))

    def test_not_modified(self):
        for line in (self.tag, "W/" + self.tag, f"{OTHER}, {self.tag}", "*"):
            for method in ("GET", "HEAD"):
                with self.subTest(line=line, method=method):
                    answer = self.get({"If-None-Match": line}, method=method)
                    self.assertEqual(answer.status, 304, answer)
                    self.assertEqual(answer.header("ETag"), self.tag)
                    self.assertIn("no-cache", answer.header("Cache-Control"))
                    self.assertIsNone(answer.header("Content-Type"))

    def test_modified(self):
        for line in (OTHER, "W/" + OTHER, self.tag.strip('"'), self.tag[:-2] + '"', ""):
            with self.subTest(line):
                answer = self.get({"If-None-Match": line})
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(answer.json()["id"], "a")

    def test_several_lines(self):
        connection = self.raw()
        connection.send(client.head("GET", "/v1/images/a", f"If-None-Match: {OTHER}",
                                    f"If-None-Match: {self.tag}"))
        self.assertEqual(connection.answer().check().status, 304)

    def test_get_if_match(self):
        for line, status in ((self.tag, 200), ("*", 200), ("W/" + self.tag, 412), (OTHER, 412)):
            with self.subTest(line):
                self.assertEqual(self.get({"If-Match": line}).status, status)
        both = {"If-Match": OTHER, "If-None-Match": self.tag}
        self.refused(self.get(both), "precondition-failed")  # If-Match goes first

    def test_unknown_images_have_no_conditions(self):
        for headers in ({"If-Match": "*"}, {"If-None-Match": "*"}):
            for method in ("GET", "DELETE"):
                self.refused(self.get(headers, "none", method), "unknown-image")

    def test_delete(self):
        self.upload("gone", images.plain(30, 22))
        tag = self.get(name="gone").header("ETag")
        for headers in ({"If-Match": OTHER}, {"If-Match": "W/" + tag}, {"If-None-Match": tag},
                        {"If-None-Match": "*"}):
            answer = self.get(headers, "gone", "DELETE")
            self.assertIn(tag, self.refused(answer, "precondition-failed"))
        self.assertEqual(self.get(name="gone").status, 200)
        answer = self.get({"If-Match": f"{OTHER}, {tag}"}, "gone", "DELETE")
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(self.get(name="gone").status, 404)


if __name__ == "__main__":
    unittest.main()
