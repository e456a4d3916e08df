"""HTTPS, with certificates that openssl makes for the test."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import client
import images
from daemon import HOST, MODEL, Daemon, command, seconds, wait_until


ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("-newkey", "rsa:2048")


def make_certificate(directory, name, kind=ELLIPTIC, options=()):
    """Signed by itself, unless the options name a -CA; the paths of certificate and key."""
    certificate, key = (os.path.join(directory, f"{name}.{end}") for end in ("crt", "key"))
    subprocess.run(["openssl", "req", "-x509", *kind, "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}", "-keyout", key, "-out",
                    certificate, *options], check=True, capture_output=True)
    return certificate, key


class Https(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.certificate, cls.key = make_certificate(cls.directory.name, "first")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def start(self, *flags, certificate=None, key=None):
        daemon = Daemon("--tls-certificate", certificate or self.certificate,
                        "--tls-key", key or self.key, *flags)
        self.addCleanup(daemon.kill)
        return daemon

    def context(self, certificate=None, least=None, most=None):
        """Of a client that trusts this certificate."""
        context = ssl.create_default_context(cafile=certificate or self.certificate)
        if least:
            context.minimum_version, context.maximum_version = least, most
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context

    def connect(self, daemon, context=None):
        plain = socket.create_connection((HOST, daemon.port), seconds(20))
        self.addCleanup(plain.close)
        connection = (context or self.context()).wrap_socket(plain, server_hostname=HOST)
        self.addCleanup(connection.close)
        return connection

    def request(self, daemon, method, path, body=None, context=None):
        connection = http.client.HTTPSConnection(HOST, daemon.port, timeout=seconds(30),
                                                 context=context or self.context())
        try:
            connection.request(method, path, client.encode(body))
            response = connection.getresponse()
            return client.Answer(response.status, response.getheaders(), response.read(),
                                 method).check()
        finally:
            connection.close()

    def healthy(self, daemon, context=None):
        return self.request(daemon, "GET", "/healthz", context=context).status == 200


class Serving(Https):

    def test_everything_works_over_tls(self):
        daemon = self.start()
        image = images.disc()
        uploaded = self.request(daemon, "POST", "/v1/images?id=disc", image)
        self.assertEqual(uploaded.status, 201)
        segmented = self.request(daemon, "POST", "/v1/images/disc/segment",
                                 {"points": [[60, 60]]})
        self.assertEqual(segmented.status, 200)
        self.assertEqual(len(segmented.json()["masks"]), 1)
        big = self.request(daemon, "POST", "/v1/images", bytes(20 << 20))
        self.assertEqual(big.status, 415)
        daemon.stop()

    def test_a_connection_is_kept(self):
        daemon = self.start()
        connection = self.connect(daemon)
        for _ in range(3):
            connection.sendall(client.head("GET", "/healthz"))
            answer = b""
            while not answer.endswith(b'{"status":"alive"}'):
                answer += connection.recv(4096)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"))
        daemon.stop()

    def test_versions_and_ciphers(self):
        daemon = self.start()
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                              (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            connection = self.connect(daemon, self.context(least=version, most=version))
            self.assertEqual(connection.version(), name)
            self.assertRegex(connection.cipher()[0], "GCM|POLY1305")
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.connect(daemon, self.context(least=version, most=version))
        weak = self.context(least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_2)
        weak.set_ciphers("AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.connect(daemon, weak)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(daemon, ssl.create_default_context())
        self.assertTrue(self.healthy(daemon))
        daemon.stop()

    def test_an_rsa_key_and_a_chain(self):
        """Of three: what clients trust has signed what has signed the server's."""
        directory = self.directory.name
        root, root_key = make_certificate(directory, "root", RSA)
        middle, middle_key = make_certificate(directory, "middle", RSA,
                                              ("-CA", root, "-CAkey", root_key))
        leaf, key = make_certificate(directory, "leaf", RSA, (
            "-CA", middle, "-CAkey", middle_key, "-addext", "basicConstraints=CA:FALSE"))
        chain = os.path.join(directory, "chain.crt")
        with open(chain, "wb") as out:
            for path in (leaf, middle):
                with open(path, "rb") as file:
                    out.write(file.read())
        daemon = self.start(certificate=chain, key=key)
        for _ in range(5):
            self.assertTrue(self.healthy(daemon, self.context(root)))
        daemon.stop()
        unsorted = os.path.join(directory, "unsorted.crt")
        with open(unsorted, "wb") as out:
            for path in (leaf, root, middle):
                with open(path, "rb") as file:
                    out.write(file.read())
        checked = command("--check-config", "--model", MODEL, "--tls-certificate", unsorted,
                          "--tls-key", key)
        self.assertIn("sorted", checked.stderr)

    def test_what_is_not_tls(self):
        daemon = self.start("--header-timeout", "2")
        for data in (client.head("GET", "/healthz"), b"\x16\x03\x01\xff\xff" + bytes(70000),
                     b"\x16\x03\x01\x00\x05hello", bytes(1000), b"\x80\x2e\x01\x00\x02"):
            connection = client.Raw(daemon.port)
            self.addCleanup(connection.close)
            connection.send_what_goes(data)
            while connection._receive():
                pass
            self.assertNotIn(b"HTTP/1.1 200", connection.rest)
        self.assertTrue(self.healthy(daemon))
        daemon.stop()


class Slow(Https):

    def test_slow_clients_are_cut_off(self):
        """Those that say nothing, say half a handshake, or shake hands and say nothing more."""
        daemon = self.start("--header-timeout", "2", "--body-timeout", "2", "--idle-timeout", "2")
        files = daemon.files()
        hello = ssl.MemoryBIO()
        shaking = self.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname=HOST)
        with self.assertRaises(ssl.SSLWantReadError):
            shaking.do_handshake()
        greeting = hello.read()
        start = time.monotonic()
        plain = []
        for data in (b"", greeting[:40], greeting):
            connection = client.Raw(daemon.port)
            self.addCleanup(connection.close)
            connection.send(data)
            plain.append(connection)
        secret = [self.connect(daemon) for _ in range(3)]
        secret[1].sendall(client.head("GET", "/healthz")[:-5])
        secret[2].sendall(client.head("POST", "/v1/images", "Content-Length: 100"))
        for connection in plain:
            while connection._receive():
                pass
        for connection in secret:
            try:
                self.assertEqual(connection.recv(4096), b"")
            except (ssl.SSLError, ConnectionError):
                pass
        taken = time.monotonic() - start
        self.assertGreater(taken, 1.5)
        self.assertLess(taken, 2 + seconds(4))
        self.assertTrue(self.healthy(daemon))
        wait_until(lambda: daemon.files() <= files + 1, 5, "files are closed")
        daemon.stop()

    def test_many_handshakes_that_hang(self):
        daemon = self.start("--max-connections", "50", "--header-timeout", "2")
        hanging = [client.Raw(daemon.port) for _ in range(40)]
        for connection in hanging:
            self.addCleanup(connection.close)
            connection.send(b"\x16\x03\x01")
        self.assertTrue(self.healthy(daemon))
        for connection in hanging:
            self.assertTrue(connection.closed())
        self.assertTrue(self.healthy(daemon))
        daemon.stop()


class Renewed(Https):

    def served(self, daemon):
        """The name in the certificate that is served."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        der = self.connect(daemon, context).getpeercert(binary_form=True)
        text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"],
                              input=der, capture_output=True, check=True).stdout.decode()
        return text.split("=")[-1].strip()

    def replace(self, paths, daemon, event):
        for source, target in zip(paths, self.paths):
            with open(source, "rb") as file:
                text = file.read()
            with open(target, "wb") as file:
                file.write(text)
        count = len(daemon.find(event)) + 1
        daemon.signal(signal.SIGHUP)
        return daemon.wait_event(event, count=count)

    def test_a_new_certificate(self):
        self.paths = [os.path.join(self.directory.name, name) for name in ("now.crt", "now.key")]
        for source, target in zip((self.certificate, self.key), self.paths):
            with open(source, "rb") as old, open(target, "wb") as new:
                new.write(old.read())
        second = make_certificate(self.directory.name, "second")
        daemon = self.start(certificate=self.paths[0], key=self.paths[1])
        kept = self.connect(daemon)
        self.assertEqual(self.served(daemon), "first")
        self.replace(second, daemon, "read again")
        self.assertEqual(self.served(daemon), "second")
        self.assertTrue(self.healthy(daemon, self.context(second[0])))
        kept.sendall(client.head("GET", "/healthz"))  # begun with the first
        self.assertTrue(kept.recv(4096).startswith(b"HTTP/1.1 200"))

        event = self.replace((self.certificate, second[1]), daemon,
                             "cannot be read again; what was read before stays")
        self.assertIn("not the key", event["why"])
        self.assertEqual(self.served(daemon), "second")
        for _ in range(20):
            daemon.signal(signal.SIGHUP)
            self.assertEqual(self.served(daemon), "second")
        daemon.stop()


class Faults(Https):

    def check(self, *flags):
        checked = command("--check-config", "--model", MODEL, *flags)
        self.assertEqual(checked.returncode, 1, checked)
        return checked.stderr

    def file(self, text):
        path = os.path.join(self.directory.name, "file")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def test_what_is_wrong_is_told(self):
        other, other_key = make_certificate(self.directory.name, "other")
        locked = os.path.join(self.directory.name, "locked.key")
        subprocess.run(["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", self.key,
                        "-out", locked], check=True, capture_output=True)
        for certificate, key, why in ((self.certificate, other_key, "not the key of"),
                                      (other, self.key, "not the key of"),
                                      ("/no/such/file", self.key, "No such file"),
                                      (self.certificate, "/no/such/file", "No such file"),
                                      (self.directory.name, self.key, "Is a directory"),
                                      (self.key, self.key, "no chain"),
                                      (self.certificate, self.certificate, "no unencrypted"),
                                      (self.certificate, locked, "no unencrypted"),
                                      (self.file("text"), self.key, "no chain")):
            with self.subTest(why, certificate=certificate, key=key):
                flags = ("--tls-certificate", certificate, "--tls-key", key)
                self.assertIn(why, self.check(*flags))
                started = command("--model", MODEL, "--port", "0", "--log-format", "json", *flags)
                self.assertEqual(started.returncode, 1)
                last = json.loads(started.stderr.strip().split("\n")[-1])
                self.assertIn(why, last["why"])

    def test_both_or_none(self):
        self.assertIn("tls_key", self.check("--tls-certificate", self.certificate))
        self.assertIn("tls_certificate", self.check("--tls-key", self.key))


if __name__ == "__main__":
    unittest.main()
