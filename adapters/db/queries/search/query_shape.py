"""What a filter asks, apart from the values that it asks for.

To build a statement, and to find out that one like it was compiled before, costs more processor time than PostgreSQL
takes to plan it. So searches of one shape share their statements, in which the values have names.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from adapters.db.queries.keyset import BIGINT
from scalecommerce_core.domain.search_text import SearchText, Term
from scalecommerce_core.domain.text import checked
from scalecommerce_core.queries import ProductFilter, SortOrder

SHAPES: Final = 100
"""So many statements of each kind are kept, of up to 0.7 MB: a bound for what nobody asks twice."""
SENSIBLE: Final = 10_000
"""Characters of a search; a bound so that nobody makes the database parse a book."""


@frozen(cache_hash=True)
class Shape:
    """Which conditions there are. `filters` are those that have a value, by its name.

    `wanted` and `excluded` hold, for each term, how many texts may stand for it; both are None without a search.
    `forms` holds how many of the wanted ones have as many words as the term: the first ones (`Term.forms`).
    """

    sort_order: SortOrder
    filters: frozenset[str] = frozenset()
    in_stock: bool | None = None
    wanted: tuple[int, ...] | None = None
    excluded: tuple[int, ...] | None = None
    forms: tuple[int, ...] | None = None

    @property
    def is_text_alone(self) -> bool:
        return not self.filters and self.in_stock is None

    @property
    def texts(self) -> int:
        """How many there are in all."""
        return sum(self.wanted or ()) + sum(self.excluded or ())

    @property
    def has_words(self) -> bool:
        """Whether it has words that products must have."""
        return bool(self.wanted)


@frozen
class Asked:
    """`values` are those that the statements of the shape have names for."""

    shape: Shape
    values: Mapping[str, object]

    @classmethod
    def by(cls, wanted: ProductFilter, text: SearchText | None, categories: Collection[int] | None) -> "Asked":
        """`categories` are the ids of those that are wanted, None for all; raise `Invalid` for a senseless text."""
        conditions = {
            "price_min": _bounded(wanted.price_min),
            "price_max": _bounded(wanted.price_max),
            "categories": None if categories is None else tuple(sorted(categories)),
            "brands": tuple(sorted({sensible("brand", brand) for brand in wanted.brands})) or None,
            "seller": _bounded(wanted.seller),
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
        }
        values: dict[str, object] = {name: value for name, value in conditions.items() if value is not None}
        shape = Shape(wanted.sort_order, frozenset(values), wanted.in_stock)
        if text is not None:
            forms = tuple(len(term.forms) for term in text.required)
            shape = evolve(shape, wanted=_counts(text.required), excluded=_counts(text.excluded), forms=forms)
            values |= {**_texts(WANTED, text.required), **_texts(EXCLUDED, text.excluded)}
        return cls(shape, values)

    def in_order(self, sort_order: SortOrder) -> "Asked":
        return evolve(self, shape=evolve(self.shape, sort_order=sort_order))

    @property
    def text_alone(self) -> "Asked":
        """Without the filters."""
        texts = {name: value for name, value in self.values.items() if name not in self.shape.filters}
        return Asked(evolve(self.shape, filters=frozenset(), in_stock=None), texts)


WANTED: Final = "wanted"
EXCLUDED: Final = "excluded"


def text_names(kind: str, counts: Iterable[int]) -> list[list[str]]:
    """The names of the texts that may stand for each term."""
    return [[f"{kind}_{place}_{number}" for number in range(count)] for place, count in enumerate(counts)]


def sensible(name: str, value: str) -> str:
    return checked(name, value, at_most=SENSIBLE)


def _counts(terms: Iterable[Term]) -> tuple[int, ...]:
    return tuple(len(term.texts) for term in terms)


def _texts(kind: str, terms: Sequence[Term]) -> dict[str, str]:
    texts = [[sensible("search", text) for text in term.texts] for term in terms]
    names = text_names(kind, map(len, texts))
    return {name: text for some in zip(names, texts, strict=True) for name, text in zip(*some, strict=True)}


def _bounded(number: int | None) -> int | None:
    """A number that fits: nothing in the database is beyond it."""
    return None if number is None else max(BIGINT.start, min(number, BIGINT.stop - 1))
