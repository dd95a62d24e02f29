"""The relevance of a product for a search, in whole numbers, so that every adapter ranks alike.

relevance = text points x (100 + TIER_PERCENT x tier) x stock factor. The text points of a search are the sum of the
weights of its terms, plus `PHRASE_WEIGHT`.
"""

from typing import Final

NAME_WEIGHT: Final = 1_000
"""Points of a term that occurs in the name."""
BRAND_WEIGHT: Final = 400
"""Points of a term that occurs in the brand, or across name and brand, but not in the name."""
DESCRIPTION_WEIGHT: Final = 100
"""Points of a term that occurs only in the description."""
PHRASE_WEIGHT: Final = 500
"""Points if all required terms occur next to each other, in the order of the search."""
TIER_PERCENT: Final = 10
"""Percent added for each popularity tier."""
IN_STOCK_FACTOR: Final = 10
"""Factor of a product with available units."""
SOLD_OUT_FACTOR: Final = 6
"""Factor of a product without available units."""


def relevance(text: int, popularity_tier: int, *, in_stock: bool) -> int:
    """The relevance of a product; `text` is the sum of the points of its terms."""
    return text * (100 + TIER_PERCENT * popularity_tier) * (IN_STOCK_FACTOR if in_stock else SOLD_OUT_FACTOR)
