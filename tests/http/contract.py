"""What api/openapi.json says, and whether an answer is as it says."""

import functools
import json
import os
import re
import urllib.parse

import jsonschema

from daemon import ROOT

PATH = os.path.join(ROOT, "api", "openapi.json")
METHODS = ("get", "put", "post", "delete")

# Of every answer, or of none in particular: HTTP's own, and those of CORS.
GENERAL_HEADERS = {"date", "connection", "content-length", "content-type", "allow", "access-control-allow-origin",
                   "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
                   "access-control-expose-headers", "access-control-allow-credentials", "vary"}
# Where no operation is: the problem of an unknown route or method, and those that come before it.
ELSEWHERE = {400, 401, 404, 405, 411, 413, 429, 503}
LARGE = 200_000  # bytes of JSON, which would take long to go through


def closed(schema):
    """The same, but what an object has must be listed: nothing is answered that the document does not tell."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    more = {name: closed(item) for name, item in schema.items() if name not in ("example", "examples")}
    if schema.get("type") == "object" and schema.get("properties") and "additionalProperties" not in schema:
        more["additionalProperties"] = False
    return more


class Operation:
    def __init__(self, document, method, path, item, definition):
        self.document = document
        self.method = method.upper()
        self.path = path
        self.definition = definition
        self.name = definition["operationId"]
        self.parameters = [document.resolve(parameter) for parameter in
                           item.get("parameters", []) + definition.get("parameters", [])]
        pattern = "/".join("[^/]{1,128}" if part.startswith("{") else re.escape(part) for part in path.split("/"))
        self.pattern = re.compile(pattern)

    def json_body(self):
        """The schema of the body in JSON and its examples; or None."""
        content = self.definition.get("requestBody", {}).get("content", {}).get("application/json")
        return (content["schema"], content.get("examples", {})) if content else None

    def check(self, answer):
        """That the answer is documented: its status, headers, type and content."""
        documented = self.definition["responses"].get(str(answer.status))
        where = f"{self.method} {self.path}: {answer}"
        assert documented, f"status {answer.status} is not documented for {where}"
        documented = self.document.resolve(documented)
        self._check_headers(documented.get("headers", {}), answer, where)
        if answer.method == "HEAD" or not answer.body:
            return
        content_type = answer.header("Content-Type")
        content = documented.get("content", {})
        assert content_type in content, f"type {content_type} is not documented for {where}"
        schema = content[content_type].get("schema")
        if schema and "json" in content_type and len(answer.body) < LARGE:
            self.document.validate(schema, answer.json(), where)

    def _check_headers(self, documented, answer, where):
        documented = {name.lower(): self.document.resolve(header) for name, header in documented.items()}
        present = {name.lower(): value for name, value in answer.headers}
        unknown = set(present) - set(documented) - GENERAL_HEADERS
        assert not unknown, f"headers {unknown} are not documented for {where}"
        for name, header in documented.items():
            assert name in present or not header.get("required"), f"no {name}: {where}"
            if name in present:
                self.document.validate(header["schema"], present[name], f"{name} of {where}")


class Document:
    def __init__(self):
        with open(PATH, encoding="utf-8") as file:
            self.content = json.load(file)
        self.operations = [Operation(self, method, path, item, item[method])
                           for path, item in self.content["paths"].items() for method in METHODS if method in item]
        self.resolver = jsonschema.RefResolver("", self.content)
        self.closed_resolver = jsonschema.RefResolver("", closed(self.content))

    def resolve(self, node):
        """What a reference means; anything else as it is."""
        while "$ref" in node:
            at = self.content
            for part in node["$ref"].removeprefix("#/").split("/"):
                at = at[part.replace("~1", "/").replace("~0", "~")]
            node = at
        return node

    def validate(self, schema, value, where):
        """That an answer's value follows the schema."""
        validator = jsonschema.Draft202012Validator(closed(schema), resolver=self.closed_resolver)
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        assert error is None, f"{error.message[:300]} at {error.json_path} in {where}"

    def is_valid(self, schema, value):
        """Whether a request's value follows the schema."""
        return jsonschema.Draft202012Validator(schema, resolver=self.resolver).is_valid(value)

    def find(self, method, target):
        """The operation of a request, and whether anything is at its path; of a HEAD, the GET."""
        path = urllib.parse.unquote(target.split("?")[0], "latin-1")
        here = [operation for operation in self.operations if operation.pattern.fullmatch(path)]
        method = "GET" if method == "HEAD" else method
        return next((operation for operation in here if operation.method == method), None), bool(here)


@functools.cache
def document():
    return Document()


# The files that the page consists of are not an API.
PAGE_FILE = re.compile(r"/[a-z]+\.(js|css|svg|jpg)")


def check(method, target, answer):
    """That the answer to this request is as the document says."""
    operation, known = document().find(method, target)
    if operation:
        operation.check(answer)
    elif method == "OPTIONS":
        assert answer.status in ELSEWHERE | {204}, f"{method} {target}: {answer}"
    elif not PAGE_FILE.fullmatch(target.split("?")[0]):
        assert answer.status in ELSEWHERE, f"{method} {target} is not documented: {answer}"
        assert answer.status != 405 or known, f"{target} is not documented: {answer}"


def refuses_by_problems(method, target):
    """Whether faults come as problem+json alone; a tool may have another form of its own."""
    operation, _ = document().find(method, target)
    return not operation or not any("application/json" in document().resolve(response).get("content", {})
                                    for status, response in operation.definition["responses"].items() if status >= "4")
