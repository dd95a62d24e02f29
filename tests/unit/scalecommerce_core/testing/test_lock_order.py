"""The check of the lock order detects violations, and `LOCKS` names existing methods of the ports."""

from typing import get_type_hints

import pytest

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.ports import LOCKS, LockRank, Store, Transaction
from scalecommerce_core.testing import LockOrderStore, LockOrderViolated, MemoryStore


@pytest.fixture(params=[MemoryStore, lambda: LockOrderStore(MemoryStore())])
def store(request: pytest.FixtureRequest) -> Store:
    made: Store = request.param()
    return made


def test_locking_a_lower_rank_after_a_higher_one_fails(store: Store) -> None:
    message = "orders.lock locks ORDER after stock.lock locked STOCK"
    with store.begin() as tx:
        tx.stock.lock([ProductId(1)])
        with pytest.raises(LockOrderViolated, match=message):
            tx.orders.lock([OrderId(1)])


def test_bulk_transactions_are_checked(store: Store) -> None:
    with store.bulk() as tx:
        tx.orders.lock([OrderId(1)])
        with pytest.raises(LockOrderViolated):
            tx.accounts.lock([AccountId(1)])


def test_ranks_that_rise_or_stay_are_accepted_in_each_transaction(store: Store) -> None:
    for _ in range(2):
        with store.begin() as tx:
            tx.accounts.lock([AccountId(1)])
            tx.products.lock([ProductId(1)])
            tx.products.lock([ProductId(2)])
            tx.stock.lock([ProductId(1)])


def test_methods_without_locks_are_accepted_at_any_time(store: Store) -> None:
    with store.begin() as tx:
        tx.stock.lock([ProductId(1)])
        tx.accounts.by_email(["kara@example.com"])
        tx.products.offers([ProductId(1)])


def test_every_locking_method_belongs_to_a_repository_and_every_rank_is_used() -> None:
    repositories = [
        get_type_hints(getter.fget)["return"] for getter in vars(Transaction).values() if isinstance(getter, property)
    ]
    methods = [method for repository in repositories for method in vars(repository).values() if callable(method)]
    assert set(LOCKS) <= set(methods)
    assert set(LOCKS.values()) == set(LockRank)
    names = ("lock", "claim")
    assert [method for method in methods if method.__name__.startswith(names) and method not in LOCKS] == []
