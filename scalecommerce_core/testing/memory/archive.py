"""Queries of the archive in memory. Its figures are computed, so nothing can differ."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from scalecommerce_core.domain.order import Order
from scalecommerce_core.queries import ArchiveDiscrepancy, ArchivedMonth, OrderView
from scalecommerce_core.testing.memory.operations import order_view
from scalecommerce_core.testing.memory.tables import Tables


class MemoryArchiveQueries:
    _tables: Tables

    def archived_months(self) -> Sequence[ArchivedMonth]:
        months: dict[tuple[date, str], list[int]] = {}
        for order in self._archived():
            figures = months.setdefault((order.created_at.date().replace(day=1), order.currency), [0] * 5)
            lines = order.lines if order.paid_at is not None else ()
            refunds = [each for each in self._tables.refunds.all() if each.order_id == order.id]
            for index, value in enumerate(
                (
                    1,
                    sum(line.quantity for line in lines),
                    sum(line.amount for line in lines),
                    sum(refund.quantity for refund in refunds),
                    sum(refund.amount for refund in refunds),
                )
            ):
                figures[index] += value
        return [ArchivedMonth(*key, *months[key]) for key in sorted(months)]

    def archive_discrepancies(self, limit: int | None = 100) -> Sequence[ArchiveDiscrepancy]:  # noqa: ARG002 - the port's
        return ()

    def iter_archived_orders(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[OrderView]:
        for order in sorted(self._archived(), key=lambda order: (order.created_at, order.id)):
            if (since is None or order.created_at >= since) and (until is None or order.created_at < until):
                yield order_view(self._tables, order)

    def _archived(self) -> list[Order]:
        return list(self._tables.orders.get_many(order_id for order_id, _ in self._tables.archived.items()).values())
