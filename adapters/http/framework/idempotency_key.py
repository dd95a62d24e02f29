"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.framework.json_parser import decimals_to_numbers
from adapters.http.framework.operation import Call
from adapters.http.framework.problems import invalid_fields
from adapters.http.framework.validation import has_untyped_fields
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight
from scalecommerce_core.services.idempotency import IdempotencyKey

HEADER: Final = "Idempotency-Key"
MAX_LENGTH: Final = 255

POLL_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)
"""Seconds between looks at a key that another request works on: five in all, then it is a 409."""


def read_idempotency_key(headers: Headers) -> str | None:
    """The key, None without one; a 400 `Problem` for what is none."""
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= MAX_LENGTH or not all("!" <= each <= "~" for each in given[0]):
        raise invalid_fields({HEADER: [f"1 to {MAX_LENGTH} visible ASCII characters without spaces are wanted."]})
    return given[0]


async def build_idempotency_key(call: Call[Any, Any], render: Callable[[Any], bytes]) -> IdempotencyKey | None:
    """The request's key for its command; `render` makes the body of the answer from the outcome."""
    if call.idempotency_key is None:
        return None
    request = call.request
    fingerprint = compute_fingerprint(request.method, request.scope["path"], call.body, call.query)
    return IdempotencyKey(
        call.idempotency_key, fingerprint, render, partial(_compute_v1_fingerprint, request, await request.body())
    )


def compute_fingerprint(
    method: str, path: str, body: msgspec.Struct | None, query: msgspec.Struct | None = None
) -> bytes:
    """Compute the fingerprint of a request from its decoded body and query, so that equivalent requests have the same.

    The order of names, white space, escapes, unknown fields, `19.9` or `"19.90"` for an amount, `1` or `1.0` for a
    number, and whether a field's default is written out make no difference; the order of lists does.
    """
    meant: object = body
    if body is not None and has_untyped_fields(type(body)):
        # The encoder would write decimals as strings, with 0.030 different from 0.03.
        meant = decimals_to_numbers(msgspec.to_builtins(body, builtin_types=(Decimal,), enc_hook=str))
    return FINGERPRINT_VERSION + hashlib.sha256(_ENCODER.encode((method, path, meant, query))).digest()


FINGERPRINT_VERSION: Final = b"2"
"""Prefix of each fingerprint. Change it with the rule, and compute the old rule as `previous_fingerprint`."""

# `enc_hook` encodes amounts by their canonical text.
_ENCODER: Final = msgspec.json.Encoder(order="deterministic", enc_hook=str)


def _compute_v1_fingerprint(request: Request, body: bytes) -> bytes:
    """The fingerprint as version 0.1.0 stored it, without the prefix."""
    return hashlib.sha256(b"\0".join((request.method.encode(), request.url.path.encode(), body))).digest()


async def wait_for_in_flight(
    handler: Callable[[Call[Any, Any]], Awaitable[Response]], call: Call[Any, Any]
) -> Response:
    """Handle the call; while another request with its key is being worked on, wait for that one's outcome.

    A handler that raises `IdempotencyKeyInFlight` has written nothing, so it may be called again.
    """
    for pause in POLL_SECONDS:
        try:
            return await handler(call)
        except IdempotencyKeyInFlight:
            await asyncio.sleep(pause)
    return await handler(call)
