"""What one method of one path does, declared once: routes and the OpenAPI document are both made from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from attrs import field, frozen
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.framework.auth import Access
from adapters.http.framework.validation import nested_types
from scalecommerce_core.domain.errors import MarketError, NotAuthenticated
from scalecommerce_core.services.accounts import Identity

Body = TypeVar("Body")
Query = TypeVar("Query")


@frozen
class Call(Generic[Body, Query]):
    """One request, decoded. `body` and `query` are Structs of the types that the operation declares, else None."""

    request: Request
    optional_identity: Identity | None
    body: Body
    query: Query
    idempotency_key: str | None = None

    @property
    def identity(self) -> Identity:
        """The caller of an operation that not everybody may use."""
        if self.optional_identity is None:
            raise NotAuthenticated("Log in first.")
        return self.optional_identity

    @property
    def id(self) -> int:
        return int(self.request.path_params["id"])


@frozen
class Link:
    """How an answer leads on, for people and for stateful tests: `parameters` are runtime expressions of OpenAPI."""

    to: str
    """The `name` of another operation."""
    parameters: Mapping[str, str] = field(factory=lambda: {"id": "$response.body#/id"})
    body: Mapping[str, str] | None = None
    """Request body of the linked operation: `/docs` fills it in."""


@frozen
class Header:
    """A header of a request or an answer, for the document."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "string"})
    always: bool = True
    """Of an answer: whether it has this header each time."""


@frozen
class ResponseSpec:
    """A successful answer; `body` None: it has none."""

    body: Any
    description: str
    headers: Sequence[Header] = ()
    links: Sequence[Link] = ()


@frozen(kw_only=True)
class Operation(Generic[Body, Query]):
    """`path` may hold `{id:id}`, a number from 1 to 2⁶³-1; anything else in its place is a 404.

    The Struct of a body may say more of itself in a class variable `schema`, such as which fields go together.
    `errors` are the problems beyond those that follow from the rest of the declaration: 413 and 415 from a body, 401
    and 403 from `access`, 404 from a path parameter, 412 from `conditional`, 400 and 503 from anything, since every
    operation refuses query parameters that `query` does not declare. Each is a class of errors of the core, whose
    `code` clients see, or a status and a `code`.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Call[Body, Query]], Awaitable[Response]]
    responses: Mapping[int, ResponseSpec]
    tag: str
    description: str = ""
    body: type[Any] | None = None
    is_body_optional: bool = False
    """Without one, `Call.body` is None."""
    query: type[Query] | None = None
    access: Access = Access.PUBLIC
    errors: Sequence[type[MarketError] | tuple[int, str]] = ()
    headers: Sequence[Header] = ()
    """Of the request, beside Idempotency-Key and the conditional ones."""
    idempotent: bool = False
    """An Idempotency-Key makes repeating harmless."""
    conditional: bool = False
    """If-None-Match (GET) or If-Match (others) is heeded."""

    has_json_response: bool = field(init=False)

    @has_json_response.default
    def _any_response_has_a_body(self) -> bool:
        return any(answer.body is not None for answer in self.responses.values())

    def __attrs_post_init__(self) -> None:
        if not self.idempotent or self.body is None:
            return
        for each in nested_types(self.body):
            if isinstance(each, msgspec.inspect.StructType) and not _omits_defaults(each):
                raise ValueError(
                    f"{self.name} takes an Idempotency-Key, so declare {each.cls.__name__} with omit_defaults=True: a"
                    " default that is written out means the same as none, and new fields change no stored fingerprint."
                )


def _omits_defaults(struct: msgspec.inspect.StructType) -> bool:
    return struct.cls.__struct_config__.omit_defaults or all(each.required for each in struct.fields)


_ENCODER: Final = msgspec.json.Encoder()


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is a Struct, or anything else that msgspec encodes."""
    return Response(_ENCODER.encode(document), status, headers, "application/json")


def no_content() -> Response:
    return Response(status_code=204)
