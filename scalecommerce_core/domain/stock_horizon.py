"""The stock horizon: the time until which stock must last, as the end of a season or the next delivery."""

from datetime import UTC, datetime, timedelta
from typing import Final

MAX_STOCK_HORIZON: Final = timedelta(days=3_650)
"""A horizon lies at most this far in the future."""
_FORM: Final = "Must be a date-time with a UTC offset, such as 2030-01-31T18:00:00Z."


def parse_stock_until(text: str) -> datetime:
    """Read a date-time of ISO 8601 with a UTC offset; raise `ValueError`, whose message says what is accepted."""
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_FORM) from None
    if until.tzinfo is None:
        raise ValueError(_FORM)
    try:
        return until.astimezone(UTC)
    except OverflowError:
        raise ValueError(_FORM) from None


def stock_until_errors(until: datetime | None, now: datetime) -> dict[str, list[str]]:
    """Errors of a new horizon, by field: it must have a UTC offset and lie in the future. None is valid."""
    if until is None:
        return {}
    if until.tzinfo is None:
        return {"stock_until": [_FORM]}
    if not now < until <= now + MAX_STOCK_HORIZON:
        days = f"{MAX_STOCK_HORIZON.days:,}"
        return {"stock_until": [f"Must be in the future, at most {days} days from now; null if it is unknown."]}
    return {}
