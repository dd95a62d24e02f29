"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.framework.json_parser import decimals_to_numbers
from adapters.http.framework.operation import Call
from adapters.http.framework.problems import invalid_fields
from adapters.http.framework.validation import has_untyped_fields
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, MarketError
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.results import Replayed

T = TypeVar("T")

HEADER: Final = "Idempotency-Key"
MAX_LENGTH: Final = 255

POLL_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)
"""Pauses before each new attempt while another request with the same key is in flight; about 5 s in total."""


def read_idempotency_key(headers: Headers) -> str | None:
    """The key, or None without the header; raise a 400 `Problem` for an invalid one."""
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= MAX_LENGTH or not all("!" <= each <= "~" for each in given[0]):
        raise invalid_fields({HEADER: [f"The key must be 1 to {MAX_LENGTH} visible ASCII characters without spaces."]})
    return given[0]


async def build_idempotency_key(
    call: Call[Any, Any], render: Callable[[Any], bytes], *, secrets: Sequence[str] = ()
) -> IdempotencyKey | None:
    """The key of the request's command, or None without a key.

    `render` encodes the result of the command; its output is stored with the key and sent to repeated requests.
    `secrets` are text fields of the body that the fingerprint leaves out: fingerprints are fast hashes, against
    which passwords could be guessed if the database were stolen.
    """
    if call.idempotency_key is None:
        return None
    request = call.request
    body = msgspec.structs.replace(call.body, **dict.fromkeys(secrets, "")) if secrets else call.body
    fingerprint = compute_fingerprint(request.method, request.scope["path"], body, call.query)
    return IdempotencyKey(
        call.idempotency_key, fingerprint, render, partial(_compute_v1_fingerprint, request, await request.body())
    )


def response_body(outcomes: Sequence[T | Replayed | MarketError], render: Callable[[T], bytes]) -> bytes:
    """The response body for a batch of one: the stored body of a replay, or the rendered result.

    Raise the outcome if it is an error.
    """
    (outcome,) = outcomes
    if isinstance(outcome, MarketError):
        raise outcome
    return outcome.body if isinstance(outcome, Replayed) else render(outcome)


def compute_fingerprint(
    method: str, path: str, body: msgspec.Struct | None, query: msgspec.Struct | None = None
) -> bytes:
    """Compute the fingerprint of a request from its decoded body and query.

    Equivalent requests have equal fingerprints: the order of names, white space, escapes, unknown fields, `19.9` or
    `"19.90"` for an amount, `1` or `1.0` for a number, and explicit defaults make no difference. The order of lists
    does.
    """
    content: object = body
    if body is not None and has_untyped_fields(type(body)):
        # The encoder would write decimals as strings, so that 0.030 would differ from 0.03.
        content = decimals_to_numbers(msgspec.to_builtins(body, builtin_types=(Decimal,), enc_hook=str))
    return FINGERPRINT_VERSION + hashlib.sha256(_ENCODER.encode((method, path, content, query))).digest()


FINGERPRINT_VERSION: Final = b"2"
"""Prefix of each fingerprint. When the rule changes, change it and return the old rule as `previous_fingerprint`."""

# `enc_hook` encodes amounts as their canonical text.
_ENCODER: Final = msgspec.json.Encoder(order="deterministic", enc_hook=str)


def _compute_v1_fingerprint(request: Request, body: bytes) -> bytes:
    """Compute the fingerprint that version 0.1.0 stored, which has no prefix."""
    return hashlib.sha256(b"\0".join((request.method.encode(), request.url.path.encode(), body))).digest()


async def wait_for_in_flight(
    handler: Callable[[Call[Any, Any]], Awaitable[Response]], call: Call[Any, Any]
) -> Response:
    """Call the handler again while another request with the same key is in flight.

    A handler that raises `IdempotencyKeyInFlight` has written nothing, so calling it again is safe. If the request is
    still in flight after the last pause, the error is raised (409).
    """
    for pause in POLL_SECONDS:
        try:
            return await handler(call)
        except IdempotencyKeyInFlight:
            await asyncio.sleep(pause)
    return await handler(call)
