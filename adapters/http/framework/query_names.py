"""Unknown query parameters: which known one the caller probably meant."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Final

LONGEST_NAME: Final = 40
"""Characters of a name that gets a suggestion: comparing takes time quadratic in the length."""
CUTOFF: Final = 0.6
"""Least similarity of a suggestion, as `difflib.SequenceMatcher.ratio` measures it."""

UNKNOWN: Final = "There is no such parameter."

_FROM: Final = ("from", "created_after")
_TO: Final = ("to", "created_before")
_SORT: Final = ("ordering",)
_SIZE: Final = ("page_size", "limit")
_PLACE: Final = ("cursor", "page_size", "after")
_WORDS: Final = ("search",)
_LEAST: Final = ("price_min",)
_MOST: Final = ("price_max",)

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "page": _PLACE, "page_number": _PLACE, "offset": _PLACE, "skip": _PLACE, "start_after": _PLACE, "since_id": _PLACE,
    "page_token": _PLACE, "cursor": _PLACE, "after": ("after", "cursor"), "before": ("cursor", "to", "created_before"),
    "limit": _SIZE, "page_size": _SIZE, "per_page": _SIZE, "size": _SIZE, "count": _SIZE, "max_results": _SIZE,
    "q": _WORDS, "query": _WORDS, "s": _WORDS, "name": _WORDS, "title": _WORDS, "text": _WORDS, "term": _WORDS,
    "keyword": _WORDS, "keywords": _WORDS,
    "sort": _SORT, "sort_by": _SORT, "order": _SORT, "order_by": _SORT,
    "category_id": ("category",), "category_name": ("category",), "category_slug": ("category",),
    "seller_id": ("seller",), "owner": ("seller",), "user": ("seller",), "user_id": ("seller",),
    "policy_id": ("policy",), "state": ("status",),
    "min_price": _LEAST, "price_from": _LEAST, "price_gte": _LEAST, "price_gt": _LEAST, "price_above": _LEAST,
    "max_price": _MOST, "price_to": _MOST, "price_lte": _MOST, "price_lt": _MOST, "price_below": _MOST,
    "price": ("price_min", "price_max"),
    "stock": ("in_stock",), "available": ("in_stock",), "availability": ("in_stock",), "is_available": ("in_stock",),
    "since": _FROM, "start": _FROM, "start_date": _FROM, "date_from": _FROM, "from_date": _FROM, "from": _FROM,
    "created_from": _FROM, "created_gte": _FROM, "created_at_gte": _FROM, "created_since": _FROM,
    "until": _TO, "end": _TO, "end_date": _TO, "date_to": _TO, "to_date": _TO, "to": _TO,
    "created_to": _TO, "created_lte": _TO, "created_at_lte": _TO, "created_until": _TO,
    "created_at": ("created_after", "created_before"),
    "interval": ("series",), "series": ("interval",), "period": ("interval", "series"),
    "granularity": ("interval", "series"), "group_by": ("interval", "series"),
    "facet": ("facets",), "aggregations": ("facets",),
}  # fmt: skip
"""Our parameters by the names that other APIs use, best guess first; those of the operation are suggested."""


def unknown_parameter(name: str, known: Collection[str]) -> str:
    """The message about a parameter that an operation does not have; `known` are those that it has."""
    if not known:
        return "This operation takes no query parameters."
    if meant := suggestions(name, known):
        return f"{UNKNOWN} Did you mean {' or '.join(meant)}?"
    return f"{UNKNOWN} Those that exist: {', '.join(sorted(known))}."


def suggestions(name: str, known: Collection[str]) -> list[str]:
    """Parameters among `known` that `name` was probably meant for, the likeliest first."""
    if len(name) > LONGEST_NAME:
        return []
    plain = _plain(name)
    if plain in known:
        return [plain]
    if meant := [each for each in ALIASES.get(plain, ()) if each in known]:
        return meant
    return difflib.get_close_matches(plain, sorted(known), 1, CUTOFF)


def _plain(name: str) -> str:
    """Convert to our spelling: `pageSize`, `page-size`, `price__gte` and `category[]` in small letters and `_`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
