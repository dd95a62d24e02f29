"""Operations as Starlette routes. Each path is one route, which has all methods of the path for 405 and OPTIONS."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.http.framework.auth import Access, Authenticate, authenticate_request
from adapters.http.framework.content_negotiation import check_accepts_json
from adapters.http.framework.decoding import decode_query, read_body
from adapters.http.framework.idempotency_key import read_idempotency_key, wait_for_in_flight
from adapters.http.framework.operation import Call, Operation
from adapters.http.framework.problems import Problem, method_not_allowed
from adapters.http.framework.request import IncomingRequest
from adapters.http.framework.request_client import enter_request

MAX_ID: Final = 2**63 - 1


class IdConvertor(Convertor[int]):
    """Ids from 1 to `MAX_ID`. The `int` convertor of Starlette accepts any number of digits."""

    regex = "[1-9][0-9]{0,18}"

    def convert(self, value: str) -> int:
        number = int(value)
        if number > MAX_ID:
            raise Problem(HTTPStatus.NOT_FOUND, "There is no resource at this URL.")
        return number

    def to_string(self, value: int) -> str:
        return str(value)


CONVERTOR_TYPES["id"] = IdConvertor()


def build_routes(operations: Iterable[Operation], authenticate: Authenticate) -> list[BaseRoute]:
    """One route per path; raise `ValueError` if two operations have the same method and path."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        if operation.method in methods:
            raise ValueError(f"{operation.method} {operation.path} is declared twice.")
        methods[operation.method] = operation
    return [Route(path, PathEndpoint(methods, authenticate)) for path, methods in paths.items()]


class ExactPathRouter:
    """Finds paths without parameters in a dictionary; Starlette's router, which tries each route, finds the others."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._routes = {
            route.path: route
            for route in router.routes
            if isinstance(route, Route) and isinstance(route.app, PathEndpoint) and "{" not in route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.get(scope["path"]) if scope["type"] == "http" and not scope.get("root_path") else None
        if found is None:
            await self._router(scope, receive, send)
        else:
            # As the router does.
            scope["route"] = found
            await found.app(scope, receive, send)


class SlashRedirect:
    """Handles unknown paths: a 308 if the path with or without a trailing slash exists, otherwise `fallback`.

    A 308 preserves method and body (RFC 9110, section 15.4.9). `Location` contains no host and only paths of routes, so
    it cannot point to another site.
    """

    def __init__(self, router: Router, fallback: ASGIApp) -> None:
        self._router = router
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._fallback
        if scope["type"] == "http" and (path := _toggle_trailing_slash(scope["path"])):
            other = {**scope, "path": path}
            if any(route.matches(other)[0] is not Match.NONE for route in self._router.routes):
                query = quote(scope["query_string"], safe=_PRINTABLE_ASCII)
                location = quote(path) + (f"?{query}" if query else "")
                app = Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": location})
        await app(scope, receive, send)


def _toggle_trailing_slash(path: str) -> str:
    """Remove the trailing slash, or add one. Operations have one; pages such as `/docs` have none."""
    return path[:-1] if path.endswith("/") else path + "/"


_PRINTABLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))


class PathEndpoint:
    """The ASGI application of one path: selects the operation by method, decodes the request and calls the handler."""

    def __init__(self, operations: Mapping[str, Operation], authenticate: Authenticate) -> None:
        self._operations = operations
        self._authenticate = authenticate
        self._allowed = allowed_methods(operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await Response(status_code=204, headers={"Allow": ", ".join(self._allowed)})(scope, receive, send)
            return
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            raise method_not_allowed(method, self._allowed)
        response = await self._respond(operation, IncomingRequest(scope, receive, send, operation.max_body_bytes))
        await response(scope, receive, discard_body(send) if method == "HEAD" else send)

    async def _respond(self, operation: Operation, request: Request) -> Response:
        if operation.has_json_response:
            check_accepts_json(request.headers)
        # Authenticate before reading the body, so that unauthenticated bodies are not decoded.
        identity = await authenticate_request(request, operation.access, self._authenticate, operation.scope)
        enter_request(request.scope, None if identity is None else identity.account_id)
        key = read_idempotency_key(request.headers) if operation.idempotent else None
        query = decode_query(request.scope["query_string"], operation.query)
        body = await _read_declared_body(operation, request)
        response = await wait_for_in_flight(operation.handler, Call(request, identity, body, query, key))
        if operation.access is Access.OPTIONAL:
            response.headers.add_vary_header("Authorization")
        return response


async def _read_declared_body(operation: Operation, request: Request) -> Any:
    if operation.body is None or (operation.is_body_optional and not await request.body()):
        return None
    return await read_body(request, operation.body)


def allowed_methods(methods: Iterable[str]) -> Sequence[str]:
    """The methods of the Allow header: the given ones, OPTIONS, and HEAD with GET."""
    return sorted({*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def discard_body(send: Send) -> Send:
    """Wrap `send` for HEAD: the headers of the GET response, including Content-Length, without the body."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
