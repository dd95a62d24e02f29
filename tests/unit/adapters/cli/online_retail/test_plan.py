"""The plan made from a file: prices, stock and returns; no line is lost."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.online_retail.categories import category_of
from adapters.cli.online_retail.lines import Refusal
from adapters.cli.online_retail.plan import LONGEST_INVOICE, CannotPlan, ReplayPlan
from adapters.cli.online_retail.prices import daily_modes, price_history
from scalecommerce_core.domain.money import Money
from tests.unit.adapters.cli.online_retail.builders import moment, planned, row

MONDAY, TUESDAY, FRIDAY = date(2011, 1, 3), date(2011, 1, 4), date(2011, 1, 7)


# --- prices


def test_the_list_price_of_a_day_is_its_most_frequent_price() -> None:
    assert daily_modes([("A", MONDAY, price) for price in (295, 255, 255)]) == {"A": {MONDAY: 255}}


def test_a_tie_keeps_the_price_of_the_day_before_or_takes_the_lowest() -> None:
    sales = [("A", MONDAY, 295), ("A", TUESDAY, 295), ("A", TUESDAY, 255), ("A", FRIDAY, 300), ("A", FRIDAY, 200)]
    assert daily_modes(sales) == {"A": {MONDAY: 295, TUESDAY: 295, FRIDAY: 200}}


def test_price_history_contains_only_changes() -> None:
    history = price_history({MONDAY: 295, TUESDAY: 295, FRIDAY: 255}, "GBP")
    assert history == [
        (moment("2011-01-03"), Money(295, "GBP")),
        (moment("2011-01-07"), Money(255, "GBP")),
    ]  # fmt: skip


def test_off_list_lines_are_counted_and_keep_their_price() -> None:
    plan = planned(row("1"), row("2"), row("3", price="2.10"))
    assert plan.off_list_lines == 1
    assert [line.price for purchase in plan.purchases for line in purchase.lines] == [255, 255, 210]


# --- purchases


def test_lines_of_one_product_at_two_prices_stay_apart() -> None:
    (purchase,) = planned(row(quantity=1), row(quantity=2, price="1.95"), row(quantity=3)).purchases
    assert [(line.quantity, line.price) for line in purchase.lines] == [(1, 255), (2, 195), (3, 255)]


def test_an_invoice_begins_with_its_first_line() -> None:
    (purchase,) = planned(row(at="2010-12-01 08:27:00"), row(at="2010-12-01 08:26:00")).purchases
    assert purchase.placed_at == moment("2010-12-01T08:26")


def test_an_invoice_has_one_customer_and_an_end() -> None:
    plan = planned(row(), row(customer="2"), row(customer=""))
    assert plan.refused == {Refusal.OTHER_CUSTOMER: [3, 4]}
    long = planned(*[row()] * (LONGEST_INVOICE + 2))
    assert long.lines == LONGEST_INVOICE
    assert len(long.refused[Refusal.INVOICE_TOO_LONG]) == 2


def test_product_names_are_the_most_frequent_descriptions() -> None:
    texts = ["", "damaged?", "TEA POT", "TEA POT", "x" * 120]
    (product,) = planned(*(row(description=text) for text in texts)).products
    assert product.name == "TEA POT"
    assert planned(row(description=" ")).products[0].name == "85123A"


@pytest.mark.parametrize(
    ("code", "name", "category"),
    [
        ("POST", "POSTAGE", "services"),
        ("22423", "REGENCY CAKESTAND 3 TIER", "home_appliances"),
        ("22138", "BAKING SET", "accessories"),
        ("20725", "SPACEBOY LUNCH BAG", "toys"),
    ],
)
def test_categories_follow_words_of_the_name(code: str, name: str, category: str) -> None:
    assert category_of(code, name) == category


# --- what comes back


def returned(plan: ReplayPlan) -> list[list[tuple[int, int]]]:
    """(price, units) of the returns of each purchase."""
    return [[(r.price, r.quantity) for r in purchase.returned] for purchase in plan.purchases]


def buy(invoice: str, quantity: int, day: int, price: str = "2.55", customer: str = "1") -> list[str]:
    return row(invoice, quantity=quantity, price=price, at=f"2011-01-{day:02} 10:00:00", customer=customer)


def give_back(quantity: int, day: int, price: str = "2.55", customer: str = "1") -> list[str]:
    return buy(f"C{day}{quantity}", -quantity, day, price, customer)


def test_a_return_matches_the_most_recent_earlier_purchase() -> None:
    plan = planned(buy("1", 5, 1), buy("2", 5, 2), give_back(7, 3), buy("3", 5, 4))
    assert returned(plan) == [[(255, 2)], [(255, 5)], []]


def test_a_return_prefers_purchases_at_its_price() -> None:
    plan = planned(buy("1", 5, 1), buy("2", 5, 2, "1.95"), give_back(6, 3))
    assert returned(plan) == [[(255, 5)], [(195, 1)]]
    (matched,) = plan.returns
    assert (matched.units, matched.refunded) == (6, 5 * 255 + 195)


def test_a_unit_is_returned_once() -> None:
    plan = planned(buy("1", 5, 1), give_back(4, 2), give_back(4, 3))
    assert [(matched.units, matched.why_not) for matched in plan.returns] == [(4, None), (1, Refusal.NO_PURCHASE)]
    assert plan.refused == {}


@pytest.mark.parametrize(
    ("back", "why"),
    [
        (give_back(1, 3, customer="2"), Refusal.NO_PURCHASE),
        (give_back(1, 1), Refusal.NO_PURCHASE),
        (give_back(1, 3, customer=""), Refusal.NO_CUSTOMER),
    ],
)
def test_returns_without_a_purchase_are_refused(back: list[str], why: Refusal) -> None:
    plan = planned(buy("1", 5, 2), buy("2", 5, 2, customer=""), back)
    assert plan.refused == {why: [4]}


# --- stock


def test_opening_stock_is_the_largest_deficit() -> None:
    (product,) = planned(buy("1", 5, 1), give_back(5, 2), buy("2", 3, 3)).products
    assert product.opening_stock == 5
    (product,) = planned(buy("1", 5, 1), buy("2", 3, 3), give_back(5, 4)).products
    assert product.opening_stock == 8


def test_opening_stock_above_the_maximum_is_refused() -> None:
    with pytest.raises(CannotPlan, match="85123A needs an opening stock of 3000000000 units"):
        planned(*(buy(str(day), 750_000_000, day) for day in range(1, 5)))


# --- nothing is lost

LINES = st.builds(
    row,
    st.sampled_from(["1", "2", "3", "C4", "C5", "A6", ""]),
    st.sampled_from(["A1", "B2", "POST", " "]),
    st.integers(-6, 6),
    st.sampled_from(["1.00", "2.50", "0", "0.001", "-3", "x"]),
    at=st.integers(1, 9).map(lambda day: f"2011-01-{day:02} 10:00:00"),
    customer=st.sampled_from(["1.0", "2", "", "?"]),
)


@given(st.lists(LINES, max_size=40))
def test_every_line_is_recorded_returned_or_refused_once(rows: list[list[str]]) -> None:
    plan = planned(*rows)
    refunded = sum(matched.units > 0 for matched in plan.returns)
    assert plan.lines_read == len(rows) == plan.lines + refunded + sum(map(len, plan.refused.values()))
    sold = {product.code: 0 for product in plan.products}
    for purchase in plan.purchases:
        for line in purchase.lines:
            sold[line.code] += line.quantity
        assert all(back.line.at >= purchase.placed_at for back in purchase.returned)
    assert all(product.opening_stock <= sold[product.code] for product in plan.products)
