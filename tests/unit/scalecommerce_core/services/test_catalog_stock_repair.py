"""Stock repair: figures are recomputed from their sources, the ledger gets a correction, nothing else changes."""

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import TransactionAborted
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.stock import MovementKind, Stock
from scalecommerce_core.services.catalog import Catalog, StockRepair
from tests.unit.support.shop import Shop, line
from tests.unit.support.tampering import TamperedStore, failing


@pytest.fixture
def tea(shop: Shop, seller: Account, buyer: Account) -> ProductId:
    """Twenty units on hand, four of them reserved; three were sold."""
    tea = shop.list(seller, stock=23)
    shop.buy(buyer, line(tea, 3))
    shop.reserve(buyer, line(tea, 4))
    assert shop.stock(tea) == Stock(tea, 20, 4)
    return tea


def tamper(shop: Shop, product: ProductId, on_hand: int = 20, reserved: int = 4) -> None:
    with shop.store.begin() as tx:
        stock = tx.stock.lock([product])[product]
        stock.on_hand, stock.reserved = on_hand, reserved
        tx.stock.save([stock])


def test_consistent_stock_is_not_repaired(shop: Shop, tea: ProductId) -> None:
    before = len(shop.tables.movements.rows)
    assert shop.catalog.repair_stock([tea, ProductId(999)]) == [None, None]
    assert shop.catalog.repair_stock([]) == []
    assert len(shop.tables.movements.rows) == before


@pytest.mark.parametrize("reserved", [0, 3, 20])
def test_reserved_is_counted_anew(shop: Shop, tea: ProductId, reserved: int) -> None:
    tamper(shop, tea, reserved=reserved)
    assert shop.catalog.repair_stock([tea]) == [StockRepair(tea, 0, reserved, 4)]
    assert shop.stock(tea) == Stock(tea, 20, 4)
    assert shop.queries.stock_discrepancies() == []


@pytest.mark.parametrize("on_hand", [4, 26])
def test_the_ledger_is_corrected_and_never_rewritten(shop: Shop, tea: ProductId, on_hand: int) -> None:
    tamper(shop, tea, on_hand=on_hand)
    before = list(shop.tables.movements.rows)
    assert shop.catalog.repair_stock([tea]) == [StockRepair(tea, on_hand - 20, 4, 4)]
    *kept, correction = shop.tables.movements.rows
    assert kept == before
    assert (correction.kind, correction.quantity, correction.order_id) == (MovementKind.CORRECTION, on_hand - 20, None)
    assert shop.stock(tea).on_hand == on_hand
    assert shop.queries.stock_discrepancies() == []
    assert shop.catalog.repair_stock([tea]) == [None]


def test_more_than_is_on_hand_is_not_reserved(shop: Shop, tea: ProductId) -> None:
    tamper(shop, tea, on_hand=3, reserved=1)
    assert shop.catalog.repair_stock([tea]) == [StockRepair(tea, -17, 1, 1)]
    (left,) = shop.queries.stock_discrepancies()
    assert (left.figure, left.stored, left.expected) == ("reserved", 1, 4)


def test_what_an_order_lacks_in_the_ledger_is_left_to_people(shop: Shop, tea: ProductId) -> None:
    sale = next(row for row in shop.tables.movements.rows if row.kind is MovementKind.SALE)
    shop.tables.movements.rows.remove(sale)
    assert [each.figure for each in shop.queries.stock_discrepancies()] == ["on_hand", "sold"]
    assert shop.catalog.repair_stock([tea]) == [StockRepair(tea, -3, 4, 4)]
    (left,) = shop.queries.stock_discrepancies()
    assert (left.figure, left.stored, left.expected, left.order_id) == ("sold", 0, 3, sale.order_id)


def test_one_product_twice_in_a_batch_is_repaired_once(shop: Shop, tea: ProductId) -> None:
    tamper(shop, tea, on_hand=21)
    assert shop.catalog.repair_stock([tea, tea]) == [StockRepair(tea, 1, 4, 4)] * 2
    assert shop.queries.stock_discrepancies() == []


def test_what_happens_before_the_lock_is_seen_under_it(shop: Shop, tea: ProductId, buyer: Account) -> None:
    """Orders are placed between the read of the ledger and the repair."""
    tamper(shop, tea, reserved=0)
    store = TamperedStore(
        shop.store, before=lambda: None if more else more.append(shop.reserve(buyer, line(tea, 5)).id)
    )
    more: list[OrderId] = []
    assert Catalog(store, shop.clock).repair_stock([tea]) == [StockRepair(tea, 0, 5, 9)]
    assert shop.queries.stock_discrepancies() == []


def test_a_repair_is_tried_again(shop: Shop, tea: ProductId) -> None:
    tamper(shop, tea, reserved=0)
    store = TamperedStore(shop.store, before=failing(TransactionAborted()))
    assert Catalog(store, shop.clock).repair_stock([tea]) == [StockRepair(tea, 0, 0, 4)]
