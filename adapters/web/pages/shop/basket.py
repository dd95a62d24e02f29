"""The basket, which a cookie keeps, so that it needs no account and survives a log-in.

The cookie is the reader's own and decides nothing: prices and stock are checked when the order is placed.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Self

from attrs import evolve, frozen
from starlette.requests import Request
from starlette.responses import Response

from adapters.web.framework.cookies import Cookie
from scalecommerce_core.domain.order import MAX_QUANTITY
from scalecommerce_core.domain.price_history import PricePromise

MAX_PRODUCTS: Final = 50
"""Products in a basket: a cookie has at most 4 kB."""
MAX_AMOUNT_LENGTH: Final = 20
MAX_ID: Final = 2**63 - 1
MAX_SEEN_AT: Final = 2**33 - 1
"""Unix time in the year 2242: a later one in a cookie is no moment at which a price was seen."""
_FIELDS, _LINES = ":", "|"

COOKIE: Final = Cookie("basket", max_age=30 * 24 * 3600)


@frozen
class BasketLine:
    """`price` is the price that the reader saw at `seen_at`, as a decimal text."""

    product: int
    quantity: int
    price: str
    seen_at: datetime

    def is_promised(self, promise: PricePromise, now: datetime) -> bool:
        """Whether an order at the price may still be accepted after a change of the price."""
        return now < self.seen_at + promise.lasts


@frozen
class Basket:
    """At most `MAX_PRODUCTS` lines, one for each product, in the order in which they were put in."""

    lines: Sequence[BasketLine] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[BasketLine]:
        return iter(self.lines)

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= MAX_PRODUCTS

    def __contains__(self, product: int) -> bool:
        return any(line.product == product for line in self.lines)

    def put(self, line: BasketLine) -> Self:
        """Add units of a product. The price that was seen last replaces the one of a product in the basket."""
        for index, present in enumerate(self.lines):
            if present.product == line.product:
                merged = evolve(line, quantity=min(present.quantity + line.quantity, MAX_QUANTITY))
                return evolve(self, lines=[*self.lines[:index], merged, *self.lines[index + 1 :]])
        return evolve(self, lines=[*self.lines, line])

    def change(self, product: int, quantity: int) -> Self:
        """Set the quantity of a product; 0 removes it."""
        changed = [evolve(line, quantity=quantity) if line.product == product else line for line in self.lines]
        return evolve(self, lines=[line for line in changed if line.quantity > 0])

    def to_text(self) -> str:
        return _LINES.join(
            _FIELDS.join([str(line.product), str(line.quantity), line.price, str(int(line.seen_at.timestamp()))])
            for line in self.lines
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The basket of a cookie; lines that are not valid are left out."""
        lines = [line for part in text.split(_LINES)[:MAX_PRODUCTS] if (line := _parse(part)) is not None]
        return cls(list({line.product: line for line in lines}.values()))


def read_basket(request: Request) -> Basket:
    return Basket.from_text(COOKIE.read(request) or "")


def write_basket(request: Request, response: Response, basket: Basket) -> None:
    if basket.lines:
        COOKIE.write(request, response, basket.to_text())
    else:
        COOKIE.delete(request, response)


def parse_amount(text: str) -> str | None:
    """A decimal text of an amount, such as those of the API; None for other texts."""
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if len(text) > MAX_AMOUNT_LENGTH or not (digits.isascii() and digits.isdecimal()) or not whole:
        return None
    return text if fraction or not point else None


def parse_number(text: str, highest: int) -> int | None:
    """A whole number from 1 to `highest`; None for other texts."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(highest)):
        return None
    return number if 1 <= (number := int(text)) <= highest else None


def parse_moment(seconds: str, now: datetime) -> datetime:
    """A moment of the past as Unix time; now for other texts."""
    number = parse_number(seconds, int(now.timestamp()))
    return now if number is None else datetime.fromtimestamp(number, UTC)


def price_to_pay(line: BasketLine, current: str, promise: PricePromise, now: datetime) -> str:
    """The price of an order line: the lower of the present price and a promised former one."""
    if line.is_promised(promise, now) and Decimal(line.price) < Decimal(current) and line.quantity <= promise.units:
        return line.price
    return current


def promised_until(line: BasketLine, promise: PricePromise) -> datetime:
    return line.seen_at + promise.lasts


def _parse(text: str) -> BasketLine | None:
    fields = text.split(_FIELDS)
    if len(fields) != 4:
        return None
    product, quantity = parse_number(fields[0], MAX_ID), parse_number(fields[1], MAX_QUANTITY)
    price, seen_at = parse_amount(fields[2]), parse_number(fields[3], MAX_SEEN_AT)
    if product is None or quantity is None or price is None or seen_at is None:
        return None
    return BasketLine(product, quantity, price, datetime.fromtimestamp(seen_at, UTC))
