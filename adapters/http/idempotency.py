"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import Response

from adapters.http.operations import Call
from adapters.http.problems import invalid
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight
from scalecommerce_core.services.idempotency import IdempotencyKey

HEADER: Final = "Idempotency-Key"
MAX_LENGTH: Final = 255

PAUSES: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)
"""Seconds between looks at a key that another request works on: five in all, then it is a 409."""


def idempotency_key(headers: Headers) -> str | None:
    """The key, None without one; a 400 `Problem` for what is none."""
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= MAX_LENGTH or not all("!" <= each <= "~" for each in given[0]):
        raise invalid({HEADER: [f"1 to {MAX_LENGTH} visible ASCII characters without spaces are wanted."]})
    return given[0]


async def keyed(call: Call[Any, Any], render: Callable[[Any], bytes]) -> IdempotencyKey | None:
    """The request's key for its command; `render` makes the body of the answer from the outcome."""
    if call.idempotency_key is None:
        return None
    request = call.request
    asked = b"\0".join((request.method.encode(), request.url.path.encode(), await request.body()))
    return IdempotencyKey(call.idempotency_key, hashlib.sha256(asked).digest(), render)


async def after_twins(handler: Callable[[Call[Any, Any]], Awaitable[Response]], call: Call[Any, Any]) -> Response:
    """Handle the call; while another request with its key is being worked on, wait for that one's outcome.

    A handler that raises `IdempotencyKeyInFlight` has written nothing, so it may be called again.
    """
    for pause in PAUSES:
        try:
            return await handler(call)
        except IdempotencyKeyInFlight:
            await asyncio.sleep(pause)
    return await handler(call)
