from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.currencies import MINOR_DIGITS, MINOR_PER_UNIT
from scalecommerce_core.domain.money import (
    MAX_PRICE,
    MIN_PRICE,
    Money,
    NotMoney,
    decimal_text,
    minor_units,
    price_units,
)

MINOR = st.integers(-(10**17), 10**17)


@pytest.mark.parametrize(
    ("amount", "minor"),
    [
        ("6.21", 621),
        ("0.1", 10),
        ("0.10", 10),
        (Decimal("1e2"), 100_00),
        (Decimal("1.5E+3"), 1_500_00),
        (Decimal("500e-2"), 5_00),
        ("-0.01", -1),
        ("-0", 0),
        ("0.00", 0),
        (7, 7_00),
        (Decimal("99999999.99"), 9_999_999_999),
        (Decimal("1." + "0" * 60), 1_00),
    ],
)
def test_decimal_amounts_are_read_exactly(amount: Decimal | str | int, minor: int) -> None:
    assert minor_units(amount, "USD") == minor


@pytest.mark.parametrize("amount", ["0.001", "1.005", "0.009", "1e-3", "1.0000001", "1.290", "1.000"])
def test_more_than_two_decimals_are_refused_not_rounded(amount: str) -> None:
    with pytest.raises(NotMoney):
        minor_units(amount, "USD")


@pytest.mark.parametrize(
    "amount",
    ["NaN", "-NaN", "sNaN", "Infinity", "-inf", "1e16", "1e400", "1e999999999", "1e-999999"],
)
def test_texts_that_are_not_plain_numbers_are_refused(amount: str) -> None:
    for written in (amount, Decimal(amount)):
        with pytest.raises(NotMoney):
            minor_units(written, "USD")


@pytest.mark.parametrize(
    "amount",
    [
        "",
        " ",
        "ten",
        "1,50",
        "1.2.3",
        "0x10",
        "--1",
        "\x00",
        "\ud800",
        "+1",
        "1e2",
        "1_000",
        "٣",
        "1 ",
        "01",
        ".5",
        "1.",
    ],
)
def test_amounts_that_are_not_decimal_numbers_are_refused(amount: str) -> None:
    with pytest.raises(NotMoney, match="not a decimal number"):
        minor_units(amount, "USD")


def test_prices_lie_between_a_cent_and_a_hundred_million() -> None:
    assert price_units("0.01", "USD") == MIN_PRICE
    assert price_units("99999999.99", "USD") == MAX_PRICE
    for outside in ("0", "0.00", "-1", "100000000.00"):
        with pytest.raises(NotMoney, match=r"0\.01 and 99999999\.99"):
            price_units(outside, "USD")


@given(MINOR, st.sampled_from(sorted(MINOR_DIGITS)))
def test_text_and_minor_units_are_inverse(minor: int, currency: str) -> None:
    assert minor_units(decimal_text(minor, currency), currency) == minor
    assert minor_units(Money(minor, currency).amount, currency) == minor
    assert Decimal(decimal_text(minor, currency)) * MINOR_PER_UNIT[currency] == minor


@given(MINOR, MINOR, st.integers(-1000, 1000))
def test_sums_are_those_of_whole_numbers(a: int, b: int, times: int) -> None:
    left, right = Money(a, "EUR"), Money(b, "EUR")
    assert (left + right).minor == a + b
    assert left + right - right == left
    assert (left * times).minor == a * times
    assert (left < right, left <= right, left == right) == (a < b, a <= b, a == b)


def test_the_callers_decimal_context_rounds_nothing() -> None:
    with localcontext(prec=3):
        assert minor_units("12345.67", "USD") == 1_234_567
        assert Money(1_234_567, "USD").amount == Decimal("12345.67")


@pytest.mark.parametrize("currency", ["", "US", "usd", "USDT", "U$D", "ÄÖÜ", "12A", "US\n", "ZZZ", "XXX", "XAU", "XTS"])
def test_a_currency_is_one_of_iso_4217_with_minor_units(currency: str) -> None:
    with pytest.raises(NotMoney, match="currency code"):
        Money(1, currency)
    with pytest.raises(NotMoney, match="currency code"):
        minor_units("1", currency)


@pytest.mark.parametrize("currency", sorted(MINOR_DIGITS))
def test_each_currency_has_its_own_decimals(currency: str) -> None:
    digits = MINOR_DIGITS[currency]
    exact = f"12.{'3' * digits}".removesuffix(".")
    assert Money.of(exact, currency) == Money(int(exact.replace(".", "")), currency)
    assert str(Money.of(exact, currency)) == f"{exact} {currency}"
    assert minor_units(1, currency) == MINOR_PER_UNIT[currency]
    smallest = f"0.{'0' * (digits - 1)}1" if digits else "1"
    assert price_units(smallest, currency) == MIN_PRICE
    assert Money(-1, currency).text == f"-{smallest}"
    for one_more in (f"{exact}0" if digits else "12.0", f"{exact}3" if digits else "12.3"):
        with pytest.raises(NotMoney, match=f"decimals are allowed in {currency}"):
            minor_units(one_more, currency)
    with pytest.raises(NotMoney, match=f"must be between {smallest} and "):
        price_units(0, currency)


def test_currencies_do_not_mix() -> None:
    dollar, euro = Money(1, "USD"), Money(1, "EUR")
    assert dollar != euro
    for mix in (lambda: dollar + euro, lambda: dollar - euro, lambda: dollar < euro, lambda: dollar <= euro):
        with pytest.raises(ValueError, match="different currencies"):
            mix()


def test_money_reads_as_an_amount_and_a_currency() -> None:
    assert str(Money.of("19.9", "USD")) == "19.90 USD"
    assert str(Money(-5, "EUR")) == "-0.05 EUR"
    assert len({Money(1, "USD"), Money.of("0.01", "USD"), Money(1, "EUR")}) == 2
