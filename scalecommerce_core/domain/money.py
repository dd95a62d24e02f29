"""Money as a whole number of minor units and a currency, so that sums are exact and fast.

The currency defines how many minor units make a whole unit (`domain.currencies`): 100 cents, 1 yen, 1000 fils.
"""

from decimal import Context, Decimal, Inexact
from typing import Final, Self

from attrs import field, frozen

from scalecommerce_core.domain.currencies import MINOR_DIGITS, MINOR_PER_UNIT, NotCurrency, check_currency
from scalecommerce_core.domain.numbers import NotNumber, parse_decimal

MIN_PRICE: Final = 1
MAX_PRICE: Final = 9_999_999_999
"""Bounds of a price in minor units of any currency: 0.01 to 99,999,999.99 in a currency with two decimals."""

_EXACT: Final = Context(prec=40, traps=[Inexact])
"""Arithmetic context that raises `Inexact` instead of rounding; the caller's context may round."""


class NotMoney(ValueError):
    """The text or number is not an amount of money; the message says why."""


@frozen(order=False)
class Money:
    """`minor` units of `currency` (ISO 4217 code)."""

    minor: int
    currency: str = field()

    @currency.validator
    def _known(self, _attribute: object, value: str) -> None:
        try:
            check_currency(value)
        except NotCurrency as error:
            raise NotMoney(str(error)) from None

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: str) -> Self:
        """Read a decimal amount exactly; raise `NotMoney` for more decimals than the currency has, NaN or infinity.

        Text is read by the rule of `scalecommerce_core.domain.numbers`: digits with at most one decimal point.
        """
        return cls(minor_units(amount, currency), currency)

    @property
    def text(self) -> str:
        """The API's decimal string, such as `6.21`."""
        return decimal_text(self.minor, self.currency)

    @property
    def amount(self) -> Decimal:
        """The amount as a decimal number of whole units."""
        return Decimal(self.text)

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
        return f"{self.text} {self.currency}"


def decimal_text(minor: int, currency: str) -> str:
    """`(621, "USD")` -> `"6.21"`, `(621, "JPY")` -> `"621"`: the API's decimal string."""
    return unit_text(minor, MINOR_PER_UNIT[currency])


def unit_text(minor: int, minor_per_unit: int) -> str:
    """As `decimal_text`, given the minor units in a whole unit (a power of ten) instead of the currency."""
    if minor_per_unit == 1:
        return str(minor)
    sign = "-" if minor < 0 else ""
    whole, part = divmod(abs(minor), minor_per_unit)
    if minor_per_unit == 100:  # fast path: nearly all currencies
        return f"{sign}{whole}.{part:02d}"
    # minor_per_unit is a power of ten: its zeros are the decimals.
    return f"{sign}{whole}.{part:0{len(str(minor_per_unit)) - 1}d}"


def minor_units(amount: Decimal | str | int, currency: str) -> int:
    """`("6.21", "USD")` -> `621`, exactly; raise `NotMoney` for an amount that is not a whole number of minor units.

    Text with more decimals than the currency has is refused even if they are zeros: `1.290` means 1290 in some
    countries.
    """
    digits = _digits_of(currency)
    value = _decimal(amount, currency) if isinstance(amount, str) else Decimal(amount)
    if not value.is_finite() or abs(value.adjusted()) > 15:
        raise NotMoney("This amount is not finite, or is too large or too small.")
    try:
        scaled = value.scaleb(digits, _EXACT)
    except Inexact:
        scaled = None
    if scaled is None or scaled != int(scaled):
        raise NotMoney(_too_many_decimals(currency))
    return int(scaled)


def _digits_of(currency: str) -> int:
    try:
        check_currency(currency)
    except NotCurrency as error:
        raise NotMoney(str(error)) from None
    return MINOR_DIGITS[currency]


def _decimal(text: str, currency: str) -> Decimal:
    try:
        value = parse_decimal(text)
    except NotNumber as error:
        raise NotMoney(str(error)) from None
    decimals = len(text.partition(".")[2])
    if decimals > MINOR_DIGITS[currency]:
        raise NotMoney(_too_many_decimals(currency, text, decimals))
    return value


def _too_many_decimals(currency: str, text: str = "", decimals: int = 0) -> str:
    digits = MINOR_DIGITS[currency]
    most = f"At most {digits} decimals are allowed" if digits else "No decimals are allowed"
    return f"{most} in {currency}; {text} has {decimals}." if text else f"{most} in {currency}."


def price_range_message(currency: str) -> str:
    """The message for a price below the lowest or above the highest one of a currency."""
    least, most = decimal_text(MIN_PRICE, currency), decimal_text(MAX_PRICE, currency)
    return f"A price must be between {least} and {most}."


def price_units(amount: Decimal | str | int, currency: str) -> int:
    """Minor units of a price: as `minor_units`, within `MIN_PRICE` and `MAX_PRICE`."""
    minor = minor_units(amount, currency)
    if not MIN_PRICE <= minor <= MAX_PRICE:
        raise NotMoney(price_range_message(currency))
    return minor
