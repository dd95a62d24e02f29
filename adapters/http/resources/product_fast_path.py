"""A fast path for the most frequent request: reading a product as a buyer, from the cache and before routing."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from starlette.types import Scope

from adapters.http.cache.product_cache import ProductCache, ProductCacheEntry
from adapters.http.framework.auth import MAX_TOKEN_LENGTH
from adapters.http.framework.content_negotiation import MAX_CACHED_LENGTH, accepts_json
from adapters.http.framework.host import ANY_HOST, Hosts
from adapters.http.framework.middleware import BASELINE_HEADERS, PreparedResponse
from adapters.http.framework.problems import problem_from_error
from adapters.http.framework.request_limits import HEADER_LIMIT
from adapters.http.framework.routing import MAX_ID
from adapters.http.resources.products import ROOT
from adapters.http.view_tracking import ViewTracker
from scalecommerce_core.domain.api_key import Scope as KeyScope
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.services.sessions import Identity

_ID_START: Final = len(ROOT)
MAX_PATHS: Final = 10_000
"""Paths whose products are remembered. Clients choose paths, so the number must be bounded."""
_BEARER: Final = b"Bearer "
_MAX_PATH_LENGTH: Final = _ID_START + len(str(MAX_ID)) + 1


Identify = Callable[[str], Identity | None]
"""Convert an access token to an identity without I/O: None if that needs I/O; raise `TokenNotValid`."""
RequestHeaders = dict[bytes, bytes]
"""Request headers by lowercase name."""


class ProductFastPath:
    """Responds as `readProduct` does, or returns None: the request then takes the regular path.

    It handles GET requests of anonymous callers and of accounts that are neither the seller nor staff, without a query
    string or body and with a simple If-None-Match. A session that must be checked in the database takes the regular
    path.
    """

    def __init__(
        self,
        cache: ProductCache,
        view_tracker: ViewTracker,
        identify: Identify,
        hosts: Hosts = ANY_HOST,
    ) -> None:
        self._cache = cache
        self._view_tracker = view_tracker
        self._identify = identify
        self._hosts = hosts
        self._products: dict[str, ProductId] = {}

    def __call__(self, scope: Scope) -> PreparedResponse | Coroutine[Any, Any, PreparedResponse | None] | None:
        path: str = scope["path"]
        product = self._products.get(path) or self._read_path(path)
        if product is None or scope["method"] != "GET" or scope.get("root_path"):
            return None
        raw_path = scope.get("raw_path")
        if scope.get("query_string") or (raw_path is not None and len(raw_path) != len(path)):
            # Any query string is invalid here: the regular route answers it with a 400. It also handles encoded paths,
            # and answers an encoded slash with a 404.
            return None
        request_headers = _index_headers(scope["headers"])
        if request_headers is None:
            return None
        host = request_headers.get(b"host")
        if host not in self._hosts.accepted and not self._hosts.is_accepted(host):
            return None
        entry = self._cache.get_valid(product)
        return (
            self._load_and_respond(product, scope, request_headers)
            if entry is None
            else self._respond(product, entry, scope, request_headers)
        )

    def _read_path(self, path: str) -> ProductId | None:
        """The product of a path; None for other paths."""
        if not path.startswith(ROOT) or len(path) > _MAX_PATH_LENGTH:
            return None
        number = path[_ID_START:-1]
        if not (number.isascii() and number.isdigit()) or number[0] == "0" or path[-1] != "/" or int(number) > MAX_ID:
            return None
        if len(self._products) >= MAX_PATHS:
            self._products.clear()
        product = self._products[path] = ProductId(int(number))
        return product

    async def _load_and_respond(
        self, product: ProductId, scope: Scope, request_headers: RequestHeaders
    ) -> PreparedResponse | None:
        try:
            entry = await self._cache.load(product)
        except MarketError as error:
            return _error_response(error, request_headers)
        return self._respond(product, entry, scope, request_headers)

    def _respond(
        self, product: ProductId, entry: ProductCacheEntry, scope: Scope, request_headers: RequestHeaders
    ) -> PreparedResponse | None:
        identity, headers = None, entry.headers
        if (authorization := request_headers.get(b"authorization")) is not None:
            identity, headers = self._authenticate_bearer(authorization), entry.authenticated_headers
            if identity is None or identity.is_staff or identity.account_id == entry.seller:
                return None
        if entry.body is None:
            return _error_response(NotFound("product", product), request_headers)
        if_none_match = request_headers.get(b"if-none-match")
        if if_none_match is not None and if_none_match != entry.etag_bytes:
            # The regular path parses lists, weak tags and `*`.
            return None
        self._view_tracker.record_get(request_headers, scope.get("client"), identity, product, entry.seller)
        if if_none_match is not None:
            return 304, headers[2:], b"", request_headers.get(b"x-request-id")
        return 200, headers, entry.body, request_headers.get(b"x-request-id")

    def _authenticate_bearer(self, authorization: bytes) -> Identity | None:
        """The identity of a valid Bearer token, or None, also if it is not known at once."""
        if len(authorization) > len(_BEARER) + MAX_TOKEN_LENGTH or not authorization.startswith(_BEARER):
            # The regular path reads other forms, such as "bearer", and responds with errors.
            return None
        try:
            identity = self._identify(authorization[len(_BEARER) :].decode("latin-1"))
        except MarketError:
            return None
        if identity is not None and identity.scopes is not None and KeyScope.PRODUCTS_READ not in identity.scopes:
            return None
        return identity


def _index_headers(headers: Sequence[tuple[bytes, bytes]]) -> RequestHeaders | None:
    """Index the headers; None for a repeated header, a body, large headers, or an Accept that excludes JSON."""
    request_headers = dict(headers)
    if (
        len(request_headers) != len(headers)
        or b"content-length" in request_headers
        or b"transfer-encoding" in request_headers
        # Faster than a sum; the regular path counts exactly.
        or len(b"".join(request_headers.values())) > HEADER_LIMIT
    ):
        return None
    accept = request_headers.get(b"accept")
    if (
        accept is not None
        and accept != b"*/*"
        and (len(accept) > MAX_CACHED_LENGTH or not accepts_json(accept.decode("latin-1")))
    ):
        # The regular path responds with 406 or 431, or parses a long header.
        return None
    return request_headers


def _error_response(error: MarketError, request_headers: RequestHeaders) -> PreparedResponse:
    response = problem_from_error(error).response()
    return (
        response.status_code,
        [*response.raw_headers, *BASELINE_HEADERS],
        bytes(response.body),
        request_headers.get(b"x-request-id"),
    )
