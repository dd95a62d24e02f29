"""Properties of the in-memory store beyond the contract suites: rollbacks, copies, serialized transactions."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.ports import Duplicate, Transaction
from scalecommerce_core.testing import MemoryStore
from scalecommerce_core.testing.failpoints import Crash
from tests.unit.support.shop import Shop, line, usd


class Bang(Exception):
    """Raised by these tests only."""


def state(shop: Shop) -> list[Any]:
    """All committed rows."""
    return [deepcopy(part.__dict__) for part in shop.tables.parts()]


def test_a_rollback_leaves_no_trace(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller)
    order = shop.buy(buyer, line(tea, 2))
    before = state(shop)
    now = shop.clock.now()
    with suppress(Bang), shop.store.begin() as tx:
        tx.idempotency.claim({(buyer.id, "key"): b"print"}, now)
        tx.categories.add([("Tea", "tea")])
        tx.accounts.add([Account(AccountId(99), "new@example.com", None, now)])
        paid, product, stock = tx.orders.lock([order.id]), tx.products.lock([tea])[tea], tx.stock.lock([tea])[tea]
        product.reprice(usd("11.00"), now, PriceCause.MANUAL)
        stock.adjust(5, now)
        tx.products.save([product])
        tx.stock.save([stock])
        tx.orders.save(list(paid.values()))
        tx.products.add_views({(tea, now): 3})
        assert tx.products.offers([tea])[tea].price == usd("11.00")
        raise Bang
    assert state(shop) == before


def test_queries_see_committed_rows_only(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, stock=5)
    with shop.store.begin() as tx:
        stock = tx.stock.lock([tea])[tea]
        stock.adjust(2, shop.clock.now())
        tx.stock.save([stock])
        assert shop.queries.products([tea])[tea].stock == 5
    assert shop.queries.products([tea])[tea].stock == 7


def test_a_crash_within_a_transaction_leaves_no_trace(shop: Shop) -> None:
    before = state(shop)
    with suppress(Crash), shop.store.begin() as tx:
        tx.categories.add([("Tea", "tea")])
        raise Crash("between two effects")
    assert state(shop) == before
    with shop.store.begin() as tx:
        assert "tea" not in {category.slug for category in tx.categories.all()}


def test_numbers_of_a_rolled_back_transaction_are_not_reused(shop: Shop) -> None:
    taken: Sequence[OrderId] = ()
    with suppress(Bang), shop.store.begin() as tx:
        taken = tx.orders.next_ids(2)
        raise Bang
    with shop.store.begin() as tx:
        assert len({*taken, *tx.orders.next_ids(2)}) == 4


def test_locked_aggregates_that_are_not_saved_do_not_change(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller)
    order = shop.place(buyer, line(tea))
    before = state(shop)
    with shop.store.begin() as tx:
        tx.accounts.lock([seller.id])[seller.id].edit(bio="Another life")
        locked_order = tx.orders.lock([order.id])[order.id]
        product, stock = tx.products.lock([tea])[tea], tx.stock.lock([tea])
        product.edit(shop.clock.now(), name="Another name", price=usd("1.00"))
        locked_order.decide(stock, shop.clock.now(), shop.clock.now())
        tx.orders.by_command([order.command_id])[order.command_id].cancel(stock, shop.clock.now())
        tx.accounts.by_email([buyer.email])[buyer.email].is_staff = True
    assert state(shop) == before


def test_saved_rows_do_not_change_with_the_object(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    with shop.store.begin() as tx:
        stock = tx.stock.lock([tea])[tea]
        stock.adjust(5, shop.clock.now())
        tx.stock.save([stock])
        stock.adjust(5, shop.clock.now())
    assert shop.stock(tea).on_hand == 15
    assert shop.queries.stock_discrepancies() == []


def test_results_of_use_cases_are_copies(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller)
    order = shop.place(buyer, line(tea))
    order.lines = ()
    seller.edit(first_name="Mallory")
    assert len(shop.order(order.id).lines) == 1
    assert shop.tables.accounts.get(seller.id) != seller


def test_a_nested_transaction_is_refused(shop: Shop) -> None:
    with shop.store.begin() as tx:
        with pytest.raises(RuntimeError, match="open already"), shop.store.begin():
            pass
        tx.categories.add([("Tea", "tea")])
    with shop.store.begin() as tx:
        assert "tea" in {category.slug for category in tx.categories.all()}


def test_transactions_of_threads_are_serialized(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, stock=0)

    def bring_one() -> None:
        for _ in range(20):
            with shop.store.begin() as tx:
                stock = tx.stock.lock([tea])[tea]
                stock.adjust(1, shop.clock.now())
                tx.stock.save([stock])

    threads = [threading.Thread(target=bring_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.stock(tea).on_hand == 80
    assert shop.queries.stock_discrepancies() == []


def _add_account(tx: Transaction, shop: Shop) -> None:
    tx.accounts.add([Account(AccountId(99), "sam@example.com", None, shop.clock.now())])


def _add_category(tx: Transaction, _: Shop) -> None:
    tx.categories.add([("Books!", "books")])


def _save_sku(tx: Transaction, _: Shop) -> None:
    product = tx.products.lock([ProductId(2)])[ProductId(2)]
    product.sku = "T-1"
    tx.products.save([product])


@pytest.mark.parametrize(("act", "field"), [(_add_account, "email"), (_add_category, "name"), (_save_sku, "sku")])
def test_duplicates_are_refused(
    shop: Shop, seller: Account, act: Callable[[Transaction, Shop], None], field: str
) -> None:
    shop.list(seller, sku="T-1")
    shop.list(seller)
    before = state(shop)
    with pytest.raises(Duplicate) as caught, shop.store.begin() as tx:
        act(tx, shop)
    assert caught.value.field == field
    assert state(shop) == before


def test_rows_are_locked_in_the_order_of_their_ids(shop: Shop, seller: Account) -> None:
    ids = [shop.list(seller) for _ in range(3)]
    with shop.store.begin() as tx:
        assert list(tx.products.lock(reversed_ids := ids[::-1])) == ids
        assert list(tx.stock.lock([*reversed_ids, ProductId(999)])) == ids


def test_a_new_store_has_the_default_categories() -> None:
    with MemoryStore().begin() as tx:
        assert [category.id for category in tx.categories.all()] == list(range(1, 21))
