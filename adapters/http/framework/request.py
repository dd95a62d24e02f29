"""The request of handlers: Starlette's request with faster access to headers and body.

An operation reads about eight headers, and Starlette searches the whole list for each.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from adapters.http.framework.problems import content_too_large

_NO_VALUES: Final[list[str]] = []


class IndexedHeaders(Headers):
    """Starlette's headers with a dictionary by name."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._values: dict[str, list[str]] = {}
        for name, value in self._list:
            self._values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def getlist(self, key: str) -> list[str]:
        return list(self._values.get(key.lower(), _NO_VALUES))

    def __getitem__(self, key: str) -> str:
        return self._values[key.lower()][0]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._values


class IncomingRequest(Request):
    """A Starlette request with indexed headers and a limit on its body."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> None:
        super().__init__(scope, receive, send)
        self._indexed = IndexedHeaders(scope)
        self._max_body_bytes = max_body_bytes

    @property
    def headers(self) -> Headers:
        return self._indexed

    async def body(self) -> bytes:
        """Read the whole body.

        Raise a 413 `Problem` for a body above the limit, before it is read if Content-Length says so, and
        `ClientDisconnect` if the client disconnects before its end.
        """
        if not hasattr(self, "_body"):
            # The middleware has checked that the header consists of digits.
            if int(self._indexed.get("content-length", "0")) > self._max_body_bytes:
                raise content_too_large(self._max_body_bytes)
            parts, size = [], 0
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(part := message.get("body", b""))
                if (size := size + len(part)) > self._max_body_bytes:
                    raise content_too_large(self._max_body_bytes)
                if not message.get("more_body", False):
                    break
            self._body = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._body
