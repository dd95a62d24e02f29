"""Intake: validation of lines, and the price promise."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import ConnectionLost, Invalid, PriceMoved, TooManyOpenOrders
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import MAX_LINES, MAX_QUANTITY, Order, OrderStatus
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.services.catalog import CreateProduct, WithdrawProduct
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import CancelOrder, DecisionSummary, Ordering, OrderRules, PlaceOrder
from scalecommerce_core.services.results import Replayed, unwrap_single
from tests.unit.support.shop import CATEGORY, Shop, line, usd
from tests.unit.support.tampering import TamperedStore, failing


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def refused(shop: Shop, buyer: Account, *lines: OrderLineRequest) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        shop.place(buyer, *lines)
    assert list(shop.tables.orders.all()) == []
    return caught.value.errors


def test_a_placed_order_reserves_no_stock(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    cup = shop.list(seller, "2.50")
    order = shop.place(buyer, line(tea, 2), line(cup, 3))
    assert (order.status, order.total, order.buyer_id) == (OrderStatus.CREATED, usd("27.50"), buyer.id)
    assert [(x.position, x.product_id, x.quantity, x.price) for x in order.lines] == [
        (1, tea, 2, 1000),
        (2, cup, 3, 250),
    ]
    assert shop.stock(tea).reserved == 0
    assert shop.order(order.id) == order
    assert shop.tables.events.rows[-1].topic == "order.placed"


# --- lines that are wrong


def test_each_wrong_line_is_named(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    hidden, gone = shop.list(seller, is_active=False), shop.list(seller)
    shop.catalog.withdraw_products([WithdrawProduct(gone, seller.id)])
    errors = refused(
        shop, buyer, line(tea), line(ProductId(999)), line(tea, 0), line(hidden), line(tea, -3), line(gone)
    )
    assert list(errors) == [
        "order_item[1].product",
        "order_item[2].quantity",
        "order_item[3].product",
        "order_item[4].quantity",
        "order_item[5].product",
    ]


def test_an_order_has_between_one_and_a_hundred_lines(shop: Shop, buyer: Account, tea: ProductId) -> None:
    assert list(refused(shop, buyer)) == ["order_item"]
    assert list(refused(shop, buyer, *[line(tea)] * (MAX_LINES + 1))) == ["order_item"]
    assert shop.place(buyer, *[line(tea)] * MAX_LINES).lines[0].quantity == MAX_LINES


def test_units_of_one_product_are_summed_into_one_line(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    cup = shop.list(seller, "2.50")
    order = shop.place(buyer, line(tea, 2), line(cup), line(tea, 3))
    assert [(x.position, x.product_id, x.quantity) for x in order.lines] == [(1, tea, 5), (2, cup, 1)]


def test_a_sum_that_is_too_large_names_the_line_that_made_it_so(shop: Shop, buyer: Account, tea: ProductId) -> None:
    assert list(refused(shop, buyer, line(tea, MAX_QUANTITY), line(tea))) == ["order_item[1].quantity"]
    assert list(refused(shop, buyer, line(tea, MAX_QUANTITY + 1))) == ["order_item[0].quantity"]


def test_currencies_do_not_mix_in_an_order(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    euro = shop.list(seller)
    product = shop.product(euro)
    product.price = Money(900, "EUR")
    with shop.store.begin() as tx:
        tx.products.save([product])
    errors = refused(shop, buyer, line(tea), line(euro))
    assert "EUR and USD" in errors["order_item"][0]
    assert shop.place(buyer, line(euro)).currency == "EUR"


def test_a_bad_order_fails_alone(shop: Shop, buyer: Account, tea: ProductId) -> None:
    bad, good = shop.ordering.place([shop.command(buyer, line(ProductId(999))), shop.command(buyer, line(tea))])
    assert isinstance(bad, Invalid)
    assert isinstance(good, Order)


# --- once


def test_the_same_command_again_finds_its_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    command = shop.command(buyer, line(tea))
    order = unwrap_single(shop.ordering.place([command]))
    shop.ordering.decide()
    shop.edit(tea, is_active=False)
    again = unwrap_single(shop.ordering.place([command]))
    assert (again.id, again.status) == (order.id, OrderStatus.PENDING)


def test_a_command_that_was_placed_before_finds_its_order_beside_new_ones(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    known, new = shop.command(buyer, line(tea)), shop.command(buyer, line(tea))
    order = unwrap_single(shop.ordering.place([known]))
    found, placed = shop.ordering.place([known, new])
    assert found == order
    assert isinstance(placed, Order)
    assert [stored.id for stored in shop.tables.orders.all()] == [order.id, placed.id]


def test_the_same_command_twice_in_a_batch_is_one_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    command = shop.command(buyer, line(tea))
    first, twin = shop.ordering.place([command, command])
    assert isinstance(first, Order)
    assert twin == first
    assert len(list(shop.tables.orders.all())) == 1


def test_a_reply_that_was_lost_after_the_commit_makes_no_second_order(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    ordering = Ordering(TamperedStore(shop.store, after=failing(ConnectionLost())), shop.clock)
    order = unwrap_single(ordering.place([shop.command(buyer, line(tea))]))
    assert [stored.id for stored in shop.tables.orders.all()] == [order.id]


def test_a_key_places_one_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    key = IdempotencyKey("k", b"print", lambda order: str(order.id).encode())
    first = PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key)
    twin = PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key)
    made, replayed = shop.ordering.place([first, twin])
    assert isinstance(made, Order)
    assert replayed == Replayed(str(made.id).encode())
    assert shop.ordering.place([twin]) == [replayed]
    assert len(list(shop.tables.orders.all())) == 1


def test_idempotency_keys_are_purged_after_a_day(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for name in ("a", "b", "c"):
        key = IdempotencyKey(name, b"print", lambda order: str(order.id).encode())
        shop.ordering.place([PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key)])
    shop.clock.advance(hours=24)
    assert shop.ordering.purge_idempotency_keys() == 0
    shop.clock.advance(seconds=1)
    assert [shop.ordering.purge_idempotency_keys(limit=2) for _ in range(3)] == [2, 1, 0]


# --- the promise of a price


def price_of(order: Order) -> Money:
    return Money(order.lines[0].price, order.currency)


def test_a_price_in_force_is_honoured(shop: Shop, buyer: Account, tea: ProductId) -> None:
    assert price_of(shop.place(buyer, line(tea, price="10.00"))) == usd("10.00")


@pytest.mark.parametrize(("now", "paid"), [("12.00", "10.00"), ("8.00", "8.00")])
def test_a_price_of_minutes_ago_is_honoured_and_the_lower_one_paid(
    shop: Shop, buyer: Account, tea: ProductId, now: str, paid: str
) -> None:
    shop.clock.advance(days=1)
    shop.edit(tea, price=usd(now))
    shop.clock.advance(minutes=9, seconds=59)
    assert price_of(shop.place(buyer, line(tea, price="10.00"))) == usd(paid)
    assert price_of(shop.place(buyer, line(tea))) == usd(now)


def test_a_promise_expires_ten_minutes_after_the_change(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.clock.advance(days=1)
    shop.edit(tea, price=usd("12.00"))
    shop.clock.advance(minutes=10)
    with pytest.raises(PriceMoved) as caught:
        shop.place(buyer, line(tea, price="10.00"))
    assert (caught.value.product_id, caught.value.current) == (tea, "12.00 USD")
    assert "is 12.00 USD now" in str(caught.value)
    assert list(shop.tables.orders.all()) == []


def test_every_price_of_the_last_minutes_is_honoured(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for price in ("11.00", "12.00", "13.00"):
        shop.clock.advance(minutes=4)
        shop.edit(tea, price=usd(price))
    # 10.00 ended 8 minutes ago, 11.00 four.
    assert price_of(shop.place(buyer, line(tea, price="10.00"))) == usd("10.00")
    shop.clock.advance(minutes=3)
    assert price_of(shop.place(buyer, line(tea, price="11.00"))) == usd("11.00")
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="10.00"))


@pytest.mark.parametrize("price", ["9.99", "0.01", "10.01"])
def test_a_price_that_was_never_in_force_is_refused(shop: Shop, buyer: Account, tea: ProductId, price: str) -> None:
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price=price))


@pytest.mark.parametrize(("seconds", "is_honoured"), [(4.9, False), (5, True)])
def test_a_former_price_is_promised_only_if_it_was_in_force_long_enough(
    shop: Shop, buyer: Account, tea: ProductId, seconds: float, is_honoured: bool
) -> None:
    shop.clock.advance(days=1)
    shop.edit(tea, price=usd("0.01"))
    shop.clock.advance(seconds=seconds)
    shop.edit(tea, price=usd("10.00"))
    (outcome,) = shop.ordering.place([shop.command(buyer, line(tea, price="0.01"))])
    assert isinstance(outcome, Order if is_honoured else PriceMoved)


def test_a_short_interval_does_not_lengthen_the_one_before_it(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.clock.advance(days=1)
    for price in ("5.00", "6.00", "5.00", "10.00"):
        shop.edit(tea, price=usd(price))
        shop.clock.advance(seconds=3)
    for price in ("5.00", "6.00"):
        with pytest.raises(PriceMoved):
            shop.place(buyer, line(tea, price=price))


def test_a_former_lower_price_is_promised_for_few_units_per_buyer(shop: Shop, seller: Account, buyer: Account) -> None:
    tea, other = shop.list(seller, "1.00", 900), shop.person("bob")
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("10.00"))
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, 11, price="1.00"))
    assert price_of(shop.place(buyer, line(tea, 7, price="1.00"))) == usd("1.00")
    # Orders of one batch, and lines of one order, count together.
    batch = [shop.command(buyer, line(tea, 2, price="1.00"), line(tea, quantity)) for quantity in (2, 1, 1)]
    assert [type(outcome) for outcome in shop.ordering.place(batch)] == [PriceMoved, Order, PriceMoved]
    assert price_of(shop.place(other, line(tea, 10, price="1.00"))) == usd("1.00")
    assert price_of(shop.place(buyer, line(tea, 500, price="10.00"))) == usd("10.00")


def test_a_cancelled_order_returns_the_promised_units(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, "1.00", 900)
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("10.00"))
    order = shop.place(buyer, line(tea, 10, price="1.00"))
    shop.ordering.cancel([CancelOrder(order.id, buyer.id)])
    assert price_of(shop.place(buyer, line(tea, 10, price="1.00"))) == usd("1.00")


def test_a_buyer_with_very_many_recent_orders_pays_the_current_price(
    shop: Shop, seller: Account, buyer: Account
) -> None:
    tea = shop.list(seller, "1.00", 900)
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("10.00"))
    for _ in range(5):
        for placed in shop.ordering.place([shop.command(buyer, line(tea)) for _ in range(40)]):
            assert isinstance(placed, Order)
            shop.ordering.cancel([CancelOrder(placed.id, buyer.id)])
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="1.00"))


def test_a_price_rise_that_the_buyer_did_not_see_needs_no_promised_units(
    shop: Shop, seller: Account, buyer: Account
) -> None:
    tea = shop.list(seller, "10.00", 900)
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("8.00"))
    assert price_of(shop.place(buyer, line(tea, 500, price="10.00"))) == usd("8.00")


# --- open orders


def test_an_account_has_a_limited_number_of_open_orders(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=900)
    placed = shop.ordering.place([shop.command(buyer, line(tea)) for _ in range(52)])
    assert [type(outcome) for outcome in placed] == [Order] * 50 + [TooManyOpenOrders] * 2
    shop.ordering.decide()
    with pytest.raises(TooManyOpenOrders):
        shop.place(buyer, line(tea))
    shop.place(shop.person("bob"), line(tea))
    shop.pay(OrderId(1), buyer)
    shop.ordering.cancel([CancelOrder(OrderId(2), buyer.id)])
    placed = shop.ordering.place([shop.command(buyer, line(tea)) for _ in range(3)])
    assert [type(outcome) for outcome in placed] == [Order, Order, TooManyOpenOrders]


def test_a_repeated_command_is_no_further_open_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    ordering = Ordering(shop.store, shop.clock, OrderRules(quotas=OrderQuotas(open_orders=1)))
    command = shop.command(buyer, line(tea))
    first, same = ordering.place([command, command])
    assert (first, ordering.place([command])) == (same, [first])
    key = IdempotencyKey("a", b"print", lambda order: str(order.id).encode())
    (refused_,) = ordering.place([PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key)])
    assert isinstance(refused_, TooManyOpenOrders)


def test_open_orders_are_unlimited_if_the_quota_is_0(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=900)
    ordering = Ordering(shop.store, shop.clock, OrderRules(quotas=OrderQuotas(open_orders=0)))
    assert all(isinstance(x, Order) for x in ordering.place([shop.command(buyer, line(tea)) for _ in range(60)]))
    assert ordering.decide() == DecisionSummary(reserved=60)


def test_a_promise_is_in_the_currency_of_its_product(shop: Shop, seller: Account, buyer: Account) -> None:
    made = CreateProduct(seller.id, CATEGORY, "Euro", Money(1000, "EUR"), 10)
    euro = unwrap_single(shop.catalog.create_products([made])).product.id
    assert shop.place(buyer, line(euro, price="10.00")).total == Money(1000, "EUR")


def test_a_price_that_was_rolled_back_withdraws_its_promise(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for price, cause in (("0.10", PriceCause.MANUAL), ("10.00", PriceCause.ROLLBACK)):
        shop.clock.advance(minutes=1)
        with shop.store.begin() as tx:
            product = tx.products.lock([tea])[tea]
            product.reprice(usd(price), shop.clock.now(), cause)
            tx.products.save([product])
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="0.10"))
    assert price_of(shop.place(buyer, line(tea, price="10.00"))) == usd("10.00")


def test_of_several_lines_of_one_product_the_lowest_promise_counts(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("12.00"))
    for lines in ([line(tea, price="10.00"), line(tea)], [line(tea), line(tea, price="10.00")]):
        assert shop.place(buyer, *lines).total == usd("20.00")


def test_wrong_lines_are_named_before_moved_prices(shop: Shop, buyer: Account, tea: ProductId) -> None:
    assert list(refused(shop, buyer, line(tea, price="1.00"), line(tea, 0))) == ["order_item[1].quantity"]


def test_order_rules_set_the_length_of_the_price_promise(shop: Shop, buyer: Account, tea: ProductId) -> None:
    ordering = Ordering(shop.store, shop.clock, OrderRules(price_promise=PricePromise(lasts=timedelta(0))))
    shop.clock.advance(minutes=1)
    shop.edit(tea, price=usd("12.00"))
    (outcome,) = ordering.place([shop.command(buyer, line(tea, price="10.00"))])
    assert isinstance(outcome, PriceMoved)


def test_intake_that_is_aborted_is_tried_again(shop: Shop, buyer: Account, tea: ProductId) -> None:
    ordering = Ordering(TamperedStore(shop.store, before=failing(ConnectionLost())), shop.clock)
    assert isinstance(unwrap_single(ordering.place([shop.command(buyer, line(tea))])), Order)
