"""Declarations of operations. Routes and the OpenAPI document are both built from them.

A resource is a class with one method per operation. The decorator `OperationSpec` declares the operation beside its
handler, and `operations_of` collects the operations of an instance:

    class OrderResource:
        def __init__(self, dependencies: Dependencies) -> None: ...

        @OperationSpec(
            method="POST",
            path="/orders/api/v1/",
            name="placeOrder",
            summary="Place an order",
            responses={202: ResponseSpec(OrderSchema, "The order was accepted.")},
            tag="Orders",
            access=Access.ACCOUNT,
        )
        async def place_order(self, call: Call[NewOrder, None]) -> Response: ...

The annotation `Call[Body, Query]` is the only declaration of the types of body and query parameters. The decorator
returns the method unchanged, so a test can call it on an instance with a `Call` of its own.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import NoneType
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

import attrs
import msgspec
from attrs import field, frozen
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.framework.auth import Access
from adapters.http.framework.client_address import client_address
from adapters.http.framework.validation import nested_types
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import MarketError, NotAuthenticated
from scalecommerce_core.services.sessions import Identity

JSON: Final = "application/json"
SMALL_BODY: Final = 16 * 1024
"""Bytes; the default limit of bodies. A bio of 1,000 characters, each written as 12 bytes of JSON escapes, must fit."""

Body = TypeVar("Body")
Query = TypeVar("Query")


@frozen
class Call(Generic[Body, Query]):
    """One decoded request. `body` and `query` are None where the operation declares none."""

    request: Request
    optional_identity: Identity | None
    body: Body
    query: Query
    idempotency_key: str | None = None

    @property
    def identity(self) -> Identity:
        """The authenticated caller; raise `NotAuthenticated` for an anonymous request."""
        if self.optional_identity is None:
            raise NotAuthenticated("Authentication required.")
        return self.optional_identity

    @property
    def client_address(self) -> str:
        """The client's address for limits and the security log (IPv6: its /64 network); empty if it is unknown."""
        return client_address(self.request.scope)

    @property
    def id(self) -> int:
        """The path parameter `id`."""
        return int(self.request.path_params["id"])


Handler = Callable[[Call[Any, Any]], Awaitable[Response]]
Method = TypeVar("Method", bound=Callable[[Any, Call[Any, Any]], Awaitable[Response]])


@frozen
class Link:
    """An OpenAPI link from a response to a follow-up operation.

    `parameters` and `body` map names to runtime expressions, such as `$response.body#/id`.
    """

    to: str
    """The `name` of the linked operation."""
    parameters: Mapping[str, str] = field(factory=lambda: {"id": "$response.body#/id"})
    body: Mapping[str, str] | None = None
    """The request body of the linked operation, which `/docs` fills in."""


@frozen
class Header:
    """A header of a request or a response in the OpenAPI document."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "string"})
    always: bool = True
    """Whether every response with this status has the header. Unused for request headers."""


@frozen
class ResponseSpec:
    """A successful response. `body` is the type that is encoded as JSON, or None for a response without a body; with
    another `media_type` it is `str`.
    """

    body: Any
    description: str
    headers: Sequence[Header] = ()
    links: Sequence[Link] = ()
    media_type: str = JSON


@frozen(kw_only=True)
class OperationSpec:
    """The declaration of an operation, used as the decorator of its handler (see the module's docstring).

    `path` may contain parameters such as `{id:id}`, an integer from 1 to 2⁶³-1, and `{payment:uuid}`; any other text
    there is answered with a 404.

    `errors` lists the problems that do not follow from the rest of the declaration: classes of core errors, whose
    `code` is published, or pairs of a status and a `code`. These problems are implied and need no entry:

    - 400 and 503: every operation, since all of them reject undeclared query parameters
    - 401 and 403: `access`; 403 also for API keys without the scope
    - 404: a path parameter
    - 406: a JSON response
    - 409 and 422: `idempotent`
    - 412: `conditional` with a method other than GET
    - 413 and 415: a body
    """

    method: str
    path: str
    name: str
    """The `operationId`."""
    summary: str
    responses: Mapping[int, ResponseSpec]
    tag: str
    description: str = ""
    access: Access = Access.PUBLIC
    scope: Scope | None = None
    """The scope that an API key needs; None: no API key may call it. Unused for public operations."""
    errors: Sequence[type[MarketError] | tuple[int, str]] = ()
    headers: Sequence[Header] = ()
    """Request headers other than Authorization, Idempotency-Key, If-Match and If-None-Match."""
    idempotent: bool = False
    """Whether the operation accepts an Idempotency-Key header."""
    conditional: bool = False
    """Whether the operation evaluates If-None-Match (GET) or If-Match (other methods)."""
    max_body_bytes: int = SMALL_BODY
    """Maximum size of the body; a larger one is answered with a 413 before it is read or while it is read."""
    cached: bool = False
    """Whether the response depends on the URL only, so that the cache may answer instead of the handler."""

    def __call__(self, handler: Method) -> Method:
        """Attach the declaration to the handler; raise `TypeError` if its annotation is not `Call[Body, Query]`."""
        _call_types(handler)
        setattr(handler, _SPEC, self)
        return handler


_SPEC: Final = "__operation_spec__"


@frozen(kw_only=True)
class Operation(OperationSpec):
    """A declared operation with its bound handler. `body` and `query` are the Structs that requests are decoded to.

    Raise `ValueError` for an idempotent operation whose body encodes defaults: equivalent requests would have
    different fingerprints.
    """

    handler: Handler
    body: type[msgspec.Struct] | None = None
    is_body_optional: bool = False
    """Whether a request without a body is accepted; `Call.body` is None then."""
    query: type[msgspec.Struct] | None = None

    has_json_response: bool = field(init=False)

    @has_json_response.default
    def _any_response_has_a_body(self) -> bool:
        return any(response.body is not None and response.media_type == JSON for response in self.responses.values())

    def __attrs_post_init__(self) -> None:
        if not self.idempotent or self.body is None:
            return
        for each in nested_types(self.body):
            if isinstance(each, msgspec.inspect.StructType) and not _omits_defaults(each):
                raise ValueError(
                    f"{self.name} accepts an Idempotency-Key, so {each.cls.__name__} must have omit_defaults=True:"
                    " a field that is set to its default must not change the fingerprint, nor must a new field."
                )


def operations_of(resource: object, cached: Callable[[Handler], Handler]) -> list[Operation]:
    """Collect the operations of a resource, in the order in which its class defines them.

    `cached` wraps the handlers of operations that are declared as `cached`.
    """
    return [
        _bind(spec, getattr(resource, name), cached)
        for name, method in vars(type(resource)).items()
        if isinstance(spec := getattr(method, _SPEC, None), OperationSpec)
    ]


def _bind(spec: OperationSpec, handler: Handler, cached: Callable[[Handler], Handler]) -> Operation:
    body, query = _call_types(handler)
    members = get_args(body)
    is_body_optional = NoneType in members
    if is_body_optional:
        (body,) = (member for member in members if member is not NoneType)
    return Operation(
        **attrs.asdict(spec, recurse=False),
        handler=cached(handler) if spec.cached else handler,
        body=None if body is NoneType else body,
        is_body_optional=is_body_optional,
        query=None if query is NoneType else query,
    )


def _call_types(handler: Callable[..., object]) -> tuple[Any, Any]:
    """`Body` and `Query` of the handler's last parameter, which is annotated as `Call[Body, Query]`."""
    *_, parameter = inspect.signature(handler).parameters.values()
    if get_origin(parameter.annotation) is not Call:
        raise TypeError(f"{handler.__qualname__}: annotate the last parameter as Call[Body, Query].")
    body, query = (NoneType if each is None else each for each in get_args(parameter.annotation))
    return body, query


def _omits_defaults(struct: msgspec.inspect.StructType) -> bool:
    return struct.cls.__struct_config__.omit_defaults or all(each.required for each in struct.fields)


_ENCODER: Final = msgspec.json.Encoder()


def encode_json(content: Any) -> bytes:
    return _ENCODER.encode(content)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; `content` is a Struct or any other value that msgspec encodes."""
    return Response(encode_json(content), status, headers, "application/json")


def no_content() -> Response:
    """An empty response with status 204."""
    return Response(status_code=204)
