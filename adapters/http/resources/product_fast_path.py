"""The shortest way to what is asked for most: a product, for somebody who is not its seller."""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from starlette.types import Scope

from adapters.http.cache.product_cache import ProductCache, ProductCacheEntry
from adapters.http.framework.auth import BEARER, Authenticate
from adapters.http.framework.content_negotiation import accepts_json
from adapters.http.framework.middleware import BASELINE_HEADERS, PreparedResponse
from adapters.http.framework.problems import problem_from_error
from adapters.http.framework.routing import MAX_ID
from adapters.http.resources.products import ROOT
from adapters.http.view_tracking import ViewTracker
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.services.accounts import Identity

_ID_START: Final = len(ROOT)
_MAX_PATH_LENGTH: Final = _ID_START + len(str(MAX_ID)) + 1


RequestHeaders = dict[bytes, bytes]
"""The headers of a request, each of which it has once."""


class ProductFastPath:
    """Answers just as `readProduct` does, or, if there is anything unusual about the request, not at all."""

    def __init__(self, copies: ProductCache, looks: ViewTracker, authenticate: Authenticate) -> None:
        self._copies = copies
        self._looks = looks
        self._authenticate = authenticate

    def __call__(self, scope: Scope) -> PreparedResponse | Coroutine[Any, Any, PreparedResponse | None] | None:
        path: str = scope["path"]
        if (
            not path.startswith(ROOT)
            or len(path) > _MAX_PATH_LENGTH
            or scope["method"] != "GET"
            or scope.get("root_path")
        ):
            return None
        if scope.get("query_string"):
            # Any query string is invalid here: the regular route answers it with a 400.
            return None
        number = path[_ID_START:-1]
        if not (number.isascii() and number.isdigit()) or number[0] == "0" or path[-1] != "/":
            return None
        given = _index_headers(scope["headers"])
        if given is None or int(number) > MAX_ID:
            return None
        product = ProductId(int(number))
        copy = self._copies.get_valid(product)
        return (
            self._load_and_respond(product, scope, given)
            if copy is None
            else self._respond(product, copy, scope, given)
        )

    async def _load_and_respond(
        self, product: ProductId, scope: Scope, given: RequestHeaders
    ) -> PreparedResponse | None:
        try:
            copy = await self._copies.load(product)
        except MarketError as error:
            return _error_response(error, given)
        return self._respond(product, copy, scope, given)

    def _respond(
        self, product: ProductId, copy: ProductCacheEntry, scope: Scope, given: RequestHeaders
    ) -> PreparedResponse | None:
        identity, headers = None, copy.headers
        if (authorization := given.get(b"authorization")) is not None:
            identity, headers = self._authenticate_bearer(authorization), copy.authenticated_headers
            if identity is None or identity.is_staff or identity.account_id == copy.seller:
                return None
        if copy.body is None:
            return _error_response(NotFound("product", product), given)
        known = given.get(b"if-none-match")
        if known is not None and known != copy.etag_bytes:
            # Lists of tags, weak ones and `*` are read elsewhere.
            return None
        self._looks.record_view(scope, identity, product, copy.seller)
        if known is not None:
            return 304, headers[2:], b"", given.get(b"x-request-id")
        return 200, headers, copy.body, given.get(b"x-request-id")

    def _authenticate_bearer(self, authorization: bytes) -> Identity | None:
        """Whose token it is, if it is a valid one."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != BEARER or not (token := token.strip()):
            return None
        try:
            return self._authenticate(token)
        except MarketError:
            return None


def _index_headers(listed: Sequence[tuple[bytes, bytes]]) -> RequestHeaders | None:
    """The headers, if there is nothing to say about them."""
    given = dict(listed)
    if len(given) != len(listed) or b"content-length" in given or b"transfer-encoding" in given:
        return None
    accept = given.get(b"accept")
    if accept is not None and accept != b"*/*" and not accepts_json(accept.decode("latin-1")):
        return None
    return given


def _error_response(error: MarketError, given: RequestHeaders) -> PreparedResponse:
    response = problem_from_error(error).response()
    return (
        response.status_code,
        [*response.raw_headers, *BASELINE_HEADERS],
        bytes(response.body),
        given.get(b"x-request-id"),
    )
