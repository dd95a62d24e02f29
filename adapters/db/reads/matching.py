"""Which products a filter means, as conditions and ranks in SQL: full text first, spelling where that finds none."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, FromClause, Integer, Select, Text, cast, exists, func, literal, select
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from adapters.db.reads.pages import BIGINT, Keyset
from adapters.db.tables import categories, product_views, products, stock
from scalecommerce_core.domain.text import checked
from scalecommerce_core.queries import Ordering, ProductFilter

ALIKE: Final = {"pg_trgm.word_similarity_threshold": "0.4"}
"""How much of its trigrams a misspelt word shares with the word that was meant: `iphnoe` with `iphone` 0.43."""
SPELLED: Final = 8
"""More words than this are not looked up by their spelling."""
SENSIBLE: Final = 10_000
"""Characters of a search; a bound so that nobody makes the database parse a book."""


@frozen
class Match:
    """Conditions on `products`, and what relevance means under them."""

    conditions: Sequence[ColumnElement[bool]]
    rank: ColumnElement[int]

    def select(self, *columns: ColumnElement[Any], source: FromClause = products) -> Select[*tuple[Any, ...]]:
        return select(*columns).select_from(source).where(*self.conditions)


def by_text(wanted: ProductFilter) -> Match:
    """Products with all the words in any of their forms."""
    conditions = _filters(wanted)
    rank: ColumnElement[int] = literal(0, Integer)
    if wanted.search is not None:
        query = _text_query(wanted.search)
        conditions.append(products.c.document.bool_op("@@")(query))
        # A subquery, so that the search text is parsed once and not per row. Whole millionths compare equal again
        # when they come back in a key.
        relevance = func.ts_rank(products.c.document, select(query).scalar_subquery())
        rank = cast(func.round(relevance * 1_000_000), Integer)
    return Match(conditions, rank)


def by_spelling(wanted: ProductFilter) -> Match | None:
    """Products whose name or brand is spelt like each word; None when there is nothing to look for.

    Only where the catalogue has no product with the words themselves, whatever the other filters leave of them.
    To be run under `ALIKE`.
    """
    words, excluded = _words(wanted.search or "")
    if wanted.search is None or not words:
        return None
    spelled = func.spelling(products.c.name, products.c.brand)
    folded = [func.folded(literal(word, Text)) for word in words]
    known = products.alias("known")
    conditions = [
        *_filters(wanted),
        *(spelled.bool_op("%>")(word) for word in folded),
        ~exists().where(known.c.is_active, known.c.document.bool_op("@@")(_text_query(wanted.search))),
    ]
    if excluded:
        conditions.append(~products.c.document.bool_op("@@")(_text_query(" or ".join(excluded))))
    alike = sum((func.word_similarity(word, spelled) for word in folded), start=literal(0.0))
    return Match(conditions, cast(func.round(alike * (1_000_000 / len(folded))), Integer))


def sorted_by(ordering: Ordering, match: Match, *, ranked: bool) -> Keyset:
    """The sort columns of an ordering."""
    ways: Mapping[Ordering, tuple[ColumnElement[Any], bool]] = {
        Ordering.RELEVANCE: (match.rank, True) if ranked else (products.c.created_at, True),
        Ordering.PRICE: (products.c.price, False),
        Ordering.PRICE_DESC: (products.c.price, True),
        Ordering.CREATED: (products.c.created_at, False),
        Ordering.CREATED_DESC: (products.c.created_at, True),
        Ordering.VIEWED_DESC: (_VIEWS, True),
    }
    column, descending = ways[ordering]
    return Keyset((column, products.c.id), descending=descending)


def source_of(ordering: Ordering) -> FromClause:
    """Where the sort columns of an ordering stand."""
    if ordering is Ordering.VIEWED_DESC:
        return products.outerjoin(product_views, product_views.c.product_id == products.c.id)
    return products


_VIEWS: Final = func.coalesce(product_views.c.views, 0)


def _text_query(search: str) -> ColumnElement[Any]:
    checked("search", search, at_most=SENSIBLE)
    return func.websearch_to_tsquery(
        cast(literal("market", Text), REGCONFIG), func.folded(literal(search, Text)), type_=TSQUERY
    )


def _filters(wanted: ProductFilter) -> list[ColumnElement[bool]]:
    product = products.c
    conditions: list[ColumnElement[bool]] = [product.is_active]
    if wanted.categories:
        conditions.append(_in_categories(wanted.categories))
    if wanted.brands:
        conditions.append(
            _one_of(product.brand, {checked("brand", brand, at_most=SENSIBLE) for brand in wanted.brands})
        )
    if wanted.seller is not None:
        conditions.append(product.seller_id == _bounded(wanted.seller))
    if wanted.price_min is not None:
        conditions.append(product.price >= _bounded(wanted.price_min))
    if wanted.price_max is not None:
        conditions.append(product.price <= _bounded(wanted.price_max))
    if wanted.in_stock is not None:
        available = exists().where(stock.c.product_id == product.id, stock.c.on_hand > stock.c.reserved)
        conditions.append(available if wanted.in_stock else ~available)
    if wanted.created_after is not None:
        conditions.append(product.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(product.created_at < wanted.created_before)
    return conditions


def _in_categories(wanted: Collection[int | str]) -> ColumnElement[bool]:
    named = {checked("category", str(category), at_most=SENSIBLE) for category in wanted}
    meant = select(categories.c.id).where(
        _one_of(categories.c.slug, named) | _one_of(cast(categories.c.id, Text), named)
    )
    if len(named) == 1:
        # An equality, so that an index gives the products of one category in order; an id beats a slug of digits.
        first = meant.order_by(categories.c.slug.in_(named)).limit(1)
        return products.c.category_id == first.scalar_subquery()
    return products.c.category_id.in_(meant)


def _one_of(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    return column == next(iter(values)) if len(values) == 1 else column.in_(values)


def _bounded(number: int) -> int:
    """A number that fits: nothing in the database is beyond it."""
    return max(BIGINT.start, min(number, BIGINT.stop - 1))


def _words(search: str) -> tuple[list[str], list[str]]:
    """The words that are wanted, and the words and "phrases" that are not."""
    words: list[str] = []
    excluded: list[str] = []
    for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', search):
        if minus:
            excluded.append(f'"{phrase or word}"')
        else:
            words += re.findall(r"\w+", phrase or word)
    return words[:SPELLED], excluded
