"""SQL of searches: the products that a query selects, sorted by an index, sorted after selection or ranked.

Every statement is built once for a query shape; its values are named parameters.
"""

import operator
from collections.abc import Sequence
from functools import cache, partial, reduce
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from adapters.db.queries.keyset import Keyset
from adapters.db.queries.search.query_shape import ParameterNames, QueryShape
from adapters.db.queries.statement_cache import compiled_once
from adapters.db.schema import product_prices, product_views, products, stock
from scalecommerce_core.domain.relevance import (
    BRAND_WEIGHT,
    DESCRIPTION_WEIGHT,
    IN_STOCK_FACTOR,
    NAME_WEIGHT,
    PHRASE_WEIGHT,
    SOLD_OUT_FACTOR,
    TIER_PERCENT,
)
from scalecommerce_core.queries import SortOrder

PRICE_ORDERS: Final = frozenset({SortOrder.PRICE, SortOrder.PRICE_DESC})
NARROW_TABLE_ORDERS: Final = PRICE_ORDERS | {SortOrder.VIEWED_DESC}
"""Sort orders whose index is on a table beside `products`: each row of the index needs a look-up of its product."""


@frozen(cache_hash=True)
class ProductSelection:
    """The products that match a query shape, limited to popularity tiers from `min_tier` on and below `below_tier`."""

    shape: QueryShape
    min_tier: int = 0
    below_tier: int | None = None

    def select(self, *columns: ColumnElement[Any], plan_each_time: bool = True) -> Select[*tuple[Any, ...]]:
        """Select columns of the products.

        Without `plan_each_time` the texts are hidden from the planner, which makes one plan for all of them.
        """
        source, conditions = _source_and_conditions(self.shape, plan_each_time=plan_each_time)
        # Literals, so that the planner can prove the condition of a tier's partial index.
        if self.min_tier > 0:
            conditions.append(products.c.prominence >= literal_column(str(self.min_tier)))
        if self.below_tier is not None:
            conditions.append(products.c.prominence < literal_column(str(self.below_tier)))
        return select(*columns).select_from(source).where(*conditions)


@compiled_once
def ids_statement(selection: ProductSelection) -> Select[*tuple[Any, ...]]:
    return selection.select(products.c.id)


@compiled_once
def count_statement(shape: QueryShape) -> Select[*tuple[Any, ...]]:
    return select(func.count()).select_from(ProductSelection(shape).select(products.c.id).subquery())


def _source_and_conditions(shape: QueryShape, *, plan_each_time: bool) -> tuple[FromClause, list[ColumnElement[bool]]]:
    """Return conditions on `products`, and `products` joined with the other tables of these conditions."""
    product = products.c
    source: FromClause = products
    conditions: list[ColumnElement[bool]] = [product.is_active]
    by_price = shape.sort_order in PRICE_ORDERS
    price: ColumnElement[int] = product.price
    if by_price or (not shape.has_required_terms and not shape.filters.isdisjoint({"price_min", "price_max"})):
        # `product_prices` has an index on the price. With required words, the index on texts is used instead, and the
        # price is read from `products`.
        source = source.join(product_prices, product_prices.c.product_id == product.id)
        price = product_prices.c.price
    if shape.sort_order is SortOrder.VIEWED_DESC:
        source = source.join(product_views, product_views.c.product_id == product.id)
    category = product_prices.c.category_id if by_price else product.category_id
    filters = {
        "price_min": price >= bindparam("price_min", type_=BigInteger),
        "price_max": price <= bindparam("price_max", type_=BigInteger),
        "price_currency": product.currency == bindparam("price_currency", type_=product.currency.type),
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
    if shape.required is not None:
        conditions.append(_text_condition(shape, plan_each_time=plan_each_time))
    return source, conditions


# --- pages in a sort order


@compiled_once
def sorted_slice(
    shape: QueryShape, *, select_first: bool, has_cursor: bool, backwards: bool
) -> Select[*tuple[Any, ...]]:
    """Return the statement of rows in a sort order after a cursor, or before it; `index_keyset` has its parameters.

    The statement walks along the index of the sort order and checks each product or, with `select_first`, selects all
    matches without that index and sorts them.
    """
    if select_first:
        keyset, statement = _sorted_selection(shape)
    else:
        keyset = index_keyset(shape.sort_order)
        statement = ProductSelection(shape).select(*keyset.columns)
    return keyset.slice_statement(statement, has_cursor=has_cursor, backwards=backwards)


@cache
def index_keyset(sort_order: SortOrder) -> Keyset:
    """The sort columns of an index."""
    if sort_order in PRICE_ORDERS:
        columns = product_prices.c.price, product_prices.c.product_id
    elif sort_order is SortOrder.VIEWED_DESC:
        columns = product_views.c.views, product_views.c.product_id
    else:
        columns = products.c.created_at, products.c.id
    return Keyset(columns, descending=_is_descending(sort_order))


def _sorted_selection(shape: QueryShape) -> tuple[Keyset, Select[*tuple[Any, ...]]]:
    """The keyset and the statement of an order of `NARROW_TABLE_ORDERS`, over a subquery of all matches."""
    product = products.c
    chosen = (
        ProductSelection(evolve(shape, sort_order=SortOrder.RELEVANCE))
        .select(product.price, product.id)
        # OFFSET 0 keeps the planner from flattening the subquery and walking along the index after all.
        .offset(literal_column("0"))
        .subquery("chosen")
    )
    source: FromClause = chosen
    columns = chosen.c.price, chosen.c.id
    if shape.sort_order is SortOrder.VIEWED_DESC:
        source = chosen.join(product_views, product_views.c.product_id == chosen.c.id)
        columns = product_views.c.views, chosen.c.id
    return Keyset(columns, descending=_is_descending(shape.sort_order)), select(*columns).select_from(source)


def _is_descending(sort_order: SortOrder) -> bool:
    return sort_order not in {SortOrder.PRICE, SortOrder.CREATED}


# --- pages by relevance


@frozen(cache_hash=True)
class Ranking:
    """Candidates to be ranked by relevance.

    The statement counts the candidates, and reads at most one more than `max_candidates`.
    """

    selection: ProductSelection
    max_candidates: int | None = None
    plan_each_time: bool = True


@compiled_once
def ranked_slice(ranking: Ranking, *, has_cursor: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
    """Return the statement of rows (score, id, number of candidates) after a cursor, or before it.

    `domain.relevance` defines the score. See `Keyset.slice_statement` for the parameters.

    A look-up of stock costs more than the rest of the score, so the statement looks up few. The candidates that are in
    stock have the higher factor: they are walked in the order of their scores until `limit` of them are found. A
    candidate that is sold out is on the page only if its score reaches the last of these.
    """
    candidates = _scored_candidates(ranking)
    page = partial(_slice_by_score, has_cursor=has_cursor, backwards=backwards)
    available = page(*_available_candidates(candidates, backwards=backwards)).cte("available")
    available = available.prefix_with("MATERIALIZED", dialect="postgresql")
    last = (
        select(available.c.score)
        .order_by(available.c.score.asc() if backwards else available.c.score.desc())
        .offset(bindparam("limit", type_=Integer) - _ONE)
        .limit(_ONE)
        .scalar_subquery()
    )
    score = candidates.c.sold_out_score
    bound = func.coalesce(last, score)
    sold_out = select(score.label("score"), candidates.c.id).where(
        score <= bound if backwards else score >= bound, ~exists().where(*_is_available(candidates.c.id))
    )
    found = union_all(select(available.c.score, available.c.id), page(sold_out, score, candidates.c.id))
    rows = found.subquery("found")
    count = select(func.count()).select_from(candidates).scalar_subquery()
    return _slice_by_score(
        select(rows.c.score, rows.c.id, count), rows.c.score, rows.c.id, has_cursor=False, backwards=backwards
    )


@compiled_once
def unranked_slice(selection: ProductSelection, *, has_cursor: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
    """Return the statement of rows (popularity tier, id) of matches below the ranked tiers, in this order."""
    statement = selection.select(*_UNRANKED_KEYSET.columns)
    return _UNRANKED_KEYSET.slice_statement(statement, has_cursor=has_cursor, backwards=backwards)


_UNRANKED_KEYSET: Final = Keyset((products.c.prominence, products.c.id), descending=True)


def _scored_candidates(ranking: Ranking) -> Any:
    """Candidates with the scores that they have in stock and sold out."""
    product = products.c
    chosen = (
        ranking.selection.select(
            product.id, product.prominence, product.document, plan_each_time=ranking.plan_each_time
        )
        .limit(None if ranking.max_candidates is None else ranking.max_candidates + 1)
        # OFFSET 0 keeps conditions of the outer query out of the subquery, which would select other rows.
        .offset(_ZERO)
        .subquery("chosen")
    )
    required = _term_queries(ranking.selection.shape.required)
    points = reduce(operator.add, (_best_field_points(chosen.c.document, query) for query in required), _ZERO)
    if len(required) > 1:
        phrase = _phrase_query(ranking.selection.shape)
        points += case((_matches(chosen.c.document, _evaluated_once(phrase)), _PHRASE_WEIGHT), else_=_ZERO)
    points *= _HUNDRED + _TIER_PERCENT * cast(chosen.c.prominence, Integer)
    # OFFSET 0 again, so that the points are computed once.
    weighed = select(points.label("points"), chosen.c.id).offset(_ZERO).subquery("weighed")
    return (
        select(
            (weighed.c.points * _IN_STOCK_FACTOR).label("in_stock_score"),
            (weighed.c.points * _SOLD_OUT_FACTOR).label("sold_out_score"),
            weighed.c.id,
        )
        .cte("candidates")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _available_candidates(
    candidates: Any, *, backwards: bool
) -> tuple[Select[*tuple[Any, ...]], ColumnElement[Any], ColumnElement[Any]]:
    """The statement of candidates that are in stock, and its columns: score and id.

    Both OFFSET 0 make PostgreSQL sort first and then look up the stock of one candidate after the other.
    """
    columns = candidates.c.in_stock_score, candidates.c.id
    best = (
        select(columns[0].label("score"), columns[1])
        .order_by(*(column.asc() if backwards else column.desc() for column in columns))
        .offset(_ZERO)
        .subquery("best")
    )
    stocked = select(_ONE.label("one")).where(*_is_available(best.c.id)).offset(_ZERO).lateral("stocked")
    statement = select(best.c.score, best.c.id).select_from(best.join(stocked, true()))
    return statement, best.c.score, best.c.id


def _is_available(product_id: ColumnElement[Any]) -> Sequence[ColumnElement[bool]]:
    return stock.c.product_id == product_id, stock.c.on_hand - stock.c.reserved > _ZERO


def _slice_by_score(
    statement: Select[*tuple[Any, ...]],
    score: ColumnElement[Any],
    id_: ColumnElement[Any],
    *,
    has_cursor: bool,
    backwards: bool,
) -> Select[*tuple[Any, ...]]:
    return Keyset((score, id_), descending=True).slice_statement(statement, has_cursor=has_cursor, backwards=backwards)


def _best_field_points(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[int]:
    return case(
        (_matches(document, _with_weights(query, "A")), _NAME_WEIGHT),
        (_matches(document, _with_weights(query, "AB")), _BRAND_WEIGHT),
        else_=_DESCRIPTION_WEIGHT,
    )


def _with_weights(query: ColumnElement[Any], weights: str) -> ColumnElement[Any]:
    """The query limited to words of these weights, which stand behind the closing quote of each word."""
    weighted = func.regexp_replace(cast(query, Text), _WORD_ENDS, literal_column(f"''':{weights}'"), _ALL)
    return _evaluated_once(cast(weighted, TSQUERY))


def _constant(value: int) -> ColumnElement[int]:
    """A literal instead of a parameter: its value never changes."""
    return literal_column(str(value), Integer)


_WORD_ENDS: Final[ColumnElement[str]] = literal_column("'''(?= |$)'")
_ALL: Final[ColumnElement[str]] = literal_column("'g'")
_NAME_WEIGHT, _BRAND_WEIGHT = _constant(NAME_WEIGHT), _constant(BRAND_WEIGHT)
_DESCRIPTION_WEIGHT, _PHRASE_WEIGHT = _constant(DESCRIPTION_WEIGHT), _constant(PHRASE_WEIGHT)
_TIER_PERCENT = _constant(TIER_PERCENT)
_IN_STOCK_FACTOR, _SOLD_OUT_FACTOR = _constant(IN_STOCK_FACTOR), _constant(SOLD_OUT_FACTOR)
_ZERO, _ONE, _HUNDRED = map(_constant, (0, 1, 100))


# --- text


_TEXT_CONFIG: Final = cast(literal_column("'market'"), REGCONFIG)


def _text_condition(shape: QueryShape, *, plan_each_time: bool) -> ColumnElement[bool]:
    document = products.c.document
    required, excluded = _term_queries(shape.required), _term_queries(shape.excluded)
    if required:
        negated = (func.tsquery_not(each, type_=TSQUERY) for each in excluded)
        query = reduce(_and, negated, reduce(_and, required))
        return _matches(document, query if plan_each_time else _evaluated_once(query))
    if excluded:
        return ~_matches(document, reduce(_or, excluded))
    return false()


def _phrase_query(shape: QueryShape) -> ColumnElement[Any]:
    """The required terms as a phrase query; the alternatives of each term have as many words as the term.

    PostgreSQL computes distances with the longest alternative.
    """
    queries = _term_queries(shape.phrase_forms)
    return reduce(lambda first, second: func.tsquery_phrase(first, second, type_=TSQUERY), queries)


def _term_queries(terms: ParameterNames | None) -> list[ColumnElement[Any]]:
    """A query for each term, which matches any of its alternative texts."""
    return [reduce(_or, map(_text_query, names)) for names in terms or ()]


def _text_query(parameter: str) -> ColumnElement[Any]:
    """The words of a text, in their order and in any form, split by the function that splits the products' texts."""
    terms = func.search_terms(func.folded(bindparam(parameter, type_=Text)))
    return func.phraseto_tsquery(_TEXT_CONFIG, terms, type_=TSQUERY)


def _matches(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[bool]:
    return document.bool_op("@@")(query)


def _evaluated_once(query: ColumnElement[Any]) -> ColumnElement[Any]:
    """A subquery, which PostgreSQL evaluates once for the statement where it would not fold the expression."""
    return select(query).scalar_subquery()


def _and(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_and(first, second, type_=TSQUERY)


def _or(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_or(first, second, type_=TSQUERY)
