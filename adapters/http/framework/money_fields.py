"""Amounts of money in requests: a decimal string (`scalecommerce_core.domain.numbers`) or an exact JSON number.

The currency limits the number of decimals, and may be known only after the product is loaded. A field therefore accepts
every amount that is valid in some currency, and `convert_amounts` checks it against the actual currency.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from scalecommerce_core.domain.currencies import MAX_MINOR_DIGITS, MINOR_DIGITS
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money, NotMoney, decimal_text, minor_units
from scalecommerce_core.domain.numbers import NotNumber, parse_decimal

_MAX_AMOUNT: Final = Decimal(MAX_PRICE)
"""The highest amount of a currency without minor units, in whole units."""


class Amount(Decimal):
    """An amount of 0 or more; `9.9` and `9.90` are equal."""

    __slots__ = ("decimals",)
    minimum: ClassVar[int] = 0
    decimals: int
    """Number of decimals in the request; for a JSON number, without trailing zeros."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Parse a decimal string or number; raise `NotMoney` (a ValueError) with a message for the client."""
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise NotMoney('This must be an amount such as "9.99".')
        number = _to_decimal(value)
        if number < 0 or number > _MAX_AMOUNT or (cls.minimum and not number):
            raise NotMoney(
                f"The amount must be {'above 0' if cls.minimum else '0 or more'}, in digits with a decimal point."
            )
        plain = f"{number:f}"
        decimals = len(plain.partition(".")[2])
        if not isinstance(value, str) and decimals:
            decimals = len(plain.rstrip("0").partition(".")[2])
        if decimals > MAX_MINOR_DIGITS:
            raise NotMoney(f"At most {MAX_MINOR_DIGITS} decimals are allowed in any currency; this has {decimals}.")
        amount = cls(plain.rstrip("0").rstrip(".") if "." in plain else plain)
        amount.decimals = decimals
        return amount

    def as_text(self) -> str:
        """The amount with all decimals of the request, including trailing zeros, which may exceed the decimals of a
        currency.
        """
        return f"{self:.{self.decimals}f}"

    def to_minor_units(self, currency: str) -> int:
        """Convert to minor units; raise `NotMoney` for too many decimals or an amount out of bounds."""
        minor = minor_units(self.as_text(), currency)
        if not self.minimum <= minor <= MAX_PRICE:
            lowest, highest = decimal_text(self.minimum, currency), decimal_text(MAX_PRICE, currency)
            raise NotMoney(f"The amount must be from {lowest} to {highest}.")
        return minor

    @classmethod
    def json_schema(cls, currency: str) -> dict[str, Any]:
        """The JSON Schema of the amounts that are valid in this currency."""
        digits = MINOR_DIGITS[currency]
        least, most = decimal_text(cls.minimum, currency), decimal_text(MAX_PRICE, currency)
        number: dict[str, Any] = {"type": "number", "minimum": float(least), "maximum": float(most)}
        return {
            "description": f"{least} to {most}, as decimal string or number.",
            "anyOf": [
                {"type": "string", "pattern": f"^({'|'.join(cls._patterns(digits))})$"},
                number | {"multipleOf": float(f"1e-{digits}")},
            ],
            "examples": [decimal_text(999, currency), 20],
        }

    @classmethod
    def _patterns(cls, digits: int) -> list[str]:
        """Regular expressions of the valid texts, with at most `digits` decimals."""
        fraction = f"(\\.[0-9]{{1,{digits}}})?" if digits else ""
        return [f"(0|{_whole_units_pattern(digits)}){fraction}"]


class Price(Amount):
    """An amount above 0."""

    __slots__ = ()
    minimum: ClassVar[int] = MIN_PRICE

    @classmethod
    def _patterns(cls, digits: int) -> list[str]:
        fraction = f"(\\.[0-9]{{1,{digits}}})?" if digits else ""
        below_one = "|".join(f"{'0' * zeros}[1-9][0-9]{{0,{digits - zeros - 1}}}" for zeros in range(digits))
        return [*([f"0\\.({below_one})"] if digits else []), f"{_whole_units_pattern(digits)}{fraction}"]


def convert_amounts(currency: str, amounts: Mapping[str, Amount | None]) -> dict[str, Money | None]:
    """Convert named amounts to money; raise `Invalid` naming each amount that this currency does not allow."""
    errors: dict[str, list[str]] = {}
    found: dict[str, Money | None] = {}
    for name, amount in amounts.items():
        try:
            found[name] = None if amount is None else Money(amount.to_minor_units(currency), currency)
        except NotMoney as error:
            errors[name] = [str(error)]
    if errors:
        raise Invalid(errors)
    return found


def _to_decimal(value: str | int | Decimal) -> Decimal:
    if isinstance(value, str):
        try:
            return parse_decimal(value)
        except NotNumber as error:
            raise NotMoney(str(error)) from None
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > 15:
        raise NotMoney("This amount is not finite, or is too large or too small.")
    return number


def _whole_units_pattern(digits: int) -> str:
    """The regular expression of whole units above 0, limited by the number of digits of the highest price."""
    return f"[1-9][0-9]{{0,{len(str(MAX_PRICE)) - digits - 1}}}"
