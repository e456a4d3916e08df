"""Options: from where they come, which one wins, and what is said when they are wrong."""

import configparser
import json
import os
import re
import tempfile
import unittest

import client
from case import DaemonCase
from daemon import MODEL, Daemon, command


class Check(unittest.TestCase):
    """maskd --check-config."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def file(self, text, name="maskd.ini"):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def values(self, *flags, env=None, cwd=None):
        """The effective options as name: text."""
        done = command("--model", MODEL, "--check-config", *flags, env=env, cwd=cwd)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(done.stdout)
        return {name: value for section in parser.sections()
                for name, value in parser[section].items()}

    def faults(self, *flags, env=None):
        """The lines that tell what is wrong, without the count at the end."""
        done = command("--model", MODEL, "--check-config", *flags, env=env)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        *lines, count = done.stderr.splitlines()
        self.assertEqual(int(re.search(r"(\d+) fault", count)[1]), len(lines), done.stderr)
        return lines

    # ---- from where

    def test_defaults(self):
        values = self.values()
        self.assertEqual((values["host"], values["port"], values["max_body"], values["log_format"],
                          values["access_log"]), ("127.0.0.1", "8080", str(32 << 20), "text",
                                                  "true"))

    def test_precedence(self):
        path = self.file("[server]\nport = 1001\nidle_timeout = 11\nhttp_threads = 3\n"
                         "[limits]\nmax_body = 1M\n")
        env = {"MASKD_PORT": "1002", "MASKD_IDLE_TIMEOUT": "12", "MASKD_CONFIG": path}
        values = self.values("--port", "1003", env=env)
        self.assertEqual([values[name] for name in ("port", "idle_timeout", "http_threads",
                                                    "max_body", "header_timeout")],
                         ["1003", "12", "3", str(1 << 20), "10"])

    def test_which_file(self):
        os.mkdir(os.path.join(self.directory, "config"))
        self.file("[server]\nport = 1\n", "config/maskd.ini")
        two, three = self.file("[server]\nport = 2\n", "2"), self.file("[server]\nport = 3\n", "3")
        env = {"MASKD_CONFIG": two}
        self.assertEqual(self.values(cwd=self.directory)["port"], "1")
        self.assertEqual(self.values(cwd=self.directory, env=env)["port"], "2")
        self.assertEqual(self.values("--config", three, cwd=self.directory, env=env)["port"], "3")
        self.assertEqual(self.values("--config=" + three)["port"], "3")

    def test_what_is_printed_can_be_read(self):
        flags = ("--port", "77", "--max-body", "3M", "--log-level", "debug", "--access-log", "no",
                 "--log-format", "json", "--host", "::1", "--store-memory", "5G")
        done = command("--model", MODEL, "--check-config", *flags)
        path = self.file(done.stdout)
        self.assertEqual(self.values("--config", path), self.values(*flags))
        values = self.values("--config", path)
        self.assertEqual(values["store_memory"], str(5 << 30))
        self.assertEqual((values["access_log"], values["log_level"]), ("false", "debug"))

    def test_forms_of_flags(self):
        for flags in (("--port", "5"), ("--port=5",), ("--port", "4", "--port", "5")):
            self.assertEqual(self.values(*flags)["port"], "5")

    def test_sizes(self):
        for text, size in (("2048", 2048), ("2K", 2048), ("2M", 2 << 20), ("1G", 1 << 30)):
            values = self.values("--max-body", text, "--upload-memory", "1T")
            self.assertEqual(int(values["max_body"]), size)

    def test_switches(self):
        for word, value in (("true", "true"), ("yes", "true"), ("on", "true"), ("1", "true"),
                            ("false", "false"), ("no", "false"), ("off", "false"), ("0", "false")):
            self.assertEqual(self.values("--access-log", word)["access_log"], value)

    def test_kubernetes_service_links(self):
        """A service of the name maskd puts these into every container."""
        env = {"MASKD_SERVICE_HOST": "10.0.0.1", "MASKD_SERVICE_PORT": "80",
               "MASKD_SERVICE_PORT_HTTP": "80", "MASKD_PORT": "tcp://10.0.0.1:80",
               "MASKD_PORT_80_TCP": "tcp://10.0.0.1:80", "MASKD_PORT_80_TCP_PROTO": "tcp",
               "MASKD_PORT_80_TCP_PORT": "80", "MASKD_PORT_80_TCP_ADDR": "10.0.0.1"}
        self.assertEqual(self.values(env=env), self.values())
        self.assertEqual(self.values(env={"MASKD_PORT": "81"})["port"], "81")
        self.assertEqual(len(self.faults(env={"MASKD_PORT": "tcp"})), 1)

    # ---- what is wrong

    def test_all_faults_at_once(self):
        path = self.file("[server]\nport = many\nfoo = 1\n[limits]\nhost = a\nmax_body = 5X\n"
                         "[log]\nlog_format = xml\nnothing\n")
        env = {"MASKD_WORKERS": "-1", "MASKD_WROKERS": "1", "MASKD_LOG_LEVEL": "loud"}
        lines = self.faults("--config", path, "--idle-timeout", "0", "--max-pixels=x", "--wat",
                            "--host", "", "stray", "--max-side", env=env)
        for place, name, reason in ((path, "port = 'many'", "not a whole number"),
                                    (path, "foo", "no such option"),
                                    (path, "host", "[server]"), (path, "5X", "not a size"),
                                    (path, "xml", "text or json"), (path, "line 9", ""),
                                    ("environment", "MASKD_WORKERS", "between 0 and 256"),
                                    ("environment", "MASKD_WROKERS", "no such option"),
                                    ("environment", "loud", "debug, info, warning or error"),
                                    ("--idle-timeout", "0", "between 1 and"),
                                    ("--max-pixels", "x", "not a whole number"),
                                    ("--wat", "", "no such flag"), ("--host", "", "empty"),
                                    ("stray", "", "not a flag"),
                                    ("--max-side", "", "needs a value")):
            found = [line for line in lines if place in line and name in line and reason in line]
            self.assertEqual(len(found), 1, f"{place} {name} {reason}: {lines}")
        self.assertEqual(len(lines), 15, lines)

    def test_the_model_is_checked_too(self):
        done = command("--check-config", "--model", "/nothing/here", "--port", "x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nothing/here", done.stderr)
        self.assertIn("--port", done.stderr)
        self.assertIn("2 faults", done.stderr)

    def test_bad_values(self):
        for name, values in {"port": ("-1", "65536", "", " ", "1.5", "0x50", "80a", "9" * 30),
                             "http-threads": ("0", "65"), "workers": ("-1", "257"),
                             "prompt-queue": ("0",), "upload-queue": ("0",),
                             "prompt-deadline": ("0",), "drain-seconds": ("-1",),
                             "max-body": ("1023", "-1K", "3G", "1KB", "K", "1 K", "9" * 25),
                             "upload-memory": ("2000T", "9999999999G"),
                             "store-memory": ("3M", "4194303"), "max-pixels": ("0",),
                             "max-side": ("65536",), "log-level": ("INFO", ""),
                             "access-log": ("2", "TRUE", ""), "host": ("", "h" * 1024),
                             "model": ("",)}.items():
            for value in values:
                with self.subTest(name, value=value[:20]):
                    lines = self.faults(f"--{name}={value}")
                    self.assertIn(f"--{name}", lines[0])

    def test_no_unit_gets_below_the_least(self):
        for name, value in (("max-body", "0M"), ("max-body", "0G"), ("upload-memory", "0T"),
                            ("store-memory", "0G"), ("max-body", "0")):
            with self.subTest(name, value=value):
                lines = self.faults(f"--{name}={value}")
                self.assertTrue(any(f"--{name}" in line for line in lines), lines)

    def test_less_memory_than_one_body(self):
        self.assertIn("upload_memory", self.faults("--upload-memory", "1M")[0])

    def test_bad_files(self):
        missing = os.path.join(self.directory, "missing.ini")
        self.assertIn(missing, self.faults("--config", missing)[0])
        self.assertIn(missing, self.faults(env={"MASKD_CONFIG": missing})[0])
        self.assertTrue(self.faults("--config", self.file("port = 1\n")))  # in no section
        self.assertTrue(self.faults("--config", self.file("[server\nport = 1\n")))
        self.assertTrue(self.faults("--config", self.file("[server]\nport = 1" + "0" * 5000)))

    def test_a_directory_is_no_file(self):
        self.assertIn(self.directory, self.faults("--config", self.directory)[0])

    def test_short_flags_together(self):
        """Each fault names the argument that it is about."""
        for line in self.faults("-xy"):
            self.assertIn("-xy", line)

    def test_flags_that_are_none(self):
        for flag in ("-x", "--", "-", "--no-such-flag", "--check-config=yes", "x"):
            with self.subTest(flag):
                if flag == "--":
                    self.values(flag)
                else:
                    self.assertIn(flag.split("=")[0], self.faults(flag)[0])

    def test_wrong_options_do_not_start(self):
        done = command("--port", "x", env={"MASKD_WAT": "1"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--port", done.stderr)
        self.assertIn("MASKD_WAT", done.stderr)
        self.assertNotIn("listening", done.stderr)


class Talk(unittest.TestCase):
    """--help and --version."""

    def test_version(self):
        done = command("--version", "--model", MODEL, "--workers", "3", "--http-threads", "5")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Amaskd \d+\.\d+\.\d+\n")
        self.assertRegex(done.stdout, r"\nmodel +mobile_sam \(mobile_sam, \d+\.\d million")
        self.assertRegex(done.stdout, r"\nweights +sha256:[0-9a-f]{64}\n")
        self.assertRegex(done.stdout, r"OpenBLAS \w+, own \w+\n")
        self.assertRegex(done.stdout, r"threads +3 workers, 5 http\n")

    def test_version_agrees_with_the_daemon(self):
        daemon = Daemon()
        self.addCleanup(daemon.kill)
        model = client.request(daemon.port, "GET", "/v1/models").json()["models"][0]
        first = daemon.events[0]
        text = command("--version", "--model", MODEL).stdout
        self.assertIn(model["weights_sha256"], text)
        self.assertEqual(first["weights_sha256"], model["weights_sha256"])
        self.assertIn(f"OpenBLAS {first['openblas_core']}, own {first['kernels']}", text)
        self.assertIn(f"{first['workers']} workers", text)
        daemon.stop()

    def test_version_without_a_model(self):
        done = command("--version", "--model", "/nothing/here")
        self.assertEqual(done.returncode, 0)
        self.assertIn("/nothing/here", done.stdout)

    def test_help_names_every_option(self):
        printed = command("--check-config", "--model", MODEL).stdout
        names = re.findall(r"^(\w+) =", printed, re.MULTILINE)
        self.assertGreater(len(names), 20)
        for flag in ("--help", "-h"):
            done = command(flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for name in names:
                self.assertRegex(done.stdout, rf"--{name.replace('_', '-')}\s")


class Log(DaemonCase):

    flags = ("--log-level", "debug")

    def test_every_line_is_json(self):
        """Whatever clients write into paths and IDs. Daemon.stop looks at every line."""
        for path in ('/"quoted"', "/back\\slash", "/%0anew%0dline", "/%00", "/%ff%fe", "/%e2%82",
                     "/\u00e9", "/" + "a" * 5000, "/%1b[31m", "/%7f", "/{}[]", "/'"):
            connection = self.raw()
            request_id = "id-" + str(len(path)) + "\"\\"
            connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n\r\n"
                            .encode())
            self.assertEqual(connection.answer().check().status, 404)
            event = self.daemon.wait_event("request", request_id=request_id)
            self.assertEqual((event["method"], event["status"]), ("GET", 404))
        self.assertEqual(self.daemon.strays, [])
        for event in self.daemon.events:
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(event["level"], ("debug", "info", "warning", "error"))

    def test_what_is_not_logged(self):
        for flags in (("--access-log", "false"), ("--access-log=off",)):
            daemon = Daemon(*flags, "--log-level", "info")
            self.addCleanup(daemon.kill)
            client.request(daemon.port, "GET", "/healthz")
            daemon.stop()
            self.assertEqual(daemon.find("request"), [], flags)

    def test_text(self):
        done = command("--model", "/nothing here", "--port", "0")
        self.assertRegex(done.stderr, r'Z error +the model cannot be loaded model="/nothing here"')
        done = command("--model", "/nothing\there", "--port", "0", "--log-format", "json")
        self.assertEqual(json.loads(done.stderr)["model"], "/nothing\there")


if __name__ == "__main__":
    unittest.main()
