"""Categories: a flat, named list that staff can extend."""

import re
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.domain.text import NAME_LENGTH, checked

DEFAULT_CATEGORIES: Final = (
    "electronics", "computers", "smartphones", "accessories", "home_appliances", "furniture", "clothing",
    "shoes", "beauty_health", "sports", "toys", "automotive", "tools", "office_supplies", "food_beverages",
    "books", "pet_supplies", "garden", "construction", "services",
)  # fmt: skip


@frozen
class Category:
    id: CategoryId
    name: str
    slug: str


def slug_of(name: str) -> str:
    """`"Pet supplies"` -> `"pet-supplies"`; raise `Invalid` when nothing is left of the name."""
    checked("name", name, at_most=NAME_LENGTH, at_least=1)
    slug = re.sub(r"\W+", "-", name.strip().casefold()).strip("-_")
    if not slug:
        raise Invalid.field("name", "A name needs at least one letter or digit.")
    return slug
