"""The Idempotency-Key header."""

from typing import Final

from starlette.datastructures import Headers

from adapters.http.problems import invalid

HEADER: Final = "Idempotency-Key"
MAX_LENGTH: Final = 255


def idempotency_key(headers: Headers) -> str | None:
    """The key, None without one; a 400 `Problem` for what is none."""
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= MAX_LENGTH or not all("!" <= each <= "~" for each in given[0]):
        raise invalid({HEADER: [f"1 to {MAX_LENGTH} visible ASCII characters without spaces are wanted."]})
    return given[0]
