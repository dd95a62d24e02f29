"""Popularity tiers: a product has one of a few levels by its weighted views and orders.

A tier raises the relevance of a product. In a search for common words, which have too many matches to rank each, only
the matches of the highest tiers are ranked. Tiers are coarse, so that a product changes its tier rarely.
`-count_viewed` lists do not use tiers: they are in the order of the views themselves.
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.identifiers import ProductId

TOP_TIER: Final = 4
"""The highest tier; tier 0 holds all remaining products and new ones."""
TOP_TIER_SIZE: Final = 4_000
"""Most products of the top tier. Each lower tier, with all above it, may hold four times as many as the next higher
one.
"""
VIEWS_PER_ORDER: Final = 20
"""The score counts an order like this many views."""


@frozen
class Popularity:
    """The views of a product, each with the weight of its viewer (`ViewerTrust`), and its orders."""

    product_id: ProductId
    views: int
    orders: int

    @property
    def score(self) -> int:
        """Views, plus orders weighted by `VIEWS_PER_ORDER`."""
        return self.views + VIEWS_PER_ORDER * self.orders


def tier_size(level: int, products: int) -> int:
    """How many of `products` active products have this tier or a higher one.

    >>> tier_size(4, 1_000_000), tier_size(3, 1_000_000), tier_size(4, 1_000), tier_size(0, 7)
    (3906, 15625, 3, 7)
    """
    if level == 0:
        return products
    return int(min(TOP_TIER_SIZE * 4 ** (TOP_TIER - level), products // 4**level))


def popularity_tiers(popularities: Iterable[Popularity]) -> dict[ProductId, int]:
    """The tier of each active product, by score; among equal scores the newest product comes first."""
    ranked = sorted(popularities, key=lambda each: (-each.score, -each.product_id))
    sizes = [(level, tier_size(level, len(ranked))) for level in range(TOP_TIER, -1, -1)]
    return {each.product_id: next(level for level, size in sizes if place < size) for place, each in enumerate(ranked)}
