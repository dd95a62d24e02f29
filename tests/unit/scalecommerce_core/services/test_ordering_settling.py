"""Orders after their decision: payment, cancellation, expiry, refund; and imported orders."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.errors import (
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    PaymentInProgress,
    TransitionNotAllowed,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.stock import MovementKind, Stock
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.ordering import (
    CancelOrder,
    HistoricalLine,
    HistoricalOrder,
    HistoricalRefund,
    ImportSummary,
    RefundOrder,
)
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import Replayed, unwrap_single
from tests.unit.support.shop import Shop, line

STAFF = AccountId(500)


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def pay(shop: Shop, order_id: OrderId, by: AccountId) -> Order | MarketError:
    return shop.payments.pay([PayOrder(order_id, by)])[0]


def cancel(shop: Shop, order_id: OrderId, by: AccountId) -> Order | MarketError:
    return shop.ordering.cancel([CancelOrder(order_id, by)])[0]


Act = Callable[[Shop, OrderId, AccountId], Order | MarketError]


# --- paying and cancelling


def test_paying_repeatedly_sells_once(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.reserve(buyer, line(tea, 4))
    paid, *twins = shop.payments.pay([PayOrder(order.id, buyer.id)] * 3)
    again = pay(shop, order.id, buyer.id)
    assert [outcome.status for outcome in (paid, again) if isinstance(outcome, Order)] == [OrderStatus.PAID] * 2
    assert [type(twin) for twin in twins] == [PaymentInProgress] * 2
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (6, 0)
    sales = [m.quantity for m in shop.tables.movements.rows if m.kind is MovementKind.SALE]
    assert sales == [-4]
    assert [e.topic for e in shop.tables.events.rows].count("order.paid") == 1


@pytest.mark.parametrize("decided", [True, False])
def test_cancelling_repeatedly_releases_stock_once(shop: Shop, buyer: Account, tea: ProductId, decided: bool) -> None:
    order = (shop.reserve if decided else shop.place)(buyer, line(tea, 4))
    for _ in range(2):
        outcome = cancel(shop, order.id, buyer.id)
        assert isinstance(outcome, Order)
        assert outcome.status is OrderStatus.CANCELLED
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (10, 0)
    assert shop.queries.stock_discrepancies() == []


@pytest.mark.parametrize("act", [pay, cancel])
def test_only_the_buyer_finds_the_order(shop: Shop, seller: Account, buyer: Account, tea: ProductId, act: Act) -> None:
    order = shop.reserve(buyer, line(tea))
    for order_id, who in ((order.id, seller.id), (order.id, STAFF), (OrderId(999), buyer.id)):
        assert isinstance(act(shop, order_id, who), NotFound)
    assert shop.order(order.id).status is OrderStatus.PENDING


def test_staff_cancel_an_order_with_a_reason_and_leave_one_entry(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order, own = shop.reserve(buyer, line(tea, 4)), shop.reserve(buyer, line(tea, 2))
    by_staff = CancelOrder(order.id, STAFF, "Asked for it.", as_staff=True, address="192.0.2.7")
    (refused,) = shop.ordering.cancel([CancelOrder(order.id, STAFF, " ", as_staff=True)])
    assert isinstance(refused, Invalid)
    first, second = shop.ordering.cancel([by_staff, by_staff])
    assert isinstance(first, Order)
    assert first is second
    assert (first.status, first.is_cancelled_by_staff) == (OrderStatus.CANCELLED, True)
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (10, 2)
    assert shop.tables.events.rows[-1].topic == "order.cancelled"
    (record,) = shop.queries.audit_entries(PageRequest(10)).rows
    assert record.entry == Actor(STAFF, "192.0.2.7").entry(
        AuditAction.ORDER_CANCELLED, order.id, shop.clock.now(), before={"status": "PENDING"},
        after={"status": "CANCELLED"}, reason="Asked for it.",
    )  # fmt: skip
    (mine,) = shop.ordering.cancel([CancelOrder(own.id, buyer.id, as_staff=True)])
    assert isinstance(mine, Order)
    assert not mine.is_cancelled_by_staff
    assert len(shop.queries.audit_entries(PageRequest(10)).rows) == 1, "one's own order leaves no entry"


def test_a_transition_that_is_not_allowed_fails_only_for_its_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    rejected, paid, good = (shop.reserve(buyer, line(tea, quantity)) for quantity in (99, 1, 1))
    pay(shop, paid.id, buyer.id)
    wrong, _, right = shop.payments.pay([PayOrder(order.id, buyer.id) for order in (rejected, paid, good)])
    assert isinstance(wrong, TransitionNotAllowed)
    assert isinstance(right, Order)
    assert isinstance(cancel(shop, paid.id, buyer.id), TransitionNotAllowed)
    assert isinstance(pay(shop, shop.place(buyer, line(tea)).id, buyer.id), TransitionNotAllowed)


# --- expiry


def test_unpaid_orders_expire_after_the_reservation_time(shop: Shop, buyer: Account, tea: ProductId) -> None:
    first, paid = shop.reserve(buyer, line(tea, 4)), shop.reserve(buyer, line(tea))
    pay(shop, paid.id, buyer.id)
    shop.clock.advance(minutes=1)
    second = shop.reserve(buyer, line(tea, 2))
    shop.clock.advance(minutes=13, seconds=59)
    assert shop.ordering.expire() == 0
    shop.clock.advance(seconds=1)
    assert shop.ordering.expire() == 1
    assert shop.ordering.expire() == 0
    assert shop.order(first.id).status is OrderStatus.CANCELLED
    assert shop.order(second.id).status is OrderStatus.PENDING
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (9, 2)
    assert shop.tables.events.rows[-1].topic == "order.expired"


def test_expiry_handles_at_most_limit_orders(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for _ in range(5):
        shop.reserve(buyer, line(tea))
    shop.clock.advance(minutes=15)
    assert [shop.ordering.expire(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert shop.queries.stock_discrepancies() == []


def test_an_expiry_that_fails_does_not_block_others(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    cup = shop.list(seller, "3.00", 10)
    bad = shop.reserve(buyer, line(tea, 1), line(cup, 1))
    good = [shop.reserve(buyer, line(tea, 1)) for _ in range(4)]
    lost = shop.stock(cup)
    shop.tables.stock.put(cup, Stock(cup, lost.on_hand, 0))
    shop.tables.stock.commit()
    shop.clock.advance(minutes=16)
    assert sum(shop.ordering.expire(3) for _ in range(5)) == 4
    assert {shop.order(order.id).status for order in good} == {OrderStatus.CANCELLED}
    assert shop.order(bad.id).status is OrderStatus.PENDING
    assert shop.stock(tea).reserved == 1
    # After the stock figures are corrected, the order expires as well.
    shop.tables.stock.put(cup, Stock(cup, lost.on_hand, 1))
    shop.tables.stock.commit()
    shop.clock.advance(minutes=6)
    assert shop.ordering.expire() == 1
    assert (shop.stock(tea).reserved, shop.stock(cup).reserved) == (0, 0)


def test_an_expired_order_cannot_be_paid(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.reserve(buyer, line(tea))
    shop.clock.advance(minutes=15)
    shop.ordering.expire()
    assert isinstance(pay(shop, order.id, buyer.id), TransitionNotAllowed)


# --- refunds


def test_a_refund_gives_back_units_and_their_price(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    order = shop.buy(buyer, line(tea, 4))
    shop.refund(order, seller.id, RefundLine(tea, 1))
    assert shop.stock(tea).available == 7
    stats = shop.queries.seller_stats(seller.id)
    assert (stats.units_sold, stats.revenue) == (3, 3000)
    done = shop.refund(order, seller.id, RefundLine(tea, 3), restock=False)
    assert done.status is OrderStatus.REFUNDED
    assert shop.stock(tea).available == 7
    assert [(r.quantity, r.amount, r.by) for r in shop.tables.refunds.rows] == [
        (1, 1000, seller.id),
        (3, 3000, seller.id),
    ]
    assert shop.queries.stock_discrepancies() == []


def test_sellers_refund_their_own_lines_and_staff_any(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    sue, stranger = shop.person("sue"), shop.person("eve")
    cup = shop.list(sue)
    order = shop.buy(buyer, line(tea, 3), line(cup, 3))
    for who, products, refusal in [
        (stranger, [tea], NotFound),
        (buyer, [tea], Forbidden),
        (seller, [cup], Forbidden),
        (sue, [cup, tea], Forbidden),
    ]:
        lines = [RefundLine(product, 1) for product in products]
        (outcome,) = shop.ordering.refund([RefundOrder(order.id, who.id, lines)])
        assert type(outcome) is refusal
    shop.refund(order, sue.id, RefundLine(cup, 1))
    shop.refund(order, STAFF, RefundLine(cup, 1), RefundLine(tea, 1), as_staff=True)
    assert [line.refunded for line in shop.order(order.id).lines] == [1, 2]


@pytest.mark.parametrize(
    ("lines", "fields"),
    [([], {"lines"}), ([RefundLine(ProductId(1), 5)], {"lines[0].quantity"}),
     ([RefundLine(ProductId(999), 1)], {"lines[0].quantity"})],
)  # fmt: skip
def test_a_wrong_refund_names_its_lines_and_gives_nothing(
    shop: Shop, buyer: Account, tea: ProductId, lines: list[RefundLine], fields: set[str]
) -> None:
    order = shop.buy(buyer, line(tea, 4))
    with pytest.raises(Invalid) as caught:
        shop.refund(order, STAFF, *lines, as_staff=True)
    assert set(caught.value.errors) == fields
    assert shop.tables.refunds.rows == []
    with pytest.raises(NotFound):
        unwrap_single(shop.ordering.refund([RefundOrder(OrderId(999), STAFF, [RefundLine(tea, 1)], as_staff=True)]))


def test_refunds_of_one_order_in_one_batch_see_each_other(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    order = shop.buy(buyer, line(tea, 4))
    done, refused, rest = shop.ordering.refund(
        [RefundOrder(order.id, seller.id, [RefundLine(tea, quantity)]) for quantity in (3, 2, 1)]
    )
    assert isinstance(done, Order)
    assert isinstance(refused, Invalid)
    assert isinstance(rest, Order)
    assert shop.order(order.id).status is OrderStatus.REFUNDED
    assert shop.stock(tea).available == 10
    assert sum(refund.quantity for refund in shop.tables.refunds.rows) == 4


def test_a_refund_with_a_key_happens_once(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    order = shop.buy(buyer, line(tea, 4))
    key = IdempotencyKey("k", b"print", lambda refunded: refunded.status.encode())
    command = RefundOrder(order.id, seller.id, [RefundLine(tea, 1)], idempotency=key)
    outcomes = [*shop.ordering.refund([command, command]), *shop.ordering.refund([command])]
    assert isinstance(outcomes[0], Order)
    assert outcomes[2] == Replayed(b"PAID")
    assert shop.order(order.id).lines[0].refunded == 1


@pytest.mark.parametrize("status", [OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.REFUNDED])
def test_only_what_is_paid_can_be_refunded(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId, status: OrderStatus
) -> None:
    if status is OrderStatus.REFUNDED:
        order = shop.buy(buyer, line(tea))
        shop.refund(order, seller.id, RefundLine(tea, 1))
    else:
        order = (shop.place if status is OrderStatus.CREATED else shop.reserve)(buyer, line(tea))
    with pytest.raises(TransitionNotAllowed):
        shop.refund(order, seller.id, RefundLine(tea, 1))


# --- the past


def history(shop: Shop, seller: Account, buyer: Account, tea: ProductId, **more: Any) -> HistoricalOrder:
    """4 units at 8.00 and 2 at 7.50, 90 days ago; 3 of them came back."""
    then = shop.clock.now() - timedelta(days=90)
    facts: dict[str, Any] = {
        "id": shop.ids.command(),
        "buyer": buyer.id,
        "currency": "USD",
        "placed_at": then,
        "lines": [HistoricalLine(tea, seller.id, 4, 800), HistoricalLine(tea, seller.id, 2, 750)],
        "refunds": [
            HistoricalRefund(then + timedelta(days=1), [RefundLine(tea, 2, price=750)]),
            HistoricalRefund(then + timedelta(days=2), [RefundLine(tea, 1)]),
        ],
    }
    return HistoricalOrder(**(facts | more))


def test_imported_orders_keep_their_times_and_prices(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    events = len(shop.tables.events.rows)
    past = history(shop, seller, buyer, tea)
    assert shop.ordering.import_orders([past]) == ImportSummary(orders=1, lines=2, known=0)
    (order,) = shop.tables.orders.all()
    assert (order.status, order.origin, order.command_id) == (OrderStatus.PAID, OrderOrigin.IMPORT, past.id)
    assert order.created_at == order.paid_at == past.placed_at
    assert order.updated_at == past.refunds[1].at
    assert [(x.price, x.quantity, x.refunded) for x in order.lines] == [(800, 4, 1), (750, 2, 2)]
    assert [refund.at for refund in shop.tables.refunds.rows] == [refund.at for refund in past.refunds]
    assert shop.stock(tea).available == 7
    assert shop.queries.stock_discrepancies() == []
    assert len(shop.tables.events.rows) == events


def test_sweeps_do_not_touch_imported_orders(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    shop.ordering.import_orders([history(shop, seller, buyer, tea)])
    assert shop.ordering.decide().total == 0
    assert shop.ordering.expire() == 0


def test_a_second_import_changes_nothing(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    past = history(shop, seller, buyer, tea)
    shop.ordering.import_orders([past])
    (order,), stock = shop.tables.orders.all(), shop.stock(tea)
    assert shop.ordering.import_orders([past]) == ImportSummary(orders=0, lines=0, known=1)
    assert (list(shop.tables.orders.all()), shop.stock(tea)) == ([order], stock)
    assert len(shop.tables.refunds.rows) == 2


def test_an_interrupted_import_resumes(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    first, second = (history(shop, seller, buyer, tea) for _ in range(2))
    shop.ordering.import_orders([first])
    assert shop.ordering.import_orders([first, second, first]) == ImportSummary(orders=1, lines=2, known=2)
    assert shop.stock(tea).available == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": [HistoricalLine(ProductId(1), AccountId(2), 11, 800)]},
        {"lines": [HistoricalLine(ProductId(999), AccountId(2), 1, 800)]},
        {"lines": [HistoricalLine(ProductId(1), AccountId(2), -1, 800)]},
        {"lines": [HistoricalLine(ProductId(1), AccountId(2), 1, 0)]},
        {"lines": []},
        {"refunds": [HistoricalRefund(Shop().clock.now(), [RefundLine(ProductId(1), 7)])]},
    ],
)
def test_an_import_beyond_stock_records_nothing(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId, wrong: dict[str, Any]
) -> None:
    good, bad = history(shop, seller, buyer, tea), history(shop, seller, buyer, tea, **wrong)
    with pytest.raises(Invalid):
        shop.ordering.import_orders([good, bad])
    assert list(shop.tables.orders.all()) == []
    assert shop.stock(tea).on_hand == 10


def test_one_order_twice_in_a_batch_is_recorded_once(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    past = history(shop, seller, buyer, tea)
    assert shop.ordering.import_orders([past, past]) == ImportSummary(orders=1, lines=2, known=1)
    assert len(list(shop.tables.orders.all())) == 1


def test_seeded_orders_have_an_origin_of_their_own(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    shop.ordering.import_orders([history(shop, seller, buyer, tea)], OrderOrigin.SEED)
    (order,) = shop.tables.orders.all()
    assert order.origin is OrderOrigin.SEED
