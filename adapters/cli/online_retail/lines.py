"""Parses lines of the file: each is a sale, a return, or refused with a reason."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from scalecommerce_core.domain.money import MAX_PRICE, NotMoney, minor_units
from scalecommerce_core.domain.numbers import NotNumber, parse_decimal, parse_integer
from scalecommerce_core.domain.order import MAX_QUANTITY
from scalecommerce_core.domain.text import SKU_LENGTH, normal_line, text_errors
from scalecommerce_core.services.product_files.csv_text import BadRow, Row

# Sales without a customer in the file belong to one guest account.
CURRENCY: Final = "GBP"
GUEST: Final = ""
FIELDS: Final = 8

_CUSTOMER: Final = re.compile(r"([0-9]{1,18})(?:\.0*)?")


class Refusal(StrEnum):
    """Why a line is not recorded. The value is the report's wording."""

    ZERO_PRICE = "price of zero"
    NEGATIVE_PRICE = "negative price (an adjustment, not a sale)"
    SUB_CENT = "price with more than two decimals"
    NEGATIVE_QUANTITY = "negative quantity without a cancellation (stock write-off)"
    ZERO_QUANTITY = "quantity of zero"
    CANCELLATION_OF_NOTHING = "cancellation with a positive quantity"
    OUT_OF_BOUNDS = "quantity or price out of bounds"
    MISSING_FIELD = "a field is missing"
    UNREADABLE = "a field is unreadable"
    OTHER_CUSTOMER = "another customer than the rest of its invoice"
    INVOICE_TOO_LONG = "invoice with too many lines"
    NO_CUSTOMER = "return without a customer"
    NO_PURCHASE = "return without a covering purchase"


class Line(NamedTuple):
    """A valid line. `quantity` is positive, also for returns; `price` is in minor units; `number` is its line."""

    number: int
    invoice: str
    code: str
    description: str
    quantity: int
    at: datetime
    price: int
    customer: str
    country: str
    is_return: bool


class RefusedLine(NamedTuple):
    number: int
    why: Refusal
    code: str = ""


def read_lines(rows: Iterable[Row | BadRow]) -> Iterator[Line | RefusedLine]:
    """Every row becomes exactly one `Line` or `Refused`, in order."""
    for row in rows:
        yield RefusedLine(row.line, Refusal.UNREADABLE) if isinstance(row, BadRow) else _read(row.line, row.cells)


def _read(number: int, row: list[str]) -> Line | RefusedLine:
    if len(row) != FIELDS:
        return RefusedLine(number, Refusal.MISSING_FIELD if len(row) < FIELDS else Refusal.UNREADABLE)
    invoice, code = _identifier(row[0]), _identifier(row[1])
    quantity, at, price, customer = _quantity(row[3]), _moment(row[4]), _price(row[5]), _customer(row[6])
    if isinstance(code, Refusal):
        return RefusedLine(number, code)
    if (
        isinstance(invoice, Refusal)
        or isinstance(quantity, Refusal)
        or isinstance(at, Refusal)
        or isinstance(price, Refusal)
        or isinstance(customer, Refusal)
    ):
        wrong = (value for value in (invoice, quantity, at, price, customer) if isinstance(value, Refusal))
        return RefusedLine(number, next(wrong), code)
    is_return = invoice[0] in "Cc"
    if why := _refusal(quantity, price, is_return=is_return):
        return RefusedLine(number, why, code)
    return Line(number, invoice, code, row[2].strip(), abs(quantity), at, price, customer, row[7].strip(), is_return)


def _refusal(quantity: int, price: int, *, is_return: bool) -> Refusal | None:
    if price < 0:
        return Refusal.NEGATIVE_PRICE
    if quantity == 0:
        return Refusal.ZERO_QUANTITY
    if quantity < 0 and not is_return:
        return Refusal.NEGATIVE_QUANTITY
    if price == 0:
        return Refusal.ZERO_PRICE
    if quantity > 0 and is_return:
        return Refusal.CANCELLATION_OF_NOTHING
    if abs(quantity) > MAX_QUANTITY or price > MAX_PRICE:
        return Refusal.OUT_OF_BOUNDS
    return None


# These columns have few distinct values, so results are cached.


@lru_cache(maxsize=100_000)
def _identifier(text: str) -> str | Refusal:
    text = normal_line(text)
    if not text:
        return Refusal.MISSING_FIELD
    return Refusal.UNREADABLE if text_errors(text, at_most=SKU_LENGTH) else text


@lru_cache(maxsize=100_000)
def _quantity(text: str) -> int | Refusal:
    text = text.strip()
    if not text:
        return Refusal.MISSING_FIELD
    try:
        return parse_integer(text)
    except NotNumber:
        return Refusal.UNREADABLE


@lru_cache(maxsize=100_000)
def _price(text: str) -> int | Refusal:
    """Minor units."""
    text = text.strip()
    if not text:
        return Refusal.MISSING_FIELD
    try:
        parse_decimal(text)
        return minor_units(text, CURRENCY)
    except NotNumber:
        return Refusal.UNREADABLE
    except NotMoney:
        return Refusal.SUB_CENT


@lru_cache(maxsize=100_000)
def _moment(text: str) -> datetime | Refusal:
    """Parse a time. The file has no time zones; its times are interpreted as UTC."""
    text = text.strip()
    if not text:
        return Refusal.MISSING_FIELD
    for parse in (datetime.fromisoformat, _american):
        try:
            at = parse(text)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return Refusal.UNREADABLE


def _american(text: str) -> datetime:
    """Parse the format of some copies of the data set: 12/1/2010 8:26."""
    if not text.isascii():
        raise ValueError("digits of other scripts")
    return datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=UTC)


@lru_cache(maxsize=100_000)
def _customer(text: str) -> str | Refusal:
    """Parse a customer number: `17850.0`, an exported float, is customer 17850; blank is a guest."""
    text = text.strip()
    if not text:
        return GUEST
    matched = _CUSTOMER.fullmatch(text)
    return matched[1] if matched else Refusal.UNREADABLE
