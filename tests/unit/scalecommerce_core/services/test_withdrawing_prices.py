"""Withdrawal of mistaken prices."""

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Forbidden, Invalid, MarketError, NotFound, PriceMoved
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus, RejectionReason
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal, Product
from scalecommerce_core.queries import PriceInterval
from scalecommerce_core.services.catalog import WithdrawPrice, WithdrawProduct
from tests.unit.support.shop import Shop, line, usd


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    """A product whose seller has just typed a wrong price."""
    tea = shop.list(seller, "10.00", 900)
    shop.clock.advance(days=3)
    shop.edit(tea, price=usd("0.01"))
    shop.clock.advance(minutes=1)
    return tea


def withdraw(
    shop: Shop,
    product: ProductId,
    price: str = "0.01",
    new: str | None = None,
    *,
    editor: AccountId | None = None,
    reason: str = "typing error",
    as_staff: bool = False,
) -> Product | MarketError:
    """Withdraw a price as an operator, unless `editor` is given."""
    new_price = None if new is None else usd(new)
    command = WithdrawPrice(product, editor, usd(price), reason, new_price, as_staff=as_staff)
    (outcome,) = shop.catalog.withdraw_prices([command])
    return outcome


def intervals(shop: Shop, product: ProductId) -> list[PriceInterval]:
    """The price history, newest first."""
    history = shop.queries.price_history(product, shop.clock.now())
    assert history is not None
    return list(history.intervals)


def test_a_withdrawn_price_is_replaced_by_the_one_before_it(shop: Shop, seller: Account, tea: ProductId) -> None:
    before = shop.clock.now()
    changed = withdraw(shop, tea, editor=seller.id, reason=" typing\n error ")
    assert isinstance(changed, Product)
    assert (changed.price, shop.product(tea).price) == (usd("10.00"), usd("10.00"))
    now, mistake, first = intervals(shop, tea)
    assert (now.price, now.cause, now.is_withdrawn) == (usd("10.00"), PriceCause.WITHDRAWAL, False)
    assert (mistake.is_withdrawn, mistake.withdrawal) == (True, PriceWithdrawal(before, seller.id, "typing error"))
    assert (first.is_withdrawn, first.withdrawal) == (False, None)
    assert shop.tables.events.rows[-1].topic == "price.changed"


def test_a_withdrawn_price_can_be_replaced_by_a_new_one(shop: Shop, tea: ProductId) -> None:
    assert isinstance(withdraw(shop, tea, new="12.00"), Product)
    assert shop.product(tea).price == usd("12.00")


def test_the_price_before_is_the_last_one_that_was_not_withdrawn(shop: Shop, tea: ProductId) -> None:
    shop.edit(tea, price=usd("0.02"))
    withdraw(shop, tea, "0.01")
    withdraw(shop, tea, "0.02")
    assert shop.product(tea).price == usd("10.00")


def test_the_promise_of_a_withdrawn_price_ends_at_once(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.place(buyer, line(tea, price="0.01"))
    withdraw(shop, tea)
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="0.01"))


def test_a_former_price_can_be_withdrawn(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.edit(tea, price=usd("11.00"))
    shop.place(buyer, line(tea, price="0.01"))
    assert isinstance(withdraw(shop, tea), Product)
    assert shop.product(tea).price == usd("11.00")
    with pytest.raises(PriceMoved):
        shop.place(buyer, line(tea, price="0.01"))
    shop.place(buyer, line(tea, price="11.00"))


def test_undecided_orders_at_a_withdrawn_price_are_rejected(shop: Shop, buyer: Account, tea: ProductId) -> None:
    reserved = shop.reserve(buyer, line(tea, 3))
    undecided, other = shop.place(buyer, line(tea, 3)), shop.list(shop.person("sue"))
    mixed = shop.place(buyer, line(other), line(tea))
    withdraw(shop, tea)
    shop.clock.advance(seconds=1)
    later = shop.place(buyer, line(tea, 3))
    shop.ordering.decide()
    assert [(s.product_id, s.available, s.reason) for s in shop.order(undecided.id).shortfalls] == [
        (tea, 0, RejectionReason.PRICE_WITHDRAWN)
    ]
    assert shop.order(mixed.id).status is OrderStatus.REJECTED
    assert shop.order(later.id).status is OrderStatus.PENDING
    # An order that was reserved is a contract.
    assert shop.pay(reserved.id, buyer).total == usd("0.03")


def test_an_order_that_intake_stores_after_the_withdrawal_is_rejected(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    withdraw(shop, tea)
    shop.clock.advance(seconds=4)
    order = shop.place(buyer, line(tea))
    with shop.store.begin() as tx:
        # As if intake had read the price before the withdrawal.
        stored = tx.orders.lock([order.id])[order.id]
        (only,) = stored.lines
        stored.lines = (type(only)(only.position, tea, only.seller_id, 1, 1),)
        tx.orders.save([stored])
    shop.ordering.decide()
    assert shop.order(order.id).status is OrderStatus.REJECTED


def test_a_withdrawn_price_that_is_in_force_again_is_valid(shop: Shop, buyer: Account, tea: ProductId) -> None:
    withdraw(shop, tea)
    shop.edit(tea, price=usd("0.01"))
    assert shop.reserve(buyer, line(tea)).status is OrderStatus.PENDING


def test_withdrawing_a_price_again_changes_nothing(shop: Shop, seller: Account, tea: ProductId) -> None:
    withdraw(shop, tea, editor=seller.id)
    before = intervals(shop, tea)
    shop.clock.advance(minutes=1)
    assert isinstance(withdraw(shop, tea, reason="again"), Product)
    assert intervals(shop, tea) == before


@pytest.mark.parametrize(
    ("price", "new", "field"),
    [
        ("0.02", None, "price"),
        ("0.01", "0.01", "new_price"),
        ("0.01", "0.00", "new_price"),
        ("0.01", "100000000.00", "new_price"),
        ("10.00", "12.00", "price"),
    ],
)
def test_wrong_withdrawals_are_refused(shop: Shop, tea: ProductId, price: str, new: str | None, field: str) -> None:
    shop.clock.advance(days=2)
    outcome = withdraw(shop, tea, price, new)
    assert isinstance(outcome, Invalid)
    assert list(outcome.errors) == [field]
    assert shop.product(tea).price == usd("0.01")
    assert not any(interval.is_withdrawn for interval in intervals(shop, tea))


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\0b"])
def test_a_withdrawal_needs_a_reason(shop: Shop, tea: ProductId, reason: str) -> None:
    outcome = withdraw(shop, tea, reason=reason)
    assert isinstance(outcome, Invalid)
    assert list(outcome.errors) == ["reason"]


def test_the_first_price_of_a_product_is_replaced_by_a_stated_one(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, "0.01")
    outcome = withdraw(shop, tea)
    assert isinstance(outcome, Invalid)
    assert list(outcome.errors) == ["new_price"]
    assert isinstance(withdraw(shop, tea, new="10.00"), Product)


def test_a_new_price_belongs_to_a_price_in_force(shop: Shop, tea: ProductId) -> None:
    shop.edit(tea, price=usd("11.00"))
    outcome = withdraw(shop, tea, new="12.00")
    assert isinstance(outcome, Invalid)
    assert list(outcome.errors) == ["new_price"]


def test_prices_are_withdrawn_in_their_currency(shop: Shop, tea: ProductId) -> None:
    (other,) = shop.catalog.withdraw_prices([WithdrawPrice(tea, None, Money(1, "EUR"), "typing error")])
    assert isinstance(other, Invalid)
    command = WithdrawPrice(tea, None, usd("0.01"), "typing error", Money(1000, "EUR"))
    (other,) = shop.catalog.withdraw_prices([command])
    assert isinstance(other, Invalid)
    assert list(other.errors) == ["new_price"]


def test_only_the_seller_and_staff_withdraw_prices(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    assert isinstance(withdraw(shop, tea, editor=buyer.id), Forbidden)
    assert isinstance(withdraw(shop, tea, editor=buyer.id, as_staff=True), Product)
    assert isinstance(withdraw(shop, ProductId(999)), NotFound)
    shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)])
    assert isinstance(withdraw(shop, tea), NotFound)


def test_one_wrong_withdrawal_of_a_batch_affects_no_other(shop: Shop, seller: Account, tea: ProductId) -> None:
    wrong, right = (WithdrawPrice(tea, seller.id, usd(price), "typing error") for price in ("3.00", "0.01"))
    outcomes = shop.catalog.withdraw_prices([wrong, right])
    assert [type(outcome) for outcome in outcomes] == [Invalid, Product]
    assert isinstance(shop.place(shop.person("bob"), line(tea)), Order)
