"""Ranges of times and figures: one rule for HTTP, the command line and the library."""

from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from scalecommerce_core.domain.errors import Invalid

End: TypeAlias = datetime | Decimal | int | None


def check_ranges(*ranges: tuple[str, End, str, End]) -> None:
    """Raise `Invalid`, naming the beginning of each range that ends before it begins.

    A range is the name and value of its beginning, then of its end. None: it is open at that end. Nothing lies in a
    reversed range, so that an empty answer would hide that its ends were exchanged. A range that ends where it begins
    is none of these.
    """
    reversed_ones = {
        begin_name: [f"This is {'later' if isinstance(begin, datetime) else 'more'} than {end_name}."]
        for begin_name, begin, end_name, end in ranges
        # Both ends of a range are of one type.
        if begin is not None and end is not None and begin > end  # type: ignore[operator]
    }
    if reversed_ones:
        raise Invalid(reversed_ones)
