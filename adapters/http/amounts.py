"""Amounts of money in requests: a decimal string or a JSON number, exact."""

import re
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, NotMoney, decimal_text, minor_units

LONGEST: Final = 40
"""Characters of an amount; longer text cannot be a price, and need not be read to know it."""

# No exponent, no sign, no NaN, none of the digits of other scripts: Decimal alone would take them all.
_PLAIN: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?P<decimals>[0-9]+))?", re.ASCII)


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
        if isinstance(value, str):
            plain = _PLAIN.fullmatch(value) if len(value) <= LONGEST else None
            if plain is None:
                raise NotMoney('An amount such as "9.99" is wanted.')
            if len(plain["decimals"] or "") > 2:
                raise NotMoney("At most 2 decimals are allowed.")
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
