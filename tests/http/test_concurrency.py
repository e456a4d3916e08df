"""Many at once: what is shared, what waits, what is refused, what is evicted."""

import threading
import time
import unittest

import client
import hostile
import images
from case import DaemonCase
from client import head, post
from daemon import seconds, wait_until

PROMPT = {"points": [[320, 200]]}


def at_once(count, work):
    """Runs work(i) in so many threads that start together; returns the results in order."""
    barrier = threading.Barrier(count)
    results = [None] * count

    def run(i):
        barrier.wait()
        try:
            results[i] = work(i)
        except Exception as error:  # told by assert in the caller's thread
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


class ManyCase(DaemonCase):

    def post(self, path, body):
        return self.request("POST", path, body)

    def statuses(self, answers):
        return sorted(answer.status for answer in answers)

    def present(self, image_id):
        return self.request("GET", f"/v1/images/{image_id}").status == 200


class OneImage(ManyCase):

    def test_the_same_image_is_encoded_once(self):
        answers = at_once(20, lambda i: self.post("/v1/images?id=same", images.disc(1)))
        self.assertEqual(self.statuses(answers), [200] * 19 + [201])
        self.assertEqual(len(self.daemon.find("encoded", image="same")), 1)
        for answer in answers:
            self.assertEqual(answer.json()["cached"], answer.status == 200)

    def test_an_image_and_prompts_at_once(self):
        body, headers = client.multipart(("file", images.disc(2), "a.png"),
                                         ("prompt", b'{"points":[[320,200]]}'))

        def work(i):
            if i % 2:
                return self.post("/v1/images?id=both", images.disc(2))
            return self.request("POST", "/v1/segment?id=both", body, headers)

        answers = at_once(12, work)
        self.assertLessEqual({answer.status for answer in answers}, {200, 201})
        self.assertEqual(len(self.daemon.find("encoded", image="both")), 1)
        masks = [answer.json()["masks"][0]["segmentation"] for answer in answers[::2]]
        self.assertTrue(all(mask == masks[0] for mask in masks))

    def test_one_id_two_images(self):
        answers = at_once(8, lambda i: self.post("/v1/images?id=two", images.disc(3 + i % 2)))
        first = answers[0].status < 300
        for i, answer in enumerate(answers):
            expected = (200, 201) if (i % 2 == 0) == first else (409,)
            self.assertIn(answer.status, expected, answer)
        self.assertEqual(len(self.daemon.find("encoded", image="two")), 1)

    def test_prompts_wait_for_the_image(self):
        """Behind another image, so that there is time to ask."""
        uploads = []
        for image_id, seed in (("ahead", 5), ("waited", 6)):
            uploads.append(self.raw(60))
            uploads[-1].send(post(f"/v1/images?id={image_id}", images.disc(seed)))
        wait_until(lambda: self.present("waited"), 10, "a claim")
        look = self.request("GET", "/v1/images/waited").json()
        self.assertEqual((look["status"], look["cached"]), ("encoding", False))
        self.refused(self.post("/v1/images/waited/segment", {"points": [[9999, 1]]}),
                     "invalid-prompt", "/points/0/0")  # what is wrong is told at once
        self.assertEqual(self.daemon.find("encoded", image="waited"), [])
        answers = at_once(5, lambda i: self.post("/v1/images/waited/segment", PROMPT))
        self.assertEqual(self.statuses(answers), [200] * 5)
        self.assertEqual(len(self.daemon.find("encoded", image="waited")), 1)
        for upload in uploads:
            self.assertEqual(upload.answer("POST").check().status, 201)

    def test_deleted_while_it_is_encoded(self):
        upload, prompt = self.raw(60), self.raw(60)
        upload.send(post("/v1/images?id=gone", images.disc(7)))
        wait_until(lambda: self.present("gone"), 10, "a claim")
        prompt.send(post("/v1/images/gone/segment", PROMPT))
        self.assertEqual(self.request("DELETE", "/v1/images/gone").status, 204)
        self.assertFalse(self.present("gone"))
        self.assertEqual(upload.answer("POST").check().status, 201)
        self.assertIn(prompt.answer("POST").check().status, (200, 404))
        self.assertFalse(self.present("gone"))

    def test_a_broken_image_many_times(self):
        answers = at_once(10, lambda i: self.post("/v1/images?id=broken", hostile.BROKEN))
        self.assertEqual(self.statuses(answers), [415] * 10)
        self.assertFalse(self.present("broken"))


class OneConnection(ManyCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client.request(cls.daemon.port, "POST", "/v1/images?id=disc", images.disc())

    def test_many_requests(self):
        connection = self.raw()
        for i in range(1000):
            connection.send(head("GET", "/healthz", f"X-Request-Id: {i}"))
            answer = connection.answer().check()
            self.assertEqual((answer.status, answer.header("X-Request-Id")), (200, str(i)))

    def test_pipelining(self):
        """Requests of all kinds in one go; the answers come in their order."""
        kinds = [(head("GET", "/healthz"), 200), (head("GET", "/nothing"), 404),
                 (head("DELETE", "/v1/images/none"), 404),
                 (post("/v1/images/disc/segment", PROMPT), 200),
                 (post("/v1/images?id=disc", images.disc()), 200),
                 (post("/v1/images", b"text"), 415), (post("/v1/images/disc/segment", b"{"), 400)]
        requests = b""
        for i in range(70):
            first, rest = kinds[i % len(kinds)][0].split(b"\r\n", 1)
            requests += first + b"\r\nX-Request-Id: r%d\r\n" % i + rest
        connection = self.raw(120)
        connection.send(requests)
        for i in range(70):
            answer = connection.answer("POST")
            self.assertIsNotNone(answer, f"closed before answer {i}")
            self.assertEqual(answer.check().header("X-Request-Id"), f"r{i}")
            self.assertEqual(answer.status, kinds[i % len(kinds)][1], answer)

    def test_request_ids(self):
        for given, echoed in (("abc", True), ("a" * 128, True), ("!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
                                                                 True),
                              ("a" * 129, False), ("a b", False), ("", False), ("a\tb", False),
                              ("\u00e9", False), ("a\x7f", False), ("a\x01b", False)):
            with self.subTest(given[:20]):
                connection = self.raw()
                connection.send(head("GET", "/healthz", f"X-Request-Id: {given}"))
                answer = connection.answer().check()
                self.assertEqual(answer.header("X-Request-Id") == given, echoed)
        ours = {self.request("GET", "/healthz").header("X-Request-Id") for _ in range(50)}
        self.assertEqual(len(ours), 50)

    def test_closing(self):
        for request in (head("GET", "/healthz", "Connection: close"),
                        b"GET /healthz HTTP/1.0\r\n\r\n"):
            connection = self.raw()
            connection.send(request)
            self.assertEqual(connection.answer().check().status, 200)
            self.assertTrue(connection.closed())

    def test_head(self):
        for path, status in (("/healthz", 200), ("/v1/images/disc", 200), ("/v1/images/no", 404)):
            connection = self.raw()
            for method in ("HEAD", "GET"):  # a body after HEAD would spoil the second answer
                connection.send(head(method, path))
                answer = connection.answer(method).check()
                self.assertEqual(answer.status, status)
                self.assertGreater(int(answer.header("Content-Length")), 0)


class Lists(ManyCase):
    """Several workers take turns at one list."""

    flags = ("--workers", "3")

    def test_lists_at_once(self):
        self.upload_disc()
        prompts = [{"points": [[20 + 5 * i, 30 + 3 * i]]} for i in range(9)]
        alone = [self.segment("disc", prompt)[0]["predicted_iou"] for prompt in prompts]
        lists = at_once(4, lambda _: self.segment("disc", {"prompts": prompts}))
        for masks in lists:
            self.assertEqual([mask["prompt"] for mask in masks], list(range(9)))
            for mask, iou in zip(masks, alone):
                self.assertAlmostEqual(mask["predicted_iou"], iou, places=4)


class ListsBesideUploads(ManyCase):
    """More workers than prompts are given while uploads want them too: a list's own turns wait for each other."""

    flags = ("--workers", "4")

    def test_a_client_that_sends_no_more_gets_its_list(self):
        self.upload_disc()
        over = threading.Event()

        def upload():
            for i in range(1000):
                if over.is_set():
                    break
                self.post(f"/v1/images?id=other-{i}", images.disc(10 + i % 90))

        uploads = threading.Thread(target=upload)
        uploads.start()
        try:
            connection = self.raw()
            connection.send(post("/v1/images/disc/segment", {"prompts": [PROMPT] * 60}))
            connection.finish()
            self.assertEqual(connection.answer().status, 200)
        finally:
            over.set()
            uploads.join()


class Queues(ManyCase):
    """One worker, and room for one waiting prompt and one waiting image."""

    flags = ("--workers", "1", "--prompt-queue", "1", "--upload-queue", "1")

    def test_too_many_prompts(self):
        self.upload_disc()
        answers = at_once(40, lambda i: self.post("/v1/images/disc/segment", PROMPT))
        self.assertEqual({answer.status for answer in answers}, {200, 503})
        for answer in answers:
            if answer.status == 503:
                self.assertIn("prompt_queue", self.refused(answer, "overloaded"))
        self.assertEqual(len(self.segment("disc", PROMPT)), 1)

    def test_a_long_list_of_prompts_is_one(self):
        self.upload_disc()
        self.assertEqual(len(self.segment("disc", {"prompts": [PROMPT] * 30})), 30)

    def test_too_many_images(self):
        answers = at_once(8, lambda i: self.post(f"/v1/images?id=q{i}", images.disc(10 + i)))
        self.assertEqual({answer.status for answer in answers}, {201, 503})
        for i, answer in enumerate(answers):
            self.assertEqual(self.present(f"q{i}"), answer.status == 201)
            if answer.status == 503:
                self.assertIn("upload_queue", self.refused(answer, "overloaded"))
                refused = i
        self.assertEqual(self.post(f"/v1/images?id=q{refused}", images.disc(10 + refused)).status,
                         201)


class Deadlines(ManyCase):

    flags = ("--workers", "1", "--prompt-deadline", "1", "--upload-deadline", "1")

    def test_prompts(self):
        self.upload_disc()
        answers = at_once(250, lambda i: self.post("/v1/images/disc/segment", PROMPT))
        self.assertEqual({answer.status for answer in answers}, {200, 503})
        for answer in answers:
            if answer.status == 503:
                self.assertIn("prompt_deadline", self.refused(answer, "deadline"))
        self.assertEqual(len(self.segment("disc", PROMPT)), 1)

    def test_images(self):
        answers = at_once(8, lambda i: self.post(f"/v1/images?id=d{i}", images.disc(20 + i)))
        self.assertEqual({answer.status for answer in answers}, {201, 503})
        for i, answer in enumerate(answers):
            self.assertEqual(self.present(f"d{i}"), answer.status == 201)
            if answer.status == 503:
                self.assertIn("upload_deadline", self.refused(answer, "deadline"))


class Memory(ManyCase):

    flags = ("--max-body", "1M", "--upload-memory", "1M", "--store-memory", "7M")

    def test_upload_memory(self):
        """A body that arrives holds its memory; another that no longer fits is refused."""
        holding = self.raw()
        request = post("/v1/images", bytes(600_000))
        holding.send(request[:-1])
        time.sleep(seconds(0.3))  # until it has arrived
        answer = self.post("/v1/images", bytes(600_000))
        self.assertIn("upload_memory", self.refused(answer, "overloaded"))
        self.assertEqual(self.request("GET", "/healthz").status, 200)
        holding.send(request[-1:])
        self.refused(holding.answer("POST"), "unsupported-image")
        self.refused(self.post("/v1/images", bytes(600_000)), "unsupported-image")

    def test_the_least_recently_used_goes(self):
        """Room for three records."""
        for i, name in enumerate("abc"):
            self.upload(name, images.disc(30 + i))
        self.segment("a", PROMPT)
        self.upload("d", images.disc(33))
        listed = self.request("GET", "/v1/images").json()["images"]  # does not count as use
        self.assertEqual([image["id"] for image in listed], ["a", "c", "d"])
        answer = self.post("/v1/images/b/segment", PROMPT)
        self.assertIn("upload it again", self.refused(answer, "unknown-image"))
        self.assertTrue(self.present("c"))  # a look counts as use
        self.upload("b", images.disc(31))
        listed = self.request("GET", "/v1/images").json()["images"]
        self.assertEqual([image["id"] for image in listed], ["b", "c", "d"])
        self.assertEqual(len(self.segment("b", PROMPT)), 1)

    def test_uploaded_bytes_count(self):
        """Of embeddings alone there would be room for three, and with their files for two."""
        large = images.noise(500, 500)
        self.assertGreater(len(large), 700_000)
        for name in "xyz":
            self.upload(name, large)
        listed = self.request("GET", "/v1/images").json()["images"]
        self.assertEqual([image["id"] for image in listed], ["y", "z"])


if __name__ == "__main__":
    unittest.main()
