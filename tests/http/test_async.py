"""Uploads that do not wait: Prefer: respond-async (RFC 7240)."""

import unittest

import images
from case import DaemonCase
from daemon import wait_until

ASYNC = {"Prefer": "respond-async"}


class AsyncCase(DaemonCase):

    def upload_async(self, image_id, data, prefer="respond-async"):
        return self.request("POST", f"/v1/images?id={image_id}", data, {"Prefer": prefer})

    def status(self, image_id):
        return self.request("GET", f"/v1/images/{image_id}").json()["status"]

    def wait_encoded(self, image_id):
        """What GET tells once it is no longer being encoded."""
        wait_until(lambda: self.status(image_id) != "encoding", 30, f"the end of {image_id}")
        return self.request("GET", f"/v1/images/{image_id}").json()


class Uploads(AsyncCase):

    def test_answered_at_once(self):
        names = [f"at-once-{i}" for i in range(4)]  # the last one waits for all others
        for i, name in enumerate(names):
            answer = self.upload_async(name, images.disc(40 + i))
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(answer.header("Location"), f"/v1/images/{name}")
            self.assertEqual(answer.header("Preference-Applied"), "respond-async")
            self.assertEqual(answer.json(), {"id": name, "width": 640, "height": 480,
                                             "model": "mobile_sam", "status": "encoding",
                                             "cached": False})
        pending = self.request("GET", f"/v1/images/{names[-1]}")
        self.assertEqual(pending.status, 200)
        self.assertEqual(pending.json()["status"], "encoding")
        tag = pending.header("ETag")
        polled = self.request("GET", f"/v1/images/{names[-1]}", headers={"If-None-Match": tag})
        self.assertEqual(polled.status, 304, polled)
        self.assertEqual(len(self.segment(names[-1], {"points": [[320, 200]]})), 1)  # it waits
        for name in names:
            ready = self.wait_encoded(name)
            self.assertEqual((ready["status"], ready["cached"]), ("ready", True))
            self.assertEqual(len(self.daemon.find("encoded", image=name)), 1)
        changed = self.request("GET", f"/v1/images/{names[-1]}", headers={"If-None-Match": tag})
        self.assertEqual(changed.status, 200)
        self.assertNotEqual(changed.header("ETag"), tag)

    def test_what_is_there_is_answered_as_ever(self):
        self.upload("there", images.disc(50))
        answer = self.upload_async("there", images.disc(50))
        self.assertEqual(answer.status, 200, answer)
        self.assertIsNone(answer.header("Preference-Applied"))
        self.assertEqual(answer.json()["status"], "ready")

    def test_joining_an_upload(self):
        first, second, third = (self.upload_async("joined", images.disc(51)) for _ in range(3))
        self.assertEqual(first.status, 202)
        self.assertIn(second.status, (200, 202))
        self.assertEqual(self.upload("joined", images.disc(51))["status"], "ready")
        self.assertIn(third.status, (200, 202))
        self.assertEqual(len(self.daemon.find("encoded", image="joined")), 1)

    def test_default_id(self):
        answer = self.request("POST", "/v1/images", images.disc(52), ASYNC)
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(self.wait_encoded(answer.json()["id"])["status"], "ready")

    def test_forms_of_the_header(self):
        forms = (("wait=9, Respond-Async", 202), ("respond-async;a=b, x=y", 202),
                 ("wait=10", 201), ("respond-asynchronously", 201), ("respond-async=0", 201))
        for i, (prefer, status) in enumerate(forms):
            with self.subTest(prefer):
                answer = self.upload_async(f"form-{i}", images.plain(30, 30), prefer)
                self.assertEqual(answer.status, status, answer)

    def test_several_lines(self):
        data = images.plain(31, 30)
        connection = self.raw()
        connection.send(b"POST /v1/images?id=lines HTTP/1.1\r\nHost: maskd\r\nPrefer: wait=5\r\n"
                        b"Prefer: respond-async\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        self.assertEqual(connection.answer("POST").check().status, 202)

    def test_what_the_header_shows_is_refused_at_once(self):
        self.refused(self.upload_async("text", b"a photo of a cat"), "unsupported-image")
        self.refused(self.request("GET", "/v1/images/text"), "unknown-image")
        self.assertEqual(self.upload_async("taken", images.disc(53)).status, 202)
        self.refused(self.upload_async("taken", images.disc(54)), "id-conflict")


class Failures(AsyncCase):
    """The file is good as far as its header goes."""

    def fail(self, image_id):
        answer = self.upload_async(image_id, images.noise(64, 48)[:-200])
        self.assertEqual(answer.status, 202, answer)
        return self.wait_encoded(image_id)

    def test_get_tells_why(self):
        failed = self.fail("damaged")
        problem = failed.pop("problem")
        self.assertEqual(failed, {"id": "damaged", "width": 64, "height": 48,
                                  "model": "mobile_sam", "status": "failed", "cached": False})
        self.assertEqual((problem["type"], problem["status"]),
                         ("/problems/unsupported-image", 415))
        listed = self.request("GET", "/v1/images").json()["images"]
        self.assertNotIn("damaged", [image["id"] for image in listed])
        answer = self.request("POST", "/v1/images/damaged/segment", {"points": [[1, 1]]})
        self.assertIn(problem["detail"], self.refused(answer, "unknown-image"))

    def test_forgotten_by_the_next_upload(self):
        self.fail("again")
        self.assertEqual(self.upload("again", images.plain(20, 20))["status"], "ready")
        self.assertEqual(self.status("again"), "ready")

    def test_forgotten_by_delete(self):
        self.fail("deleted")
        self.assertEqual(self.request("DELETE", "/v1/images/deleted").status, 204)
        self.refused(self.request("GET", "/v1/images/deleted"), "unknown-image")
        self.refused(self.request("DELETE", "/v1/images/deleted"), "unknown-image")

    def test_not_remembered_when_told(self):
        answer = self.request("POST", "/v1/images?id=told", images.noise(64, 48)[:-200])
        self.refused(answer, "unsupported-image")
        self.refused(self.request("GET", "/v1/images/told"), "unknown-image")


class FullQueue(AsyncCase):

    flags = ("--upload-queue", "1")

    def test_what_cannot_be_queued_is_refused_at_once(self):
        answers = {f"full-{i}": self.upload_async(f"full-{i}", images.disc(60 + i))
                   for i in range(6)}
        self.assertEqual({answer.status for answer in answers.values()}, {202, 503})
        for name, answer in answers.items():
            if answer.status == 202:
                self.assertEqual(self.wait_encoded(name)["status"], "ready")
            else:
                self.assertIn("upload_queue", self.refused(answer, "overloaded"))
                self.refused(self.request("GET", f"/v1/images/{name}"), "unknown-image")


if __name__ == "__main__":
    unittest.main()
