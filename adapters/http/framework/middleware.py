"""The middleware of every request, as one ASGI application.

It is one application and not a stack, because each layer that wraps `send` and `receive` and searches the headers again
costs a request about as much as its handler.
"""

import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.http.framework.body_reception import BodyLimits, BodyReception, IncomingBody
from adapters.http.framework.client_address import ForwardedRequests
from adapters.http.framework.cors import CorsPolicy
from adapters.http.framework.host import ANY_HOST, Hosts
from adapters.http.framework.problems import Problem, content_too_large, error_response, internal_error
from adapters.http.framework.request_limits import find_excess

BODY_LIMIT: Final = 1024 * 1024
"""Bytes. The limit of Content-Length for requests to any path; operations have lower limits."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
# Headers of every response, which restrict browsers and caches.
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# `default-src` does not cover `base-uri` and `form-action`.
_CONTENT_SECURITY_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
BASELINE_HEADERS: Final = (*_SECURITY_HEADERS, _CONTENT_SECURITY_POLICY)
"""Security headers of JSON responses."""
# For responses to authenticated requests and to unsafe methods: they may contain tokens or private data.
_PRIVATE_NO_STORE: Final = (b"cache-control", b"private, no-store")
PreparedResponse = tuple[int, Sequence[tuple[bytes, bytes]], bytes, bytes | None]
"""Status, headers, body, and the value of the request's X-Request-ID header, or None."""
ErrorListener = Callable[[Exception, Scope], None]
"""Called with the exception that a request ended with and its scope, before the response is sent."""
ResponseListener = Callable[[str | None, str, int, float], None]
"""Called when the response to a request begins: the template of the path or None, the method, the status, and the
seconds since the headers of the request were read. A request without a response is not reported."""
FastPath = Callable[[Scope], PreparedResponse | Coroutine[Any, Any, PreparedResponse | None] | None]

UNOBSERVED: Final = "scalecommerce.unobserved"
"""A key of the scope of requests that a process makes to itself; they are not reported to a `ResponseListener`."""
HEALTH_CHECKS: Final = frozenset({"/healthz", "/readyz"})
"""Paths that load balancers request, whatever the Host header is."""

logger = logging.getLogger(__name__)


@frozen
class RequestPolicy:
    """How requests are read before they are routed."""

    forwarded: ForwardedRequests | None = None
    """Reads the headers of trusted proxies; None trusts nobody."""
    hosts: Hosts = ANY_HOST
    cors: CorsPolicy | None = None
    """Origins whose pages may use the API; None for none."""
    bodies: BodyLimits = BodyLimits()  # noqa: RUF009 - it is immutable
    hsts_seconds: int = 0
    """`max-age` of Strict-Transport-Security in responses to https requests; 0 for none."""


DEFAULT_POLICY: Final = RequestPolicy()


class BaselineMiddleware:
    """Reads the headers of proxies, checks the host, sets the request id and the security headers, and converts
    exceptions to problems.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int = BODY_LIMIT,
        fast_path: FastPath | None = None,
        on_error: ErrorListener | None = None,
        policy: RequestPolicy = DEFAULT_POLICY,
        *,
        on_response: ResponseListener | None = None,
        fast_path_route: str | None = None,
    ) -> None:
        """`fast_path` may return a response with complete headers, to which only the request id is added.

        `limit` is the maximum of Content-Length. `on_error` is called with each exception that ends a request.
        `fast_path_route` is the template of the paths that `fast_path` answers.
        """
        self._app = app
        self._fast_path = fast_path
        self._on_error = on_error
        self._on_response = on_response
        self._fast_path_route = fast_path_route
        self._limit = limit
        self._forwarded, self._hosts, self._cors = policy.forwarded, policy.hosts, policy.cors
        self._bodies = BodyReception(policy.bodies)
        self._hsts: tuple[tuple[bytes, bytes], ...] = ()
        if policy.hsts_seconds:
            self._hsts = ((b"strict-transport-security", b"max-age=%d; includeSubDomains" % policy.hsts_seconds),)
        # Ids of this process: a random prefix and a counter. Request ids need not be unpredictable, so a random id for
        # each request would be a waste.
        self._request_ids = map(f"{token_hex(4)}%08x".__mod__, count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0915 - calls for parts of it would cost each request time
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = 0.0 if self._on_response is None or UNOBSERVED in scope else perf_counter()
        if self._forwarded is not None:
            self._forwarded.apply(scope)
        if self._cors is not None:
            send = self._cors.add_headers(scope, send)
        # Browsers ignore the header in responses over http (RFC 6797, section 7.2).
        hsts = self._hsts if self._hsts and scope["scheme"] == "https" else ()
        if self._fast_path is not None:
            try:
                ready = self._fast_path(scope)
                if ready is not None and not isinstance(ready, tuple):
                    ready = await ready
            except Exception:  # noqa: BLE001 - the regular path raises it again and handles it
                ready = None
            if ready is not None:
                status, headers, body, request_id_header = ready
                if begun:
                    self._report(self._fast_path_route, scope, status, begun)
                named = (b"x-request-id", self._request_id(request_id_header))
                await send({"type": "http.response.start", "status": status, "headers": [*headers, *hsts, named]})
                await send({"type": "http.response.body", "body": body})
                return
        request_id_header, content_length, hosts, authorized, header_bytes = _read_request_headers(scope["headers"])
        request_id = self._request_id(request_id_header)
        personal = authorized or scope["method"] not in {"GET", "HEAD"}
        started = False
        request_body = IncomingBody(self._bodies, receive)

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if begun:
                    self._report(getattr(scope.get("route"), "path", None), scope, message["status"], begun)
                headers = message.get("headers", ())
                names = {name for name, _ in headers}
                added = [(b"x-request-id", request_id), *hsts]
                # Pages have policies of their own.
                added += [header for header in BASELINE_HEADERS if header[0] not in names]
                if personal and _PRIVATE_NO_STORE[0] not in names:
                    added.append(_PRIVATE_NO_STORE)
                message = {**message, "headers": [*headers, *added]}
            await send(message)

        try:
            refused = (
                self._reject_by_target(scope, hosts, header_bytes)
                or self._reject_by_content_length(content_length)
                # Browsers send no token with a preflight request.
                or (None if self._cors is None else self._cors.preflight(scope))
            )
            if refused is None:
                await self._app(scope, request_body, send_with_headers)
                return
        except Exception as error:
            refused = self._handle_error(error, scope, request_id, started=started)
            if refused is None:
                # A part of the response is sent; only closing the connection signals the error.
                raise
        finally:
            request_body.release()
        await refused(scope, receive, send_with_headers)

    def _report(self, route: str | None, scope: Scope, status: int, begun: float) -> None:
        if self._on_response is not None:
            self._on_response(route, scope["method"], status, perf_counter() - begun)

    def _handle_error(self, error: Exception, scope: Scope, request_id: bytes, *, started: bool) -> Response | None:
        """The response for an exception, which is logged if it is unexpected; None if a response has `started`."""
        if self._on_error is not None:
            self._on_error(error, scope)
        response = None if started else error_response(error)
        if response is not None:
            # An error may be shared by all requests of a batch, and would accumulate their tracebacks.
            error.__traceback__ = None
            return response
        name = request_id.decode()
        about = {"request_id": name, "method": scope["method"], "path": scope["path"]}
        logger.error("unexpected error", extra=about, exc_info=error)
        return None if started else internal_error(name).response()

    def _request_id(self, request_id_header: bytes | None) -> bytes:
        return (
            request_id_header
            if request_id_header and _REQUEST_ID.fullmatch(request_id_header)
            else next(self._request_ids).encode()
        )

    def _reject_by_target(self, scope: Scope, hosts: Sequence[bytes], header_bytes: int) -> Response | None:
        """A 400, 404 or 421 for the Host header or the path, a 414 or 431 for the size of the target or headers."""
        problem = find_excess(scope, header_bytes)
        if problem is None and not (len(hosts) == 1 and hosts[0] in self._hosts.accepted):
            problem = self._hosts.find_problem(
                hosts[0] if hosts else None, len(hosts), is_health_check=scope["path"] in HEALTH_CHECKS
            )
        if problem is None and has_encoded_slash(scope):
            problem = Problem(404, "There is no resource at this URL.")
        return None if problem is None else problem.response()

    def _reject_by_content_length(self, content_length: bytes) -> Response | None:
        """A 400 or 413 for the Content-Length header."""
        if content_length == b"0":
            return None
        # `int` would also accept a sign, spaces and underscores (RFC 9110, section 8.6).
        if not content_length.isdigit():
            return Problem(400, "The Content-Length header is not a number.", code="malformed").response()
        return (
            content_too_large(self._limit).response()
            if len(content_length) > 18 or int(content_length) > self._limit
            else None
        )


def has_encoded_slash(scope: Scope) -> bool:
    """Whether the path contains `%2f`, which is part of a segment (RFC 3986, section 2.2).

    Servers decode it to a slash, so that a proxy and the engine would disagree on which resource is requested.
    """
    raw_path = scope.get("raw_path")
    return raw_path is not None and b"%" in raw_path and b"%2f" in raw_path.lower()


def _read_request_headers(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes, Sequence[bytes], bool, int]:
    """The first X-Request-ID and Content-Length headers, all Host headers, whether Authorization is present, and the
    number of bytes of all headers.
    """
    request_id_header, content_length, authorized, size = b"", b"", False, 0
    hosts: list[bytes] = []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"authorization":
            authorized = True
        elif name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            content_length = content_length or value
        elif name == b"x-request-id":
            request_id_header = request_id_header or value
    return request_id_header, content_length or b"0", hosts, authorized, size
