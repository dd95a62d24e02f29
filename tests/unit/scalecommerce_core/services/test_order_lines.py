"""Signed quotes: a price that was shown to one buyer."""

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid, MarketError, PriceMoved
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.order import MAX_LINES, Order
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.services.catalog import WithdrawPrice
from scalecommerce_core.services.order_lines import OrderLineRequest, QuotePrices
from scalecommerce_core.services.ordering import Ordering, OrderRules
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import Shop, line, usd


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    tea = shop.list(seller, "5.00", 900)
    shop.clock.advance(seconds=1)
    return tea


def quoted(shop: Shop, buyer: Account, product: ProductId, quantity: int) -> str:
    (signed,) = unwrap_single(shop.ordering.quote_prices([QuotePrices(buyer.id, [line(product, quantity)])]))
    return signed.text


def order(
    shop: Shop, buyer: Account, product: ProductId, quantity: int, *, quote: str, price: str | None = None
) -> Order | MarketError:
    request = evolve(line(product, quantity, price), quote=quote)
    (outcome,) = shop.ordering.place([shop.command(buyer, request)])
    assert isinstance(outcome, Order | MarketError)
    return outcome


def test_a_quoted_price_is_honoured_for_its_units(shop: Shop, buyer: Account, tea: ProductId) -> None:
    quote = quoted(shop, buyer, tea, 30)
    shop.edit(tea, price=usd("10.00"))
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="5.00"))
    assert isinstance(order(shop, buyer, tea, 31, quote=quote), PriceMoved)
    placed = order(shop, buyer, tea, 20, quote=quote, price="5.00")
    assert isinstance(placed, Order)
    assert placed.total == usd("100.00")
    # The units of all orders of the buyer at this price count.
    assert isinstance(order(shop, buyer, tea, 11, quote=quote), PriceMoved)
    assert isinstance(order(shop, buyer, tea, 10, quote=quote), Order)


def test_the_buyer_pays_the_lower_price(shop: Shop, buyer: Account, tea: ProductId) -> None:
    quote = quoted(shop, buyer, tea, 3)
    shop.edit(tea, price=usd("4.00"))
    placed = order(shop, buyer, tea, 100, quote=quote)
    assert isinstance(placed, Order)
    assert placed.lines[0].price == 400


def test_an_expired_quote_is_a_price_that_the_buyer_saw(shop: Shop, buyer: Account, tea: ProductId) -> None:
    quote = quoted(shop, buyer, tea, 30)
    shop.clock.advance(minutes=10)
    assert isinstance(order(shop, buyer, tea, 30, quote=quote), Order)
    shop.edit(tea, price=usd("10.00"))
    assert isinstance(order(shop, buyer, tea, 30, quote=quote), PriceMoved)
    assert isinstance(order(shop, shop.person("bob"), tea, 1, quote=quote), Invalid)


def test_a_quote_is_for_one_buyer_one_product_and_one_price(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    quote, other = quoted(shop, buyer, tea, 30), shop.list(seller, "5.00")
    for outcome in (
        order(shop, shop.person("bob"), tea, 1, quote=quote),
        order(shop, buyer, other, 1, quote=quote),
        order(shop, buyer, tea, 1, quote=quote, price="4.99"),
        order(shop, buyer, tea, 1, quote="forged"),
    ):
        assert isinstance(outcome, Invalid)
        assert list(outcome.errors) == ["order_item[0].quote"]
    assert list(shop.tables.orders.all()) == []


def test_a_withdrawal_ends_quotes(shop: Shop, buyer: Account, tea: ProductId) -> None:
    quote = quoted(shop, buyer, tea, 30)
    unwrap_single(shop.catalog.withdraw_prices([WithdrawPrice(tea, None, usd("5.00"), "typing error", usd("10.00"))]))
    assert isinstance(order(shop, buyer, tea, 1, quote=quote), PriceMoved)


def test_bad_lines_are_named(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    hidden = shop.list(seller, is_active=False)
    lines = [line(tea, 100), line(hidden), line(tea, 101), line(ProductId(999)), line(tea, 0)]
    (outcome,) = shop.ordering.quote_prices([QuotePrices(buyer.id, lines)])
    assert isinstance(outcome, Invalid)
    assert list(outcome.errors) == [
        "order_item[1].product", "order_item[2].quantity", "order_item[3].product", "order_item[4].quantity",
    ]  # fmt: skip
    for count in (0, MAX_LINES + 1):
        (outcome,) = shop.ordering.quote_prices([QuotePrices(buyer.id, [line(tea)] * count)])
        assert isinstance(outcome, Invalid)


def test_quotes_can_be_switched_off(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for ordering in (
        Ordering(shop.store, shop.clock),
        Ordering(shop.store, shop.clock, OrderRules(PricePromise(quoted_units=0))),
    ):
        (outcome,) = ordering.quote_prices([QuotePrices(buyer.id, [line(tea)])])
        assert isinstance(outcome, Invalid)
    request = OrderLineRequest(tea, 1, None, "quote-1")
    (refused,) = Ordering(shop.store, shop.clock).place([shop.command(buyer, request)])
    assert isinstance(refused, Invalid)


def test_a_quote_raises_the_units_of_no_other_price(shop: Shop, buyer: Account, tea: ProductId) -> None:
    quote = quoted(shop, buyer, tea, 100)
    shop.edit(tea, price=usd("0.01"))
    shop.clock.advance(seconds=6)
    shop.edit(tea, price=usd("5.00"))
    # The lines of a product become one line at the lowest of their prices.
    both = [evolve(line(tea, 1), quote=quote), line(tea, 99, "0.01")]
    (outcome,) = shop.ordering.place([shop.command(buyer, *both)])
    assert isinstance(outcome, PriceMoved)


def test_a_price_that_only_a_quote_promises_holds_for_the_quoted_units(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    shop.edit(tea, price=usd("0.01"))
    quote = quoted(shop, buyer, tea, 2)
    shop.clock.advance(seconds=1)
    shop.edit(tea, price=usd("5.00"))
    more = [evolve(line(tea, 2), quote=quote), line(tea, 1)]
    (outcome,) = shop.ordering.place([shop.command(buyer, *more)])
    assert isinstance(outcome, PriceMoved)
    assert isinstance(order(shop, buyer, tea, 2, quote=quote), Order)
