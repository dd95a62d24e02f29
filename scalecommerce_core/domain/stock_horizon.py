"""The stock horizon: the time until which stock must last, the end of a season or the next delivery."""

from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.domain.date_times import DATE_TIME_FORM

MAX_STOCK_HORIZON: Final = timedelta(days=3_650)
"""A horizon lies at most this far in the future."""


def stock_until_errors(until: datetime | None, now: datetime) -> dict[str, list[str]]:
    """Errors of a new horizon, by field: it must have a UTC offset and lie in the future. None is valid."""
    if until is None:
        return {}
    if until.tzinfo is None:
        return {"stock_until": [DATE_TIME_FORM]}
    if not now < until <= now + MAX_STOCK_HORIZON:
        days = f"{MAX_STOCK_HORIZON.days:,}"
        return {"stock_until": [f"Must be in the future, at most {days} days from now; null if it is unknown."]}
    return {}
