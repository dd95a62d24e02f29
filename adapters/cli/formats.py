"""Times as all commands print them."""

from datetime import datetime

from scalecommerce_core.domain.date_times import in_utc


def format_time(moment: datetime | None) -> str:
    """`2026-01-31 12:00:00Z`: RFC 3339 in whole seconds, with a space instead of T; "" for None."""
    return "" if moment is None else f"{in_utc(moment):%Y-%m-%d %H:%M:%S}Z"
