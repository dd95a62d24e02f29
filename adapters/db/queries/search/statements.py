"""SQL of searches: the products that a query selects, sorted by an index, sorted after selection or ranked.

Every statement is built once for a query shape; its values are named parameters.
"""

import operator
from collections.abc import Sequence
from functools import cache, reduce
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
    """
    weighed = _text_scores(ranking)
    in_stock = func.coalesce(stock.c.on_hand - stock.c.reserved, _ZERO) > _ZERO
    scored = (
        select(
            (weighed.c.points * case((in_stock, _IN_STOCK_FACTOR), else_=_SOLD_OUT_FACTOR)).label("score"),
            weighed.c.id,
            weighed.c.candidates,
        )
        .select_from(weighed.outerjoin(stock, stock.c.product_id == weighed.c.id))
        .where(*_page_bounds(weighed, has_cursor=has_cursor, backwards=backwards))
        .subquery("scored")
    )
    keyset = Keyset((scored.c.score, scored.c.id), descending=True)
    return keyset.slice_statement(select(*scored.c), has_cursor=has_cursor, backwards=backwards)


@compiled_once
def unranked_slice(selection: ProductSelection, *, has_cursor: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
    """Return the statement of rows (popularity tier, id) of matches below the ranked tiers, in this order."""
    statement = selection.select(*_UNRANKED_KEYSET.columns)
    return _UNRANKED_KEYSET.slice_statement(statement, has_cursor=has_cursor, backwards=backwards)


_UNRANKED_KEYSET: Final = Keyset((products.c.prominence, products.c.id), descending=True)


def _text_scores(ranking: Ranking) -> Any:
    """Candidates with their score before the stock factor: the look-up of stock costs more than the rest of the
    score.
    """
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
    return (
        select(points.label("points"), chosen.c.id, func.count().over().label("candidates"))
        .cte("weighed")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _page_bounds(weighed: Any, *, has_cursor: bool, backwards: bool) -> Sequence[ColumnElement[bool]]:
    """Conditions that keep the candidates that may be on the page, whatever their stock, to save look-ups of stock.

    Consider the `limit` best candidates that follow the cursor even if they are in stock. The score of the last of
    them, if it is sold out, is a bound: candidates that sort after it even if they are in stock are not on the page.
    """
    cursor = bindparam("key_0", type_=Integer)
    most, least = weighed.c.points * _IN_STOCK_FACTOR, weighed.c.points * _SOLD_OUT_FACTOR
    others = weighed.alias("others").c
    points = select(others.points).offset(bindparam("limit", type_=Integer) - _ONE).limit(_ONE)
    if backwards:
        if has_cursor:
            points = points.where(others.points * _SOLD_OUT_FACTOR > cursor)
        last = points.order_by(others.points).scalar_subquery() * _IN_STOCK_FACTOR
        bounds = [least <= func.coalesce(last, least)]
        return [*bounds, most >= cursor] if has_cursor else bounds
    if has_cursor:
        points = points.where(others.points * _IN_STOCK_FACTOR < cursor)
    last = points.order_by(others.points.desc()).scalar_subquery() * _SOLD_OUT_FACTOR
    bounds = [most >= func.coalesce(last, most)]
    return [*bounds, least <= cursor] if has_cursor else bounds


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
