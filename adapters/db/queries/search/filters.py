"""Which products a filter means, as conditions in SQL."""

from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from adapters.db.queries.keyset import Keyset
from adapters.db.queries.search.query_shape import EXCLUDED, SHAPES, WANTED, Shape, text_names
from adapters.db.schema import product_prices, product_views, products, stock
from scalecommerce_core.queries import SortOrder

MARKET: Final = cast(literal_column("'market'"), REGCONFIG)
BY_PRICE: Final = frozenset({SortOrder.PRICE, SortOrder.PRICE_DESC})
NARROW: Final = BY_PRICE | {SortOrder.VIEWED_DESC}
"""Orders that a narrow table keeps: whether a row of it matches is known after a look at its product."""


@frozen(cache_hash=True)
class Match:
    """The products that a search of this shape means, of these levels of prominence."""

    shape: Shape
    level: int = 0
    below: int | None = None

    def select(self, *columns: ColumnElement[Any], is_planned: bool = True) -> Select[*tuple[Any, ...]]:
        """Not `is_planned`: the planner does not see the words, and makes one plan for all."""
        source, conditions = _meaning(self.shape, is_planned=is_planned)
        # Literals, so that an index of these alone is known to do.
        if self.level > 0:
            conditions.append(products.c.prominence >= literal_column(str(self.level)))
        if self.below is not None:
            conditions.append(products.c.prominence < literal_column(str(self.below)))
        return select(*columns).select_from(source).where(*conditions)


@lru_cache(SHAPES)
def ids_of(match: Match) -> Select[tuple[int]]:
    return match.select(products.c.id)


def _meaning(shape: Shape, *, is_planned: bool) -> tuple[FromClause, list[ColumnElement[bool]]]:
    """Conditions on `products`, and what is joined with them for what else they are about."""
    product = products.c
    source: FromClause = products
    conditions: list[ColumnElement[bool]] = [product.is_active]
    by_price = shape.sort_order in BY_PRICE
    price: ColumnElement[int] = product.price
    if by_price or (not shape.has_words and not shape.filters.isdisjoint({"price_min", "price_max"})):
        # The price in the narrow table, which is indexed. Words have an index of their own, and leave fewer to look at.
        source = source.join(product_prices, product_prices.c.product_id == product.id)
        price = product_prices.c.price
    if shape.sort_order is SortOrder.VIEWED_DESC:
        source = source.join(product_views, product_views.c.product_id == product.id)
    category = product_prices.c.category_id if by_price else product.category_id
    filters = {
        "price_min": price >= bindparam("price_min", type_=BigInteger),
        "price_max": price <= bindparam("price_max", type_=BigInteger),
        "categories": category.in_(bindparam("categories", expanding=True)),
        "brands": product.brand.in_(bindparam("brands", expanding=True)),
        "seller": product.seller_id == bindparam("seller", type_=BigInteger),
        "created_after": product.created_at > bindparam("created_after", type_=product.created_at.type),
        "created_before": product.created_at < bindparam("created_before", type_=product.created_at.type),
    }
    conditions += [condition for name, condition in filters.items() if name in shape.filters]
    if shape.in_stock is not None:
        available = exists().where(stock.c.product_id == product.id, stock.c.on_hand - stock.c.reserved > 0)
        conditions.append(available if shape.in_stock else ~available)
    if shape.wanted is not None:
        conditions.append(_holds(shape, is_planned=is_planned))
    return source, conditions


# --- orders


def sorted_by(sort_order: SortOrder) -> Keyset:
    """The sort columns of an sort_order, out of one index."""
    if sort_order in BY_PRICE:
        columns = product_prices.c.price, product_prices.c.product_id
    elif sort_order is SortOrder.VIEWED_DESC:
        columns = product_views.c.views, product_views.c.product_id
    else:
        columns = products.c.created_at, products.c.id
    return Keyset(columns, descending=_descends(sort_order))


def gathered(shape: Shape) -> tuple[Keyset, Select[*tuple[Any, ...]]]:
    """The same for an sort_order of `NARROW`, and all matching products, found without its index and sorted then."""
    product = products.c
    chosen = (
        Match(evolve(shape, sort_order=SortOrder.RELEVANCE))
        .select(product.price, product.id)
        # Keeps the planner from walking in the index after all.
        .offset(literal_column("0"))
        .subquery("chosen")
    )
    source: FromClause = chosen
    columns = chosen.c.price, chosen.c.id
    if shape.sort_order is SortOrder.VIEWED_DESC:
        source = chosen.join(product_views, product_views.c.product_id == chosen.c.id)
        columns = product_views.c.views, chosen.c.id
    return Keyset(columns, descending=_descends(shape.sort_order)), select(*columns).select_from(source)


def _descends(sort_order: SortOrder) -> bool:
    return sort_order not in {SortOrder.PRICE, SortOrder.CREATED}


# --- text


def wanted_queries(shape: Shape) -> list[ColumnElement[Any]]:
    """A query for each term that products must have."""
    return _queries(WANTED, shape.wanted or ())


def adjacent_query(shape: Shape) -> ColumnElement[Any]:
    """The required terms as a phrase query; the alternatives of each term have as many words as the term.

    PostgreSQL computes distances with the longest alternative.
    """
    queries = _queries(WANTED, shape.forms or ())
    return reduce(lambda first, second: func.tsquery_phrase(first, second, type_=TSQUERY), queries)


def matches(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[bool]:
    return document.bool_op("@@")(query)


def once(query: ColumnElement[Any]) -> ColumnElement[Any]:
    """Made once for the statement, and not for each row, where the planner has not done it before."""
    return select(query).scalar_subquery()


def _holds(shape: Shape, *, is_planned: bool) -> ColumnElement[bool]:
    document = products.c.document
    wanted, unwanted = wanted_queries(shape), _queries(EXCLUDED, shape.excluded or ())
    if wanted:
        without = (func.tsquery_not(each, type_=TSQUERY) for each in unwanted)
        query = reduce(_both, without, reduce(_both, wanted))
        return matches(document, query if is_planned else once(query))
    if unwanted:
        return ~matches(document, reduce(_either, unwanted))
    return false()


def _queries(kind: str, counts: Iterable[int]) -> list[ColumnElement[Any]]:
    return [reduce(_either, map(_phrase, names)) for names in text_names(kind, counts)]


def _phrase(name: str) -> ColumnElement[Any]:
    """The words of a text, in their order, in any form; they are taken apart as those of the products are."""
    terms = func.search_terms(func.folded(bindparam(name, type_=Text)))
    return func.phraseto_tsquery(MARKET, terms, type_=TSQUERY)


def _both(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_and(first, second, type_=TSQUERY)


def _either(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_or(first, second, type_=TSQUERY)
