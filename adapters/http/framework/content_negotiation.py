"""The Accept header: whether the client accepts JSON."""

import re
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers

from adapters.http.framework.problems import Problem
from adapters.http.framework.request_limits import join_field

MAX_CACHED_LENGTH: Final = 512
"""Characters. Results for longer headers are not cached, to bound the memory; browsers send about 150 characters."""


_WEIGHT: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
"""RFC 9110, section 12.4.2."""


def check_accepts_json(headers: Headers) -> None:
    """Raise a 406 `Problem` if the Accept header excludes application/json, or a 431 `Problem` if it is too large."""
    given = headers.getlist("accept")
    if given and not accepts_json(join_field("Accept", given)):
        raise Problem(406, "Responses are application/json: the Accept header must allow it.")


def accepts_json(accept: str) -> bool:
    """Whether the most specific matching range has a weight above 0 (RFC 9110, section 12.5.1)."""
    return _cached_accepts_json(accept) if len(accept) <= MAX_CACHED_LENGTH else _accepts_json(accept)


def _accepts_json(accept: str) -> bool:
    # Empty list elements are ignored (RFC 9110, section 5.6.1.2); an empty list accepts everything.
    ranges = [media_range for media_range in accept.split(",") if media_range.strip()]
    if not ranges:
        return True
    weights: dict[str, float] = {}
    for media_range in ranges:
        name, *parameters = (part.strip().lower() for part in media_range.split(";"))
        weights[name] = max(weights.get(name, 0.0), _parse_weight(parameters))
    for name in ("application/json", "application/*", "*/*"):
        if name in weights:
            return weights[name] > 0
    return False


# Clients send few distinct values.
_cached_accepts_json: Final = lru_cache(maxsize=256)(_accepts_json)


def _parse_weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            weight = parameter.removeprefix("q=")
            # An invalid weight is ignored.
            return float(weight) if _WEIGHT.fullmatch(weight) else 1.0
    return 1.0
