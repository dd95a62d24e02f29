"""Batches of product views on their way from the view counter to the rollups."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.identifiers import ProductId

ViewCounts = Mapping[tuple[ProductId, datetime], int]
"""Views by product and time slice."""

TIME_SLICE: Final = timedelta(seconds=5)
"""Resolution of the times of views: fine enough to distinguish hours and price intervals, coarse enough for few
rows."""

DEDUP_RETENTION: Final = timedelta(days=1)
"""How long the id of an applied batch is stored: a batch that is handed over again within this time is not applied."""


@frozen
class ViewBatch:
    """Views that are applied together and once, by their `id`, however often the batch is handed over."""

    id: str
    counts: ViewCounts


_SLICE_SECONDS: Final = int(TIME_SLICE.total_seconds())


def time_slice(at: float) -> int:
    """Beginning of the time slice of a view at `at`; both in seconds since 1970-01-01 UTC."""
    return int(at) // _SLICE_SECONDS * _SLICE_SECONDS
