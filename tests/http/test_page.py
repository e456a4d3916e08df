"""The web page's files, as they are served. What they do is tested in a browser, by tests/page."""

import os
import re

from case import DaemonCase
from daemon import ROOT

PAGE = os.path.join(ROOT, "api", "page")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


def content(name):
    with open(os.path.join(PAGE, name), "rb") as file:
        return file.read()


def path_of(name):
    return "/" if name == "index.html" else "/" + name


class Page(DaemonCase):
    def test_every_file_is_served_as_it_is(self):
        for name in os.listdir(PAGE):
            with self.subTest(name):
                answer = self.request("GET", path_of(name))
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(answer.body, content(name))
                self.assertEqual(answer.header("Content-Type"), TYPES[os.path.splitext(name)[1]])
                self.assertEqual(answer.header("Cache-Control"), "no-cache")
                self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
                self.assertEqual(answer.header("Referrer-Policy"), "no-referrer")
                head = self.request("HEAD", path_of(name))
                self.assertEqual(head.header("Content-Length"), str(len(answer.body)))

    def test_policy(self):
        policy = self.request("GET", "/").header("Content-Security-Policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        self.assertEqual(rules, {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
            "img-src": "'self' blob: data:", "connect-src": "'self'", "base-uri": "'none'",
            "form-action": "'none'", "frame-ancestors": "'none'"})

    def test_an_unchanged_file_is_not_sent_again(self):
        tags = {}
        for name in os.listdir(PAGE):
            tag = self.request("GET", path_of(name)).header("ETag")
            again = self.request("GET", path_of(name), headers={"If-None-Match": tag})
            self.assertEqual((again.status, again.body), (304, b""), name)
            tags[name] = tag
        self.assertEqual(len(set(tags.values())), len(tags), "the same tag twice")
        other = self.request("GET", "/", headers={"If-None-Match": tags["app.js"]})
        self.assertEqual(other.status, 200)

    def test_only_reading(self):
        for path in ("/", "/app.js"):
            self.assertEqual(self.request("DELETE", path).header("Allow"), "GET, HEAD, OPTIONS")
        self.refused(self.request("GET", "/index.html"), "unknown-route")
        self.assertEqual(self.request("GET", "/?from=a-link").status, 200)

    def test_nothing_in_line_and_nothing_from_elsewhere(self):
        for name in os.listdir(PAGE):
            if name.endswith(".jpg"):
                continue
            text = content(name).decode().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://|//[a-z]+\.", name)
            if name.endswith(".html"):
                self.assertNotRegex(text, r"(?i)\sstyle=|\son[a-z]+=|<style|<script[^>]*>[^<]")
                linked = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
                self.assertTrue(linked)
                for path in linked:
                    self.assertEqual(self.request("GET", path).status, 200, path)
