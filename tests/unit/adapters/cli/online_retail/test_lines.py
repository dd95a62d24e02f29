"""Every line of a file is a sale, a return, or rejected for one reason."""

import pytest

from adapters.cli.online_retail.lines import GUEST, Line, Refusal, RefusedLine
from tests.unit.adapters.cli.online_retail.builders import moment, read, row


def test_a_sale_line_is_parsed() -> None:
    (line,) = read(row())
    assert line == Line(
        2, "536365", "85123A", "WHITE HANGING HEART", 6, moment("2010-12-01T08:26"), 255, "17850",
        "United Kingdom", is_return=False,
    )  # fmt: skip


def test_a_return_has_a_positive_quantity() -> None:
    (line,) = read(row("C536379", quantity=-1))
    assert isinstance(line, Line)
    assert (line.quantity, line.is_return) == (1, True)


@pytest.mark.parametrize(("text", "customer"), [("17850.0", "17850"), ("17850", "17850"), ("", GUEST), (" ", GUEST)])
def test_customer_numbers_are_parsed(text: str, customer: str) -> None:
    (line,) = read(row(customer=text))
    assert isinstance(line, Line)
    assert line.customer == customer


@pytest.mark.parametrize("text", ["2010-12-01 08:26:00", "2010-12-01T08:26:00Z", "12/1/2010 8:26"])
def test_times_are_parsed(text: str) -> None:
    (line,) = read(row(at=text))
    assert isinstance(line, Line)
    assert line.at == moment("2010-12-01T08:26")


def test_descriptions_are_kept_unchanged() -> None:
    (line,) = read(row(description="  Gift Voucher £40.00 "))
    assert isinstance(line, Line)
    assert line.description == "Gift Voucher £40.00"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (row(price="0.0"), Refusal.ZERO_PRICE),
        (row(quantity=-5, price="0"), Refusal.NEGATIVE_QUANTITY),
        (row(quantity=-5), Refusal.NEGATIVE_QUANTITY),
        (row("A563186", price="-11062.06"), Refusal.NEGATIVE_PRICE),
        (row(price="0.001"), Refusal.SUB_CENT),
        (row(price="1.055"), Refusal.SUB_CENT),
        (row(quantity=0), Refusal.ZERO_QUANTITY),
        (row("C1", quantity=3), Refusal.CANCELLATION_OF_NOTHING),
        (row(quantity=2_147_483_648), Refusal.OUT_OF_BOUNDS),
        (row(price="100000000"), Refusal.OUT_OF_BOUNDS),
        (row(quantity="six"), Refusal.UNREADABLE),
        (row(quantity="6.5"), Refusal.UNREADABLE),
        (row(quantity="٦"), Refusal.UNREADABLE),
        (row(price="NaN"), Refusal.UNREADABLE),
        (row(price="1e3"), Refusal.UNREADABLE),
        (row(customer="Bob"), Refusal.UNREADABLE),
        (row(at="yesterday"), Refusal.UNREADABLE),
        (row(at="0001-01-01T00:00:00+14:00"), Refusal.UNREADABLE),
        (row(code="A\x00B"), Refusal.UNREADABLE),
        (row(code="A" * 65), Refusal.UNREADABLE),
        (row(code=" "), Refusal.MISSING_FIELD),
        (row(""), Refusal.MISSING_FIELD),
        (row(quantity=""), Refusal.MISSING_FIELD),
        (row(price=""), Refusal.MISSING_FIELD),
        (row(at=""), Refusal.MISSING_FIELD),
        (row()[:7], Refusal.MISSING_FIELD),
        ([], Refusal.MISSING_FIELD),
        ([*row(), "more"], Refusal.UNREADABLE),
    ],
)
def test_invalid_lines_are_refused_with_a_reason(fields: list[str], why: Refusal) -> None:
    (refused,) = read(fields)
    assert isinstance(refused, RefusedLine)
    assert (refused.number, refused.why) == (2, why)
