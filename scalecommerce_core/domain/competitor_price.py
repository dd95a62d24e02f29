"""The lowest price of a competitor for a product, and when it was observed."""

from datetime import UTC, datetime, timedelta
from typing import Final

from scalecommerce_core.domain.date_times import DATE_TIME_FORM
from scalecommerce_core.domain.money import Money

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""Observations may be this far in the future: clocks of observers differ from the engine's."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Databases and pricing cannot represent all times before."""


def observation_errors(price: Money | None, observed_at: datetime | None, now: datetime) -> dict[str, list[str]]:
    """Errors of a new observation, by field: its time has a UTC offset, is not in the future, and needs a price."""
    if observed_at is None:
        return {}
    if observed_at.tzinfo is None:
        return {"competitor_price_at": [DATE_TIME_FORM]}
    if price is None:
        return {"competitor_price_at": ["Set competitor_price too: this is when that price was observed."]}
    if observed_at < EARLIEST:
        return {"competitor_price_at": ["Must not be before 1970."]}
    if observed_at > now + CLOCK_TOLERANCE:
        return {"competitor_price_at": ["Must not be in the future."]}
    return {}
