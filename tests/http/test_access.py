"""Who may come in: keys, rates, and what is refused to start without them."""

import base64
import os
import signal
import tempfile
import unittest

import client
import images
from case import DaemonCase
from daemon import MODEL, Daemon, command, wait_until

ALICE, BOB = "alice-has-a-secret-of-her-own", "0123456789abcdef"
KEYED = (("GET", "/v1/models"), ("GET", "/v1/images"), ("GET", "/v1/images/x"),
         ("DELETE", "/v1/images/x"), ("POST", "/v1/images"), ("POST", "/v1/segment"),
         ("POST", "/v1/images/x/segment"), ("GET", "/nothing"), ("BREW", "/v1/images"))


def bearer(key):
    return {"Authorization": "Bearer " + key}


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode("latin-1")).decode()}


class KeyFile(unittest.TestCase):
    """A file of keys in a directory of the test's own."""

    def key_file(self, text):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "keys")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path


class Keys(DaemonCase):

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.keys = os.path.join(cls.directory.name, "keys")
        cls.write_keys(f"# ours\n{ALICE} alice\n{BOB}\n")
        cls.flags = ("--api-keys", cls.keys)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.directory.cleanup()

    @classmethod
    def write_keys(cls, text):
        with open(cls.keys, "w", encoding="ascii") as file:
            file.write(text)

    def test_nothing_without_a_key(self):
        for method, path in KEYED:
            for headers in ({}, bearer("x" * 30), bearer(ALICE + "x"), bearer(ALICE[:-1]),
                            bearer(""), {"Authorization": ALICE}, {"Authorization": "Bearer"},
                            {"X-API-Key": ""}, {"X-API-Key": BOB.upper()}, basic(ALICE),
                            basic(f"{ALICE}:"), basic(":"), {"Authorization": "Basic !!"},
                            basic("u:" + ALICE * 100)):
                with self.subTest(path, headers=headers):
                    answer = self.request(method, path, b"{}" if method == "POST" else None, headers)
                    self.refused(answer, "unauthorized")
                    self.assertEqual(answer.header("WWW-Authenticate"), "Bearer")

    def test_with_a_key(self):
        for headers in (bearer(ALICE), {"Authorization": f"bearer  {ALICE}"}, {"X-API-Key": BOB},
                        {"X-API-Key": ALICE, "Authorization": "Basic eDp5"},
                        {"X-API-Key": "nonsense", **bearer(BOB)}, basic(f"anybody:{ALICE}"),
                        basic(f":{BOB}")):
            with self.subTest(headers):
                answer = self.request("GET", "/v1/models", headers=headers)
                self.assertEqual(answer.status, 200, answer)
        with_key = bearer(ALICE)
        answer = self.request("POST", "/v1/images?id=d", images.disc(), with_key)
        self.assertIn(answer.status, (200, 201))
        answer = self.request("POST", "/v1/images/d/segment", {"points": [[60, 60]]}, with_key)
        self.assertEqual(answer.status, 200)
        self.refused(self.request("GET", "/nothing", headers=with_key), "unknown-route")
        answer = self.request("BREW", "/v1/images", headers=with_key)
        self.assertEqual(answer.status, 405)

    def test_the_key_is_no_parameter(self):
        for name in ("api_key", "key"):
            self.refused(self.request("GET", f"/v1/models?{name}={ALICE}"), "unauthorized")

    def test_where_the_key_is_a_parameter(self):
        path = "/compat/roboflow/sam/segment_image"
        with self.raw() as connection:
            connection.send(client.post(f"{path}?api_key={ALICE}x", b"{}") +
                            client.post(f"{path}?api_key={ALICE}", b"{}"))
            self.refused(connection.answer(), "unauthorized")
            answer = connection.answer().check()
        self.assertEqual(answer.status, 422, answer)
        event = self.daemon.wait_event("request", request_id=answer.header("X-Request-Id"))
        self.assertEqual((event["key"], event["path"]), ("alice", path))

    def test_open_to_everybody(self):
        for path in ("/healthz", "/readyz"):
            for headers in ({}, bearer("wrong"), bearer(ALICE)):
                self.assertEqual(self.request("GET", path, headers=headers).status, 200)
        answer = self.request("OPTIONS", "/v1/images")
        self.assertEqual(answer.status, 204)

    def test_large_bodies_are_refused_too(self):
        with self.memory_limit(8):
            for _ in range(3):
                answer = self.request("POST", "/v1/images", bytes(20 << 20))
                self.refused(answer, "unauthorized")
        with self.raw() as connection:
            connection.send(client.head("POST", "/v1/images", "Content-Length: 1000000",
                                        "Expect: 100-continue"))
            self.refused(connection.answer(), "unauthorized")

    def test_the_connection_goes_on(self):
        with self.raw() as connection:
            connection.send(client.post("/v1/segment", b"{}") * 2 +
                            client.head("GET", "/v1/models", f"X-API-Key: {ALICE}"))
            self.assertEqual([connection.answer().check().status for _ in range(3)],
                             [401, 401, 200])

    def test_the_log_names_the_label_and_no_key(self):
        for headers, label in ((bearer(ALICE), "alice"), ({"X-API-Key": BOB}, "line-3"), ({}, ""),
                               (bearer(ALICE + "x"), "")):
            answer = self.request("GET", f"/v1/images?secret={ALICE}", headers=headers)
            event = self.daemon.wait_event("request", request_id=answer.header("X-Request-Id"))
            self.assertEqual((event["key"], event["path"]), (label, "/v1/images"))
        with open(os.path.join(self.daemon.directory.name, "log"), "rb") as log:
            text = log.read()
        for secret in (ALICE, BOB, base64.b64encode(ALICE.encode()).decode()):
            self.assertNotIn(secret.encode(), text)

    def test_reading_again(self):
        self.addCleanup(self.reload, f"# ours\n{ALICE} alice\n{BOB}\n", "read again")
        carol = "carol-comes-later-than-others"
        self.refused(self.request("GET", "/v1/models", headers=bearer(carol)), "unauthorized")
        self.reload(f"{carol} carol\n", "read again")
        self.assertEqual(self.request("GET", "/v1/models", headers=bearer(carol)).status, 200)
        self.refused(self.request("GET", "/v1/models", headers=bearer(ALICE)), "unauthorized")

        event = self.reload(f"{ALICE}\nshort\n", "cannot be read again; what was read before stays")
        self.assertIn("line 2", event["why"])
        self.assertEqual(event["level"], "error")
        self.assertEqual(self.request("GET", "/v1/models", headers=bearer(carol)).status, 200)
        self.refused(self.request("GET", "/v1/models", headers=bearer(ALICE)), "unauthorized")

    def reload(self, text, event):
        count = len(self.daemon.find(event)) + 1
        self.write_keys(text)
        self.daemon.signal(signal.SIGHUP)
        return self.daemon.wait_event(event, count=count)


class Rates(DaemonCase):

    flags = ("--rate-limit", "1", "--rate-burst", "4", "--trust-forwarded-for", "true")

    def burst(self, headers, method="GET", path="/v1/models"):
        """Asks until it is refused; how often it was answered before."""
        for count in range(20):
            answer = self.request(method, path, headers=headers)
            if answer.status == 429:
                self.refused(answer, "too-many-requests")
                self.assertRegex(answer.header("Retry-After"), r"^[12]$")
                return count
        raise AssertionError("never refused")

    def test_by_address(self):
        self.assertIn(self.burst({"X-Forwarded-For": "192.0.2.1"}), (4, 5))
        self.assertIn(self.burst({"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}), (4, 5))
        self.assertIn(self.burst({"X-Forwarded-For": "2001:db8::1"}), (4, 5))
        self.assertIn(self.burst({"X-Forwarded-For": "2001:db8::2"}), (0, 1))  # of the same /64
        self.assertIn(self.burst({"X-Forwarded-For": "2001:db8:0:1::1"}), (4, 5))
        event = self.daemon.find("request", client="192.0.2.2")
        self.assertIn(len(event), (5, 6))

    def test_by_the_last_line(self):
        """Some proxies leave the client's line as it is, and add one of their own."""
        connection, statuses = self.raw(), []
        for made_up in range(20):
            connection.send(client.head("GET", "/v1/models",
                                        f"X-Forwarded-For: 198.51.100.{made_up}",
                                        "x-forwarded-for: 192.0.2.9"))
            statuses.append(connection.answer().status)
        self.assertIn(429, statuses)

    def test_what_is_counted(self):
        who = {"X-Forwarded-For": "192.0.2.3"}
        self.assertIn(self.burst(who, path="/nothing"), (4, 5))
        for path in ("/healthz", "/readyz"):
            for _ in range(10):
                self.assertEqual(self.request("GET", path, headers=who).status, 200)
        self.refused(self.request("POST", "/v1/images", images.disc(), who), "too-many-requests")

    def test_it_comes_back(self):
        who = {"X-Forwarded-For": "192.0.2.4"}
        self.burst(who)
        wait_until(lambda: self.request("GET", "/v1/models", headers=who).status == 200, 5,
                   "a second request")


class RatesOfKeys(KeyFile):

    def test_each_key_has_its_own(self):
        path = self.key_file(f"{ALICE}\n{BOB}\n")
        daemon = Daemon("--api-keys", path, "--rate-limit", "1", "--rate-burst", "5")
        self.addCleanup(daemon.kill)

        def statuses(headers):
            return [client.request(daemon.port, "GET", "/v1/models", headers=headers).status
                    for _ in range(10)]

        for allowed, headers in ((200, bearer(ALICE)), (200, bearer(BOB)), (401, {})):
            found = statuses(headers)
            self.assertEqual(found[:5], [allowed] * 5)
            self.assertEqual(found[-1], 429, found)
        # whoever guesses has no more guesses, whoever knows still comes in
        self.assertIn(429, statuses(bearer("a-guess-of-a-key")))
        daemon.stop()


class Anonymous(KeyFile):
    """What may be served without keys."""

    def check(self, *flags):
        return command("--check-config", "--model", MODEL, *flags)

    def test_loopback_needs_nothing(self):
        for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
            self.assertEqual(self.check("--host", host).returncode, 0, host)

    def test_others_need_keys_or_a_word(self):
        keys = self.key_file(ALICE)
        for host in ("0.0.0.0", "::", "192.0.2.1"):
            with self.subTest(host):
                refused = self.check("--host", host)
                self.assertEqual(refused.returncode, 1)
                self.assertRegex(refused.stderr, f"{host}.*api_keys.*allow_anonymous")
                self.assertIn("1 fault\n", refused.stderr)
                self.assertEqual(self.check("--host", host, "--api-keys", keys).returncode, 0)
                self.assertEqual(self.check("--host", host, "--allow-anonymous", "1").returncode, 0)
        started = command("--model", MODEL, "--port", "0", "--host", "0.0.0.0")
        self.assertEqual(started.returncode, 1)
        self.assertIn("allow_anonymous", started.stderr)
        self.assertNotIn("listening", started.stderr)

    def test_both_at_once(self):
        refused = self.check("--api-keys", self.key_file(ALICE), "--allow-anonymous", "true")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("allow_anonymous", refused.stderr)

    def test_an_open_port(self):
        daemon = Daemon("--host", "0.0.0.0", "--allow-anonymous", "true")
        self.addCleanup(daemon.kill)
        self.assertEqual(client.request(daemon.port, "GET", "/v1/models").status, 200)
        daemon.stop()

    def test_bad_files(self):
        for text, why in (("", "no key"), ("short", "line 1"), (f"{ALICE}\n{ALICE}", "line 2")):
            for run in (self.check, lambda *flags: command("--model", MODEL, "--port", "0", *flags)):
                refused = run("--api-keys", self.key_file(text))
                self.assertEqual(refused.returncode, 1)
                self.assertIn(why, refused.stderr)
                self.assertNotIn(ALICE, refused.stderr)
        self.assertIn("No such file", self.check("--api-keys", "/no/such/file").stderr)


class WithoutKeys(DaemonCase):

    def test_sighup_harms_nothing(self):
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_event("nothing to read again")
        answer = self.request("GET", "/v1/models", headers=bearer(ALICE))
        self.assertEqual(answer.status, 200)

    def test_options(self):
        for path, allowed in (("/healthz", "GET, HEAD, OPTIONS"),
                              ("/v1/segment", "POST, OPTIONS")):
            answer = self.request("OPTIONS", path + "?any=thing")
            self.assertEqual((answer.status, answer.header("Allow"), answer.body),
                             (204, allowed, b""))
        self.refused(self.request("OPTIONS", "/nothing"), "unknown-route")

    def test_the_log_line(self):
        self.upload_disc("logged")
        answer = self.request("GET", "/v1/images/logged?a=b")
        event = self.daemon.wait_event("request", request_id=answer.header("X-Request-Id"))
        self.assertEqual((event["route"], event["image"], event["client"], event["key"]),
                         ("/v1/images/{id}", "logged", "127.0.0.1", ""))
        self.assertEqual((event["sent"], event["path"]), (len(answer.body), "/v1/images/logged"))
        answer = self.request("HEAD", "/v1/images/logged", headers={"X-Forwarded-For": "9.9.9.9"})
        event = self.daemon.wait_event("request", request_id=answer.header("X-Request-Id"))
        self.assertEqual((event["sent"], event["client"]), (0, "127.0.0.1"))

    def test_nosniff(self):
        for path in ("/healthz", "/nothing"):
            answer = self.request("GET", path)
            self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")


if __name__ == "__main__":
    unittest.main()
