"""The shape of a search query, and the values bound to it.

Building and compiling a statement costs more processor time than PostgreSQL takes to plan it. Queries of one shape
therefore share their SQL, in which the values are named parameters (`adapters/db/queries/statement_cache.py`).
"""

from collections.abc import Mapping

from attrs import evolve, frozen

from scalecommerce_core.queries import SortOrder

ParameterNames = tuple[tuple[str, ...], ...]


@frozen(cache_hash=True)
class QueryShape:
    """The conditions of a query without their values. `filters` holds the names of the conditions that have a value.

    `required` and `excluded` hold, for each term of the text, the parameter names of its alternative texts; both are
    None without a text. `phrase_forms` holds, for each required term, the names of the alternatives that have as many
    words as the term (`Term.forms`).
    """

    sort_order: SortOrder
    filters: frozenset[str] = frozenset()
    in_stock: bool | None = None
    required: ParameterNames | None = None
    excluded: ParameterNames | None = None
    phrase_forms: ParameterNames | None = None

    @property
    def has_filters(self) -> bool:
        return bool(self.filters) or self.in_stock is not None

    @property
    def text_count(self) -> int:
        """The number of alternative texts of all terms."""
        return sum(map(len, self.required or ())) + sum(map(len, self.excluded or ()))

    @property
    def has_required_terms(self) -> bool:
        return bool(self.required)


@frozen
class BoundQuery:
    """A shape with the values of its parameters, by name.

    `corrections` encodes the words that replace unknown words of the text (`SearchText.corrections`). It is the first
    part of every cursor, so that all pages of a walk search for the same words. It is None without a text.
    """

    shape: QueryShape
    values: Mapping[str, object]
    corrections: str | None = None

    def with_order(self, sort_order: SortOrder) -> "BoundQuery":
        return evolve(self, shape=evolve(self.shape, sort_order=sort_order))
