"""Orders in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId
from scalecommerce_core.domain.order import Order, OrderStatus, is_sale
from scalecommerce_core.domain.payment import PaymentStatus
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.testing.memory.tables import Tables, copy_order


class MemoryOrders:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[OrderId]:
        return [OrderId(number) for number in self._numbers("orders", count)]

    def add(self, orders: Collection[Order]) -> None:
        taken = {order.command_id for order in self._tables.orders.all()}
        if len(taken.union(order.command_id for order in orders)) < len(taken) + len(orders):
            raise Duplicate("command_id")
        self.save(orders)

    def save(self, orders: Collection[Order]) -> None:
        for order in orders:
            self._tables.refunds.append(order.refunds)
            self._tables.events.append(order.events)
            self._tables.orders.put(order.id, order)

    def lock(self, ids: Collection[OrderId]) -> Mapping[OrderId, Order]:
        return self._tables.orders.get_many(sorted(ids))

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        given = set(ids)
        return {o.command_id: copy_order(o) for o in self._tables.orders.all() if o.command_id in given}

    def has_bought(self, buyer_id: AccountId, paid_before: datetime) -> bool:
        return any(
            order.buyer_id == buyer_id
            and order.status is OrderStatus.PAID
            and order.paid_at is not None
            and order.paid_at < paid_before
            and any(is_sale(buyer_id, line.seller_id) for line in order.lines)
            for order in self._tables.orders.all()
        )

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        return self._first(
            limit,
            lambda order: (
                order.status is OrderStatus.CREATED
                and not order.is_parked
                and (order.decide_after is None or order.decide_after <= now)
            ),
        )

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        being_paid = {p.order_id for p in self._tables.payments.all() if p.status is PaymentStatus.OPEN}
        return self._first(
            limit,
            lambda order: (
                order.status is OrderStatus.PENDING
                and order.expires_at is not None
                and order.expires_at <= now
                and order.id not in being_paid
            ),
        )

    def _first(self, limit: int, condition: Callable[[Order], bool]) -> list[Order]:
        found = sorted(filter(condition, self._tables.orders.all()), key=lambda order: order.id)
        return [copy_order(order) for order in found[:limit]]
