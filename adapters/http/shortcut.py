"""The shortest way to what is asked for most: a product, for somebody who is not its seller."""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from starlette.types import Scope

from adapters.http.auth import SCHEME, Authenticate
from adapters.http.cache.products import ProductCopies, ProductCopy
from adapters.http.middleware import ON_EVERY_ANSWER, Ready
from adapters.http.negotiation import accepts_json
from adapters.http.problems import problem_of
from adapters.http.products import ROOT
from adapters.http.routing import MAX_ID
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import ViewCounter

_BEGINS: Final = len(ROOT)
_LONGEST: Final = _BEGINS + len(str(MAX_ID)) + 1


Given = dict[bytes, bytes]
"""The headers of a request, each of which it has once."""


class ProductShortcut:
    """Answers just as `readProduct` does, or, if there is anything unusual about the request, not at all."""

    def __init__(self, copies: ProductCopies, views: ViewCounter, authenticate: Authenticate) -> None:
        self._copies = copies
        self._views = views
        self._authenticate = authenticate

    def __call__(self, scope: Scope) -> Ready | Coroutine[Any, Any, Ready | None] | None:
        path: str = scope["path"]
        if not path.startswith(ROOT) or len(path) > _LONGEST or scope["method"] != "GET" or scope.get("root_path"):
            return None
        number = path[_BEGINS:-1]
        if not (number.isascii() and number.isdigit()) or number[0] == "0" or path[-1] != "/":
            return None
        given = _plain(scope["headers"])
        if given is None or int(number) > MAX_ID:
            return None
        product = ProductId(int(number))
        copy = self._copies.ready(product)
        return self._made(product, given) if copy is None else self._answer(product, copy, given)

    async def _made(self, product: ProductId, given: Given) -> Ready | None:
        try:
            copy = await self._copies.get(product)
        except MarketError as error:
            return _told(error, given)
        except Exception:  # noqa: BLE001 - the long way meets it again, and knows whom to tell
            return None
        return self._answer(product, copy, given)

    def _answer(self, product: ProductId, copy: ProductCopy, given: Given) -> Ready | None:
        headers = copy.headers
        if (authorization := given.get(b"authorization")) is not None:
            if not self._is_stranger(authorization, copy.seller):
                return None
            headers = copy.personal_headers
        if copy.body is None:
            return _told(NotFound("product", product), given)
        known = given.get(b"if-none-match")
        if known is not None and known != copy.raw_etag:
            # Lists of tags, weak ones and `*` are read elsewhere.
            return None
        self._views.viewed(product)
        if known is not None:
            return 304, headers[2:], b"", given.get(b"x-request-id")
        return 200, headers, copy.body, given.get(b"x-request-id")

    def _is_stranger(self, authorization: bytes, seller: int) -> bool:
        """Whether it is the valid token of somebody who sees what everybody sees."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME or not (token := token.strip()):
            return False
        try:
            identity = self._authenticate(token)
        except MarketError:
            return False
        return not identity.is_staff and identity.account_id != seller


def _plain(listed: Sequence[tuple[bytes, bytes]]) -> Given | None:
    """The headers, if there is nothing to say about them."""
    given = dict(listed)
    if len(given) != len(listed) or b"content-length" in given or b"transfer-encoding" in given:
        return None
    accept = given.get(b"accept")
    if accept is not None and accept != b"*/*" and not accepts_json(accept.decode("latin-1")):
        return None
    return given


def _told(error: MarketError, given: Given) -> Ready:
    response = problem_of(error).response()
    return (
        response.status_code,
        [*response.raw_headers, *ON_EVERY_ANSWER],
        bytes(response.body),
        given.get(b"x-request-id"),
    )
