"""Orders in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import SETTLED, Order, OrderOrigin, OrderStatus, is_sale
from scalecommerce_core.domain.order_quotas import WithdrawnPrice
from scalecommerce_core.domain.payment import PaymentStatus, RefundStatus
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.ports.orders import RECENT_ORDERS, QuotaFacts, RecentUnits, UnsettledOrder
from scalecommerce_core.testing.memory.tables import Tables, copy_order


class MemoryOrders:
    def __init__(
        self, tables: Tables, numbers: Callable[[str, int], list[int]], is_contended: Callable[[], bool]
    ) -> None:
        self._tables = tables
        self._numbers = numbers
        self._is_contended = is_contended

    def next_ids(self, count: int) -> Sequence[OrderId]:
        return [OrderId(number) for number in self._numbers("orders", count)]

    def begin_intake(self, count: int, buyers: Collection[AccountId]) -> tuple[Sequence[OrderId], Counter[AccountId]]:
        return self.next_ids(count), self._counts(buyers, OrderStatus.CREATED, OrderStatus.PENDING)

    def quota_facts(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> QuotaFacts:
        given = self._tables.products.get_many(products).values()
        withdrawn = {
            product.id: [
                WithdrawnPrice(change.price.minor, change.valid_from, change.withdrawal.at)
                for change in self._tables.price_history(product.id)
                if change.withdrawal is not None and change.withdrawal.at >= since and change.price != product.price
            ]
            for product in given
        }
        return QuotaFacts(
            self._counts(buyers, OrderStatus.PENDING),
            {product.id: product.max_per_buyer for product in given if product.max_per_buyer is not None},
            {product_id: prices for product_id, prices in withdrawn.items() if prices},
        )

    def _counts(self, buyers: Collection[AccountId], *statuses: OrderStatus) -> Counter[AccountId]:
        return Counter(o.buyer_id for o in self._tables.orders.all() if o.buyer_id in buyers and o.status in statuses)

    def recent_units(self, buyers: Collection[AccountId], since: datetime) -> RecentUnits:
        units: Counter[tuple[AccountId, ProductId, int]] = Counter()
        busy = set()
        for buyer in set(buyers):
            own = sorted((o for o in self._tables.orders.all() if o.buyer_id == buyer), key=lambda o: -o.id)
            recent = [order for order in own[:RECENT_ORDERS] if order.created_at >= since]
            if len(recent) == RECENT_ORDERS:
                busy.add(buyer)
            for order in recent:
                if order.status not in {OrderStatus.REJECTED, OrderStatus.CANCELLED}:
                    for line in order.lines:
                        units[buyer, line.product_id, line.price] += line.quantity
        return RecentUnits(units, frozenset(busy))

    def unpaid_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId]
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        return self._units(buyers, products, lambda order: order.status is OrderStatus.PENDING)

    def bought_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        return self._units(
            buyers,
            products,
            lambda order: (
                order.status is OrderStatus.PENDING or (order.status is OrderStatus.PAID and order.created_at >= since)
            ),
        )

    def _units(
        self, buyers: Collection[AccountId], products: Collection[ProductId], condition: Callable[[Order], bool]
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        units: Counter[tuple[AccountId, ProductId]] = Counter()
        for order in self._tables.orders.all():
            if order.buyer_id in buyers and condition(order):
                for line in order.lines:
                    if line.product_id in products:
                        units[order.buyer_id, line.product_id] += line.quantity - line.refunded
        return +units

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

    def lock(
        self, ids: Collection[OrderId], restores: Callable[[Order], bool] | None = None
    ) -> Mapping[OrderId, Order]:
        found = self._tables.orders.get_many(sorted(ids))
        for order_id, order in found.items():
            if self._tables.archived.get(order_id) and (restores is None or restores(order)):
                self._tables.archived.delete(order_id)
        return found

    def archive(self, limit: int, settled_before: datetime) -> int:
        refunded = {each.payment_id for each in self._tables.payment_refunds.all() if each.status is RefundStatus.OPEN}
        unsettled = {
            payment.order_id
            for payment in self._tables.payments.all()
            if payment.status is PaymentStatus.OPEN or payment.check_at is not None or payment.id in refunded
        }
        found = [
            order
            for order in self._tables.orders.all()
            if order.status in SETTLED
            and max(order.created_at, order.updated_at) < settled_before
            and order.id not in unsettled
            and not self._tables.archived.get(order.id)
        ]
        chosen = sorted(found, key=lambda order: (order.created_at, order.id))[:limit]
        for order in chosen:
            self._tables.archived.put(order.id, True)
        return len(chosen)

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        given = set(ids)
        return {
            order.command_id: copy_order(order)
            for order in self._tables.orders.all()
            if order.command_id in given
            and (order.origin is not OrderOrigin.API or not self._tables.archived.get(order.id))
        }

    def has_bought(self, buyer_id: AccountId, paid_before: datetime) -> bool:
        return any(
            order.buyer_id == buyer_id
            and order.status is OrderStatus.PAID
            and order.paid_at is not None
            and order.paid_at < paid_before
            and any(is_sale(buyer_id, line.seller_id) for line in order.lines)
            for order in self._tables.orders.all()
        )

    def unsettled(self, account_id: AccountId, limit: int) -> Sequence[UnsettledOrder]:
        refunded = {each.payment_id for each in self._tables.payment_refunds.all() if each.status is RefundStatus.OPEN}
        paying = {
            payment.order_id
            for payment in self._tables.payments.all()
            if payment.status is PaymentStatus.OPEN or payment.id in refunded
        }
        unpaid = {OrderStatus.CREATED, OrderStatus.PENDING}
        found = [
            UnsettledOrder(order.id, is_own=order.buyer_id == account_id, is_unpaid=order.status in unpaid)
            for order in self._tables.orders.all()
            if (order.status in unpaid or order.id in paying)
            and (order.buyer_id == account_id or any(line.seller_id == account_id for line in order.lines))
        ]
        return sorted(found, key=lambda order: order.id)[:limit]

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        return self._first(
            limit,
            lambda order: (
                order.status is OrderStatus.CREATED
                and not order.is_parked
                and (order.decide_after is None or order.decide_after <= now)
            ),
        )

    def try_claim_undecided(self, limit: int, now: datetime) -> Sequence[Order] | None:
        if self._is_contended():
            return None
        claimed = self.claim_undecided(limit + 1, now)
        return None if len(claimed) > limit else claimed

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
