"""/metrics, read by Prometheus' own parser."""

import math
import os
import tempfile
import unittest

from prometheus_client.parser import text_string_to_metric_families

import client
import images
from case import DaemonCase
from daemon import Daemon, wait_until

KEY = "the-key-of-the-metrics-test"


class Samples:
    """One scrape: families by name, and values by name and labels."""

    def __init__(self, answer):
        assert answer.status == 200, answer
        self.text = answer.body.decode("ascii")
        self.families = {}
        self.values = {}
        for family in text_string_to_metric_families(self.text):
            assert family.name not in self.families, f"{family.name} comes twice"
            self.families[family.name] = family
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.values, f"{key} comes twice"
                self.values[key] = sample.value

    def value(self, name, **labels):
        return self.values.get((name, frozenset(labels.items())), 0)

    def histograms(self, family):
        """(labels, [(bound, count), ...], sum, count) of each."""
        found = {}
        for sample in self.families[family].samples:
            labels = {key: value for key, value in sample.labels.items() if key != "le"}
            entry = found.setdefault(frozenset(labels.items()), {"buckets": []})
            if sample.name.endswith("_bucket"):
                entry["buckets"].append((float(sample.labels["le"]), sample.value))
            else:
                entry[sample.name.rsplit("_", 1)[1]] = sample.value
        return found


class Metrics(DaemonCase):

    def scrape(self, headers=None):
        return Samples(self.request("GET", "/metrics", headers=headers))

    def scrape_until(self, condition):
        """A request is counted once its answer is sent, which the client may see before."""
        last = []

        def holds():
            last[:] = [self.scrape()]
            return condition(last[0])
        wait_until(holds, 5, "the metrics tell")
        return last[0]

    def test_form(self):
        self.upload_disc()
        answer = self.request("GET", "/metrics")
        self.assertRegex(answer.header("Content-Type"), r"^text/plain; version=0\.0\.4\b")
        samples = Samples(answer)
        types = {name: family.type for name, family in samples.families.items()}
        for name, kind in {"maskd_requests": "counter", "maskd_request_seconds": "histogram",
                           "maskd_encode_seconds": "histogram", "maskd_rejected": "counter",
                           "maskd_segment_seconds": "histogram", "maskd_store_hits": "counter",
                           "maskd_everything_seconds": "histogram", "maskd_store_misses": "counter",
                           "maskd_queue_seconds": "histogram", "maskd_store_evictions": "counter",
                           "maskd_queue_depth": "gauge", "maskd_jobs_running": "gauge",
                           "maskd_store_bytes": "gauge", "maskd_store_records": "gauge",
                           "maskd_build_info": "gauge", "process_cpu_seconds": "counter",
                           "process_resident_memory_bytes": "gauge", "process_open_fds": "gauge",
                           "process_virtual_memory_bytes": "gauge", "process_max_fds": "gauge",
                           "process_start_time_seconds": "gauge"}.items():
            self.assertEqual(types.get(name), kind, name)
        for name, family in samples.families.items():
            self.assertTrue(family.documentation, name)
            self.assertRegex(name, "^(maskd|process)_[a-z0-9_]+$")
        for line in samples.text.splitlines():
            if not line.startswith("#") and line.split("{")[0].split(" ")[0].endswith("_total"):
                self.assertIn(" counter", samples.text.split("# TYPE " + line.split("{")[0]
                                                             .split(" ")[0])[1].split("\n")[0])

    def test_requests_are_counted(self):
        self.upload_disc("counted")
        before = self.scrape()
        for path, times in (("/v1/images/counted", 3), ("/v1/images/none", 2), ("/v1/models", 1)):
            for _ in range(times):
                self.request("GET", path)
        self.request("HEAD", "/v1/images/counted")
        self.segment("counted", {"points": [[60, 60]]})
        self.request("POST", "/v1/images/counted/segment", {"points": []})
        for path in ("/nothing", "/nothing/else", "/metrics/", "/v1/images/x" + "y" * 200):
            self.request("GET", path)
        self.request("BREW", "/v1/images")
        one = "/v1/images/{id}"
        for route, method, code, count in ((one, "GET", "200", 3), (one, "GET", "404", 2),
                                           (one, "HEAD", "200", 1), ("/v1/models", "GET", "200", 1),
                                           (one + "/segment", "POST", "200", 1),
                                           (one + "/segment", "POST", "422", 1),
                                           ("none", "other", "404", 4), ("none", "other", "405", 1),
                                           ("/metrics", "GET", "200", 1)):
            labels = {"route": route, "method": method, "code": code}
            after = self.scrape_until(lambda now: now.value("maskd_requests_total", **labels) >=
                                      before.value("maskd_requests_total", **labels) + count)
            if route != "/metrics":
                self.assertEqual(after.value("maskd_requests_total", **labels) -
                                 before.value("maskd_requests_total", **labels), count, labels)
        self.assertNotIn("counted", after.text)
        self.assertNotIn("nothing", after.text)
        self.assertGreater(after.value("maskd_sent_bytes_total"),
                           before.value("maskd_sent_bytes_total"))

    def test_work_is_measured(self):
        before = self.scrape()
        first = self.upload("measured", images.disc(5))
        self.upload("measured", images.disc(5))  # it is there already
        self.request("POST", "/v1/images/measured/segment",
                     {"boxes": [[10, 10, 90, 90], [20, 20, 80, 80], [30, 30, 70, 70]]})
        after = self.scrape()

        def rise(name, **labels):
            return after.value(name, **labels) - before.value(name, **labels)

        self.assertEqual(rise("maskd_encode_seconds_count"), 1)
        self.assertEqual(rise("maskd_decode_seconds_count"), 1)
        self.assertEqual(rise("maskd_segment_seconds_count"), 3)
        self.assertEqual(rise("maskd_queue_seconds_count", lane="bulk"), 1)
        self.assertEqual(rise("maskd_queue_seconds_count", lane="interactive"), 1)
        self.assertAlmostEqual(rise("maskd_encode_seconds_sum"),
                               first["timing_ms"]["encode"] / 1000, delta=0.002)
        self.assertEqual(rise("maskd_store_records", tier="memory"), 1)
        self.assertGreater(rise("maskd_store_bytes", tier="memory"), 2 << 20)
        self.assertGreaterEqual(rise("maskd_store_hits_total", tier="memory"), 2)
        self.assertGreaterEqual(rise("maskd_store_misses_total", tier="memory"), 1)
        self.assertEqual(rise("maskd_store_evictions_total", tier="memory"), 0)
        self.assertGreater(rise("maskd_received_bytes_total"), len(images.disc(5)))
        self.assertGreater(rise("process_cpu_seconds_total"), 0)

    def test_histograms(self):
        self.upload_disc()
        self.segment("disc", {"points": [[60, 60]]})
        samples = self.scrape()
        histograms = [name for name, family in samples.families.items()
                      if family.type == "histogram"]
        self.assertGreaterEqual(len(histograms), 6)
        for name in histograms:
            for labels, found in samples.histograms(name).items():
                with self.subTest(name, labels=dict(labels)):
                    bounds, counts = zip(*found["buckets"])
                    self.assertEqual(list(bounds), sorted(set(bounds)))
                    self.assertEqual(bounds[-1], math.inf)
                    self.assertEqual(list(counts), sorted(counts))
                    self.assertEqual(counts[-1], found["count"])
                    least = sum((count - before) * bound for bound, count, before in
                                zip((0,) + bounds, counts, (0,) + counts))
                    self.assertGreaterEqual(found["sum"], least - 1e-6)
        segments = samples.histograms("maskd_segment_seconds")[frozenset()]
        self.assertGreater(segments["sum"], 0)

    def test_how_things_stand(self):
        samples = self.scrape_until(  # by the scrape alone
            lambda now: now.value("maskd_requests_open") == 1)
        (info,) = samples.families["maskd_build_info"].samples
        model = self.request("GET", "/v1/models").json()["models"][0]
        self.assertEqual((info.value, info.labels["model"], info.labels["weights_sha256"]),
                         (1, model["name"], model["weights_sha256"]))
        self.assertTrue(info.labels["version"] and info.labels["isa"])
        self.assertEqual(samples.value("maskd_queue_depth", lane="interactive"), 0)
        self.assertEqual(samples.value("maskd_jobs_running", lane="bulk"), 0)
        self.assertEqual(samples.value("maskd_draining"), 0)
        self.assertEqual(samples.value("maskd_upload_memory_bytes"), 0)
        resident = self.daemon.memory()
        self.assertLess(abs(samples.value("process_resident_memory_bytes") - resident), 16 << 20)
        self.assertGreater(samples.value("process_virtual_memory_bytes"), resident)
        self.assertLess(abs(samples.value("process_open_fds") - self.daemon.files()), 4)
        with open(f"/proc/{self.daemon.process.pid}/limits", encoding="ascii") as limits:
            soft = [line.split()[3] for line in limits if line.startswith("Max open files")]
        self.assertEqual([str(int(samples.value("process_max_fds")))], soft)
        started = os.stat(f"/proc/{self.daemon.process.pid}").st_ctime
        self.assertLess(abs(samples.value("process_start_time_seconds") - started), 5)

    def test_connections(self):
        self.scrape_until(lambda now: now.value("maskd_connections") == 1)  # its own
        before = 1
        others = [self.raw() for _ in range(5)]
        for other in others:
            other.send(client.head("GET", "/healthz"))
            other.answer()
        self.scrape_until(lambda now: now.value("maskd_connections") == before + 5)


class Refused(unittest.TestCase):

    def start(self, *flags):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "keys")
        with open(path, "w", encoding="ascii") as file:
            file.write(KEY)
        daemon = Daemon("--api-keys", path, *flags)
        self.addCleanup(daemon.kill)
        return daemon

    def test_by_reason(self):
        daemon = self.start("--rate-limit", "1", "--rate-burst", "3")
        with_key = {"X-API-Key": KEY}
        statuses = [client.request(daemon.port, "GET", "/v1/models", headers=headers).status
                    for headers in [{}] * 6 + [with_key] * 6]
        samples = Samples(client.request(daemon.port, "GET", "/metrics", headers=with_key))
        for reason, status in (("unauthorized", 401), ("rate", 429)):
            self.assertGreaterEqual(statuses.count(status), 2, statuses)
            self.assertEqual(samples.value("maskd_rejected_total", reason=reason),
                             statuses.count(status))
        for reason in ("overloaded", "deadline", "draining"):
            self.assertIn(("maskd_rejected_total", frozenset({("reason", reason)})), samples.values)
        self.assertNotIn(KEY, samples.text)
        self.assertEqual(client.request(daemon.port, "GET", "/metrics").status, 429)
        daemon.stop()

    def test_with_or_without_a_key(self):
        daemon = self.start()
        self.assertEqual(client.request(daemon.port, "GET", "/metrics").status, 401)
        daemon.stop()
        daemon = self.start("--open-metrics", "true")
        self.assertEqual(client.request(daemon.port, "GET", "/metrics").status, 200)
        self.assertEqual(client.request(daemon.port, "GET", "/v1/models").status, 401)
        daemon.stop()


if __name__ == "__main__":
    unittest.main()
