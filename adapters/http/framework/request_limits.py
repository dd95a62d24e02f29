"""Limits on the target and the headers of a request, which anybody can choose and the engine must read."""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from adapters.http.framework.problems import Problem, headers_too_large, uri_too_long

HEADER_LIMIT: Final = 32 * 1024
"""Bytes of all names and values together. Browsers send about 1 KiB; cookies of other sites on the same domain more."""
MAX_HEADERS: Final = 100
"""Header lines."""
FIELD_LIMIT: Final = 4 * 1024
"""Bytes of one header that is parsed, all its lines together. Browsers send about 150 bytes of Accept."""
PATH_LIMIT: Final = 2 * 1024
"""Bytes of the path. The longest path of an operation has about 100."""
QUERY_LIMIT: Final = 8 * 1024
"""Bytes of the query string. The number of parameters has a limit of its own."""


def find_excess(scope: Scope, header_bytes: int) -> Problem | None:
    """The problem of a request whose target or headers are too large; `header_bytes` are those of all headers."""
    if header_bytes > HEADER_LIMIT or len(scope["headers"]) > MAX_HEADERS:
        return headers_too_large(f"The headers must not exceed {HEADER_LIMIT} bytes and {MAX_HEADERS} lines in total.")
    if len(scope["path"]) > PATH_LIMIT or len(scope["query_string"]) > QUERY_LIMIT:
        return uri_too_long(f"The path must not exceed {PATH_LIMIT} bytes, and the query string {QUERY_LIMIT} bytes.")
    return None


def read_field(headers: Headers, name: str) -> str:
    """The value of a header, with its lines joined by commas (RFC 9110, section 5.3); "" without the header.

    Raise a 431 `Problem` that names the header if it is too large to be parsed.
    """
    return join_field(name, headers.getlist(name))


def join_field(name: str, lines: Sequence[str]) -> str:
    """Join the lines of a header; raise a 431 `Problem` that names the header if it is too large to be parsed."""
    if len(lines) == 1 and len(lines[0]) <= FIELD_LIMIT:
        return lines[0]
    if sum(map(len, lines)) + len(lines) > FIELD_LIMIT + 1:
        raise headers_too_large(f"The header {name} must not exceed {FIELD_LIMIT} bytes.")
    return ",".join(lines)
