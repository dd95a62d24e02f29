"""Times as all commands print them, by RFC 3339."""

from datetime import UTC, datetime


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
