"""Ranges of times and numbers: one rule for HTTP, the command line and the library."""

from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from scalecommerce_core.domain.errors import Invalid

Bound: TypeAlias = datetime | Decimal | int | None
"""One end of a range; None: the range is open at that end."""


def check_ranges(*ranges: tuple[str, Bound, str, Bound]) -> None:
    """Raise `Invalid`, naming the beginning of each range that ends before it begins.

    Each range is the name and value of its beginning, then the name and value of its end; None: open at that end. A
    reversed range contains nothing, so an empty result would hide that its ends were swapped. A range whose beginning
    equals its end is accepted.
    """
    reversed_ones = {
        begin_name: [f"This is {'later' if isinstance(begin, datetime) else 'more'} than {end_name}."]
        for begin_name, begin, end_name, end in ranges
        # Both ends of a range are of one type.
        if begin is not None and end is not None and begin > end  # type: ignore[operator]
    }
    if reversed_ones:
        raise Invalid(reversed_ones)
