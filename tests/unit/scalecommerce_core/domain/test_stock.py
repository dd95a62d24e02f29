from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.errors import InsufficientStock, Invalid, LedgerInconsistent, MarketError, StockMoved
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.stock import MAX_STOCK, MovementKind, Stock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = OrderId(7)
TEA = ProductId(1)

OPERATIONS: dict[str, Callable[[Stock, int], None]] = {
    "reserve": Stock.reserve,
    "release": Stock.release,
    "sell": lambda stock, quantity: stock.sell(quantity, ORDER, NOW),
    "take back": lambda stock, quantity: stock.restock_units(quantity, ORDER, NOW),
    "add": lambda stock, quantity: stock.adjust(quantity, NOW),
    "take": lambda stock, quantity: stock.adjust(-quantity, NOW),
    "set": lambda stock, quantity: stock.set_available(quantity, NOW),
}
QUANTITY = st.integers(1, 12) | st.sampled_from([MAX_STOCK - 1, MAX_STOCK, MAX_STOCK + 1])


@given(st.integers(0, 20), st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), QUANTITY), max_size=30))
def test_no_operation_makes_the_ledger_inconsistent(opening: int, steps: list[tuple[str, int]]) -> None:
    stock = Stock.opened(TEA, opening, NOW)
    for name, quantity in steps:
        before = (stock.on_hand, stock.reserved, len(stock.movements))
        try:
            OPERATIONS[name](stock, quantity)
        except (MarketError, LedgerInconsistent):
            assert (stock.on_hand, stock.reserved, len(stock.movements)) == before
        assert 0 <= stock.reserved <= stock.on_hand <= MAX_STOCK
        assert stock.on_hand == sum(movement.quantity for movement in stock.movements)
        assert stock.available + stock.reserved + stock.capacity_left == MAX_STOCK
    assert all(movement.quantity for movement in stock.movements)


@pytest.mark.parametrize("name", ["reserve", "release", "sell", "take back"])
@pytest.mark.parametrize("quantity", [0, -1])
def test_quantities_below_one_raise_value_error(name: str, quantity: int) -> None:
    stock = Stock(TEA, on_hand=5, reserved=2)
    with pytest.raises(ValueError, match="must be at least 1"):
        OPERATIONS[name](stock, quantity)
    assert stock == Stock(TEA, on_hand=5, reserved=2)


def test_an_adjustment_by_zero_writes_no_movement() -> None:
    stock = Stock.opened(TEA, 0, NOW)
    stock.adjust(0, NOW)
    stock.set_available(0, NOW)
    assert stock.movements == []


def test_a_sale_consumes_the_reservation() -> None:
    stock = Stock.opened(TEA, 5, NOW)
    stock.reserve(3)
    assert (stock.available, stock.on_hand) == (2, 5)
    stock.sell(2, ORDER, NOW)
    assert (stock.available, stock.on_hand, stock.reserved) == (2, 3, 1)
    sale = stock.movements[-1]
    assert (sale.quantity, sale.kind, sale.order_id) == (-2, MovementKind.SALE, ORDER)


def test_units_beyond_stock_or_reservation_are_refused() -> None:
    stock = Stock(TEA, on_hand=5, reserved=2)
    with pytest.raises(InsufficientStock) as reserving:
        stock.reserve(4)
    assert (reserving.value.product_id, reserving.value.wanted, reserving.value.available) == (TEA, 4, 3)
    for act in (stock.release, lambda units: stock.sell(units, ORDER, NOW)):
        with pytest.raises(LedgerInconsistent, match="3 units to release, 2 reserved"):
            act(3)


def test_reserved_units_cannot_be_taken_away() -> None:
    stock = Stock(TEA, on_hand=5, reserved=2)
    with pytest.raises(Invalid, match="Only 3 units can be taken"):
        stock.adjust(-4, NOW)
    stock.set_available(0, NOW)
    assert (stock.on_hand, stock.reserved) == (2, 2)


def test_setting_stock_that_has_changed_reports_the_present_stock() -> None:
    stock = Stock(TEA, on_hand=5, reserved=2)
    with pytest.raises(StockMoved) as caught:
        stock.set_available(10, NOW, expected=5)
    assert (caught.value.expected, caught.value.actual) == (5, 3)
    assert str(caught.value) == "The stock of product 1 is 3, not 5: read it again."
    stock.set_available(10, NOW, expected=3)
    assert (stock.on_hand, stock.available) == (12, 10)


@pytest.mark.parametrize("quantity", [-1, MAX_STOCK - 1])
def test_available_and_reserved_units_fit_the_maximum(quantity: int) -> None:
    stock = Stock(TEA, on_hand=5, reserved=2)
    with pytest.raises(Invalid, match=f"between 0 and {MAX_STOCK - 2}"):
        stock.set_available(quantity, NOW)
    stock.set_available(MAX_STOCK - 2, NOW)
    assert stock.capacity_left == 0
