"""Which products a filter means, as conditions in SQL, and what relevance is among them."""

import operator
from collections.abc import Collection, Sequence
from functools import reduce
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from adapters.db.reads.pages import BIGINT, Keyset
from adapters.db.tables import product_prices, product_views, products, stock
from scalecommerce_core.domain.relevance import BRANDED, DESCRIBED, IN_STOCK, NAMED, PROMINENT, SOLD_OUT, TOGETHER
from scalecommerce_core.domain.search_text import SearchText, Term
from scalecommerce_core.domain.text import checked
from scalecommerce_core.queries import Ordering, ProductFilter

SENSIBLE: Final = 10_000
"""Characters of a search; a bound so that nobody makes the database parse a book."""
MARKET: Final = cast(literal_column("'market'"), REGCONFIG)
BY_PRICE: Final = frozenset({Ordering.PRICE, Ordering.PRICE_DESC})
NARROW: Final = BY_PRICE | {Ordering.VIEWED_DESC}
"""Orders that a narrow table keeps: whether a row of it matches is known after a look at its product."""


@frozen
class Match:
    """Conditions on `products`, which `source` joins with what else they are about."""

    conditions: Sequence[ColumnElement[bool]]
    source: FromClause = products
    text: SearchText | None = None

    def select(self, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        return select(*columns).select_from(self.source).where(*self.conditions)

    def prominent(self, level: int) -> "Match":
        """Those from this level of prominence up. A literal, so that an index of these alone is known to do."""
        if level == 0:
            return self
        return evolve(self, conditions=[*self.conditions, products.c.prominence >= literal_column(str(level))])

    def text_alone(self) -> "Match":
        """Without the filters."""
        return Match([self.conditions[0], self.conditions[-1]], products, self.text)

    def below(self, level: int) -> "Match":
        return evolve(self, conditions=[*self.conditions, products.c.prominence < literal_column(str(level))])


def matching(wanted: ProductFilter, text: SearchText | None, categories: Collection[int] | None) -> Match:
    """`categories` are the ids of those that are wanted, None for all."""
    product = products.c
    source: FromClause = products
    conditions: list[ColumnElement[bool]] = [product.is_active]
    by_price = wanted.ordering in BY_PRICE
    by_words = text is not None and bool(text.wanted)
    price: ColumnElement[int] = product.price
    if by_price or (not by_words and (wanted.price_min is not None or wanted.price_max is not None)):
        # The price in the narrow table, which is indexed. Words have an index of their own, and leave fewer to look at.
        source = source.join(product_prices, product_prices.c.product_id == product.id)
        price = product_prices.c.price
    if wanted.price_min is not None:
        conditions.append(price >= _bounded(wanted.price_min))
    if wanted.price_max is not None:
        conditions.append(price <= _bounded(wanted.price_max))
    if wanted.ordering is Ordering.VIEWED_DESC:
        source = source.join(product_views, product_views.c.product_id == product.id)
    if categories is not None:
        column = product_prices.c.category_id if by_price else product.category_id
        conditions.append(_one_of(column, categories))
    if wanted.brands:
        conditions.append(_one_of(product.brand, {_sensible("brand", brand) for brand in wanted.brands}))
    if wanted.seller is not None:
        conditions.append(product.seller_id == _bounded(wanted.seller))
    if wanted.in_stock is not None:
        available = exists().where(stock.c.product_id == product.id, stock.c.on_hand - stock.c.reserved > 0)
        conditions.append(available if wanted.in_stock else ~available)
    if wanted.created_after is not None:
        conditions.append(product.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(product.created_at < wanted.created_before)
    if text is not None:
        conditions.append(_holds(text))
    return Match(conditions, source, text)


def sorted_by(ordering: Ordering) -> Keyset:
    """The sort columns of an ordering, out of one index."""
    if ordering in BY_PRICE:
        columns = product_prices.c.price, product_prices.c.product_id
    elif ordering is Ordering.VIEWED_DESC:
        columns = product_views.c.views, product_views.c.product_id
    else:
        columns = products.c.created_at, products.c.id
    return Keyset(columns, descending=_descends(ordering))


def gathered(
    wanted: ProductFilter, text: SearchText | None, categories: Collection[int] | None
) -> tuple[Keyset, Select[*tuple[Any, ...]]]:
    """The same for an ordering of `NARROW`, and all matching products, found without its index and sorted then."""
    product = products.c
    chosen = (
        matching(evolve(wanted, ordering=Ordering.RELEVANCE), text, categories)
        .select(product.price, product.id)
        # Keeps the planner from walking in the index after all.
        .offset(literal_column("0"))
        .subquery("chosen")
    )
    source: FromClause = chosen
    columns = chosen.c.price, chosen.c.id
    if wanted.ordering is Ordering.VIEWED_DESC:
        source = chosen.join(product_views, product_views.c.product_id == chosen.c.id)
        columns = product_views.c.views, chosen.c.id
    return Keyset(columns, descending=_descends(wanted.ordering)), select(*columns).select_from(source)


def _descends(ordering: Ordering) -> bool:
    return ordering not in {Ordering.PRICE, Ordering.CREATED}


# --- text


def _holds(text: SearchText) -> ColumnElement[bool]:
    document = products.c.document
    unwanted = [_query(term) for term in text.excluded]
    if text.wanted:
        wanted = reduce(_both, map(_query, text.wanted))
        return _matches(document, reduce(_both, (func.tsquery_not(each, type_=TSQUERY) for each in unwanted), wanted))
    if unwanted:
        return ~_matches(document, reduce(_either, unwanted))
    return false()


def _query(term: Term) -> ColumnElement[Any]:
    return reduce(_either, (phrase_query(each) for each in term.meant or [term.text]))


def phrase_query(text: str) -> ColumnElement[Any]:
    """The words of a text, in their order, in any form; they are taken apart as those of the products are."""
    _sensible("search", text)
    return func.phraseto_tsquery(MARKET, func.folded(literal(text, Text)), type_=TSQUERY)


def _both(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_and(first, second, type_=TSQUERY)


def _either(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tsquery_or(first, second, type_=TSQUERY)


def _matches(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[bool]:
    return document.bool_op("@@")(query)


# --- relevance


@frozen
class Ranking:
    """Candidates, those from a level of prominence up, by relevance.

    Each statement counts the candidates, up to one more than `cap`, if there is one.
    """

    match: Match
    level: int
    cap: int | None = None

    def page(self, mark: Sequence[int], limit: int, *, backwards: bool) -> Select[*tuple[Any, ...]]:
        """Rows of (score, id, number of candidates), behind or before the mark, if there is one."""
        weighed = self._weighed()
        in_stock = func.coalesce(stock.c.on_hand - stock.c.reserved, _NOTHING) > _NOTHING
        scored = (
            select(
                (weighed.c.points * case((in_stock, _IN_STOCK), else_=_SOLD_OUT)).label("score"),
                weighed.c.id,
                weighed.c.candidates,
            )
            .select_from(weighed.outerjoin(stock, stock.c.product_id == weighed.c.id))
            .where(*_near(weighed, mark[0] if mark else None, limit, backwards=backwards))
            .subquery("scored")
        )
        keyset = Keyset((scored.c.score, scored.c.id), descending=True)
        return keyset.slice(select(*scored.c), mark, limit, backwards=backwards)

    def _weighed(self) -> Any:
        """What relevance is but for the stock; to look that up costs more than all the rest."""
        product = products.c
        chosen = (
            self.match.prominent(self.level)
            .select(product.id, product.prominence, product.document)
            .limit(None if self.cap is None else self.cap + 1)
            # Lets nothing above reach into the subquery, which would then look for other rows.
            .offset(_NOTHING)
            .subquery("chosen")
        )
        wanted = [_query(term) for term in self.match.text.wanted] if self.match.text else []
        points = reduce(operator.add, (_best_field(chosen.c.document, query) for query in wanted), _NOTHING)
        if len(wanted) > 1:
            phrase = reduce(lambda first, second: func.tsquery_phrase(first, second, type_=TSQUERY), wanted)
            points += case((_matches(chosen.c.document, phrase), _TOGETHER), else_=_NOTHING)
        points *= _WHOLE + _PROMINENT * cast(chosen.c.prominence, Integer)
        return (
            select(points.label("points"), chosen.c.id, func.count().over().label("candidates"))
            .cte("weighed")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )


def _near(weighed: Any, mark: int | None, limit: int, *, backwards: bool) -> list[ColumnElement[bool]]:
    """Leaves those that may be among `limit` rows from the mark on, whatever stock each has.

    Of `limit` rows that are behind the mark even if they are in stock, none comes later than the last of them would
    if it was sold out.
    """
    most, least = weighed.c.points * _IN_STOCK, weighed.c.points * _SOLD_OUT
    others = weighed.alias("others").c
    points = select(others.points).offset(_number(limit - 1)).limit(_number(1))
    if backwards:
        if mark is not None:
            points = points.where(others.points * _SOLD_OUT > mark)
        last = points.order_by(others.points).scalar_subquery() * _IN_STOCK
        bounds = [least <= func.coalesce(last, least)]
        return bounds if mark is None else [*bounds, most >= mark]
    if mark is not None:
        points = points.where(others.points * _IN_STOCK < mark)
    last = points.order_by(others.points.desc()).scalar_subquery() * _SOLD_OUT
    bounds = [most >= func.coalesce(last, most)]
    return bounds if mark is None else [*bounds, least <= mark]


def _best_field(document: ColumnElement[Any], query: ColumnElement[Any]) -> ColumnElement[int]:
    return case(
        (_matches(document, _in_fields(query, "A")), _NAMED),
        (_matches(document, _in_fields(query, "AB")), _BRANDED),
        else_=_DESCRIBED,
    )


def _in_fields(query: ColumnElement[Any], weights: str) -> ColumnElement[Any]:
    """The query for words of these weights alone: each word, which ends with a quote, gets them behind it."""
    marked = func.regexp_replace(cast(query, Text), _WORD_ENDS, literal_column(f"''':{weights}'"), _ALL)
    return cast(marked, TSQUERY)


def _number(value: int) -> ColumnElement[int]:
    """Not a parameter: it is always the same."""
    return literal_column(str(value), Integer)


_WORD_ENDS: Final[ColumnElement[str]] = literal_column("'''(?= |$)'")
_ALL: Final[ColumnElement[str]] = literal_column("'g'")
_NAMED, _BRANDED, _DESCRIBED, _TOGETHER = map(_number, (NAMED, BRANDED, DESCRIBED, TOGETHER))
_PROMINENT, _IN_STOCK, _SOLD_OUT = map(_number, (PROMINENT, IN_STOCK, SOLD_OUT))
_NOTHING, _WHOLE = map(_number, (0, 100))


REST: Final = Keyset((products.c.prominence, products.c.id), descending=True)
"""How those are sorted that were not ranked."""


# --- conditions


def _one_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    return column == next(iter(values)) if len(values) == 1 else column.in_(values)


def _sensible(name: str, value: str) -> str:
    return checked(name, value, at_most=SENSIBLE)


def _bounded(number: int) -> int:
    """A number that fits: nothing in the database is beyond it."""
    return max(BIGINT.start, min(number, BIGINT.stop - 1))
