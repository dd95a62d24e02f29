"""The OpenAPI 3.1 document, built from the same declarations as the routes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import evolve

from adapters.http.framework import idempotency_key
from adapters.http.framework.auth import Access
from adapters.http.framework.decoding import decode_body, decode_query
from adapters.http.framework.example import Example
from adapters.http.framework.money_fields import Amount
from adapters.http.framework.operation import Header, Link, Operation, ResponseSpec
from adapters.http.framework.problem_kinds import KINDS, MISSING_ID, catch_problem, to_problem
from adapters.http.framework.problems import MEDIA_TYPE, Problem, ProblemSchema, http_status
from adapters.http.framework.routing import MAX_ID
from adapters.http.framework.text_fields import ANY_TEXT
from adapters.http.framework.validation import nested_types
from scalecommerce_core.domain import errors

Json = dict[str, Any]

SCHEMAS: Final = "#/components/schemas/"
ID_SCHEMA: Final[Json] = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID}
PARAMETER_SCHEMAS: Final[Mapping[str, Json]] = {"id": ID_SCHEMA, "uuid": {"type": "string", "format": "uuid"}}
"""Schemas of path parameters by their convertors."""

IDEMPOTENCY_KEY: Final = Header(
    idempotency_key.HEADER,
    "A key of your choice: a repeated request with the same key returns the first response.",
    {
        "type": "string",
        "minLength": 1,
        "maxLength": idempotency_key.MAX_LENGTH,
        "pattern": "^[!-~]+$",
        "examples": ["4f3c0d1e-8a52-4c1b-9f0e-2d6a7b58c913"],
    },
)
IF_MATCH: Final = Header(
    "If-Match",
    "Perform the request only if the resource has this ETag, that of an earlier response.",
    {"type": "string", "pattern": '^"[!#-~]*"$', "examples": ['"v1"']},
)
IF_NONE_MATCH: Final = Header(
    "If-None-Match", "Respond with 304 if the resource has this ETag.", {"type": "string", "examples": ['"v1"']}
)
RETRY_AFTER: Final = Header(
    "Retry-After", "Seconds to wait before a retry.", {"type": "integer", "minimum": 1, "examples": [2]}
)
WWW_AUTHENTICATE: Final = Header(
    "WWW-Authenticate",
    "The authentication scheme, and the error of a token that was sent.",
    {"type": "string", "examples": ['Bearer realm="scalecommerce"']},
)
ETAG: Final = Header(
    "ETag", "The entity tag of the version, for If-Match and If-None-Match.", {"type": "string", "examples": ['"v1"']}
)
CONTENT_ETAG: Final = Header(
    "ETag",
    "The entity tag of the whole representation, for If-None-Match.",
    {"type": "string", "examples": ['"3b1f0a5c9d2e47688f6a1b0c5d4e3f21"']},
)
LOCATION: Final = Header(
    "Location",
    "URL of the new resource.",
    {"type": "string", "format": "uri-reference", "examples": ["/orders/api/v1/2001/"]},
)

PROBLEM_HEADERS: Final[Mapping[int, Header]] = {401: WWW_AUTHENTICATE, 429: RETRY_AFTER, 503: RETRY_AFTER}

COMMON_CODES: Final = (
    "method_not_allowed", "request_timeout", "uri_too_long", "misdirected_request", "request_header_fields_too_large",
    "internal",
)  # fmt: skip
"""Codes of problems that belong to no operation; the document contains their schemas too."""

UNAVAILABLE_ERRORS: Final = (
    errors.Unavailable, errors.TransactionAborted, errors.ConnectionLost, errors.Overloaded, errors.DeadlineExceeded
)  # fmt: skip
"""Errors that every operation can raise."""

NOUNS: Final[Mapping[str, str]] = {
    "products": "product",
    "orders": "order",
    "payments": "payment",
    "refunds": "refund",
    "emails": "e-mail",
    "policies": "policy",
    "promotions": "promotion",
    "runs": "run",
    "experiments": "experiment",
    "webhooks": "webhook endpoint",
    "deliveries": "delivery",
    "sessions": "session",
    "api-keys": "API key",
    "users": "account",
}
"""Nouns for ids, by the nearest path segment before the parameter."""

INVALID_QUERY_VALUES: Final[Mapping[str, str]] = {
    "page_size": "0",
    "limit": "0",
    "series": "month",
    "interval": "month",
}
"""Invalid values by query parameter. The example of field errors uses the first parameter that the operation has."""

CONVENTIONS: Final = (
    "Errors are RFC 9457 problem documents; `code` identifies the kind. An amount of money is a decimal string with a"
    " currency beside it. Times are RFC 3339 in UTC. Lists are pages with links to the next and the previous page."
)

COMPONENT_NAMES: Final[Mapping[str, str]] = {
    "DecisionOutcome": "Outcome",
    "LogInTokensSchema": "LogInTokens",
    "PageSchema": "PageAnswer",
    "ProductSchema": "Product",
    "SortOrder": "Ordering",
    "TokensSchema": "Tokens",
    "UserSchema": "User",
}
"""Names of components by the names of their classes, where they differ in more than `Schema` and `Document`."""

TAGS: Final[Mapping[str, str]] = {
    "Users": "Accounts, log-in and tokens",
    "Products": "The catalog: search, products, stock, statistics, categories",
    "Orders": "Orders, payments, refunds and sales",
    "Pricing": "Pricing policies, their runs and decisions, and experiments about what they earn",
    "Events": "The event feed",
    "Webhooks": "Events sent to your server",
    "Back office": "For staff: what needs a person, all orders, and retries",
    "Audit": "What staff and operators did with things of others",
    "Operations": "Health checks for load balancers",
}

_NO_EXAMPLES: Final[Mapping[str, Example]] = {}

DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The request is malformed or invalid, or has an unknown query parameter; `errors` contains messages by field.",
    401: "The access token is missing or invalid.",
    403: "The account does not have the permission.",
    404: "The resource does not exist, or the caller may not see it.",
    406: "The Accept header excludes application/json.",
    409: "The state of the resource does not allow the operation.",
    410: "The data has been deleted.",
    412: "The resource has changed since it was read.",
    413: "The body exceeds {max_body_bytes} bytes.",
    415: "The body is not application/json.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many attempts; retry later.",
    503: "The server is overloaded, the database is unreachable, or the request was not complete in time.",
}


def build_document(
    operations: Iterable[Operation],
    *,
    version: str,
    title: str = "ScaleCommerce",
    examples: Mapping[str, Example] = _NO_EXAMPLES,
    guide: str = "",
    currency: str = "USD",
) -> Json:
    """Build the document.

    `examples` are by operation name; `guide` is Markdown that is appended to the description; schemas of amounts are
    those of `currency`. Raise `ValueError` for contradictions: a duplicate name, a link to or an example of an unknown
    operation, a problem without an example in `problem_kinds`.
    """
    operations = list(operations)
    _validate_names(operations)
    if unused := examples.keys() - {operation.name for operation in operations}:
        raise ValueError(f"There are examples of unknown operations: {', '.join(sorted(unused))}.")
    schemas = _SchemaRegistry(operations, currency)
    paths: dict[str, Json] = {}
    for operation in operations:
        path = re.sub(r":\w+}", "}", operation.path)
        described = _OperationDescription(operation, examples.get(operation.name, Example()), schemas)
        paths.setdefault(path, {})[operation.method.lower()] = described.build()
    for code in COMMON_CODES:
        schemas.problem(code)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "summary": "A marketplace: catalog, orders, payments, and prices that follow demand.",
            "description": CONVENTIONS + guide,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to the document, so that it is correct behind a proxy and under a prefix.
        "servers": [{"url": "./", "description": "This server"}],
        "tags": [
            {"name": tag, **({"description": TAGS[tag]} if tag in TAGS else {})}
            for tag in dict.fromkeys(operation.tag for operation in operations)
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "examples": {
                code: {"summary": code, "value": next(iter(kind.documents.values()))}
                for code, kind in KINDS.items()
                if kind.schema_name in schemas.problems
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token: `access` in the response of `POST /users/api/v1/token/`.",
                },
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "sk_…",
                    "description": "An API key of `POST /users/api/v1/me/api-keys/` with the scope that the operation"
                    " names.",
                },
            },
        },
    }


def problem_codes(operation: Operation) -> Mapping[int, Sequence[str]]:
    """The codes of the problems that an operation can respond with, by status."""
    # Every operation rejects undeclared query parameters with a 400.
    possible: list[type[errors.MarketError] | tuple[int, str]] = [
        errors.Invalid,
        (400, "malformed"),
        *UNAVAILABLE_ERRORS,
    ]
    possible += operation.errors
    if operation.access in {Access.ACCOUNT, Access.STAFF}:
        possible.append(errors.NotAuthenticated)
    if operation.access is not Access.PUBLIC:
        possible.append(errors.TokenNotValid)
        # An API key may lack the scope.
        possible.append(errors.Forbidden)
    if operation.body is not None:
        possible += [(413, "content_too_large"), (415, "unsupported_media_type")]
    if "{" in operation.path:
        possible.append(errors.NotFound)
    if operation.has_json_response:
        possible.append((406, "not_acceptable"))
    if operation.conditional and operation.method != "GET":
        possible += [errors.VersionMismatch, (412, "precondition_failed")]
    if operation.idempotent:
        possible += [errors.IdempotencyKeyReused, errors.IdempotencyKeyInFlight]
    found = {each if isinstance(each, tuple) else (http_status(each), each.code) for each in possible}
    documented = [(status, code) for code, kind in KINDS.items() for status in kind.documents]
    if unknown := found - set(documented):
        raise ValueError(
            f"{operation.name}: problem_kinds has no example of {', '.join(code for _, code in sorted(unknown))}."
        )
    by_status: dict[int, list[str]] = {}
    for status, code in documented:
        if (status, code) in found:
            by_status.setdefault(status, []).append(code)
    return dict(sorted(by_status.items()))


def _validate_names(operations: Sequence[Operation]) -> None:
    names = [operation.name for operation in operations]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"Several operations are named {', '.join(sorted(duplicates))}.")
    for operation in operations:
        for answer in operation.responses.values():
            if unknown := {link.to for link in answer.links} - set(names):
                raise ValueError(f"{operation.name} links to unknown operations: {', '.join(sorted(unknown))}.")


class _SchemaRegistry:
    """The JSON Schemas of all types of the operations, each as one component."""

    def __init__(self, operations: Sequence[Operation], currency: str) -> None:
        requests = [struct for each in operations for struct in (each.body, each.query) if struct is not None]
        answers = [answer.body for each in operations for answer in each.responses.values() if answer.body is not None]
        types = list(dict.fromkeys([*requests, *answers, ProblemSchema]))
        self.problems: set[str] = set()
        """Names of the problem schemas in use."""
        found, self._components = msgspec.json.schema_components(
            types, schema_hook=partial(_amount_schema, currency), ref_template=SCHEMAS + "{name}"
        )
        found, self._components = _publish_names(found), _publish_names(self._components)
        self._references = dict(zip(types, found, strict=True))
        for info in nested_types(*types):
            if isinstance(info, msgspec.inspect.StructType):
                _add_time_formats(info, self._components)
        for name in self._reachable_names([self._references[struct] for struct in requests]):
            _add_text_pattern(self._components[name])
        for component in self._components.values():
            if component.get("required") == []:
                del component["required"]
        for struct in requests:
            self._component(struct).update(getattr(struct, "schema", {}))
            # Parts that are known at run time only, such as the names of registered strategies.
            if complete := getattr(struct, "complete_schema", None):
                complete(self._component(struct))
        # Query parameters are published one by one; their Structs are not published.
        for each in operations:
            if each.query is not None:
                self._component(each.query)
        self._queries = {each.query for each in operations if each.query is not None}

    def reference(self, struct: Any) -> Json:
        """The schema of a type: a reference, or an inline schema."""
        return dict(self._references[struct])

    def properties(self, struct: Any) -> tuple[Mapping[str, Json], Sequence[str]]:
        """The schemas of the fields of a Struct by name, and the names of the required fields."""
        component = self._component(struct)
        return component["properties"], component.get("required", [])

    def problem(self, code: str) -> Json:
        """A reference to the schema of problems with this code."""
        kind = KINDS[code]
        self.problems.add(kind.schema_name)
        self._components.setdefault(kind.schema_name, kind.schema(SCHEMAS + component_name(ProblemSchema.__name__)))
        return {"$ref": SCHEMAS + kind.schema_name}

    def components(self) -> Json:
        """All components; call this after all operations are described."""
        hidden = {self._references[query]["$ref"].removeprefix(SCHEMAS) for query in self._queries}
        self._component(ProblemSchema)["properties"]["code"]["enum"] = sorted(
            code for code, kind in KINDS.items() if kind.schema_name in self.problems
        )
        return {name: schema for name, schema in sorted(self._components.items()) if name not in hidden}

    def _component(self, struct: Any) -> Json:
        found: Json = self._components[self._references[struct]["$ref"].removeprefix(SCHEMAS)]
        return found

    def _reachable_names(self, schemas: Iterable[Any]) -> set[str]:
        found: set[str] = set()
        pending = list(schemas)
        while pending:
            schema = pending.pop()
            if isinstance(schema, list):
                pending.extend(schema)
            elif isinstance(schema, dict):
                pending.extend(schema.values())
                name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
                if name in self._components and name not in found:
                    found.add(name)
                    pending.append(self._components[name])
        return found


def component_name(name: str) -> str:
    """Convert the name of a class to the name of its component: `OrderSchema` is published as `OrderDocument`.

    Generated clients contain the names of components, so renaming a class must not rename its component.
    """
    return re.sub(r"[A-Za-z]+", _published_word, name)


def _published_word(match: re.Match[str]) -> str:
    word = match[0]
    published = COMPONENT_NAMES.get(word)
    return published or (f"{word.removesuffix('Schema')}Document" if word.endswith("Schema") else word)


def _publish_names(schema: Any) -> Any:
    """Replace class names by component names: in references, titles and the names of the components themselves."""
    match schema:
        case dict():
            return {
                component_name(name): component_name(value)
                if name in {"$ref", "title"} and isinstance(value, str)
                else _publish_names(value)
                for name, value in schema.items()
            }
        case list() | tuple():
            return [_publish_names(each) for each in schema]
        case _:
            return schema


def _is_time(info: msgspec.inspect.Type) -> bool:
    match info:
        case msgspec.inspect.Metadata():
            return _is_time(info.type)
        case msgspec.inspect.UnionType():
            return any(map(_is_time, info.types))
        case _:
            return isinstance(info, msgspec.inspect.DateTimeType)


def _add_time_formats(struct: msgspec.inspect.StructType, components: Mapping[str, Json]) -> None:
    """Add `format: date-time` to all times, which msgspec omits for fields declared without `tz=True`."""
    times = {each.encode_name for each in struct.fields if _is_time(each.type)}
    if not times:
        return
    properties = components[component_name(struct.cls.__name__)]["properties"]
    for name in times:
        for schema in (properties[name], *properties[name].get("anyOf", ())):
            if schema.get("type") == "string":
                schema["format"] = "date-time"


def _amount_schema(currency: str, struct: type) -> Json:
    if issubclass(struct, Amount):
        return struct.json_schema(currency)
    raise NotImplementedError


def _add_text_pattern(schema: Any) -> None:
    """Add a pattern without NUL to every unconstrained string of a request."""
    if isinstance(schema, list):
        for each in schema:
            _add_text_pattern(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "string" and not schema.keys() & {"pattern", "format", "enum"}:
            schema["pattern"] = ANY_TEXT
        for name, each in schema.items():
            if name not in {"default", "examples", "enum"}:
                _add_text_pattern(each)


class _OperationDescription:
    """Describes one operation as an OpenAPI Operation Object."""

    def __init__(self, operation: Operation, example: Example, schemas: _SchemaRegistry) -> None:
        self._operation, self._example, self._schemas = operation, example, schemas

    def build(self) -> Json:
        operation, schemas = self._operation, self._schemas
        described: Json = {
            "operationId": operation.name,
            "summary": operation.summary,
            "tags": [operation.tag],
            "parameters": [*self._path_parameters(), *self._query_parameters(), *_header_parameters(operation)],
            "responses": {
                **{
                    str(status): self._success_response(status, each)
                    for status, each in sorted(operation.responses.items())
                },
                **{
                    str(status): self._problem_response(status, found)
                    for status, found in problem_codes(operation).items()
                },
            },
            "security": _describe_security(operation),
        }
        if operation.description:
            described["description"] = operation.description
        if operation.body is not None:
            content: Json = {"schema": schemas.reference(operation.body)}
            if bodies := self._body_examples():
                content["examples"] = bodies
            described["requestBody"] = {
                "required": not operation.is_body_optional,
                "content": {"application/json": content},
                "x-max-body-bytes": operation.max_body_bytes,
            }
        return described

    def _body_examples(self) -> Json:
        example = self._example
        if example.body is None:
            return {}
        bodies = {"Works on the demo market": example.body, **example.alternatives}
        return {
            re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"): {"summary": name, "value": dict(body)}
            for name, body in bodies.items()
        }

    def _path_parameters(self) -> list[Json]:
        return [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": f"Id of the {path_noun(self._operation.path, name)}.",
                "schema": PARAMETER_SCHEMAS.get(kind, {"type": "string"}),
                **self._example_value(name),
            }
            for name, kind in re.findall(r"{(\w+)(?::(\w+))?}", self._operation.path)
        ]

    def _query_parameters(self) -> list[Json]:
        if self._operation.query is None:
            return []
        properties, required = self._schemas.properties(self._operation.query)
        return [
            {**_describe_query_parameter(name, schema, required=name in required), **self._example_value(name)}
            for name, schema in properties.items()
        ]

    def _example_value(self, name: str) -> Json:
        """The example of a parameter, which `/docs` fills in; empty without an example."""
        return {"example": self._example.parameters[name]} if name in self._example.parameters else {}

    def _success_response(self, status: int, answer: ResponseSpec) -> Json:
        described: Json = {"description": answer.description}
        if answer.body is not None:
            content: Json = {"schema": self._schemas.reference(answer.body)}
            if status in self._example.responses:
                content["example"] = msgspec.to_builtins(self._example.responses[status])
            described["content"] = {answer.media_type: content}
        if answer.headers:
            described["headers"] = {each.name: _describe_header(each) for each in answer.headers}
        if answer.links:
            described["links"] = {link.to: _describe_link(link) for link in answer.links}
        return described

    def _problem_response(self, status: int, found: Sequence[str]) -> Json:
        references = {code: self._schemas.problem(code) for code in found}
        schema: Json = next(iter(references.values()))
        if len(references) > 1:
            mapping = {code: reference["$ref"] for code, reference in references.items()}
            schema = {
                "oneOf": list(references.values()),
                "discriminator": {"propertyName": "code", "mapping": mapping},
            }
        examples = {code: self._problem_example(status, code) for code in found}
        described: Json = {
            "description": DESCRIPTIONS.get(status, HTTPStatus(status).phrase).format(
                max_body_bytes=self._operation.max_body_bytes
            ),
            "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
        }
        headers = [PROBLEM_HEADERS[status]] if status in PROBLEM_HEADERS else []
        if errors.IdempotencyKeyInFlight.code in found:
            headers.append(evolve(RETRY_AFTER, always=False))
        if headers:
            described["headers"] = {header.name: _describe_header(header) for header in headers}
        return described

    def _problem_example(self, status: int, code: str) -> Json:
        for sample in map(to_problem, self._example.problems):
            if (sample.status, sample.code) == (status, code):
                return {"summary": code, "value": sample.document()}
        if code == errors.Invalid.code:
            return {"summary": code, "value": self._validation_problem().document()}
        if code == errors.NotFound.code:
            noun = path_noun(self._operation.path)
            return {"summary": code, "value": to_problem(errors.NotFound(noun, MISSING_ID)).document()}
        documents = KINDS[code].documents
        if status == next(iter(documents)):
            return {"$ref": f"#/components/examples/{code}"}
        return {"summary": code, "value": documents[status]}

    def _validation_problem(self) -> Problem:
        """The problem for an invalid request, as the decoder raises it."""
        operation = self._operation
        if operation.body is not None:
            properties, required = self._schemas.properties(operation.body)
            invalid_body = self._example.invalid_body or ({} if required else {next(iter(properties)): []})
            return catch_problem(partial(decode_body, msgspec.json.encode(invalid_body), operation.body))
        query = b"page=2"
        if operation.query is not None:
            properties, _ = self._schemas.properties(operation.query)
            if name := next((name for name in INVALID_QUERY_VALUES if name in properties), None):
                query = f"page=2&{name}={INVALID_QUERY_VALUES[name]}".encode()
        return catch_problem(partial(decode_query, query, operation.query))


def path_noun(path: str, parameter: str | None = None) -> str:
    """The noun for the id in a path parameter, by default in the last one."""
    end = path.index(f"{{{parameter}:") if parameter else len(path)
    words = re.findall(r"[\w-]+", path[:end])
    return next((NOUNS[word] for word in reversed(words) if word in NOUNS), "resource")


def _describe_link(link: Link) -> Json:
    described: Json = {"operationId": link.to, "parameters": dict(link.parameters)}
    if link.body is not None:
        described["requestBody"] = dict(link.body)
    return described


def _describe_security(operation: Operation) -> list[Json]:
    if operation.access is Access.PUBLIC:
        return []
    anonymous: list[Json] = [{}] if operation.access is Access.OPTIONAL else []
    by_key: list[Json] = [] if operation.scope is None else [{"api_key": [operation.scope.value]}]
    return [*anonymous, {"bearer": []}, *by_key]


def _describe_query_parameter(name: str, schema: Json, *, required: bool) -> Json:
    parameter_schema = _query_string_schema(schema)
    parameter: Json = {"name": name, "in": "query", "required": required, "schema": parameter_schema}
    if description := parameter_schema.pop("description", None):
        parameter["description"] = description
    if parameter_schema.pop("deprecated", False):
        parameter["deprecated"] = True
    if parameter_schema.get("type") == "array":
        parameter |= {"style": "form", "explode": True}
    return parameter


def _query_string_schema(schema: Json) -> Json:
    """The schema of a query parameter: without null, and with only the string form of an amount."""
    parameter_schema = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    options = [option for option in parameter_schema.pop("anyOf", []) if option != {"type": "null"}]
    if not options:
        return parameter_schema
    strings = [option for option in options if option.get("type") == "string" and "pattern" in option]
    numbers = [option for option in options if option.get("type") == "number"]
    if strings and numbers:
        options = strings
        strings[0] = {
            **strings[0],
            "examples": [each for each in parameter_schema.pop("examples", ()) if isinstance(each, str)],
        }
    return (
        {**parameter_schema, **_query_string_schema(options[0])}
        if len(options) == 1
        else {**parameter_schema, "anyOf": options}
    )


def _header_parameters(operation: Operation) -> list[Json]:
    headers = list(operation.headers)
    if operation.idempotent:
        headers.append(IDEMPOTENCY_KEY)
    if operation.conditional:
        headers.append(IF_NONE_MATCH if operation.method == "GET" else IF_MATCH)
    return [
        {"name": each.name, "in": "header", "description": each.description, "schema": dict(each.schema)}
        for each in headers
    ]


def _describe_header(header: Header) -> Json:
    return {"description": header.description, "required": header.always, "schema": dict(header.schema)}
