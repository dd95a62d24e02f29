"""The Prefer header (RFC 7240): `wait=N`."""

import re
from typing import Final

from starlette.datastructures import Headers

from adapters.http.framework.operation import Header
from adapters.http.framework.request_limits import read_field

MAX_WAIT: Final = 30
"""Seconds. Larger values are reduced to this one."""

WAIT_SCHEMA: Final = {"type": "string", "examples": ["wait=5"]}
PREFER: Final = Header("Prefer", f"`wait=N`: wait up to N seconds (at most {MAX_WAIT}) for the decision.", WAIT_SCHEMA)
PREFERENCE_APPLIED: Final = Header(
    "Preference-Applied", "The applied `wait=N`, if the request contains it.", WAIT_SCHEMA
)

_WAIT: Final = re.compile(r"wait\s*=\s*\"?(?P<seconds>[0-9]{1,6})\"?\s*(?:;.*)?", re.IGNORECASE)


def parse_wait(headers: Headers) -> int | None:
    """The seconds of `wait=N`, at most `MAX_WAIT`; None without it. Unknown preferences are ignored (RFC 7240)."""
    for preference in read_field(headers, "Prefer").split(","):
        if match := _WAIT.fullmatch(preference.strip()):
            return min(int(match["seconds"]), MAX_WAIT)
    return None
