"""Amounts of money in requests: a decimal string (`scalecommerce_core.domain.numbers`) or a JSON number, exact."""

from decimal import Decimal
from typing import Any, ClassVar, Self

from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, NotMoney, decimal_text, minor_units


class Amount(Decimal):
    """0 to 99,999,999.99 with at most 2 decimals."""

    __slots__ = ()
    least: ClassVar[int] = 0
    schema: ClassVar[dict[str, Any]] = {
        "description": f"0 to {decimal_text(MAX_PRICE)}, as decimal string or number.",
        "anyOf": [
            {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,7})(\.[0-9]{1,2})?$"},
            {"type": "number", "minimum": 0, "maximum": MAX_PRICE / 100, "multipleOf": 0.01},
        ],
        "examples": ["9.99", 20],
    }

    @classmethod
    def read(cls, value: object) -> Self:
        """Raise `NotMoney` (a ValueError) with a message for the sender."""
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise NotMoney('An amount such as "9.99" is wanted.')
        minor = minor_units(value)
        if not cls.least <= minor <= MAX_PRICE:
            raise NotMoney(f"An amount from {decimal_text(cls.least)} to {decimal_text(MAX_PRICE)} is wanted.")
        return cls(decimal_text(minor))


class Price(Amount):
    """0.01 to 99,999,999.99 with at most 2 decimals."""

    __slots__ = ()
    least: ClassVar[int] = MIN_PRICE
    schema: ClassVar[dict[str, Any]] = {
        "description": f"{decimal_text(MIN_PRICE)} to {decimal_text(MAX_PRICE)}, as decimal string or number.",
        "anyOf": [
            {"type": "string", "pattern": r"^(0\.(0[1-9]|[1-9][0-9]?)|[1-9][0-9]{0,7}(\.[0-9]{1,2})?)$"},
            {"type": "number", "minimum": 0.01, "maximum": MAX_PRICE / 100, "multipleOf": 0.01},
        ],
        "examples": ["9.99", 6.21],
    }
