"""RFC 9457 problem documents, and the HTTP status of each core error."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Annotated, Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from scalecommerce_core.domain import errors

MEDIA_TYPE: Final = "application/problem+json"
Json = dict[str, Any]

REALM: Final = 'Bearer realm="scalecommerce"'

STATUS: Final[Mapping[type[errors.MarketError], int]] = {
    errors.NotFound: 404,
    errors.EventsForgotten: 410,
    errors.Refused: 400,
    errors.Invalid: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.IdempotencyKeyReused: 422,
    errors.TooManyAttempts: 429,
    errors.Conflict: 409,
    errors.VersionMismatch: 412,
    errors.Unavailable: 503,
    # The base class, and branches without an entry.
    errors.MarketError: 400,
}
"""The entry of the nearest ancestor applies, so a new leaf of the error tree needs no entry."""

_PRODUCT: Final[Json] = {"type": "integer", "format": "int64", "description": "Id of the product."}

EXTENSION_MEMBERS: Final[Mapping[type[errors.MarketError], Mapping[str, Json]]] = {
    errors.EventsForgotten: {
        "oldest_cursor": {"type": "string", "description": "The first `cursor` from which the feed can be read."},
        "oldest_after": {
            "type": "integer",
            "description": "The smallest `after` from which the feed can be read; use `oldest_cursor` instead.",
            "deprecated": True,
        },
    },
    errors.StockMoved: {
        "product_id": _PRODUCT,
        "expected": {
            "type": ["integer", "null"],
            "description": "The stock that the request expected; null if the entity tag in If-Match does not name it.",
        },
        "actual": {"type": "integer", "description": "The current stock."},
    },
    errors.PriceMoved: {
        "product_id": _PRODUCT,
        "current": {"type": "string", "description": "The current price, a decimal string."},
        "currency": {"type": "string", "description": "ISO 4217 code of the currency of `current`."},
    },
    errors.DeadlineExceeded: {
        "effect": {
            "enum": [effect.value for effect in errors.Effect],
            "description": "`none`: nothing was changed. `unknown`: the request may have taken effect.",
        }
    },
    errors.PaymentDeclined: {"reason": {"type": "string", "description": "The reason code of the payment gateway."}},
    errors.InsufficientStock: {
        "product_id": _PRODUCT,
        "wanted": {"type": "integer", "description": "Units that were requested."},
        "available": {"type": "integer", "description": "Available units."},
    },
}
"""Extension members of problem documents (RFC 9457, section 3.2) by error class: JSON Schemas by name."""


class ProblemSchema(msgspec.Struct, omit_defaults=True, rename={"kind": "type"}):
    """An error. Problems of some codes have further members, which their schemas list."""

    title: Annotated[str, msgspec.Meta(description="The reason phrase of the status.")]
    status: Annotated[int, msgspec.Meta(ge=400, le=599, description="The status of the response.")]
    detail: Annotated[str, msgspec.Meta(description="An explanation for humans.")]
    code: Annotated[
        str,
        msgspec.Meta(description="The kind of the problem, a stable identifier for programs.", examples=["invalid"]),
    ]
    kind: Annotated[
        str | msgspec.UnsetType,
        msgspec.Meta(
            description="A URI reference; `about:blank` means that the problem has no type beyond its status."
        ),
    ] = msgspec.UNSET


class Problem(Exception):
    """An error response. Code below the middleware may raise it; `extensions` are further members of the document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        title: str | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.code = code or HTTPStatus(status).name.lower()
        self.errors = {field: list(texts) for field, texts in errors.items()} if errors else None
        self.headers = dict(headers or {})
        self.extensions = dict(extensions or {})

    def document(self) -> Json:
        """The problem document as JSON value."""
        document: Json = {
            **self.extensions,
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors is not None:
            document["errors"] = self.errors
        return document

    def response(self) -> Response:
        """The HTTP response with the problem document."""
        # Error responses must not be cached.
        headers = {"Cache-Control": "no-store"} | self.headers
        return Response(_encode(self.document()), self.status, headers, MEDIA_TYPE)


def invalid_fields(messages: Mapping[str, Sequence[str]]) -> Problem:
    """A 400 with messages by field or parameter."""
    detail = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in list(messages.items())[:5])
    return Problem(400, detail, code=errors.Invalid.code, errors=messages)


def http_status(kind: type[errors.MarketError]) -> int:
    """The HTTP status of a class of core errors."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def problem_from_error(error: errors.MarketError) -> Problem:
    """Convert a core error to a problem."""
    if isinstance(error, errors.Invalid):
        return invalid_fields(error.errors)
    kind = type(error)
    status = http_status(kind)
    return Problem(
        status,
        str(error) or HTTPStatus(status).phrase,
        code=error.code,
        headers=_error_headers(error),
        extensions=_extensions(error),
    )


def _extensions(error: errors.MarketError) -> dict[str, object]:
    if isinstance(error, errors.PriceMoved):
        # Amounts in the API are decimal strings with the currency beside them.
        current, _, currency = error.current.partition(" ")
        return {"product_id": error.product_id, "current": current, "currency": currency}
    return {name: getattr(error, name) for name in EXTENSION_MEMBERS.get(type(error), ())}


def internal_error(request_id: str) -> Problem:
    """A 500 without details, which the log contains under the same request id."""
    return Problem(
        500,
        "Internal server error. The details are in the log of the server.",
        code="internal",
        extensions={"request_id": request_id},
    )


def stock_precondition_failed(product_id: int, expected: int | None, actual: int, detail: str = "") -> Problem:
    """A 412: the stock differs from the one in the If-Match tag (RFC 9110, section 13.1.1)."""
    extensions = {"product_id": product_id, "expected": expected, "actual": actual}
    moved = str(errors.StockMoved(product_id, expected or 0, actual))
    return Problem(412, detail or moved, code=errors.StockMoved.code, extensions=extensions)


def content_too_large(limit: int) -> Problem:
    """A 413 for a body of more than `limit` bytes."""
    return Problem(
        413, f"The request body must not exceed {limit} bytes.", title="Content Too Large", code="content_too_large"
    )


def headers_too_large(detail: str) -> Problem:
    """A 431 (RFC 6585, section 5)."""
    return Problem(431, detail)


def uri_too_long(detail: str) -> Problem:
    """A 414; older versions of Python have another name for it."""
    return Problem(414, detail, title="URI Too Long", code="uri_too_long")


def request_timeout(seconds: float) -> Problem:
    """A 408: the body was not received within this time (RFC 9110, section 15.5.9)."""
    return Problem(408, f"The request body was not received within {seconds:g} s.")


def misdirected_request() -> Problem:
    """A 421 for a host that is not among the configured ones (RFC 9110, section 15.5.20)."""
    return Problem(421, "This server does not answer for the host in the Host header.")


def method_not_allowed(method: str, allowed: Sequence[str]) -> Problem:
    """A 405 with an Allow header."""
    methods = ", ".join(allowed)
    return Problem(405, f"The method {method} is not allowed; allowed are {methods}.", headers={"Allow": methods})


def _error_headers(error: errors.MarketError) -> dict[str, str]:
    if isinstance(error, errors.TokenNotValid):
        return {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
    if isinstance(error, errors.NotAuthenticated):
        return {"WWW-Authenticate": REALM}
    if isinstance(error, errors.TooManyAttempts | errors.Unavailable | errors.IdempotencyKeyInFlight):
        return {"Retry-After": _format_retry_after(error.retry_after)}
    return {}


def _format_retry_after(wait: timedelta) -> str:
    return str(max(1, ceil(wait.total_seconds())))


def _encode(document: Mapping[str, object]) -> bytes:
    """Encode a document. Lone surrogates, which messages may quote from requests, are escaped."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escape_surrogates(document))


def _escape_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_escape_surrogates(key): _escape_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escape_surrogates(item) for item in value]
    return value


def error_response(error: Exception) -> Response | None:
    """The response for an expected exception; None for an unexpected one."""
    match error:
        case Problem():
            return error.response()
        case errors.MarketError():
            return problem_from_error(error).response()
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return Problem(404, "There is no resource at this URL.").response()
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers).response()
        case ClientDisconnect():
            # The client is disconnected, so nothing reads the response.
            return Problem(400, "The client disconnected before the request was complete.").response()
        case _:
            return None
