"""Product views: how many count per origin, how much each weighs, and their batches on the way to the rollups."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.identifiers import ProductId

ViewCounts = Mapping[tuple[ProductId, datetime], int]
"""Views by product and time slice."""

NO_VIEWS: Final[ViewCounts] = MappingProxyType({})

TIME_SLICE: Final = timedelta(seconds=5)
"""Resolution of the times of views: fine enough to distinguish hours and price intervals, coarse enough for few
rows."""

DEDUP_RETENTION: Final = timedelta(days=1)
"""How long the id of an applied batch is stored: a batch that is handed over again within this time is not applied."""


ESTABLISHED_AFTER: Final = timedelta(days=7)
"""Age from which an account, and the payment of a purchase, count for `ViewerTrust`."""


class ViewerTrust(IntEnum):
    """Trust in a viewer. The value is the weight of the viewer's views in pricing and popularity.

    Forging many views of a higher weight needs many accounts that are old, or that have paid for purchases.
    """

    UNKNOWN = 1
    """Anonymous, or an account younger than `ESTABLISHED_AFTER`."""
    ESTABLISHED = 2
    """An account that is older."""
    BUYER = 4
    """An account that paid for a product of another account at least `ESTABLISHED_AFTER` ago."""

    @classmethod
    def of(cls, age: timedelta, has_bought: Callable[[], bool]) -> "ViewerTrust":
        """Trust in an account of this age. `has_bought` is called only if the age suffices for a purchase."""
        if age < ESTABLISHED_AFTER:
            return cls.UNKNOWN
        return cls.BUYER if has_bought() else cls.ESTABLISHED


@frozen
class ViewCap:
    """Largest number of counted views from one origin in a day (UTC): of one product, and of all. 0: no limit."""

    of_product: int = 0
    in_total: int = 0


@frozen
class ViewCaps:
    """Caps of the two kinds of origins: an address (also that of an account, see `ViewCounter`), and a network."""

    address: ViewCap = ViewCap()
    network: ViewCap = ViewCap()

    def per_origin(self) -> tuple[ViewCap, ViewCap]:
        """The caps in the order of a view's origins."""
        return self.address, self.network


NO_CAPS: Final = ViewCaps()


@frozen
class ViewBatch:
    """Views that are applied together and once, by their `id`, however often the batch is handed over."""

    id: str
    counts: ViewCounts
    extra_weights: ViewCounts = NO_VIEWS
    """Sums of the weights of the views (`ViewerTrust`) beyond 1 each. Keys are keys of `counts`; missing ones: 0."""


_SLICE_SECONDS: Final = int(TIME_SLICE.total_seconds())


def time_slice(at: float) -> int:
    """Beginning of the time slice of a view at `at`; both in seconds since 1970-01-01 UTC."""
    return int(at) // _SLICE_SECONDS * _SLICE_SECONDS
