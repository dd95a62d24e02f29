"""Formats that all commands share: times by RFC 3339, and text that is safe on a terminal."""

import re
from datetime import UTC, datetime
from typing import Final

_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, line separators, directional overrides, and lone surrogates."""


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`: UTC, with a fraction of the second only if there is one (RFC 3339).

    Raise `ValueError` for a time without a zone.
    """
    return _utc(moment).isoformat().replace("+00:00", "Z")


def format_time(moment: datetime | None) -> str:
    """`2026-01-31 12:00:00Z`: RFC 3339 in whole seconds, with a space instead of T; "" for None."""
    return "" if moment is None else f"{_utc(moment):%Y-%m-%d %H:%M:%S}Z"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(UTC)


def printable(text: str) -> str:
    r"""Escape control characters in untrusted text: ESC becomes `\x1b`. Line feeds and tabs are kept."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)
