"""Suggestions for unknown query parameters."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Final

MAX_NAME_LENGTH: Final = 40
"""Characters. Longer names get no suggestion, since comparing takes time quadratic in the length."""
MIN_SIMILARITY: Final = 0.6
"""Minimum similarity of a suggestion (`difflib.SequenceMatcher.ratio`)."""

UNKNOWN: Final = "Unknown parameter."

_FROM: Final = (
    "from", "since", "start", "start_date", "date_from", "from_date", "created_from", "created_gte", "created_at_gte",
    "created_since",
)  # fmt: skip
_TO: Final = (
    "to", "until", "end", "end_date", "date_to", "to_date", "created_to", "created_lte", "created_at_lte",
    "created_until",
)  # fmt: skip

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("cursor", "page", "page_number", "page_token", "offset", "skip", "start_after", "since_id"),
        ("cursor", "page_size", "after"),
    ),
    "after": ("after", "cursor"),
    "before": ("cursor", "to", "created_before"),
    **dict.fromkeys(
        ("limit", "page_size", "per_page", "size", "count", "max_results"),
        ("page_size", "limit"),
    ),
    **dict.fromkeys(
        ("q", "query", "s", "name", "title", "text", "term", "keyword", "keywords"),
        ("search",),
    ),
    **dict.fromkeys(("sort", "sort_by", "order", "order_by"), ("ordering",)),
    **dict.fromkeys(("category_id", "category_name", "category_slug"), ("category",)),
    **dict.fromkeys(("seller_id", "owner", "user", "user_id"), ("seller",)),
    "policy_id": ("policy",),
    "state": ("status",),
    **dict.fromkeys(("min_price", "price_from", "price_gte", "price_gt", "price_above"), ("price_min",)),
    **dict.fromkeys(("max_price", "price_to", "price_lte", "price_lt", "price_below"), ("price_max",)),
    "price": ("price_min", "price_max"),
    **dict.fromkeys(("stock", "available", "availability", "is_available"), ("in_stock",)),
    **dict.fromkeys(_FROM, ("from", "created_after")),
    **dict.fromkeys(_TO, ("to", "created_before")),
    "created_at": ("created_after", "created_before"),
    "interval": ("series",),
    "series": ("interval",),
    **dict.fromkeys(("period", "granularity", "group_by"), ("interval", "series")),
    **dict.fromkeys(("facet", "aggregations"), ("facets",)),
}
"""Parameters of this API by names that other APIs use, best match first. Those that the operation has are suggested."""


def unknown_parameter_message(name: str, known: Collection[str]) -> str:
    """The message for an unknown parameter; `known` are the parameters of the operation."""
    if not known:
        return "This operation takes no query parameters."
    if meant := suggest_parameters(name, known):
        return f"{UNKNOWN} Did you mean {' or '.join(meant)}?"
    return f"{UNKNOWN} Known parameters: {', '.join(sorted(known))}."


def suggest_parameters(name: str, known: Collection[str]) -> list[str]:
    """The parameters among `known` that `name` probably means, best match first."""
    if len(name) > MAX_NAME_LENGTH:
        return []
    plain = _normalize(name)
    if plain in known:
        return [plain]
    if meant := [each for each in ALIASES.get(plain, ()) if each in known]:
        return meant
    return difflib.get_close_matches(plain, sorted(known), 1, MIN_SIMILARITY)


def _normalize(name: str) -> str:
    """Convert to snake case: `pageSize`, `page-size`, `price__gte` and `category[]`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
