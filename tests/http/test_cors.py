"""Pages of other origins: what a browser would ask, and what it would let them do."""

import unittest

import images
from case import DaemonCase
from daemon import MODEL, command

PAGE, OTHER = "https://annotate.example.org", "http://localhost:3000"


def preflight(origin, method, headers=None, **others):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return {**asked, **others}


def words(value):
    return {word.strip().lower() for word in (value or "").split(",")}


class Listed(DaemonCase):

    flags = ("--cors-origins", f"{PAGE}, {OTHER}")

    def allowed(self, answer, origin):
        self.assertEqual(answer.header("Access-Control-Allow-Origin"), origin)
        self.assertIn("origin", words(answer.header("Vary")))
        self.assertIsNone(answer.header("Access-Control-Allow-Credentials"))

    def test_preflight(self):
        for path, method, methods in (("/v1/images?id=a&model=b", "POST", {"get", "head", "post"}),
                                      ("/v1/images/x", "DELETE", {"get", "head", "delete"}),
                                      ("/v1/images/x/segment", "POST", {"post"}),
                                      ("/healthz", "GET", {"get", "head"})):
            for origin in (PAGE, OTHER):
                with self.subTest(path, origin=origin):
                    answer = self.request("OPTIONS", path, headers=preflight(
                        origin, method, "authorization,content-type,x-api-key,x-request-id,prefer"))
                    self.assertEqual(answer.status, 204)
                    self.allowed(answer, origin)
                    self.assertLessEqual(methods, words(
                        answer.header("Access-Control-Allow-Methods")))
                    self.assertLessEqual(
                        {"authorization", "content-type", "x-api-key", "x-request-id", "prefer",
                         "accept", "if-none-match", "if-match"},
                        words(answer.header("Access-Control-Allow-Headers")))
                    self.assertGreater(int(answer.header("Access-Control-Max-Age")), 0)

    def test_private_networks(self):
        asked = preflight(PAGE, "POST", **{"Access-Control-Request-Private-Network": "true"})
        answer = self.request("OPTIONS", "/v1/images", headers=asked)
        self.assertEqual(answer.header("Access-Control-Allow-Private-Network"), "true")
        answer = self.request("OPTIONS", "/v1/images", headers=preflight(PAGE, "POST"))
        self.assertIsNone(answer.header("Access-Control-Allow-Private-Network"))

    def test_others(self):
        for origin in ("https://example.org", PAGE + ".evil.example", PAGE + "/", "null", "*",
                       PAGE.upper(), f"{PAGE}, {OTHER}"):
            for method, path, headers in (("OPTIONS", "/v1/images", preflight(origin, "POST")),
                                          ("GET", "/v1/models", {"Origin": origin})):
                answer = self.request(method, path, headers=headers)
                self.assertIn(answer.status, (200, 204))
                names = [name.lower() for name, _ in answer.headers]
                self.assertFalse([name for name in names if name.startswith("access-control-")],
                                 origin)
                self.assertIn("origin", words(answer.header("Vary")))

    def test_answers(self):
        answer = self.request("POST", "/v1/images?id=cors", images.disc(3), {"Origin": PAGE})
        self.assertIn(answer.status, (200, 201))
        self.allowed(answer, PAGE)
        exposed = words(answer.header("Access-Control-Expose-Headers"))
        self.assertLessEqual({"location", "x-request-id", "server-timing", "retry-after", "etag",
                              "link", "preference-applied"}, exposed)
        answer = self.request("POST", "/v1/images/cors/segment", {"points": [[60, 60]]},
                              {"Origin": OTHER})
        self.assertEqual(answer.status, 200)
        self.allowed(answer, OTHER)

    def test_whatever_is_sent_may_be_seen(self):
        """Of all headers of all kinds of answers, those a page cannot see are the harmless ones."""
        seen = {"cache-control", "content-language", "content-length", "content-type", "expires",
                "last-modified", "pragma"}  # CORS-safelisted
        harmless = {"access-control-allow-origin", "access-control-expose-headers", "vary", "date",
                    "connection", "allow", "x-content-type-options"}
        self.upload_disc()
        for method, path, body in (("GET", "/v1/images", None), ("GET", "/v1/images?limit=1", None),
                                   ("GET", "/v1/images/disc", None), ("GET", "/nothing", None),
                                   ("POST", "/v1/images?id=disc", images.disc()),
                                   ("POST", "/v1/images/disc/segment", {"points": [[60, 60]]}),
                                   ("BREW", "/v1/images", None)):
            answer = self.request(method, path, body, {"Origin": PAGE})
            exposed = words(answer.header("Access-Control-Expose-Headers"))
            names = {name.lower() for name, _ in answer.headers}
            self.assertLessEqual(names - seen - harmless, exposed, (method, path))

    def test_problems_too(self):
        for method, path, status in (("GET", "/nothing", 404), ("BREW", "/v1/images", 405),
                                     ("POST", "/v1/images", 400), ("OPTIONS", "/nothing", 404)):
            body = b"{" if method == "POST" else None
            answer = self.request(method, path, body, {"Origin": PAGE})
            self.assertEqual(answer.status, status)
            self.allowed(answer, PAGE)

    def test_without_an_origin(self):
        answer = self.request("GET", "/v1/models")
        self.assertIsNone(answer.header("Access-Control-Allow-Origin"))
        self.assertIn("origin", words(answer.header("Vary")))


class Any(DaemonCase):

    flags = ("--cors-origins", "*")

    def test_any_origin(self):
        for origin in (PAGE, "http://a.b", "null"):
            answer = self.request("GET", "/v1/models", headers={"Origin": origin})
            self.assertEqual(answer.header("Access-Control-Allow-Origin"), origin)
            answer = self.request("OPTIONS", "/v1/images", headers=preflight(origin, "POST"))
            self.assertEqual(answer.header("Access-Control-Allow-Origin"), origin)


class Off(DaemonCase):

    def test_nothing_is_said(self):
        for method, path, headers in (("OPTIONS", "/v1/images", preflight(PAGE, "POST")),
                                      ("GET", "/v1/models", {"Origin": PAGE})):
            answer = self.request(method, path, headers=headers)
            self.assertFalse([name for name, _ in answer.headers
                              if name.lower().startswith("access-control-")])
            self.assertIsNone(answer.header("Vary"))


class Faults(unittest.TestCase):

    def test_what_is_no_origin(self):
        for origins, named in (("example.org", "example.org"), (f"{PAGE} {OTHER}/", OTHER + "/")):
            checked = command("--model", MODEL, "--check-config", "--cors-origins", origins)
            self.assertEqual(checked.returncode, 1)
            self.assertIn(f"'{named}'", checked.stderr)


if __name__ == "__main__":
    unittest.main()
