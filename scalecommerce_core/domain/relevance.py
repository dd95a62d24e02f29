"""What makes a product relevant for a search, in whole numbers, so that every adapter comes to the same order."""

from typing import Final

NAMED: Final = 1_000
"""A word or phrase stands in the name,"""
BRANDED: Final = 400
"""or else in the brand (or across name and brand),"""
DESCRIBED: Final = 100
"""or else in the description."""
TOGETHER: Final = 500
"""All that is wanted stands together, in this order."""
PROMINENT: Final = 10
"""Percent for each level of prominence."""
IN_STOCK: Final = 10
SOLD_OUT: Final = 6


def relevance(text: int, prominence: int, *, in_stock: bool) -> int:
    """`text` is the sum of the above."""
    return text * (100 + PROMINENT * prominence) * (IN_STOCK if in_stock else SOLD_OUT)
