"""Tests of stock and its ledger."""

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.stock import MAX_STOCK, Stock
from scalecommerce_core.ports import Store
from scalecommerce_core.testing.contracts.stage import NOW, Stage


class StockContract:
    def test_stock_is_stored_with_all_fields(self, store: Store) -> None:
        stage = Stage(store)
        some, none, most = stage.product(stock=3), stage.product(stock=0), stage.product(stock=MAX_STOCK)
        with store.begin() as tx:
            assert tx.stock.lock([most, some, none, ProductId(10**30)]) == {
                some: Stock(some, 3, 0),
                none: Stock(none, 0, 0),
                most: Stock(most, MAX_STOCK, 0),
            }
            assert tx.stock.lock([]) == {}
        with store.begin() as tx:
            assert tx.stock.try_lock([some, none, ProductId(10**30)]) == {
                some: Stock(some, 3, 0),
                none: Stock(none, 0, 0),
            }
            assert tx.stock.try_lock([]) == {}

    def test_saved_stock_is_found_again(self, store: Store) -> None:
        stage = Stage(store)
        first, second = stage.product(stock=5), stage.product(stock=5)
        with store.begin() as tx:
            stock = tx.stock.lock([first, second])
            stock[first].reserve(4)
            stock[second].adjust(-5, NOW)
            tx.stock.save(list(stock.values()))
            tx.stock.save([])
        with store.begin() as tx:
            assert tx.stock.lock([first, second]) == {first: Stock(first, 5, 4), second: Stock(second, 0, 0)}

    def test_stock_may_be_saved_twice_in_a_transaction(self, store: Store) -> None:
        product = Stage(store).product(stock=5)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            stock.reserve(2)
            tx.stock.save([stock])
            stock.release(2)
            tx.stock.save([stock])
        with store.begin() as tx:
            assert tx.stock.lock([product])[product] == Stock(product, 5, 0)

    def test_ledger_differences_and_reserved_units_are_computed(self, store: Store) -> None:
        stage = Stage(store)
        product, untouched, empty = stage.product(stock=50), stage.product(stock=5), stage.product(stock=0)
        for status in set(OrderStatus) - {OrderStatus.REJECTED}:
            stage.order(stage.account(), {product: 2}, status)
        with store.begin() as tx:
            stocks = tx.stock.lock([product, untouched, empty])
            stocks[untouched].reconcile(2, 0, NOW)
            tx.stock.save(list(stocks.values()))
        with store.begin() as tx:
            # One order is PENDING, one PAID, and the units of the refunded one were returned.
            unknown = ProductId(999)
            assert tx.stock.ledger_differences([product, untouched, empty, unknown]) == {
                product: 0,
                untouched: -3,
                empty: 0,
            }
            assert tx.stock.ledger_differences([]) == {}
            tx.stock.lock([product, untouched, empty])
            assert tx.stock.reserved_by_orders([product, untouched, empty]) == {product: 2}
            assert tx.stock.reserved_by_orders([]) == {}
