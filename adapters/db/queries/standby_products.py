"""Product queries that standbys answer, if what they have replayed is recent enough, and otherwise the primary."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import psycopg
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from adapters.db.core.standby_freshness import Fallback, StandbyFreshness
from adapters.db.core.standby_monitor import AWAY_SECONDS, CONFLICT_SECONDS, StandbyMonitor
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.products import ProductQueries
from adapters.db.queries.search.index.execution import CurrentIndex
from adapters.db.queries.search.limits import SearchLimits
from scalecommerce_core import queries
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.errors import TransactionAborted, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.queries import (
    ALL_PRODUCTS,
    OWN_PRODUCTS,
    AllProductsFilter,
    Facet,
    FacetCounts,
    OwnProductsFilter,
    Page,
    PageRequest,
    PriceHistory,
    ProductFilter,
    ProductSearchPage,
    ProductView,
    StaffProductView,
)

T = TypeVar("T")


class StandbyProductQueries:
    """`queries.ProductQueries` for the public catalog. The lists of sellers and of staff come from the primary.

    A query runs on one server: if the standby fails during the query, the primary runs all of it. The result of a list
    is at least as recent as each horizon that `visibility_horizon` returned before.
    """

    def __init__(
        self,
        primary: queries.ProductQueries,
        monitor: StandbyMonitor,
        freshness: StandbyFreshness,
        *,
        currency: str = "USD",
        limits: SearchLimits | None = None,
        index: CurrentIndex | None = None,
    ) -> None:
        self._primary = primary
        self._monitor = monitor
        self._freshness = freshness
        self._index = index
        self._standbys = {
            standby: ProductQueries(QueryExecutor(standby.engine), limits, currency, index)
            for standby in monitor.standbys
        }
        self.standby_reads = 0
        """Queries that standbys answered since the process started."""
        self.fallbacks: Counter[Fallback] = Counter()
        """Queries that the primary answered, by reason."""

    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        return self._read_list(lambda source: source.search(criteria, page))

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        return self._read_list(lambda source: source.facets(criteria, facets))

    def categories(self) -> Sequence[Category]:
        return self._read_list(lambda source: source.categories())

    def visibility_horizon(self) -> int:
        # The horizon of the index is the lowest one if all are recent.
        horizon = None if self._index is None else self._index.choose_list_horizon()
        if horizon is None:
            horizon = self._choose_horizon()
            if self._index is not None:
                self._index.use_list_horizon(horizon)
        self._freshness.use_list_horizon(horizon)
        return horizon

    def _choose_horizon(self) -> int:
        chosen = self._monitor.choose()
        if chosen is not None and self._freshness.refuse_lists(chosen[1].number) is None:
            return chosen[1].number
        return self._primary.visibility_horizon()

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        return self._read_products(ids, lambda source, horizon: _products(source, ids, horizon))

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        return self._read_products(
            ids,
            lambda source, horizon: (
                source.snapshot(ids) if horizon is None else (horizon, _products(source, ids, horizon))
            ),
        )

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None:
        def read(source: queries.ProductQueries, horizon: int | None) -> PriceHistory | None:
            found = source.price_history(product_id, now)
            if found is None and horizon is not None:
                raise _MissingProduct
            return found

        return self._read_products([product_id], read)

    def own_products(
        self, seller_id: AccountId, page: PageRequest, criteria: OwnProductsFilter = OWN_PRODUCTS
    ) -> Page[ProductView]:
        return self._primary.own_products(seller_id, page, criteria)

    def all_products(self, page: PageRequest, criteria: AllProductsFilter = ALL_PRODUCTS) -> Page[StaffProductView]:
        return self._primary.all_products(page, criteria)

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        return self._primary.ids_by_sku(seller_id, skus)

    def _read_list(self, read: Callable[[queries.ProductQueries], T]) -> T:
        return self._read(self._freshness.refuse_lists, lambda source, _: read(source))

    def _read_products(self, ids: Collection[ProductId], read: Callable[[queries.ProductQueries, int | None], T]) -> T:
        return self._read(lambda horizon: self._freshness.refuse_products(horizon, ids), read)

    def _read(
        self, refuse: Callable[[int], Fallback | None], read: Callable[[queries.ProductQueries, int | None], T]
    ) -> T:
        """Call `read` with the queries of a standby and its horizon, or with those of the primary and None."""
        chosen = self._monitor.choose()
        if chosen is None:
            reason = Fallback.AWAY
        else:
            standby, horizon = chosen
            refusal = refuse(horizon.number)
            if refusal is None:
                try:
                    result = read(self._standbys[standby], horizon.number)
                except _MissingProduct:
                    refusal = Fallback.MISSING
                except (Unavailable, InvalidRequestError) as error:
                    cause = _cause(error)
                    if isinstance(cause, psycopg.errors.QueryCanceled):
                        # The statement exceeded the time limit, which is the same on the primary.
                        raise
                    # If all connections of the pool are in use, the standby works: no pause.
                    if not isinstance(cause, PoolTimeoutError):
                        pause = CONFLICT_SECONDS if isinstance(error, TransactionAborted) else AWAY_SECONDS
                        self._monitor.report_failure(standby, str(cause or error).partition("\n")[0], pause)
                    refusal = Fallback.FAILED
                else:
                    # A server that was started later may have replayed less than this horizon.
                    if standby.instance is horizon.instance:
                        self.standby_reads += 1
                        return result
                    refusal = Fallback.FAILED
            elif refusal is Fallback.BEHIND:
                self._monitor.poll_soon()
            reason = refusal
        self.fallbacks[reason] += 1
        return read(self._primary, None)


class _MissingProduct(Exception):
    """A standby does not have a product."""


def _products(
    source: queries.ProductQueries, ids: Collection[ProductId], horizon: int | None
) -> Mapping[ProductId, ProductView]:
    """The products; raise `_MissingProduct` if the source is a standby, which has a horizon, and lacks one."""
    found = source.products(ids)
    if horizon is not None and not found.keys() >= set(ids):
        raise _MissingProduct
    return found


def _cause(error: Exception) -> BaseException | None:
    """The driver's error behind an error of `translate_errors`."""
    cause = error.__cause__
    return getattr(cause, "orig", None) or cause
