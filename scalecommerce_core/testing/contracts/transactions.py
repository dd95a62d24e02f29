"""Tests of commits, rollbacks, copies, and transactions that lock the same rows."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from scalecommerce_core.domain.errors import DeadlineExceeded, Effect
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.product import Product
from scalecommerce_core.ports import CommandDeadline, Store, use_deadline
from scalecommerce_core.testing.contracts.stage import CATEGORY, NOW, Stage, usd

DEADLOCK_SECONDS = 20.0
"""Seconds after which waiting threads are taken for deadlocked."""


class IntentionalRollback(Exception):
    """Rolls a transaction back."""


def run_in_threads(*jobs: Callable[[], None]) -> None:
    """Run the jobs in threads; re-raise the first exception of a job."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - re-raised in the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[job], daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLOCK_SECONDS)
        assert not thread.is_alive(), "a transaction is stuck"
    if failures:
        raise failures[0]


class TransactionsContract:
    def test_an_exception_undoes_everything_the_transaction_wrote(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=5)

        def fail() -> None:
            with store.begin() as tx:
                products = tx.products.lock([product])
                products[product].edit(NOW, name="Kettle")
                tx.products.save(list(products.values()))
                stock = tx.stock.lock([product])
                stock[product].adjust(3, NOW)
                tx.stock.save(list(stock.values()))
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            fail()
        with store.begin() as tx:
            assert tx.products.lock([product])[product].name == "Tea pot"
            assert tx.stock.lock([product])[product].on_hand == 5

    def test_aggregates_are_copies(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=5)
        with store.begin() as tx:
            loaded = tx.products.lock([product])[product]
            loaded.name = "Never saved"
            tx.stock.lock([product])[product].reserve(2)
        with store.begin() as tx:
            assert tx.products.lock([product])[product].name == "Tea pot"
            assert tx.stock.lock([product])[product].reserved == 0

    def test_a_transaction_sees_its_own_writes(self, store: Store) -> None:
        product = Stage(store).product()
        with store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.edit(NOW, name="Kettle", price=usd(77))
            tx.products.save([found])
            assert tx.products.offers([product])[product].price == usd(77)
            assert tx.products.lock([product])[product].name == "Kettle"

    def test_loaded_aggregates_carry_nothing_to_append(self, store: Store) -> None:
        product = Stage(store).product()
        with store.begin() as tx:
            loaded, stock = tx.products.lock([product])[product], tx.stock.lock([product])[product]
            assert (loaded.price_changes, loaded.events, stock.movements) == ([], [], [])

    def test_numbers_are_new_and_rise(self, store: Store) -> None:
        with store.begin() as tx:
            first = tx.orders.next_ids(3)
            assert tx.orders.next_ids(0) == []
        with store.begin() as tx:
            assert sorted([*first, *tx.orders.next_ids(2)]) == [*first, first[-1] + 1, first[-1] + 2]

    def test_bulk_writes_what_begin_writes(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        with store.bulk() as tx:
            ids = tx.products.next_ids(500)
            tx.products.add(
                [_product(id_, seller, f'{id_} "quoted", {{braced}}\\n\ttabbed\nwrapped ← ü 🫖') for id_ in ids]
            )
        with store.begin() as tx:
            found = tx.products.lock(ids)
            assert list(found) == list(ids)
            assert found[ids[0]].description == f'{ids[0]} "quoted", {{braced}}\\n\ttabbed\nwrapped ← ü 🫖'
            assert found[ids[0]].sku is None

    def test_a_bulk_transaction_that_fails_leaves_nothing(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        made: list[ProductId] = []

        def fail() -> None:
            with store.bulk() as tx:
                made.extend(tx.products.next_ids(300))
                tx.products.add([_product(id_, seller) for id_ in made])
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            fail()
        with store.begin() as tx:
            assert tx.products.lock(made) == {}

    def test_a_row_lock_is_held_by_one_transaction_at_a_time(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=1)
        sold: list[str] = []

        def buy(name: str) -> None:
            with store.begin() as tx:
                stock = tx.stock.lock([product])[product]
                if stock.available:
                    stock.reserve(1)
                    tx.stock.save([stock])
                    sold.append(name)

        run_in_threads(*[partial(buy, name) for name in "abcdefgh"])
        assert len(sold) == 1
        with store.begin() as tx:
            assert tx.stock.lock([product])[product].available == 0

    def test_locking_the_same_rows_in_opposite_orders_does_not_deadlock(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller, stock=0) for _ in range(8)]

        def restock(order: Sequence[ProductId]) -> None:
            for _ in range(15):
                with store.begin() as tx:
                    stock = tx.stock.lock(order)
                    assert list(stock) == sorted(order)
                    for product in order:
                        stock[product].adjust(1, NOW)
                    tx.stock.save([stock[product] for product in order])

        run_in_threads(lambda: restock(ids), lambda: restock(ids[::-1]), lambda: restock(ids[4:] + ids[:4]))
        with store.begin() as tx:
            assert {stock.on_hand for stock in tx.stock.lock(ids).values()} == {45}

    def test_a_transaction_does_not_begin_after_its_deadline(self, store: Store) -> None:
        product = Stage(store).product(stock=1)
        with use_deadline(CommandDeadline(10.0, lambda: 10.0)), pytest.raises(DeadlineExceeded) as caught:
            _restock(store, product)
        assert caught.value.effect is Effect.NONE
        assert _on_hand(store, product) == 1

    def test_a_transaction_that_ends_after_its_deadline_is_rolled_back(self, store: Store) -> None:
        product = Stage(store).product(stock=1)
        deadline = CommandDeadline(10.0, lambda: 0.0)
        with use_deadline(deadline), pytest.raises(DeadlineExceeded) as caught:
            _restock(store, product, deadline.expire)
        assert caught.value.effect is Effect.NONE
        assert _on_hand(store, product) == 1

    def test_a_deadline_after_the_commit_reports_an_unknown_effect(self, store: Store) -> None:
        product = Stage(store).product(stock=1)
        deadline = CommandDeadline(10.0, lambda: 0.0)
        with use_deadline(deadline):
            _restock(store, product)
            assert deadline.expire() is Effect.UNKNOWN
            with pytest.raises(DeadlineExceeded) as caught:
                _restock(store, product)
        assert caught.value.effect is Effect.UNKNOWN
        assert _on_hand(store, product) == 2

    def test_a_transaction_that_failed_before_its_commit_has_no_effect(self, store: Store) -> None:
        product = Stage(store).product(stock=1)
        deadline = CommandDeadline(10.0, lambda: 0.0)

        def fail() -> None:
            raise IntentionalRollback

        with use_deadline(deadline), pytest.raises(IntentionalRollback):
            _restock(store, product, fail)
        assert deadline.expire() is Effect.NONE


def _restock(store: Store, product: ProductId, before_end: Callable[[], object] = lambda: None) -> None:
    with store.begin() as tx:
        stock = tx.stock.lock([product])[product]
        stock.adjust(1, NOW)
        tx.stock.save([stock])
        before_end()


def _on_hand(store: Store, product: ProductId) -> int:
    with store.begin() as tx:
        return tx.stock.lock([product])[product].on_hand


def _product(id_: ProductId, seller: AccountId, description: str = "") -> Product:
    return Product.listed(
        id=id_, seller_id=seller, category_id=CATEGORY, name="Cup", price=usd(5), now=NOW, description=description
    )
