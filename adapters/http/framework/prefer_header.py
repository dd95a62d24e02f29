"""The Prefer header (RFC 7240): `wait=N`."""

import re
from typing import Final

from starlette.datastructures import Headers

from adapters.http.framework.operation import Header

MAX_WAIT: Final = 30
"""Seconds; who asks for more gets this."""

WAIT_SCHEMA: Final = {"type": "string", "examples": ["wait=5"]}
PREFER: Final = Header("Prefer", f"`wait=N`: wait up to N seconds (at most {MAX_WAIT}) for the verdict.", WAIT_SCHEMA)
PREFERENCE_APPLIED: Final = Header("Preference-Applied", "`wait=N`, if the request preferred it.", WAIT_SCHEMA)

_WAIT: Final = re.compile(r"wait\s*=\s*\"?(?P<seconds>[0-9]{1,6})\"?\s*(?:;.*)?", re.IGNORECASE)


def parse_wait(headers: Headers) -> int | None:
    """What `wait` asks for; None without it. A preference that is not understood is ignored, as the RFC wants."""
    for preference in ",".join(headers.getlist("prefer")).split(","):
        if match := _WAIT.fullmatch(preference.strip()):
            return min(int(match["seconds"]), MAX_WAIT)
    return None
