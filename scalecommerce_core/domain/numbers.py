"""Numbers in text from outside: one rule for HTTP, files, command-line options and settings.

Python's own `int`, `float` and `Decimal` also read `1_000`, `+5`, surrounding spaces and digits of any script, and
`Decimal` reads exponents. None of these is accepted here. A group separator is never guessed: `1,290` is refused, and
so is `1.290` as an amount of money, which may mean 1.29 or 1290.
"""

import math
import re
from decimal import Decimal
from typing import Final

MAX_LENGTH: Final = 40
"""Characters of a number. No field accepts longer ones, and converting long digit strings takes quadratic time."""

_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_REAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")


class NotNumber(ValueError):
    """The text is not a number of the expected kind; the message says what is accepted."""


def parse_integer(text: str, *, least: int | None = None, most: int | None = None) -> int:
    """Read a whole number in ASCII digits without leading zeros; raise `NotNumber` for anything else.

    `least` and `most` are the inclusive bounds.
    """
    number = int(text) if len(text) <= MAX_LENGTH and _WHOLE.fullmatch(text) else None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        bounds = (f" from {least}" if least is not None else "") + (f" to {most}" if most is not None else "")
        raise NotNumber(f"{quoted(text)} is not a whole number{bounds}: write digits only, such as 1290.")
    return number


def parse_decimal(text: str) -> Decimal:
    """Read digits with at most one decimal point, exactly; raise `NotNumber` for anything else."""
    if len(text) > MAX_LENGTH or not _PLAIN.fullmatch(text):
        raise NotNumber(
            f"{quoted(text)} is not a decimal number such as 1290 or 9.99: write digits with a decimal point, without"
            " group separators, spaces, plus sign or exponent."
        )
    return Decimal(text)


def parse_float(text: str) -> float:
    """Read a number as JSON writes it, such as `-0.5` or `1e-05` (RFC 8259, section 6).

    Raise `NotNumber` for anything else, and for a number beyond the range of a double.
    """
    number = float(text) if len(text) <= MAX_LENGTH and _REAL.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise NotNumber(
            f"{quoted(text)} is not a number such as 12, 9.99 or 1e-05: write digits with a decimal point, without"
            " group separators or spaces."
        )
    return number


def quoted(text: str) -> str:
    """`text` for an error message: truncated, with control characters escaped."""
    return repr(text) if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]!r}…"
