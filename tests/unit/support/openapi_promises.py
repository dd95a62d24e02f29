"""A check that problems in responses are documented for their operation, with the same members."""

import re
from collections.abc import Callable
from typing import Any

import httpx2
from attrs import frozen

from adapters.http.framework.problems import MEDIA_TYPE


@frozen
class _Promised:
    pattern: re.Pattern[str]
    methods: Any


def checker(document: Any) -> Callable[[httpx2.Response], None]:
    """A response hook that fails for a problem that the operation does not document."""
    promised = [
        _Promised(re.compile(re.sub(r"{\w+}", "[^/]+", path)), each) for path, each in document["paths"].items()
    ]
    # Literal paths before those with parameters.
    promised.sort(key=lambda each: each.pattern.pattern.count("[^/]+"))
    schemas = document["components"]["schemas"]
    by_code = {_const(schema, "code"): schema for name, schema in schemas.items() if name.endswith("Problem")}

    def check(response: httpx2.Response) -> None:
        if response.headers.get("content-type") != MEDIA_TYPE:
            return
        response.read()
        problem, status = response.json(), str(response.status_code)
        assert _members(problem) == _members(by_code[problem["code"]]), problem
        request = response.request
        methods: Any = next((each.methods for each in promised if each.pattern.fullmatch(request.url.path)), {})
        operation = methods.get(request.method.lower())
        if operation is None or status in {"405", "408", "413", "414", "421", "431", "500"}:
            return
        assert status in operation["responses"], f"{operation['operationId']} does not document {problem}"
        examples = operation["responses"][status]["content"][MEDIA_TYPE]["examples"]
        assert problem["code"] in examples, f"{operation['operationId']} does not document {problem}"

    return check


ALL = {"type", "title", "status", "detail", "code"}


def _const(schema: Any, name: str) -> Any:
    return schema["allOf"][1]["properties"][name]["const"]


def _members(thing: Any) -> set[str]:
    """The extension members of a problem document, or of the schema of a problem."""
    return set(thing["allOf"][1]["properties"] if "allOf" in thing else thing) - ALL
