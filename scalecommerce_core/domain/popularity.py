"""How prominent a product is: one of a few levels, by how much it is looked at and bought.

A search for a common word ranks the more prominent products that have it, since nobody can rank them all. Levels are
coarse, so that a product changes its own seldom.
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.identifiers import ProductId

TOP_TIER: Final = 4
"""The highest; 0 is for all others and for what is new."""
TOP_TIER_SIZE: Final = 4_000
"""Of the highest level; each level holds, with all above it, four times as many as the next."""
VIEWS_PER_ORDER: Final = 20
"""An order tells as much as so many views."""


@frozen
class Popularity:
    product_id: ProductId
    views: int
    orders: int

    @property
    def score(self) -> int:
        return self.views + VIEWS_PER_ORDER * self.orders


def tier_size(level: int, products: int) -> int:
    """How many of so many active products have this level or a higher one.

    >>> size_of(4, 1_000_000), size_of(3, 1_000_000), size_of(4, 1_000), size_of(0, 7)
    (3906, 15625, 3, 7)
    """
    if level == 0:
        return products
    return int(min(TOP_TIER_SIZE * 4 ** (TOP_TIER - level), products // 4**level))


def popularity_tiers(popularities: Iterable[Popularity]) -> dict[ProductId, int]:
    """Of all active products: the most popular are the most prominent, the newest among equals."""
    ranked = sorted(popularities, key=lambda each: (-each.score, -each.product_id))
    sizes = [(level, tier_size(level, len(ranked))) for level in range(TOP_TIER, -1, -1)]
    return {each.product_id: next(level for level, size in sizes if place < size) for place, each in enumerate(ranked)}
