"""What makes a product relevant for a search, in whole numbers, so that every adapter comes to the same order."""

from typing import Final

NAME_WEIGHT: Final = 1_000
"""A word or phrase stands in the name,"""
BRAND_WEIGHT: Final = 400
"""or else in the brand (or across name and brand),"""
DESCRIPTION_WEIGHT: Final = 100
"""or else in the description."""
PHRASE_WEIGHT: Final = 500
"""All that is wanted stands together, in this order."""
TIER_PERCENT: Final = 10
"""Percent for each level of prominence."""
IN_STOCK_FACTOR: Final = 10
SOLD_OUT_FACTOR: Final = 6


def relevance(text: int, popularity_tier: int, *, in_stock: bool) -> int:
    """`text` is the sum of the above."""
    return text * (100 + TIER_PERCENT * popularity_tier) * (IN_STOCK_FACTOR if in_stock else SOLD_OUT_FACTOR)
