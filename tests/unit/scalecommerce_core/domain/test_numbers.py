"""One rule for numbers in text, wherever the text comes from."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.numbers import MAX_LENGTH, NotNumber, parse_decimal, parse_float, parse_integer

LOOSE = [
    "", " ", "+5", "1_000", "1,290", "1.290,00", "1 290", "1\u00a0290", "1'290", " 5", "5 ", "5\n", "٣", "５", "0x10",
    "0b1", "0o7", "05", "--5", "five", "nan", "inf", "Infinity", "½", "5%", "$5", "5.", ".5", "\x00", "\ud800",
    "9" * (MAX_LENGTH + 1),
]  # fmt: skip


@pytest.mark.parametrize("parse", [parse_integer, parse_decimal, parse_float])
@pytest.mark.parametrize("text", LOOSE)
def test_text_that_python_or_people_might_take_for_a_number_is_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(NotNumber):
        parse(text)


@pytest.mark.parametrize("text", ["1e3", "1E3", "5.0"])
def test_whole_numbers_have_neither_point_nor_exponent(text: str) -> None:
    with pytest.raises(NotNumber, match="not a whole number"):
        parse_integer(text)


def test_bounds_are_inclusive_and_named() -> None:
    assert (parse_integer("0", least=0, most=9), parse_integer("9", least=0, most=9)) == (0, 9)
    for outside in ("-1", "10"):
        with pytest.raises(NotNumber, match="whole number from 0 to 9: write digits only"):
            parse_integer(outside, least=0, most=9)
    with pytest.raises(NotNumber, match="whole number from 1:"):
        parse_integer("0", least=1)


def test_real_numbers_may_have_an_exponent_but_are_finite() -> None:
    assert parse_float("1e-05") == 1e-05
    assert parse_float("-2.5E+3") == -2500.0
    with pytest.raises(NotNumber):
        parse_float("1e400")
    with pytest.raises(NotNumber):
        parse_decimal("1e2")


@given(st.integers(-(10**30), 10**30))
def test_every_whole_number_is_read_back(number: int) -> None:
    assert parse_integer(str(number)) == parse_decimal(str(number)) == number


@given(st.decimals(-(10**9), 10**9, places=2))
def test_every_amount_is_read_back(amount: Decimal) -> None:
    assert parse_decimal(f"{amount:f}") == amount


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_double_is_read_back_as_python_and_json_write_it(number: float) -> None:
    read = parse_float(repr(number))
    assert read == number
    assert math.copysign(1, read) == math.copysign(1, number)
