"""The OpenAPI 3.1 document, from the declarations that also make the routes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from adapters.http import idempotency
from adapters.http.amounts import Amount
from adapters.http.auth import Access
from adapters.http.operations import Answer, Header, Operation
from adapters.http.problems import MEDIA_TYPE, ProblemDocument
from adapters.http.routing import MAX_ID
from adapters.http.texts import ANY_TEXT

Json = dict[str, Any]

SCHEMAS: Final = "#/components/schemas/"
ID: Final[Json] = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID}

IDEMPOTENCY_KEY: Final = Header(
    idempotency.HEADER,
    "A key of your choice: repeating the request with it returns the first answer.",
    {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_LENGTH, "pattern": "^[!-~]+$"},
)
IF_MATCH: Final = Header(
    "If-Match",
    "Act only on this edition: the ETag of an earlier answer.",
    {"type": "string", "pattern": '^"[!#-~]*"$', "examples": ['"v1"']},
)
IF_NONE_MATCH: Final = Header("If-None-Match", "Answer 304 when the ETag is still this one.")
RETRY_AFTER: Final = Header("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 1})
WWW_AUTHENTICATE: Final = Header("WWW-Authenticate", "How to log in, and what is wrong with a token that was given.")
ETAG: Final = Header("ETag", "The edition, for If-Match and If-None-Match.")
ETAG_OF_ALL: Final = Header("ETag", "Of all that is shown, for If-None-Match.")
LOCATION: Final = Header("Location", "Where the new resource is.", {"type": "string", "format": "uri-reference"})

PROBLEM_HEADERS: Final[Mapping[int, Header]] = {401: WWW_AUTHENTICATE, 429: RETRY_AFTER, 503: RETRY_AFTER}

DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The request is malformed, breaks a rule or has an unknown query parameter; `errors` names the fields and"
    " parameters.",
    401: "Nobody is logged in, or the token is not valid.",
    403: "This account may not do this.",
    404: "It does not exist, or not for this caller.",
    406: "The Accept header leaves no room for application/json.",
    409: "The state of the resource does not allow this.",
    410: "It was there and is not kept any more.",
    412: "Somebody edited the resource since it was read.",
    413: "The body is longer than 1 MiB.",
    415: "The body is not application/json.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many attempts for now.",
    503: "The server is overloaded, or its database is away.",
}


def document(operations: Iterable[Operation[Any, Any]], *, version: str, title: str = "ScaleCommerce") -> Json:
    listed = list(operations)
    _check_names(listed)
    schemas = _Schemas(listed)
    paths: dict[str, Json] = {}
    for operation in listed:
        path = re.sub(r":\w+}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "summary": "Sellers list, buyers order under load, prices follow demand.",
            "description": "Errors are RFC 9457 problem documents. Money is a decimal string with a currency. "
            "Times are RFC 3339 in UTC. Lists are pages with links to the next and the previous one.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in listed)],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def statuses(operation: Operation[Any, Any]) -> list[int]:
    """The problems that an operation can answer with."""
    found = {400, 503, *operation.errors}
    if operation.body is not None:
        found |= {413, 415}
    if operation.access is not Access.PUBLIC:
        found.add(401)
    if operation.access is Access.STAFF:
        found.add(403)
    if "{" in operation.path:
        found.add(404)
    if operation.has_json_answer:
        found.add(406)
    if operation.conditional and operation.method != "GET":
        found.add(412)
    if operation.idempotent:
        found |= {409, 422}
    return sorted(found)


def _check_names(operations: Sequence[Operation[Any, Any]]) -> None:
    names = [operation.name for operation in operations]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"Several operations are named {', '.join(sorted(twice))}.")
    for operation in operations:
        for answer in operation.answers.values():
            if lost := {link.to for link in answer.links} - set(names):
                raise ValueError(f"{operation.name} links to {', '.join(sorted(lost))}, which does not exist.")


class _Schemas:
    """JSON Schemas of all types that the operations mention, each once."""

    def __init__(self, operations: Sequence[Operation[Any, Any]]) -> None:
        requests = [wanted for each in operations for wanted in (each.body, each.query) if wanted is not None]
        answers = [answer.body for each in operations for answer in each.answers.values() if answer.body is not None]
        types = list(dict.fromkeys([*requests, *answers, ProblemDocument]))
        found, self._components = msgspec.json.schema_components(
            types, schema_hook=_custom, ref_template=SCHEMAS + "{name}"
        )
        self._of = dict(zip(types, found, strict=True))
        for name in self._reachable([self._of[wanted] for wanted in requests]):
            _forbid_nul(self._components[name])
        for component in self._components.values():
            if component.get("required") == []:
                del component["required"]
        for wanted in requests:
            self._inline(wanted).update(getattr(wanted, "schema", {}))
        # Query parameters are listed one by one; their Structs are of no interest.
        for each in operations:
            if each.query is not None:
                self._inline(each.query)
        self._queries = {each.query for each in operations if each.query is not None}

    def of(self, wanted: Any) -> Json:
        return dict(self._of[wanted])

    def properties(self, wanted: Any) -> tuple[Mapping[str, Json], Sequence[str]]:
        component = self._inline(wanted)
        return component["properties"], component.get("required", [])

    def components(self) -> Json:
        hidden = {self._of[query]["$ref"].removeprefix(SCHEMAS) for query in self._queries}
        return {name: schema for name, schema in sorted(self._components.items()) if name not in hidden}

    def _inline(self, wanted: Any) -> Json:
        found: Json = self._components[self._of[wanted]["$ref"].removeprefix(SCHEMAS)]
        return found

    def _reachable(self, schemas: Iterable[Any]) -> set[str]:
        found: set[str] = set()
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, list):
                waiting.extend(schema)
            elif isinstance(schema, dict):
                waiting.extend(schema.values())
                name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
                if name in self._components and name not in found:
                    found.add(name)
                    waiting.append(self._components[name])
        return found


def _custom(wanted: type) -> Json:
    if issubclass(wanted, Amount):
        return dict(wanted.schema)
    raise NotImplementedError


def _forbid_nul(schema: Any) -> None:
    """Say of every free text in a request what is true of it."""
    if isinstance(schema, list):
        for each in schema:
            _forbid_nul(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "string" and not schema.keys() & {"pattern", "format", "enum"}:
            schema["pattern"] = ANY_TEXT
        for name, each in schema.items():
            if name not in {"default", "examples", "enum"}:
                _forbid_nul(each)


def _operation(operation: Operation[Any, Any], schemas: _Schemas) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, schemas), *_headers_of(operation)],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in sorted(operation.answers.items())},
            **{str(status): _problem(status, schemas) for status in statuses(operation)},
        },
        "security": _security(operation.access),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.is_body_optional,
            "content": {"application/json": {"schema": schemas.of(operation.body)}},
        }
    return described


def _security(access: Access) -> list[Json]:
    if access is Access.PUBLIC:
        return []
    return [{}, {"bearer": []}] if access is Access.OPTIONAL else [{"bearer": []}]


def _path_parameters(operation: Operation[Any, Any]) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": ID if kind == "id" else {"type": "string"}}
        for name, kind in re.findall(r"{(\w+)(?::(\w+))?}", operation.path)
    ]


def _query_parameters(operation: Operation[Any, Any], schemas: _Schemas) -> list[Json]:
    if operation.query is None:
        return []
    properties, required = schemas.properties(operation.query)
    return [_query_parameter(name, schema, required=name in required) for name, schema in properties.items()]


def _query_parameter(name: str, schema: Json, *, required: bool) -> Json:
    told = _as_text(schema)
    parameter: Json = {"name": name, "in": "query", "required": required, "schema": told}
    if description := told.pop("description", None):
        parameter["description"] = description
    if told.get("type") == "array":
        parameter |= {"style": "form", "explode": True}
    return parameter


def _as_text(schema: Json) -> Json:
    """What a query string can say: it has no null, and of an amount only the string."""
    told = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    options = [option for option in told.pop("anyOf", []) if option != {"type": "null"}]
    if not options:
        return told
    strings = [option for option in options if option.get("type") == "string" and "pattern" in option]
    numbers = [option for option in options if option.get("type") == "number"]
    if strings and numbers:
        options = strings
    return {**told, **_as_text(options[0])} if len(options) == 1 else {**told, "anyOf": options}


def _headers_of(operation: Operation[Any, Any]) -> list[Json]:
    headers = list(operation.headers)
    if operation.idempotent:
        headers.append(IDEMPOTENCY_KEY)
    if operation.conditional:
        headers.append(IF_NONE_MATCH if operation.method == "GET" else IF_MATCH)
    return [
        {"name": each.name, "in": "header", "description": each.description, "schema": dict(each.schema)}
        for each in headers
    ]


def _answer(answer: Answer, schemas: _Schemas) -> Json:
    described: Json = {"description": answer.description}
    if answer.body is not None:
        described["content"] = {"application/json": {"schema": schemas.of(answer.body)}}
    if answer.headers:
        described["headers"] = {each.name: _response_header(each) for each in answer.headers}
    if answer.links:
        described["links"] = {
            link.to: {"operationId": link.to, "parameters": dict(link.parameters)} for link in answer.links
        }
    return described


def _problem(status: int, schemas: _Schemas) -> Json:
    described: Json = {
        "description": DESCRIPTIONS.get(status, HTTPStatus(status).phrase),
        "content": {MEDIA_TYPE: {"schema": schemas.of(ProblemDocument)}},
    }
    if header := PROBLEM_HEADERS.get(status):
        described["headers"] = {header.name: _response_header(header)}
    return described


def _response_header(header: Header) -> Json:
    return {"description": header.description, "required": header.always, "schema": dict(header.schema)}
