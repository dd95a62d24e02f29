"""Calls of the HTTP API in the same process.

Pages read and write through the operations of the API only, with the access token of the browser's session. So each
rule of access, validation and limits exists once, and a page can do nothing that the API forbids.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from attrs import field, frozen
from starlette.types import ASGIApp, Message, Scope

from adapters.web.framework.languages import Language

FORWARDED_HEADERS: Final = frozenset(
    {b"host", b"user-agent", b"purpose", b"sec-purpose", b"x-moz", b"accept-language", b"x-request-id"}
)
"""Headers of the browser's request that each call of the API repeats."""


class ApiProblem(Exception):
    """A problem document of the API (RFC 9457), whose messages are translated to `language`; None: they are in the
    reader's language already.
    """

    def __init__(
        self,
        status: int,
        document: Mapping[str, Any],
        headers: Mapping[str, str],
        language: Language | None = None,
    ) -> None:
        super().__init__(document.get("detail", ""))
        self.status = status
        self.document = document
        self.headers = headers
        self._language = language

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))

    @property
    def detail(self) -> str:
        """The whole problem in words: messages about fields, each after the name of its field, or about the request."""
        errors = self.errors
        if not errors or self._language is None:
            return self._translated(self.document.get("detail", ""))
        return " ".join(f"{self._language.field_name(name)}: {' '.join(texts)}" for name, texts in errors.items())

    @property
    def errors(self) -> Mapping[str, Sequence[str]]:
        """Messages by field, such as `price` or `order_item[0].quantity`."""
        errors = self.document.get("errors") or {}
        return {str(name): [self._translated(text) for text in texts] for name, texts in errors.items()}

    def _translated(self, text: object) -> str:
        return str(text) if self._language is None else self._language.translated(str(text))


@frozen
class ApiResponse:
    """A successful response."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class ApiClient:
    """Calls the API for one request of a browser."""

    def __init__(self, app: ASGIApp, scope: Scope, token: str | None, language: Language) -> None:
        """`app` is the application with the API, `scope` the request of the browser, `token` its access token. Problems
        are in `language`.
        """
        self._app = app
        self._scope = scope
        self._language = language
        self.token = token

    async def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """The JSON document at `path`; raise `ApiProblem`. Parameters that are None or empty strings are omitted."""
        return (await self.request("GET", path, query=query)).json()

    async def post(self, path: str, body: object = None, *, idempotency_key: str | None = None) -> Any:
        """Send `body` as JSON; return the decoded response, None if it is empty; raise `ApiProblem`."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return _decode(await self.request("POST", path, body=body, headers=headers))

    async def patch(self, path: str, body: object, *, headers: Mapping[str, str] | None = None) -> Any:
        return _decode(await self.request("PATCH", path, body=body, headers=headers))

    async def put(self, path: str, body: object, *, headers: Mapping[str, str] | None = None) -> Any:
        return _decode(await self.request("PUT", path, body=body, headers=headers))

    async def delete(self, path: str) -> Any:
        return _decode(await self.request("DELETE", path))

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        content: tuple[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Call an operation; raise `ApiProblem` for each status from 400.

        `body` is sent as JSON, `content` as it is: a media type and bytes.
        """
        media_type, payload = content or ("application/json", b"" if body is None else msgspec.json.encode(body))
        sent = [(name, value) for name, value in self._scope["headers"] if name in FORWARDED_HEADERS]
        sent.append((b"accept", b"*/*"))
        if payload:
            sent += [(b"content-type", media_type.encode()), (b"content-length", str(len(payload)).encode())]
        if self.token is not None:
            sent.append((b"authorization", f"Bearer {self.token}".encode()))
        sent += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            **{name: self._scope[name] for name in ("type", "asgi", "http_version", "scheme", "server", "client")},
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": encode_query(query or {}).encode(),
            "root_path": "",
            "headers": sent,
        }
        status, received, answer = await _call(self._app, scope, payload)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiProblem(status, _problem_document(status, answer), received, self._language)
        return ApiResponse(status, received, answer)


def encode_query(query: Mapping[str, object]) -> str:
    """A query string. None and empty strings are omitted, sequences repeat the parameter, booleans are `true` and
    `false`.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [
            (name, str(each).lower() if isinstance(each, bool) else str(each))
            for each in values
            if each not in (None, "")
        ]
    return urlencode(pairs)


def _decode(response: ApiResponse) -> Any:
    return response.json() if response.body else None


def _problem_document(status: int, body: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    return document if isinstance(document, dict) else {"detail": HTTPStatus(status).phrase}


async def _call(app: ASGIApp, scope: Scope, payload: bytes) -> tuple[int, Mapping[str, str], bytes]:
    status, headers, parts = 500, {}, []
    unread = [payload]

    async def receive() -> Message:
        return {"type": "http.request", "body": unread.pop() if unread else b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, b"".join(parts)
