"""Money as a whole number of minor units (cents) and a currency, so that sums are exact and fast."""

from decimal import Context, Decimal, Inexact
from typing import Final, Self

from attrs import field, frozen

from scalecommerce_core.domain.numbers import NotNumber, parse_decimal

MINOR_DIGITS: Final = 2
"""Every currency of a marketplace has two decimals here, as the published API's prices do (ADR 0003)."""

MIN_PRICE: Final = 1
MAX_PRICE: Final = 9_999_999_999
"""Bounds of a price in minor units: 0.01 to 99,999,999.99."""


_CHECKED: Final[set[str]] = set()
"""Codes that were found right: at most as many as three letters make."""

_EXACT: Final = Context(prec=40, traps=[Inexact])
"""A context of our own: the caller's may round."""


class NotMoney(ValueError):
    """The text or number is no amount of money; the message says why."""


@frozen(order=False)
class Money:
    """`minor` units of `currency` (ISO 4217 code)."""

    minor: int
    currency: str = field()

    @currency.validator
    def _three_capitals(self, _attribute: object, value: str) -> None:
        if value in _CHECKED:
            return
        if len(value) != 3 or not value.isascii() or not value.isalpha() or not value.isupper():
            raise NotMoney(f"{value!r} is not a currency code such as USD.")
        _CHECKED.add(value)

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: str) -> Self:
        """Read a decimal amount exactly; raise `NotMoney` for more than two decimals, NaN or infinity.

        Text is read by the rule of `scalecommerce_core.domain.numbers`: digits with at most one decimal point.
        """
        return cls(minor_units(amount), currency)

    @property
    def amount(self) -> Decimal:
        return Decimal(decimal_text(self.minor))

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self} and {other} are of different currencies.")
        return other.minor

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __mul__(self, times: int) -> "Money":
        return Money(self.minor * times, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __str__(self) -> str:
        return f"{decimal_text(self.minor)} {self.currency}"


def decimal_text(minor: int) -> str:
    """`621` -> `"6.21"`: the API's decimal string."""
    sign = "-" if minor < 0 else ""
    whole, cents = divmod(abs(minor), 100)
    return f"{sign}{whole}.{cents:02d}"


def minor_units(amount: Decimal | str | int) -> int:
    """`"6.21"` -> `621`, exactly; raise `NotMoney` when it cannot be.

    Text with more than two decimals is refused even if they are zeros: `1.290` may mean 1290 elsewhere.
    """
    value = _decimal(amount) if isinstance(amount, str) else Decimal(amount)
    if not value.is_finite() or abs(value.adjusted()) > 15:
        raise NotMoney("A finite amount of ordinary size is wanted.")
    try:
        scaled = value.scaleb(MINOR_DIGITS, _EXACT)
    except Inexact:
        scaled = None
    if scaled is None or scaled != int(scaled):
        raise NotMoney("At most 2 decimals are allowed.")
    return int(scaled)


def _decimal(text: str) -> Decimal:
    try:
        value = parse_decimal(text)
    except NotNumber as error:
        raise NotMoney(str(error)) from None
    decimals = len(text.partition(".")[2])
    if decimals > MINOR_DIGITS:
        raise NotMoney(f"At most {MINOR_DIGITS} decimals are allowed; {text} has {decimals}.")
    return value


def price_units(amount: Decimal | str | int) -> int:
    """Minor units of a price: as `minor_units`, within `MIN_PRICE` and `MAX_PRICE`."""
    minor = minor_units(amount)
    if not MIN_PRICE <= minor <= MAX_PRICE:
        raise NotMoney(f"A price lies between {decimal_text(MIN_PRICE)} and {decimal_text(MAX_PRICE)}.")
    return minor
