"""Cross-origin requests of browsers (CORS, in the Fetch Standard) from an allow-list of origins.

Requests carry tokens in a header and no cookies, so responses never allow credentials. Without origins this module is
not used, and browsers let no page of another origin read a response.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Scope, Send

MAX_PORT: Final = 65_535
MAX_AGE_SECONDS: Final = 7200
"""How long a browser may reuse the answer to a preflight request; the longest time that Chromium accepts."""
ALLOWED_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "X-Request-ID",
)  # fmt: skip
EXPOSED_HEADERS: Final = (
    "Allow", "ETag", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate", "X-Request-ID",
)  # fmt: skip

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?)://(?:(?P<host>{_LABEL}(?:\.{_LABEL})*\.?)|\[(?P<v6>[0-9a-f:]{{2,39}})\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_RESOURCE_POLICY: Final = b"cross-origin-resource-policy"
_VARY: Final = (b"vary", b"Origin")


class CorsPolicy:
    """Allows pages of these origins to send requests and read responses.

    Raise `ValueError` unless each is as browsers send it: scheme, host in lower case, and the port if it is not the
    default one.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        for origin in origins:
            if not _is_origin(origin):
                raise ValueError(
                    f"{origin!r} is not an origin such as https://shop.example or http://localhost:3000, as browsers"
                    " send it"
                )
        self._origins = frozenset(origin.encode() for origin in origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def add_headers(self, scope: Scope, send: Send) -> Send:
        """Wrap `send`: responses say whether the origin of the request may read them.

        Every response varies by Origin, so that a cache does not send the response for one origin to another.
        """
        origin = self._allowed_origin(scope)

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if origin is None:
                    headers = [*headers, _VARY]
                else:
                    kept = [header for header in headers if header[0] != _RESOURCE_POLICY]
                    headers = [*kept, _VARY, (_RESOURCE_POLICY, b"cross-origin"), (_ALLOW_ORIGIN, origin), _EXPOSED]
                message = {**message, "headers": headers}
            await send(message)

        return send_with_origin

    def preflight(self, scope: Scope) -> Response | None:
        """The response to a preflight request of an allowed origin; None for any other request."""
        if scope["method"] != "OPTIONS" or self._allowed_origin(scope) is None:
            return None
        if all(name != b"access-control-request-method" for name, _ in scope["headers"]):
            return None
        return Response(status_code=204, headers=_PREFLIGHT)

    def _allowed_origin(self, scope: Scope) -> bytes | None:
        found = [value for name, value in scope["headers"] if name == b"origin"]
        return found[0] if len(found) == 1 and found[0] in self._origins else None


_ALLOW_ORIGIN: Final = b"access-control-allow-origin"
_EXPOSED: Final = (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode())
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": ", ".join(ALLOWED_METHODS),
    "Access-Control-Allow-Headers": ", ".join(ALLOWED_HEADERS),
    "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
    "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
}


def _is_origin(text: str) -> bool:
    """Whether browsers may send this text as the origin of a page."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    port = int(found["port"] or 0)
    if port > MAX_PORT or port == _DEFAULT_PORTS[found["scheme"]]:
        return False
    host = found["v6"] or found["host"]
    try:
        if found["v6"]:
            return str(IPv6Address(host)) == host
        # A host whose last label is a number is an IPv4 address (URL Standard).
        return not host.rpartition(".")[2].isdigit() or str(IPv4Address(host)) == host
    except ValueError:
        return False
