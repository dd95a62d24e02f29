"""Product views on their way from whoever looked to the statistics."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.identifiers import ProductId

ViewCounts = Mapping[tuple[ProductId, datetime], int]
"""How often each product was looked at, by the moment."""

TIME_SLICE: Final = timedelta(seconds=5)
"""As sharp as the moment of a view is kept: it has to tell hours and prices apart, and few moments make few rows."""

DEDUP_RETENTION: Final = timedelta(days=1)
"""How long it is remembered that a batch was counted in: it may be handed over again until then."""


@frozen
class ViewBatch:
    """Views that are counted together and once, by their `id`, however often the batch is handed over."""

    id: str
    counts: ViewCounts


_SLICE_SECONDS: Final = int(TIME_SLICE.total_seconds())


def time_slice(at: float) -> int:
    """The moment that a view at `at` is counted for; both in seconds since the epoch."""
    return int(at) // _SLICE_SECONDS * _SLICE_SECONDS
