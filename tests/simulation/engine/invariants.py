"""Invariants of the simulated marketplace, checked on the stored data and on the responses that clients received."""

from collections import Counter

from scalecommerce_core.domain.events import (
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderReserved,
    StockRanOut,
    StockReturned,
)
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import SETTLED, Order, OrderStatus
from scalecommerce_core.domain.payment import Charged, PaymentStatus
from scalecommerce_core.domain.rollups import Stockout
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.domain.webhook import VERIFICATION
from scalecommerce_core.ports import STATISTICS_CONSUMER
from scalecommerce_core.testing import MemoryQueries
from scalecommerce_core.testing.memory.statistics import CONSUMER
from tests.simulation.engine.world import World

SOLD = {OrderStatus.PAID, OrderStatus.REFUNDED}
LIVES: dict[OrderStatus, list[list[type[OrderEvent]]]] = {
    OrderStatus.CREATED: [[OrderPlaced]],
    OrderStatus.PENDING: [[OrderPlaced, OrderReserved]],
    OrderStatus.REJECTED: [[OrderPlaced, OrderRejected]],
    OrderStatus.CANCELLED: [
        [OrderPlaced, OrderCancelled],
        [OrderPlaced, OrderReserved, OrderCancelled],
        [OrderPlaced, OrderReserved, OrderExpired],
    ],
    OrderStatus.PAID: [[OrderPlaced, OrderReserved, OrderPaid]],
    OrderStatus.REFUNDED: [[OrderPlaced, OrderReserved, OrderPaid]],
}
"""The topics of the events of an order by its final status, without refunds."""


def check_always(world: World) -> None:
    """Invariants that hold after each step."""
    for stock in world.memory.tables.stock.all():
        assert 0 <= stock.reserved <= stock.on_hand, stock
    tables = world.memory.tables
    archived = {order_id for order_id, _ in tables.archived.items()}
    for order in tables.orders.get_many(archived).values():
        assert order.status in SETTLED, order
    for payment in tables.payments.all():
        assert payment.status is not PaymentStatus.OPEN or payment.order_id not in archived, payment


def check_in_the_end(world: World) -> None:
    """Invariants that hold after all work is finished."""
    check_always(world)
    check_orders(world)
    check_stock(world)
    check_money(world)
    check_refunds(world)
    check_events(world)
    check_webhooks(world)
    check_statistics(world)


def orders_of(world: World) -> dict[OrderId, Order]:
    return {order.id: order for order in world.memory.tables.orders.all()}


def check_orders(world: World) -> None:
    """Every acknowledged order exists once; no order stays undecided or unpaid."""
    orders = orders_of(world)
    by_command = Counter(order.command_id for order in orders.values())
    assert set(by_command.values()) <= {1}, "one command made two orders"
    for request in world.requests:
        told = [answer for answer in request.answers if isinstance(answer, int)]
        made = [orders[o].id for o in orders if orders[o].command_id in request.commands]
        if request.key is not None:
            assert len(made) <= 1, f"{request.key} made orders {made}"
            assert len(set(told)) <= 1, f"{request.key} was told of orders {told}"
        assert set(told) <= set(made), f"told of orders {told}, made {made}"
    for order in orders.values():
        assert order.decide_attempts == 0, f"order {order.id} could not be decided"
        assert order.status not in {OrderStatus.CREATED, OrderStatus.PENDING}, f"order {order.id} is {order.status}"
    assert {orders[order].status for order in world.told_paid} <= SOLD
    assert {orders[order].status for order in world.told_cancelled} <= {OrderStatus.CANCELLED}


def check_stock(world: World) -> None:
    """Every movement in the stock ledger belongs to an order or to a change by a seller."""
    tables, orders = world.memory.tables, orders_of(world)
    sold: Counter[int] = Counter()
    back: Counter[int] = Counter()
    for order in orders.values():
        if order.status in SOLD:
            sold.update(order.quantities())
    for refund in tables.refunds.rows:
        back[refund.product_id] += refund.quantity * refund.restocked
    adjustments = [m for m in tables.movements.rows if m.kind is MovementKind.ADJUSTMENT]
    assert len(adjustments) <= world.adjustments, "somebody's change of stock was made twice"
    for stock in tables.stock.all():
        product = stock.product_id
        moved = [movement for movement in tables.movements.rows if movement.product_id == product]
        of_kind = {kind: sum(m.quantity for m in moved if m.kind is kind) for kind in MovementKind}
        assert of_kind[MovementKind.OPENING] == world.opened[product]
        assert of_kind[MovementKind.SALE] == -sold[product], f"product {product}: sales"
        assert of_kind[MovementKind.RETURN] == back[product], f"product {product}: returns"
        assert stock.on_hand == sum(of_kind.values()), f"product {product}: on hand"
        assert stock.reserved == 0, f"product {product}: reserved for nobody"
        on_hand = 0
        for movement in moved:
            on_hand += movement.quantity
            assert on_hand >= 0, f"product {product} was oversold"


def check_money(world: World) -> None:
    """Per order, the gateway has the money that was paid and not refunded; no payment stays open."""
    tables = world.memory.tables
    given_back: Counter[OrderId] = Counter()
    for refund in tables.refunds.rows:
        given_back[refund.order_id] += refund.amount
    payments = {payment.id: payment for payment in tables.payments.all()}
    held: Counter[OrderId] = Counter()
    for key, charge in world.bank.charges.items():
        assert key in payments, "a charge that nobody wrote down"
        if isinstance(charge.answer, Charged):
            held[charge.request.order_id] += charge.request.amount.minor
    for back in world.bank.refunds.values():
        held[payments[back.payment].order_id] -= back.amount.minor
    for order in orders_of(world).values():
        due = order.total.minor - given_back[order.id] if order.status in SOLD else 0
        assert held[order.id] == due, f"order {order.id} is {order.status}: {held[order.id]} is held, {due} is due"
        of_order = Counter(payment.status for payment in payments.values() if payment.order_id == order.id)
        assert of_order[PaymentStatus.OPEN] == 0, f"order {order.id} is being paid for ever"
        assert of_order[PaymentStatus.CAPTURED] == (order.status in SOLD), f"order {order.id}: {of_order}"


def check_refunds(world: World) -> None:
    """Refunds never exceed the payment, happen once per request, and none that was granted is lost."""
    rows: Counter[tuple[OrderId, int]] = Counter()
    amounts: Counter[tuple[OrderId, int]] = Counter()
    for refund in world.memory.tables.refunds.rows:
        rows[refund.order_id, refund.product_id] += refund.quantity
        amounts[refund.order_id, refund.product_id] += refund.amount
    for order in orders_of(world).values():
        for line in order.lines:
            key = order.id, line.product_id
            asked = [r for r in world.refunds if (r.order_id, r.line.product_id) == key and r.made is not False]
            granted = sum(r.line.quantity for r in asked if r.made)
            assert rows[key] == line.refunded <= line.quantity
            assert amounts[key] == line.refunded * line.price
            assert granted <= line.refunded <= sum(r.line.quantity for r in asked), f"refunds of order {order.id}"


def check_events(world: World) -> None:
    """The feed has no gaps, is the same for all readers, and has each event once, in the order of the statuses."""
    recorded = world.memory.tables.events.rows
    assert [event.seq for event in world.feed] == list(range(1, len(recorded) + 1))
    assert [(event.topic, event.at) for event in world.feed] == [(event.topic, event.at) for event in recorded]
    lives: dict[OrderId, list[OrderEvent]] = {}
    for event in recorded:
        if isinstance(event, OrderEvent):
            lives.setdefault(event.order_id, []).append(event)
    orders = orders_of(world)
    assert lives.keys() == orders.keys()
    given_back: Counter[OrderId] = Counter()
    for refund in world.memory.tables.refunds.rows:
        given_back[refund.order_id] += refund.amount
    for order_id, events in lives.items():
        order = orders[order_id]
        life = [type(event) for event in events if not isinstance(event, OrderRefunded)]
        assert life in LIVES[order.status], f"order {order_id} is {order.status} after {[e.topic for e in events]}"
        told = sum(part.amount for event in events if isinstance(event, OrderRefunded) for part in event.refunds)
        assert told == given_back[order_id], f"refunds of order {order_id}"


def check_webhooks(world: World) -> None:
    """Each endpoint received each of its events at least once, always with the same message id."""
    tables = world.memory.tables
    owner_of = {endpoint.id: endpoint.owner_id for endpoint in tables.endpoints.all()}
    begins = len(world.opened)
    wanted = {
        (endpoint, event.seq)
        for endpoint, owner in owner_of.items()
        for event in world.feed
        if event.seq > begins and owner in event.audience
    }
    sent = [delivery for delivery in tables.deliveries.all() if delivery.topic != VERIFICATION]
    deliveries = Counter((delivery.endpoint_id, delivery.seq) for delivery in sent)
    assert deliveries == Counter(dict.fromkeys(wanted, 1))
    for delivery in sent:
        heard = world.receivers.heard.get((world.addresses[owner_of[delivery.endpoint_id]], delivery.message_id))
        assert heard, f"event {delivery.seq} is {delivery.status} and was never heard"
        assert set(heard) == {delivery.body.encode()}, f"event {delivery.seq} was told differently each time"


def check_statistics(world: World) -> None:
    """The rollups contain each fact once."""
    tables = world.memory.tables
    place = world.memory.tables.event_marks.get(CONSUMER + STATISTICS_CONSUMER)
    assert place == len(tables.events.rows), "not all events are folded"
    assert MemoryQueries(world.memory).statistics_discrepancies() == []
    counted = sum(tables.views.all())
    assert counted <= world.viewed
    # Views that a crashed process had not pushed are lost. Pushed views are lost only with Redis, and never counted
    # twice.
    assert counted == world.views_handed_over - world.redis.views_lost, "views got lost, or were counted twice"
    for key, views in (("product_hours", counted), ("price_sales", counted), ("seller_hours", counted)):
        assert sum(count for (rollup, *_), count in tables.viewed.items() if rollup == key) == views, key
    outages: dict[ProductId, Stockout] = {}
    for event in tables.events.rows:
        if isinstance(event, StockRanOut):
            outages[event.product_id] = outages.get(event.product_id, Stockout()).begin(event.at)
        elif isinstance(event, StockReturned):
            outages[event.product_id] = outages[event.product_id].end(event.at)
    for stock in tables.stock.all():
        outage = tables.stockouts.get(stock.product_id) or Stockout()
        assert outage == outages.get(stock.product_id, Stockout()), f"product {stock.product_id}: time out of stock"
        assert (outage.since is not None) == (stock.available == 0), f"product {stock.product_id}: out of stock or not"
