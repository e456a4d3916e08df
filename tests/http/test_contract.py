"""api/openapi.json against the daemon: every operation, every route, every member of a body."""

import json
import os
import re
import subprocess
import sys
import unittest
import urllib.parse

import client
import contract
import images
from case import DaemonCase
from daemon import ROOT, command

sys.path.insert(0, os.path.join(ROOT, "tests", "parity"))
import prepare  # noqa: E402 (which has the packages of npm)

DOCUMENT = contract.document()
OURS = [operation for operation in DOCUMENT.operations if "adaptors" not in operation.definition["tags"]]
SCALARS = (None, True, -1, 0.5, "", "?!", [], {}, [None], [[]], ["?"], 1e300)


def source(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def violations(schema):
    """Values that the schema does not allow: of other types, and just beyond its limits."""
    resolved = DOCUMENT.resolve(schema)
    values = list(SCALARS)
    if "minimum" in resolved:
        values.append(resolved["minimum"] - 1)
    if "maximum" in resolved:
        values.append(resolved["maximum"] + 1)
    if "maxLength" in resolved:
        values.append("x" * (resolved["maxLength"] + 1))
    if "maxItems" in resolved:
        item = {"number": 1, "integer": 1}.get(DOCUMENT.resolve(resolved["items"]).get("type"), [1, 1])
        values.append([item] * (resolved["maxItems"] + 1))
    return [value for value in values if not DOCUMENT.is_valid(schema, value)]


def branches(schema):
    """The objects that a body may be."""
    resolved = DOCUMENT.resolve(schema)
    return [DOCUMENT.resolve(one) for one in resolved["anyOf"]] if "type" not in resolved else [resolved]


def pointers(answer):
    return [error["pointer"] for error in answer.json().get("errors", [])]


class Contract(DaemonCase):

    flags = ("--max-body", "4M")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.image = images.plain(1800, 1200)

    def setUp(self):
        super().setUp()
        self.upload("apple", self.image)

    def target(self, operation, **query):
        path = operation.path
        for parameter in operation.parameters:
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", parameter["example"])
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def headers(self, operation):
        """Those that are required."""
        return {parameter["name"]: parameter["schema"]["const"] for parameter in operation.parameters
                if parameter["in"] == "header" and parameter.get("required")}

    def send(self, operation, body=None, content_type=None, **query):
        headers = self.headers(operation)
        if content_type:
            headers["Content-Type"] = content_type
        return self.request(operation.method, self.target(operation, **query), body, headers)

    def bodies(self, operation):
        """A body and its type for each that the document has an example of, or that is made here."""
        content = operation.definition.get("requestBody", {}).get("content", {})
        for content_type, definition in content.items():
            if content_type == "application/json":
                for example in definition["examples"].values():
                    yield json.dumps(example["value"]), content_type
            elif content_type == "multipart/form-data":
                parts = {"file": self.image, "id": b"apple", "model": b"mobile_sam", "prompt": b'{"points":[[5,5]]}'}
                body, headers = client.multipart(*((name, parts[name]) for name in definition["schema"]["properties"]))
                yield body, headers["Content-Type"]
            elif "embedding" in operation.path:
                yield self.request("GET", self.target(operation)).body, content_type
            else:
                yield self.image, content_type
        if not content:
            yield None, None

    # ---- what is done

    def test_every_operation(self):
        """By all examples of the document; the answers are checked like those of all tests."""
        for operation in sorted(DOCUMENT.operations, key=lambda operation: operation.method == "DELETE"):
            if operation.path.endswith("/everything") and operation.method == "GET":
                continue  # after it has run: below
            for body, content_type in self.bodies(operation):
                with self.subTest(operation.name, body=str(body)[:80]):
                    answer = self.send(operation, body, content_type)
                    self.assertIn(answer.status, (200, 201, 204), answer)
                    if operation.name == "runEverything":
                        self.assertEqual(self.request("GET", self.target(operation)).status, 200)

    def test_heads(self):
        for operation in DOCUMENT.operations:
            if operation.method == "GET":
                with self.subTest(operation.name):
                    get = self.send(operation)
                    head = self.request("HEAD", self.target(operation), headers=self.headers(operation))
                    self.assertEqual(head.status, get.status)
                    self.assertEqual(head.header("Content-Type"), get.header("Content-Type"))

    def test_media_types(self):
        for operation in OURS:
            content = operation.definition["responses"].get("200", {}).get("content", {})
            for content_type in content if len(content) > 1 else ():
                with self.subTest(operation.name, accept=content_type):
                    body, sent = next(self.bodies(operation))
                    headers = {"Accept": content_type, "Content-Type": sent or "application/json"}
                    answer = self.request(operation.method, self.target(operation), body, headers)
                    self.assertEqual((answer.status, answer.header("Content-Type")), (200, content_type))

    # ---- what is refused

    def test_unknown_parameters(self):
        for operation in OURS:
            if "422" in operation.definition["responses"]:
                with self.subTest(operation.name):
                    answer = self.send(operation, None if operation.method == "GET" else "{}", wat=1)
                    self.refused(answer, "invalid-request", "?wat")

    def test_parameters(self):
        for operation in OURS:
            for parameter in operation.parameters:
                if parameter["in"] != "query":
                    continue
                schema = DOCUMENT.resolve(parameter["schema"])
                wanted = {value for value in ("", "!", "-1", "1e999", "x" * 200) if not DOCUMENT.is_valid(
                    {**schema, "type": schema.get("type", "string")}, value) or schema.get("type") == "integer"}
                if "maximum" in schema:
                    wanted.add(str(schema["maximum"] + 1))
                for value in wanted - {"-1"} if schema.get("type") == "string" else wanted:
                    with self.subTest(operation.name, **{parameter["name"]: value[:20]}):
                        answer = self.send(operation, None if operation.method == "GET" else "{}",
                                           **{parameter["name"]: value})
                        self.assertIn(answer.status, (422, 501), answer)
                        if answer.status == 422:
                            self.assertIn("?" + parameter["name"], pointers(answer))

    def test_unknown_images(self):
        for operation in OURS:
            if "{id}" in operation.path:
                with self.subTest(operation.name):
                    target = operation.path.replace("{id}", "nobody")
                    for body, content_type in self.bodies(operation):
                        if operation.method == "PUT":
                            continue
                        headers = {"Content-Type": content_type} if content_type else {}
                        self.refused(self.request(operation.method, target, body, headers), "unknown-image")

    def test_bodies_that_cannot_be_parsed(self):
        for operation in DOCUMENT.operations:
            if not operation.json_body() or operation.json_body()[0] == {"type": "object"}:
                continue  # of which nothing is read
            for body in ("{", "[1,]", '{"a":1}}', '{"a":"\\ud800"}', "nonsense", "\xff{}"):
                with self.subTest(operation.name, body=body):
                    answer = self.send(operation, body.encode("latin-1"), "application/json")
                    self.assertEqual(answer.status, 400, answer)

    def test_bodies_that_are_too_large(self):
        for operation in DOCUMENT.operations:
            if operation.method in ("POST", "PUT"):
                with self.subTest(operation.name):
                    self.refused(self.send(operation, b" " * (5 << 20)), "too-large")

    def each_branch(self):
        """Of each body of our own: its operation, an example, and the schema that this follows."""
        for operation in OURS:
            if not operation.json_body():
                continue
            schema, examples = operation.json_body()
            for branch in branches(schema):
                closed = {**branch, "additionalProperties": False}
                example = next(example["value"] for example in examples.values() if DOCUMENT.is_valid(closed, example["value"]))
                yield operation, example, branch

    def test_unknown_members(self):
        for operation, example, _ in self.each_branch():
            with self.subTest(operation.name, example=example):
                answer = self.send(operation, {**example, "wat": 1})
                self.assertEqual((answer.status, pointers(answer)), (422, ["/wat"]), answer)

    def test_missing_members(self):
        for operation, example, branch in self.each_branch():
            for name in branch.get("required", []):
                with self.subTest(operation.name, without=name):
                    rest = {key: value for key, value in example.items() if key != name}
                    answer = self.send(operation, rest)
                    self.assertEqual(answer.status, 422, answer)
                    self.assertTrue(set(pointers(answer)) & {"", "/" + name}, answer)

    def test_every_member(self):
        """No member takes a value that the document does not allow."""
        for operation, example, branch in self.each_branch():
            for name, schema in branch["properties"].items():
                for value in violations(schema):
                    with self.subTest(operation.name, **{name: str(value)[:40]}):
                        answer = self.send(operation, {**example, name: value})
                        self.assertEqual(answer.status, 422, answer)
                        self.assertTrue([pointer for pointer in pointers(answer)
                                         if (pointer + "/").startswith(f"/{name}/")], answer)

    # ---- the document itself

    def test_it_is_served(self):
        answer = self.request("GET", "/openapi.json")
        self.assertEqual(answer.body.decode(), source("api/openapi.json"))
        again = self.request("GET", "/openapi.json", headers={"If-None-Match": answer.header("ETag")})
        self.assertEqual(again.status, 304)


class Description(unittest.TestCase):
    """The document against the sources."""

    def test_routes(self):
        routes = set(re.findall(r'\{"([A-Z]+)",\s*"([^"]+)"', source("server/routes.c")))
        page = {route for route in routes if contract.PAGE_FILE.fullmatch(route[1])}
        documented = {(operation.method, operation.path) for operation in DOCUMENT.operations}
        self.assertGreater(len(page), 3)
        self.assertEqual(documented, routes - page - {("OPTIONS", "*")})

    def test_problems(self):
        known = set(re.findall(r'\{(\d+), "([a-z-]+)",', source("api/problem.c"))) - {("200", "none")}
        listed = DOCUMENT.content["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
        self.assertEqual(sorted(listed), sorted("/problems/" + name for _, name in known))
        self.assertEqual({kind: str(status) for kind, status in client.STATUS_OF.items()},
                         {"/problems/" + name: status for status, name in known})

    def test_version(self):
        version = command("--version").stdout.split()[1]
        self.assertEqual(DOCUMENT.content["info"]["version"], version)

    def test_examples_follow_their_schemas(self):
        for operation in DOCUMENT.operations:
            schema, examples = operation.json_body() or (None, {})
            for name, example in examples.items():
                self.assertTrue(DOCUMENT.is_valid(schema, example["value"]), f"example {name} of {operation.name}")

    def test_lint(self):
        """By Redocly's rules."""
        try:
            packages = prepare.install()
        except prepare.Missing as missing:
            self.skipTest(str(missing))
        script = os.path.join(ROOT, "tests", "http", "lint_openapi.mjs")
        run = subprocess.run(["node", script, str(packages), contract.PATH], capture_output=True, text=True,
                             timeout=300, check=False)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))


if __name__ == "__main__":
    unittest.main()
