"""Pages by relevance: what it is among the products that a search means."""

import operator
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import TSQUERY

from adapters.db.queries.keyset import Keyset
from adapters.db.queries.search.filters import Match, adjacent_query, matches, once, wanted_queries
from adapters.db.queries.search.query_shape import SHAPES
from adapters.db.schema import products, stock
from scalecommerce_core.domain.relevance import (
    BRAND_WEIGHT,
    DESCRIPTION_WEIGHT,
    IN_STOCK_FACTOR,
    NAME_WEIGHT,
    PHRASE_WEIGHT,
    SOLD_OUT_FACTOR,
    TIER_PERCENT,
)


@frozen(cache_hash=True)
class Ranking:
    """Candidates by relevance. Each statement counts the candidates, up to one more than `cap`, if there is one."""

    match: Match
    cap: int | None = None
    is_planned: bool = True
    """For its values, each time."""


@lru_cache(SHAPES)
def ranked(ranking: Ranking, *, marked: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
    """Rows of (score, id, number of candidates), behind or before the mark, if there is one; a slice by `RANKS`."""
    weighed = _weighed(ranking)
    in_stock = func.coalesce(stock.c.on_hand - stock.c.reserved, _NOTHING) > _NOTHING
    scored = (
        select(
            (weighed.c.points * case((in_stock, _IN_STOCK), else_=_SOLD_OUT)).label("score"),
            weighed.c.id,
            weighed.c.candidates,
        )
        .select_from(weighed.outerjoin(stock, stock.c.product_id == weighed.c.id))
        .where(*_near(weighed, marked=marked, backwards=backwards))
        .subquery("scored")
    )
    keyset = Keyset((scored.c.score, scored.c.id), descending=True)
    return keyset.slice(select(*scored.c), marked=marked, backwards=backwards)


@lru_cache(SHAPES)
def not_ranked(match: Match, *, marked: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
    """Rows of (prominence, id): how those are sorted that are below the level of what is ranked."""
    return REST.slice(match.select(*REST.columns), marked=marked, backwards=backwards)


REST: Final = Keyset((products.c.prominence, products.c.id), descending=True)


def _weighed(ranking: Ranking) -> Any:
    """What relevance is but for the stock; to look that up costs more than all the rest."""
    product = products.c
    chosen = (
        ranking.match.select(product.id, product.prominence, product.document, is_planned=ranking.is_planned)
        .limit(None if ranking.cap is None else ranking.cap + 1)
        # Lets nothing above reach into the subquery, which would then look for other rows.
        .offset(_NOTHING)
        .subquery("chosen")
    )
    wanted = wanted_queries(ranking.match.shape)
    points = reduce(operator.add, (_best_field(chosen.c.document, query) for query in wanted), _NOTHING)
    if len(wanted) > 1:
        phrase = adjacent_query(ranking.match.shape)
        points += case((matches(chosen.c.document, once(phrase)), _TOGETHER), else_=_NOTHING)
    points *= _WHOLE + _PROMINENT * cast(chosen.c.prominence, Integer)
    return (
        select(points.label("points"), chosen.c.id, func.count().over().label("candidates"))
        .cte("weighed")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _near(weighed: Any, *, marked: bool, backwards: bool) -> Sequence[ColumnElement[bool]]:
    """Leaves those that may be on the page, from the mark on, whatever stock each has.

    Of `limit` rows that are behind the mark even if they are in stock, none comes later than the last of them would
    if it was sold out.
    """
    mark = bindparam("key_0", type_=Integer)
    most, least = weighed.c.points * _IN_STOCK, weighed.c.points * _SOLD_OUT
    others = weighed.alias("others").c
    points = select(others.points).offset(bindparam("limit", type_=Integer) - _ONE).limit(_ONE)
    if backwards:
        if marked:
            points = points.where(others.points * _SOLD_OUT > mark)
        last = points.order_by(others.points).scalar_subquery() * _IN_STOCK
        bounds = [least <= func.coalesce(last, least)]
        return [*bounds, most >= mark] if marked else bounds
    if marked:
        points = points.where(others.points * _IN_STOCK < mark)
    last = points.order_by(others.points.desc()).scalar_subquery() * _SOLD_OUT
    bounds = [most >= func.coalesce(last, most)]
    return [*bounds, least <= mark] if marked else bounds


def _best_field(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[int]:
    return case(
        (matches(document, _in_fields(query, "A")), _NAMED),
        (matches(document, _in_fields(query, "AB")), _BRANDED),
        else_=_DESCRIBED,
    )


def _in_fields(query: ColumnElement[Any], weights: str) -> ColumnElement[Any]:
    """The query for words of these weights alone: each word, which ends with a quote, gets them behind it."""
    marked = func.regexp_replace(cast(query, Text), _WORD_ENDS, literal_column(f"''':{weights}'"), _ALL)
    return once(cast(marked, TSQUERY))


def _number(value: int) -> ColumnElement[int]:
    """Not a parameter: it is always the same."""
    return literal_column(str(value), Integer)


_WORD_ENDS: Final[ColumnElement[str]] = literal_column("'''(?= |$)'")
_ALL: Final[ColumnElement[str]] = literal_column("'g'")
_NAMED, _BRANDED, _DESCRIBED, _TOGETHER = map(_number, (NAME_WEIGHT, BRAND_WEIGHT, DESCRIPTION_WEIGHT, PHRASE_WEIGHT))
_PROMINENT, _IN_STOCK, _SOLD_OUT = map(_number, (TIER_PERCENT, IN_STOCK_FACTOR, SOLD_OUT_FACTOR))
_NOTHING, _ONE, _WHOLE = map(_number, (0, 1, 100))
