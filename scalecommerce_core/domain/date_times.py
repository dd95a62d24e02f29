"""Date-times in text: one rule for HTTP, files and stored documents."""

from datetime import UTC, datetime
from typing import Final

DATE_TIME_FORM: Final = "Must be a date-time with a UTC offset, such as 2030-01-31T18:00:00Z."
"""Error message for a time without a UTC offset, which cannot be compared with others."""


def parse_date_time(text: str) -> datetime:
    """Read a date-time of ISO 8601 with a UTC offset; raise `ValueError`, whose message says what is accepted."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(DATE_TIME_FORM) from None
    if moment.tzinfo is None:
        raise ValueError(DATE_TIME_FORM)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(DATE_TIME_FORM) from None


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`: UTC, with a fraction of the second only if there is one (RFC 3339).

    Raise `ValueError` for a time without a zone.
    """
    return in_utc(moment).isoformat().replace("+00:00", "Z")


def in_utc(moment: datetime) -> datetime:
    """The same time in UTC; raise `ValueError` for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(UTC)
