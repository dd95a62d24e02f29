"""Which changes concern a cached list."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from adapters.http.cache.list_dependencies import (
    ANY_CHANGE,
    MAX_TRACKED,
    ListChanges,
    ListDependencies,
    search_dependencies,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.ports import CatalogChange, ProductAspect, ProductScope
from scalecommerce_core.testing.memory.queries import MemoryQueries
from scalecommerce_core.testing.memory.store import MemoryStore
from tests.unit.support import cached_lists
from tests.unit.support.cached_lists import CachedLists

TEA, POT = ProductId(1), ProductId(2)
KITCHEN, GARDEN = CategoryId(1), CategoryId(2)
ANN, BOB = AccountId(7), AccountId(8)
PRICE, MEMBERSHIP = ProductAspect.PRICE, ProductAspect.MEMBERSHIP


def scope(category: CategoryId, seller: AccountId) -> ProductScope:
    return ProductScope(frozenset({category}), frozenset({seller}))


def repriced(number: int, product: ProductId, category: CategoryId, seller: AccountId) -> CatalogChange:
    return CatalogChange(number, frozenset({product}), aspects={PRICE: scope(category, seller)})


def shows(*products: ProductId) -> ListDependencies:
    return ListDependencies(products, ())


def test_a_change_concerns_the_lists_that_show_the_product() -> None:
    changes = ListChanges(5)
    changes.record(CatalogChange(8, frozenset({TEA}), aspects={}))
    assert not changes.includes_all(8, shows(POT, TEA))
    assert changes.includes_all(9, shows(POT, TEA))
    assert changes.includes_all(6, shows(POT))
    assert not changes.includes_all(5, shows(POT))


@pytest.mark.parametrize("aspects", [None, {}, {PRICE: scope(KITCHEN, ANN)}])
def test_any_change_concerns_a_list_without_known_dependencies(
    aspects: Mapping[ProductAspect, ProductScope | None] | None,
) -> None:
    changes = ListChanges(5)
    changes.record(CatalogChange(8, frozenset({TEA}), aspects=aspects))
    assert not changes.includes_all(8, ANY_CHANGE)
    assert changes.includes_all(9, ANY_CHANGE)


def test_a_changed_aspect_concerns_the_lists_whose_category_and_seller_it_may_have() -> None:
    changes = ListChanges(5)
    changes.record(repriced(8, TEA, KITCHEN, ANN))
    by_price = ListDependencies((), (PRICE,))
    assert not changes.includes_all(8, by_price)
    assert changes.includes_all(6, ListDependencies((), (MEMBERSHIP,)))
    for categories, sellers, is_concerned in (
        ((KITCHEN,), None, True),
        ((GARDEN,), None, False),
        ((GARDEN, KITCHEN), None, True),
        (None, (ANN,), True),
        (None, (BOB,), False),
        ((KITCHEN,), (ANN,), True),
        ((KITCHEN,), (BOB,), False),
        ((GARDEN,), (ANN,), False),
    ):
        dependencies = ListDependencies((), (PRICE,), categories, sellers)
        assert changes.includes_all(8, dependencies) is not is_concerned
        assert changes.includes_all(9, dependencies)


def test_an_older_change_that_is_reported_later_leaves_the_newer_one_in_force() -> None:
    changes = ListChanges(5)
    changes.record(repriced(9, TEA, KITCHEN, ANN))
    changes.record(repriced(8, TEA, KITCHEN, ANN))
    assert not changes.includes_all(9, shows(TEA))
    assert not changes.includes_all(9, ListDependencies((), (PRICE,), (KITCHEN,)))


@pytest.mark.parametrize(
    "change",
    [
        CatalogChange(8, frozenset({TEA})),
        CatalogChange(8, sellers=frozenset({ANN})),
        CatalogChange(8, everything=True),
        CatalogChange(8),
    ],
    ids=["unknown", "seller", "everything", "categories"],
)
def test_a_change_without_aspects_concerns_every_list(change: CatalogChange) -> None:
    changes = ListChanges(5)
    changes.record(change)
    assert not changes.includes_all(8, ListDependencies((), ()))
    assert changes.includes_all(9, ListDependencies((), ()))


def test_an_aspect_of_any_product_concerns_all_lists_that_depend_on_it() -> None:
    changes = ListChanges(5)
    changes.record(CatalogChange(8, frozenset({TEA}), aspects={PRICE: None}))
    assert not changes.includes_all(8, ListDependencies((), (PRICE,), (KITCHEN,), (ANN,)))
    assert changes.includes_all(6, ListDependencies((), (MEMBERSHIP,), (KITCHEN,), (ANN,)))


def test_changes_beyond_the_tracking_limit_concern_more_lists_and_not_fewer() -> None:
    changes = ListChanges(5)
    many = range(1000, 1001 + MAX_TRACKED)
    changes.record(CatalogChange(8, frozenset(map(ProductId, many)), aspects={}))
    assert not changes.includes_all(8, shows(TEA))
    sellers = frozenset(map(AccountId, many))
    changes.record(CatalogChange(10, aspects={PRICE: ProductScope(frozenset({KITCHEN}), sellers)}))
    assert not changes.includes_all(10, ListDependencies((), (PRICE,), (GARDEN,)))
    assert changes.includes_all(11, ListDependencies((), (PRICE,), (GARDEN,)))


def test_a_list_that_no_change_concerns_equals_one_that_is_read_anew() -> None:
    compared = dropped = 0
    for seed in range(10):
        store = MemoryStore()
        reported: list[CatalogChange] = []
        store.changed = reported.append
        lists = CachedLists(store, MemoryQueries(store), reported, random.Random(seed))
        lists.run(40)
        compared, dropped = compared + lists.compared, dropped + lists.dropped
    # The test proves nothing if nearly all lists are dropped, or none.
    assert compared > dropped > 500


@pytest.mark.parametrize("without", [*ProductAspect, "products", "any"])
def test_a_list_becomes_outdated_without_each_part_of_the_rules(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one aspect, without the shown products, and without changes of products that may be any."""
    if without == "any":
        monkeypatch.setattr(ListChanges, "record", _without_any(ListChanges.record))
    else:
        monkeypatch.setattr(cached_lists, "search_dependencies", _without(without))
    with pytest.raises(AssertionError):
        test_a_list_that_no_change_concerns_equals_one_that_is_read_anew()


def _without(part: str) -> Callable[..., ListDependencies]:
    def weakened(*given: Any, **named: Any) -> ListDependencies:
        found = search_dependencies(*given, **named)
        if part == "products":
            return ListDependencies((), found.aspects, found.categories, found.sellers)
        aspects = tuple(aspect for aspect in found.aspects if aspect != part)
        return ListDependencies(found.products, aspects, found.categories, found.sellers)

    return weakened


def _without_any(record: Callable[[ListChanges, CatalogChange], None]) -> Callable[[ListChanges, CatalogChange], None]:
    def weakened(changes: ListChanges, change: CatalogChange) -> None:
        scopes = {aspect: scope for aspect, scope in (change.aspects or {}).items() if scope is not None}
        record(changes, evolve(change, aspects=scopes))

    return weakened
