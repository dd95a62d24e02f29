"""The request of handlers: Starlette's request with faster access to headers and body.

An operation reads about eight headers, and Starlette searches the whole list for each.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

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
    """A Starlette request with indexed headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._indexed = IndexedHeaders(scope)

    @property
    def headers(self) -> Headers:
        return self._indexed

    async def body(self) -> bytes:
        """Read the whole body; raise `ClientDisconnect` if the client disconnects before its end."""
        if not hasattr(self, "_body"):
            parts = []
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    break
            self._body = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._body
