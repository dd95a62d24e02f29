"""Random edits of a random catalog: a list that no change concerns must equal one that is read anew."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from attrs import Factory, define, frozen

from adapters.http.cache.list_dependencies import ListChanges, ListDependencies, search_dependencies
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.ports import CatalogChange, Store
from scalecommerce_core.queries import (
    Facet,
    FacetCounts,
    PageRequest,
    ProductFilter,
    ProductQueries,
    ProductSearchPage,
    SortOrder,
)
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage

CATEGORIES: Final = (CategoryId(1), CategoryId(2), CategoryId(3))
NAMES: Final = ("tea pot", "coffee pot", "green tea", "kettle", "kettel", "copper pan", "pan lid", "spoon")
BRANDS: Final = ("Ridgeway", "Alder")
PRODUCTS: Final = 16


@frozen
class CachedList:
    criteria: ProductFilter
    facets: Sequence[Facet]
    request: PageRequest
    snapshot_number: int
    page: ProductSearchPage
    counts: FacetCounts
    dependencies: ListDependencies


@define
class CachedLists:
    """Lists that stay cached until a change concerns them. `reported` are the changes that the store has reported."""

    store: Store
    queries: ProductQueries
    reported: list[CatalogChange]
    chance: random.Random
    prepare: Callable[[Stage], None] = lambda _: None
    """Runs after each edit, as the tasks of a running engine do."""
    sellers: list[AccountId] = Factory(list)
    products: list[ProductId] = Factory(list)
    cached: list[CachedList] = Factory(list)
    dropped: int = 0
    compared: int = 0
    seconds: int = 0

    def run(self, steps: int) -> None:
        stage = Stage(self.store)
        self.sellers = [stage.account() for _ in range(3)]
        for _ in range(PRODUCTS):
            self._list(stage)
        self.prepare(stage)
        self.reported.clear()
        changes = ListChanges(self.queries.visibility_horizon() - 1)
        for _ in range(steps):
            while len(self.cached) < 12:
                self._cache_list()
            self.chance.choice((
                self._list, self._reprice, self._reprice, self._reprice, self._edit, self._edit, self._move,
                self._pause, self._withdraw, self._take_stock, self._take_stock, self._take_stock,
            ))(stage)  # fmt: skip
            self.prepare(stage)
            for change in self.reported:
                changes.record(change)
            self.reported.clear()
            self._compare(changes)

    def _compare(self, changes: ListChanges) -> None:
        valid = [each for each in self.cached if changes.includes_all(each.snapshot_number, each.dependencies)]
        self.dropped += len(self.cached) - len(valid)
        for each in valid:
            page = self.queries.search(each.criteria, each.request)
            counts = self.queries.facets(each.criteria, each.facets)
            assert (page, counts) == (each.page, each.counts), each
        self.compared += len(valid)
        self.cached = valid

    def _cache_list(self) -> None:
        chance = self.chance
        low, high = sorted(chance.sample(range(100, 1000, 100), 2))
        has_price = chance.random() < 0.2
        criteria = ProductFilter(
            search=chance.choice(("tea", "pot", "kettle", "spon", "pan -lid")) if chance.random() < 0.4 else None,
            categories=chance.sample(CATEGORIES, chance.choice((1, 1, 2))) if chance.random() < 0.5 else (),
            brands=chance.sample(BRANDS, 1) if chance.random() < 0.2 else (),
            seller=chance.choice(self.sellers) if chance.random() < 0.3 else None,
            price_min=low if has_price else None,
            price_max=high if has_price else None,
            in_stock=chance.choice((True, False)) if chance.random() < 0.2 else None,
            sort_order=chance.choice([order for order in SortOrder if order is not SortOrder.VIEWED_DESC]),
        )
        facets = chance.sample(list(Facet), chance.choice((0, 0, 1, 2)))
        request = PageRequest(size=chance.choice((2, 3, 30)))
        while True:
            horizon = self.queries.visibility_horizon()
            page = self.queries.search(criteria, request)
            if page.next is None or chance.random() < 0.5:
                break
            request = PageRequest(size=request.size, after=page.next)
        dependencies = search_dependencies(
            criteria, {str(each): each for each in CATEGORIES}, page, facets, has_cursor=request.after is not None
        )
        counts = self.queries.facets(criteria, facets)
        self.cached.append(CachedList(criteria, facets, request, horizon, page, counts, dependencies))

    # --- edits

    def _now(self) -> timedelta:
        self.seconds += 1
        return SECOND * self.seconds

    def _list(self, stage: Stage) -> None:
        chance = self.chance
        product = stage.product(
            chance.choice(self.sellers),
            price=chance.randrange(100, 1000),
            stock=chance.choice((0, 1, 5)),
            at=NOW + self._now(),
            name=chance.choice(NAMES),
            brand=chance.choice(BRANDS),
            category_id=chance.choice(CATEGORIES),
        )
        self.products.append(product)

    def _reprice(self, stage: Stage) -> None:
        stage.reprice(self.chance.choice(self.products), self.chance.randrange(100, 1000), NOW + self._now())

    def _edit(self, stage: Stage) -> None:
        facts = self.chance.choice((
            {"name": self.chance.choice(NAMES)},
            {"brand": self.chance.choice(BRANDS)},
            {"description": self.chance.choice(NAMES)},
            {"max_per_buyer": self.chance.randrange(1, 9)},
        ))  # fmt: skip
        stage.edit(self.chance.choice(self.products), NOW + self._now(), **facts)

    def _move(self, stage: Stage) -> None:
        stage.edit(self.chance.choice(self.products), NOW + self._now(), category_id=self.chance.choice(CATEGORIES))

    def _pause(self, stage: Stage) -> None:
        stage.edit(self.chance.choice(self.products), NOW + self._now(), is_active=self.chance.random() < 0.7)

    def _withdraw(self, stage: Stage) -> None:
        if len(self.products) > PRODUCTS:
            stage.withdraw(self.products.pop(self.chance.randrange(len(self.products))), NOW + self._now())

    def _take_stock(self, _stage: Stage) -> None:
        product = self.chance.choice(self.products)
        with self.store.begin() as tx:
            found = tx.stock.lock([product])[product]
            found.set_available(self.chance.choice((0, 0, 1, 5)), NOW + self._now())
            tx.stock.save([found])
