"""Requests that are wrong: every fault is told, with its place, and all of them at once."""

import unittest

import client
import images
from case import DaemonCase

SEGMENT = "/v1/images/small/segment"
WIDTH, HEIGHT = 100, 50


class Prompts(DaemonCase):
    """On an image of 100 x 50 pixels."""

    flags = ("--max-prompts", "20")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client.request(cls.daemon.port, "POST", "/v1/images?id=small",
                       images.plain(WIDTH, HEIGHT))

    def fault(self, prompt, *pointers):
        answer = self.request("POST", SEGMENT, prompt)
        return self.refused(answer, "invalid-prompt", *pointers)

    # ---- not JSON

    def test_not_json(self):
        for body in ("", "   ", "{", "}", '{"points":[[1,1]]', '{"points":[[1,1]]}}', "points",
                     '{"points":[[1,1]],}', '{points:[[1,1]]}', "{'points':[[1,1]]}",
                     '{"points":[[1,1],]}', '{"points":[[01,1]]}', '{"points":[[1.,1]]}',
                     '{"points":[[.5,1]]}', '{"points":[[+1,1]]}', '{"points":[[0x1,1]]}',
                     '{"points":[[1e,1]]}', '{"points":[[NaN,1]]}', '{"points":[[nan,1]]}',
                     '{"points":[[Infinity,1]]}', '{"points":[[-Infinity,1]]}',
                     '{"points":[[1,1]]} x', '{"points":[[1,1]]}{}', '/*c*/{"points":[[1,1]]}',
                     '\ufeff{"points":[[1,1]]}', '{"format":"a\nb"}', '{"format":"\\x41"}',
                     '{"format":"\\u00g0"}', '{"format":"\\ud800"}', '{"format":"\\udc00x"}',
                     '{"format":"\\u0000"}', "tru", "nul", "--1", "[1,2", '"abc'):
            with self.subTest(body):
                self.refused(self.request("POST", SEGMENT, body), "bad-request")

    def test_not_text(self):
        good = b'{"points":[[1,1]],"format":"coco_rle"}'
        for name, body in (("latin-1", good.replace(b"coco", b"c\xf6co")),
                           ("overlong", good.replace(b"coco", b"\xc0\xaf")),
                           ("surrogate", good.replace(b"coco", b"\xed\xa0\x80")),
                           ("cut", good.replace(b"coco", b"\xe2\x82")),
                           ("over-unicode", good.replace(b"coco", b"\xf4\x90\x80\x80")),
                           ("utf-16", good.decode().encode("utf-16")),
                           ("zero-after", good + b"\0"), ("zero-before", b"\0" + good),
                           ("zero-inside", good.replace(b"coco", b"co\0co")),
                           ("png", images.plain(2, 2)), ("gzip", b"\x1f\x8b\x08" + bytes(50))):
            with self.subTest(name):
                self.refused(self.request("POST", SEGMENT, body), "bad-request")

    def test_zeros_do_not_end_a_prompt(self):
        body, headers = client.multipart(("file", images.plain(WIDTH, HEIGHT), "a.png"),
                                         ("prompt", b'{"points":[[1,1]]}\0garbage'))
        answer = self.request("POST", "/v1/segment?id=small", body, headers)
        self.refused(answer, "invalid-request", "/prompt")

    def test_deep_nesting(self):
        for deep in ("[" * 100000, "[" * 100000 + "]" * 100000, '{"a":' * 100000 + "1",
                     '{"points":' + "[" * 100000 + "]" * 100000 + "}"):
            for path in (SEGMENT, "/v1/segment"):
                with self.subTest(deep[:12], path=path):
                    answer = self.request("POST", path, deep)
                    self.assertIn(answer.status, (400, 422), answer)

    def test_long_numbers(self):
        for number in ("1" * 10_000_000, "0." + "1" * 1_000_000, "1e" + "9" * 1000, "-" + "9" * 500):
            with self.subTest(number[:9]):
                answer = self.request("POST", SEGMENT, '{"points":[[' + number + ",1]]}")
                self.assertIn(answer.status, (400, 422), answer)

    def test_many_values(self):
        with self.memory_limit(100):
            answer = self.request("POST", SEGMENT, "[" + "1," * 5_000_000 + "1]")
            self.assertIn(answer.status, (400, 413, 422), answer)
            answer = self.request("POST", SEGMENT, '{"points":[' + "[1,1]," * 50_000 + "[1,1]]}")
            self.refused(answer, "invalid-prompt", "/points")

    # ---- JSON, but not right

    def test_not_an_object(self):
        for body in ("[]", "1", '"points"', "null", "true", "[[1,1]]"):
            with self.subTest(body):
                self.fault(body, "")

    def test_nothing_asked(self):
        self.fault({}, "")
        self.fault({"multimask": True}, "")
        self.fault({"prompts": [{"points": [[1, 1]]}, {}]}, "/prompts/1")
        self.fault({"labels": [1]}, "/labels", "")

    def test_numbers_that_are_none(self):
        for number in ("1e999", "-1e999", "1e309", "null", '"1"', "[1]", "{}", "true"):
            with self.subTest(number):
                self.fault('{"points":[[' + number + ",1]]}", "/points/0/0")
                self.fault('{"box":[1,1,' + number + ",20]}", "/box/2")
                self.fault('{"points":[[1,1]],"threshold":' + number + "}", "/threshold")

    def test_wrong_types(self):
        wrong = {"points": [1, "x", {}, None, True, [1, 2], [[1]], [[1, 2, 3]], [[]], [None]],
                 "labels": [1, "x", {}, None, [None], ["1"], [2], [-1], [0.5], [True], [[1]]],
                 "box": [1, "x", {}, None, [], [1, 1, 2], [1, 1, 2, 2, 3], [[1, 1, 2, 2]]],
                 "mask": [1, "x", [], None, {}, {"size": [50, 100]}, {"counts": [5000]}],
                 "multimask": [1, "x", [], {}, None, "true", "Auto", 0],
                 "format": [1, "x", [], {}, None, "", "COCO_RLE", "coco_rle "],
                 "threshold": ["0", [], {}, None, True, 1e7, -1e7],
                 "text": [1, [], {}, None, True], "refine": [1, [], {}, None, "", "m_1"],
                 "min_area": ["0", -1, [], None], "simplify": ["0", -1, {}, False],
                 "fill_holes": [0, "false", None, []],
                 "prompts": [1, "x", {}, None, True, [], [1], [[]], [None]],
                 "boxes": [1, "x", {}, None, True, [], [1], [[]], [None], [[1, 2, 3]]]}
        for member, values in wrong.items():
            for value in values:
                with self.subTest(member, value=value):
                    prompt = {member: value}
                    if member not in ("prompts", "boxes", "points"):
                        prompt["points"] = [[1, 1]]
                    answer = self.request("POST", SEGMENT, prompt)
                    self.refused(answer, "invalid-prompt")
                    for error in answer.json()["errors"]:
                        self.assertTrue(error["pointer"].startswith("/" + member), answer)

    def test_members(self):
        self.fault({"points": [[1, 1]], "point": 1}, "/point")
        self.fault({"points": [[1, 1]], "Points": [[1, 1]]}, "/Points")
        self.fault({"points": [[1, 1]], "a/b~c": 1, "": 2}, "/a~1b~0c", "/")
        self.fault({"points": [[1, 1]], "é\U0001f600\n": 1}, "/é\U0001f600\n")
        self.fault('{"points":[[1,1]],"points":[[2,2]]}', "/points")
        self.fault('{"points":[[1,1]],"\\u0070oints":[[2,2]]}', "/points")
        self.fault({"mask": {"size": [50, 100], "counts": [5000], "x": 1}}, "/mask/x")
        answer = self.request("POST", SEGMENT, {"points": [[1, 1]], "k" * 100_000: 1})
        self.refused(answer, "invalid-prompt")
        self.assertLess(len(answer.body), 5000)

    def test_members_that_do_not_go_together(self):
        boxes, prompts = [[1, 1, 9, 9]], [{"points": [[1, 1]]}]
        self.fault({"boxes": boxes, "prompts": prompts}, "/boxes")
        self.fault({"boxes": boxes, "points": [[1, 1]], "labels": [1]}, "/points", "/labels")
        self.fault({"prompts": prompts, "box": [1, 1, 9, 9]}, "/box")
        self.fault({"prompts": [{"prompts": prompts}]}, "/prompts/0/prompts", "/prompts/0")

    def test_places(self):
        for point in ([-0.001, 1], [WIDTH, 1], [1e300, 1]):
            self.fault({"points": [point]}, "/points/0/0")
        for point in ([1, -1], [1, HEIGHT], [1, -1e300]):
            self.fault({"points": [point]}, "/points/0/1")
        self.fault({"points": [[1, 1], [-1, HEIGHT]]}, "/points/1/0", "/points/1/1")
        detail = self.fault({"points": [[1, HEIGHT]]})
        self.assertIn("100 x 50", detail)
        self.fault({"box": [-1, -1, WIDTH + 1, HEIGHT + 1]}, *(f"/box/{i}" for i in range(4)))
        for box in ([5, 5, 5, 9], [9, 5, 5, 9], [5, 9, 9, 5], [5, 5, 9, 5]):
            with self.subTest(box):
                self.fault({"box": box}, "/box")
                self.fault({"boxes": [[1, 1, 2, 2], box]}, "/boxes/1")
        self.fault({"box": [9, 9, 5, 5]}, "/box", "/box")

    def test_counts_of_things(self):
        point = [1, 1]
        self.fault({"points": []}, "/points")
        self.fault({"points": [point] * 65}, "/points")
        for labels in ([], [1, 1], [1] * 65):
            self.fault({"points": [point], "labels": labels}, "/labels")
        self.fault({"box": [1, 1, 9, 9], "labels": [1, 1]}, "/labels")
        self.assertIn("20", self.fault({"prompts": [{"points": [point]}] * 21}, "/prompts"))
        self.assertIn("max_prompts", self.fault({"boxes": [[1, 1, 9, 9]] * 21}, "/boxes"))

    def test_prior_masks(self):
        def bad(mask, *pointers):
            with self.subTest(mask):
                self.fault({"mask": mask}, *pointers)

        size, whole = [HEIGHT, WIDTH], [HEIGHT * WIDTH]
        for wrong in ([WIDTH, HEIGHT], [50, 101], [50], [50, 100, 1], [], ["50", 100], [0, 0],
                      [-50, -100], [1e9, 1e9], "50x100", None):
            with self.subTest(wrong):
                self.refused(self.request("POST", SEGMENT,
                                          {"mask": {"size": wrong, "counts": whole}}),
                             "invalid-prompt")
        for counts in ([], [4999], [5001], [5000, 1], [2500, 2499], [0], [2**32 - 1],
                       [2**32 - 1, 2**32 - 1], [1] * 4999, "", "0", "~~~", "o", "ooooooooooooooo",
                       "\\", "?" * 8, "P" * 5000, "PPPPPPPPPP0", "é", " ", None, 5000, {}, True):
            bad({"size": size, "counts": counts}, "/mask/counts")
        for counts, pointer in (([-1, 5001], "0"), ([2500.5, 2499.5], "0"), (["5000"], "0"),
                                ([5000, None], "1"), ([1e300], "0"), ([2**32], "0")):
            answer = self.request("POST", SEGMENT, {"mask": {"size": size, "counts": counts}})
            self.refused(answer, "invalid-prompt")
            self.assertEqual(answer.json()["errors"][0]["pointer"], "/mask/counts/" + pointer)
        bad({"size": [1, 1], "counts": [4999]}, "/mask/size", "/mask/counts")

    def test_all_faults_at_once(self):
        self.fault({"points": [[-1, 1], ["x", 1]], "labels": [1, 7], "box": [9, 9, 200],
                    "multimask": "some", "format": 3, "threshold": "0", "wat": 1, "text": 5,
                    "mask": {"size": [1, 1], "counts": "~"}},
                   "/points/0/0", "/points/1/0", "/labels/1", "/box", "/multimask", "/format",
                   "/threshold", "/wat", "/text", "/mask/size", "/mask/counts")
        self.fault({"prompts": [{"points": [[-1, 1]]}, {"box": [1, 1, 0, 2]}, {"x": 1}], "y": 1,
                    "format": "bmp"}, "/prompts/0/points/0/0", "/prompts/1/box", "/prompts/2/x",
                   "/prompts/2", "/y", "/format")
        answer = self.request("POST", SEGMENT, {f"member{i}": i for i in range(1000)})
        self.assertIn("1001", self.refused(answer, "invalid-prompt"))  # and nothing is asked
        self.assertTrue(10 <= len(answer.json()["errors"]) <= 100)

    def test_not_in_this_version(self):
        def missing(kind, **prompt):
            with self.subTest(**prompt):
                answer = self.request("POST", SEGMENT, {"points": [[1, 1]], **prompt})
                self.refused(answer, kind)

        missing("not-installed", text="the red truck")
        self.fault({"points": [[-1, 1]], "text": "a truck"}, "/points/0/0")


if __name__ == "__main__":
    unittest.main()
