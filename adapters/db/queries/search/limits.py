"""Bounds on the work of one search."""

from attrs import frozen

from scalecommerce_core.queries import FACET_CAP


@frozen
class SearchLimits:
    """Numbers of products up to which a search takes the exact way. Tests use small ones.

    ADR 24 gives the measurements behind the defaults.
    """

    rank_all: int = 500
    """Up to this many expected matches are all ranked by relevance."""
    target_candidates: int = 500
    """If more products match, those in a popularity tier and above are ranked: the lowest tier that leaves about this
    many."""
    max_candidates: int = 2_000
    """With more candidates than this, because the planner's estimate was too low, the next higher tier is ranked."""
    sort_all: int = 5_000
    """Up to this many expected matches of a text are fetched and sorted by price or views.

    Of more, a page is found by a short walk along the index of the sort order.
    """
    facet_cap: int = FACET_CAP
    """Facets count at most this many products; of more matches they are estimates from a sample of this size."""
    exact_count_bytes: int = 8 * 1024 * 1024
    """While the table of products is no larger, totals are counted: reading all of it takes a few milliseconds."""
