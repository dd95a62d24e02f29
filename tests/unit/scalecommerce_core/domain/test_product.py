from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.competitor_price import CLOCK_TOLERANCE, EARLIEST
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.events import PriceChanged, ProductEdited, ProductListed, ProductWithdrawn
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import TICK, PriceCause, Product
from scalecommerce_core.domain.stock_horizon import MAX_STOCK_HORIZON
from scalecommerce_core.domain.text import BRAND_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, SKU_LENGTH
from tests.unit.support.shop import usd

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(hours=1)

WRONG: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", "   "),
    ("name", "x" * (NAME_LENGTH + 1)),
    ("name", "a\x00b"),
    ("brand", "x" * (BRAND_LENGTH + 1)),
    ("description", "x" * (DESCRIPTION_LENGTH + 1)),
    ("description", "\udfff"),
    ("sku", ""),
    ("sku", "x" * (SKU_LENGTH + 1)),
    ("price", None),
    ("price", "10.00"),
    ("price", Money(1000, "EUR")),
    ("cost", Money(1, "EUR")),
    ("min_price", Money(1, "EUR")),
    ("max_price", Money(1, "EUR")),
    ("max_price", Money(499, "USD")),
]


def listed(**more: Any) -> Product:
    facts: dict[str, Any] = {"name": "Tea pot", "price": usd("10.00"), "min_price": usd("5.00"), "now": START}
    return Product.listed(id=ProductId(1), seller_id=AccountId(2), category_id=CategoryId(3), **(facts | more))


def test_a_listed_product_opens_its_price_history() -> None:
    product = listed()
    (change,) = product.price_changes
    assert (change.price, change.valid_from, change.cause) == (usd("10.00"), START, PriceCause.LISTED)
    assert product.events == [ProductListed(at=START, product_id=ProductId(1), seller_id=AccountId(2))]
    assert product.version == 1


def test_listing_names_every_wrong_field() -> None:
    with pytest.raises(Invalid) as caught:
        listed(name="", brand="\x00", sku="", cost=Money(1, "EUR"), max_price=usd("4.99"))
    assert set(caught.value.errors) == {"name", "brand", "sku", "cost"}


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_refused_edit_changes_nothing(field: str, value: Any) -> None:
    product, untouched = listed(), listed()
    with pytest.raises(Invalid) as caught:
        product.edit(LATER, **{"brand": "Brown", "is_active": False, "price": usd("11.00"), field: value})
    assert list(caught.value.errors) == [field]
    assert product == untouched
    assert (product.events, product.price_changes) == (untouched.events, untouched.price_changes)


def test_an_edit_sets_fields_and_counts_once() -> None:
    product = listed()
    product.edit(LATER, name="Kettle", category_id=CategoryId(4), price=usd("12.00"), max_price=None, sku="K-1")
    assert (product.name, product.category_id, product.price, product.sku) == ("Kettle", 4, usd("12.00"), "K-1")
    assert (product.version, product.updated_at, product.priced_at) == (2, LATER, LATER)
    assert [change.cause for change in product.price_changes] == [PriceCause.LISTED, PriceCause.MANUAL]
    _, changed, edited = product.events
    assert isinstance(changed, PriceChanged)
    assert (changed.old, changed.new, changed.currency, changed.cause) == (1000, 1200, "USD", "manual")
    assert isinstance(edited, ProductEdited)


def test_the_same_price_again_is_no_change_of_price() -> None:
    product = listed()
    product.edit(LATER, price=usd("10.00"))
    product.reprice(usd("10.00"), LATER, PriceCause.POLICY)
    assert (len(product.price_changes), product.priced_at, product.version) == (1, START, 1)


def test_repricing_is_no_edit() -> None:
    product = listed()
    product.reprice(usd("10.50"), LATER, PriceCause.POLICY)
    assert (product.version, product.updated_at) == (1, START)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 5), st.booleans()), max_size=20))
def test_price_intervals_do_not_overlap_when_the_clock_stands_still(steps: list[tuple[int, int, bool]]) -> None:
    product, now = listed(price=usd("3.00"), min_price=None), START
    for microseconds, dollars, by_hand in steps:
        now += timedelta(microseconds=microseconds)
        if by_hand:
            product.edit(now, price=Money(dollars * 100, "USD"))
        else:
            product.reprice(Money(dollars * 100, "USD"), now, PriceCause.POLICY)
    for before, after in pairwise(product.price_changes):
        assert before.valid_from + TICK <= after.valid_from
        assert before.price != after.price
    newest = product.price_changes[-1]
    assert (newest.price, newest.valid_from) == (product.price, product.priced_at)


def test_a_withdrawn_product_stays_withdrawn_when_withdrawn_again() -> None:
    product = listed()
    product.withdraw(LATER)
    product.withdraw(LATER + TICK)
    assert (product.withdrawn_at, product.is_active, product.version) == (LATER, False, 2)
    assert product.events[1:] == [ProductWithdrawn(at=LATER, product_id=ProductId(1), seller_id=AccountId(2))]


def test_seller_and_creation_time_of_a_product_cannot_be_changed() -> None:
    product = listed()
    for frozen in ("id", "seller_id", "created_at"):
        with pytest.raises(AttributeError):
            setattr(product, frozen, None)


def test_a_change_of_the_price_alone_records_one_event() -> None:
    product = listed()
    product.events.clear()
    product.edit(LATER, price=Money.of("12.00", "USD"))
    assert [event.topic for event in product.events] == ["price.changed"]
    product.edit(LATER, name="Better", price=Money.of("13.00", "USD"))
    assert [event.topic for event in product.events] == ["price.changed", "price.changed", "product.edited"]


@pytest.mark.parametrize(
    "until",
    [START, START - TICK, START + MAX_STOCK_HORIZON + TICK, datetime(2026, 6, 1)],  # noqa: DTZ001 - without a zone
)
def test_a_stock_horizon_lies_in_the_future_and_has_a_zone(until: datetime) -> None:
    with pytest.raises(Invalid) as caught:
        listed(stock_until=until)
    assert list(caught.value.errors) == ["stock_until"]


def test_a_stock_horizon_that_has_passed_stays_until_another_is_set() -> None:
    product = listed(stock_until=LATER)
    product.edit(LATER + TICK, name="Kettle", stock_until=LATER)
    assert (product.name, product.stock_until) == ("Kettle", LATER)
    with pytest.raises(Invalid):
        product.edit(LATER + TICK, stock_until=LATER - TICK)
    product.edit(LATER + TICK, stock_until=None)
    assert (product.stock_until, product.version) == (None, 3)


def test_an_observed_price_of_a_competitor_is_not_from_the_future_and_has_the_currency_of_the_product() -> None:
    price = Money.of("9.00", "USD")
    assert listed(competitor_price=price).competitor_price_at == START
    for wrong in (
        {"competitor_price": price, "competitor_price_at": START + CLOCK_TOLERANCE + TICK},
        {"competitor_price": price, "competitor_price_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - without a zone
        {"competitor_price": price, "competitor_price_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        {"competitor_price": price, "competitor_price_at": EARLIEST - TICK},
        {"competitor_price_at": START},
    ):
        with pytest.raises(Invalid) as caught:
            listed(**wrong)
        assert list(caught.value.errors) == ["competitor_price_at"]
    with pytest.raises(Invalid) as caught:
        listed(competitor_price=Money.of("9.00", "EUR"))
    assert list(caught.value.errors) == ["competitor_price"]


def test_observing_the_same_price_of_a_competitor_again_renews_its_time() -> None:
    product = listed(competitor_price=Money.of("9.00", "USD"))
    product.edit(LATER, competitor_price=Money.of("9.00", "USD"))
    assert (product.competitor_price_at, product.version) == (LATER, 2)
    product.edit(LATER + TICK, name="Kettle")
    assert product.competitor_price_at == LATER
    product.edit(LATER + TICK, competitor_price=None)
    assert [product.competitor_price, product.competitor_price_at] == [None, None]
