"""Categories: a flat, named list that staff can extend."""

import hashlib
import unicodedata
from datetime import timedelta
from math import isfinite
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.domain.text import NAME_LENGTH, ZWJ, ZWNJ, canonical, checked, normal_line

DEFAULT_CATEGORIES: Final = (
    "electronics", "computers", "smartphones", "accessories", "home_appliances", "furniture", "clothing",
    "shoes", "beauty_health", "sports", "toys", "automotive", "tools", "office_supplies", "food_beverages",
    "books", "pet_supplies", "garden", "construction", "services",
)  # fmt: skip
"""Names of the categories of a new marketplace."""


@frozen
class Category:
    """A category; its slug is unique and used in URLs."""

    id: CategoryId
    name: str
    slug: str
    min_hold: timedelta = timedelta(0)
    """Least time for which pricing policies keep a price of the category; whole seconds."""

    @property
    def min_hold_days(self) -> float:
        return self.min_hold / timedelta(days=1)


MAX_MIN_HOLD_DAYS: Final = 365


def checked_min_hold(days: float) -> timedelta:
    """The minimum hold of so many days, rounded to seconds; raise `Invalid` unless it is from 0 to 365 days."""
    if not (isfinite(days) and 0 <= days <= MAX_MIN_HOLD_DAYS):
        raise Invalid.field("min_hold_days", f"Must be between 0 and {MAX_MIN_HOLD_DAYS} days; 0 removes the hold.")
    return timedelta(seconds=round(days * 86_400))


def name_key(name: str) -> str:
    """The key by which names are compared: normal form, case-folded (Unicode's canonical caseless matching)."""
    return canonical(normal_line(name).casefold())


def slug_of(name: str) -> str:
    """The name in lower case, its words joined by hyphens; raise `Invalid` for a name without a letter or digit.

    Letters, digits, underscores and combining marks are kept. Symbols that distinguish names (`+`, `#`, …) are spelled
    out, other symbols separate words. Use `distinct_slug` when another category has the slug.

    >>> slug_of("Pet supplies"), slug_of("C++"), slug_of(".NET")
    ('pet-supplies', 'c-plus-plus', 'dot-net')
    """
    key = name_key(checked("name", normal_line(name), at_most=NAME_LENGTH, at_least=1))
    if not any(character.isalnum() for character in key):
        raise Invalid.field("name", "A name needs at least one letter or digit.")
    return "-".join(_words(key))


def distinct_slug(name: str) -> str:
    """`slug_of` with eight hexadecimal digits of the name's SHA-256 appended, for a slug that another category has."""
    return f"{slug_of(name)}-{hashlib.sha256(name_key(name).encode()).hexdigest()[:8]}"


_SPELLED: Final = {
    "+": "plus", "#": "sharp", "&": "and", "@": "at", "%": "percent", "°": "degree", "$": "dollar", "€": "euro",
    "£": "pound", "¥": "yen", "₽": "ruble",
}  # fmt: skip
"""Symbols that a slug spells out as words."""


def _words(key: str) -> list[str]:
    words, word = [], ""
    for place, character in enumerate(key):
        following = key[place + 1 : place + 2]
        # A full stop before a word, as in .NET, is spelled out; elsewhere it separates words.
        leads = character == "." and not word and following.isalnum() and key[place - 1 : place] in {"", " "}
        spelled = "dot" if leads else _SPELLED.get(character)
        if spelled is None and _belongs_to_word(character):
            word += character
        else:
            words += [word, spelled or ""]
            word = ""
    return [stripped for each in (*words, word) if (stripped := each.strip("_"))]


def _belongs_to_word(character: str) -> bool:
    return character.isalnum() or character in {"_", ZWJ, ZWNJ} or unicodedata.category(character).startswith("M")
