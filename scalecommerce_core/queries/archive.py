"""Views and queries of the archive of settled orders, and of its audit."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

from attrs import frozen

from scalecommerce_core.queries.orders import OrderView


@frozen
class ArchivedMonth:
    """The archived orders of one currency that were placed in one month (UTC; `month` is its first day).

    `units` and `amount` (in minor units) are those of paid orders, refunded ones included; refunds are not subtracted.
    """

    month: date
    currency: str
    orders: int
    units: int
    amount: int
    refunded_units: int
    refunded_amount: int


@frozen
class ArchiveDiscrepancy:
    """A stored figure that differs from the value computed from the archived rows.

    `figure` is `checksum` of an order, `units` of a product's archived stock movements, a figure of a month
    (`ArchivedMonth`, or `checksums`, the sum of its orders' checksums), or `orphans`, the rows of a table whose order
    or payment is not in the archive. `key` is the number of the order or product, the month and the currency, or the
    name of the table.
    """

    figure: str
    key: str
    stored: int
    expected: int


class ArchiveQueries(Protocol):
    def archived_months(self) -> Sequence[ArchivedMonth]:
        """Return the stored totals of the archive, the oldest month first."""
        ...

    def archive_discrepancies(self, limit: int | None = 100) -> Sequence[ArchiveDiscrepancy]:
        """Return the first `limit` discrepancies (None: all), from one snapshot. It reads the whole archive."""
        ...

    def iter_archived_orders(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[OrderView]:
        """Iterate over archived orders that were placed at `since` or later and before `until`, by that time.

        Memory use is constant. Orders that are archived or restored during the iteration may or may not be returned.
        """
        ...
