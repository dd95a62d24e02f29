"""What a store tells of changes of the catalogue, so that copies of it can be kept."""

from collections.abc import Callable, Sequence

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import CatalogChange, Store, Transaction
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing.contracts.stage import CATEGORY, NOW, SECOND, Stage, usd


class CatalogChangesContract:
    """Subclass it and provide `store` and `queries`, and `told`: the changes that the store has told so far."""

    @pytest.fixture
    def stage(self, store: Store) -> Stage:
        return Stage(store)

    @pytest.fixture
    def product(self, stage: Stage, told: list[CatalogChange]) -> ProductId:
        product = stage.product(stock=10)
        told.clear()
        return product

    def test_a_new_product_is_told(self, stage: Stage, told: list[CatalogChange]) -> None:
        seller = stage.account()
        assert told == []
        product = stage.product(seller)
        assert [change.products for change in told] == [{product}]

    def test_a_new_price_a_new_text_and_a_withdrawal_are_told(
        self, store: Store, stage: Stage, product: ProductId, told: list[CatalogChange]
    ) -> None:
        stage.reprice(product, 9_00, NOW + SECOND)
        assert [change.products for change in told] == [{product}]
        told.clear()
        _edit(store, product, lambda found: found.edit(NOW, name="Coffee pot"))
        assert [change.products for change in told] == [{product}]
        told.clear()
        stage.withdraw(product)
        assert [change.products for change in told] == [{product}]

    def test_what_can_be_promised_is_told_and_what_stays_is_not(
        self, store: Store, product: ProductId, told: list[CatalogChange]
    ) -> None:
        _stock(store, product, lambda stock: stock.adjust(5, NOW))
        assert [change.products for change in told] == [{product}]
        told.clear()
        _stock(store, product, lambda _: None)
        _edit(store, product, lambda _: None)
        _edit(store, product, lambda found: found.edit(NOW + SECOND, name=found.name, price=found.price))
        assert told == []

    def test_a_rolled_back_change_is_not_told(
        self, store: Store, product: ProductId, told: list[CatalogChange]
    ) -> None:
        def fail(found: Product) -> None:
            found.edit(NOW, name="Coffee pot")
            raise RuntimeError("enough")

        with pytest.raises(RuntimeError, match="enough"):
            _edit(store, product, fail)
        assert told == []

    def test_a_seller_with_another_name_is_told_and_one_with_another_bio_is_not(
        self, store: Store, stage: Stage, told: list[CatalogChange]
    ) -> None:
        person = stage.account()
        told.clear()
        _profile(store, person, lambda account: account.edit(bio="Pots since 1950"))
        assert told == []
        _profile(store, person, lambda account: account.edit(first_name="Grace"))
        assert [change.sellers for change in told] == [{person}]
        assert not told[0].products

    def test_a_new_category_is_told_to_lists(self, store: Store, told: list[CatalogChange]) -> None:
        with store.begin() as tx:
            tx.categories.add([("Tea pots", "tea-pots")])
        assert [(change.products, change.everything) for change in told] == [(frozenset(), False)]

    def test_an_import_is_told(self, store: Store, stage: Stage, told: list[CatalogChange]) -> None:
        seller = stage.account()
        told.clear()
        with store.bulk() as tx:
            (id_,) = _listed(tx, seller)
        assert [change.products for change in told] == [{id_}]

    def test_a_change_lies_below_the_horizon_from_its_commit_on(
        self, queries: Queries, stage: Stage, product: ProductId, told: list[CatalogChange]
    ) -> None:
        before = queries.visibility_horizon()
        stage.reprice(product, 9_00, NOW + SECOND)
        (change,) = told
        assert before <= change.number < queries.visibility_horizon()

    def test_a_change_that_is_not_committed_lies_at_or_above_the_horizon(
        self, store: Store, queries: Queries, product: ProductId, told: list[CatalogChange]
    ) -> None:
        with store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.edit(NOW, name="Coffee pot")
            tx.products.save([found])
            seen, views = queries.snapshot([product])
            assert views[product].name != "Coffee pot"
        assert told[0].number >= seen
        seen, views = queries.snapshot([product])
        assert views[product].name == "Coffee pot"
        assert told[0].number < seen

    def test_a_snapshot_of_what_is_not_there_has_a_horizon(
        self, queries: Queries, stage: Stage, product: ProductId, told: list[CatalogChange]
    ) -> None:
        stage.reprice(product, 9_00, NOW + SECOND)
        horizon, views = queries.snapshot([ProductId(product + 1000)])
        assert views == {}
        assert told[-1].number < horizon <= queries.visibility_horizon()


def _edit(store: Store, product: ProductId, act: Callable[[Product], None]) -> None:
    with store.begin() as tx:
        found = tx.products.lock([product])[product]
        act(found)
        tx.products.save([found])


def _stock(store: Store, product: ProductId, act: Callable[[Stock], None]) -> None:
    with store.begin() as tx:
        found = tx.stock.lock([product])[product]
        act(found)
        tx.stock.save([found], NOW)


def _profile(store: Store, person: AccountId, act: Callable[[Account], None]) -> None:
    with store.begin() as tx:
        found = tx.accounts.lock([person])[person]
        act(found)
        tx.accounts.save([found])


def _listed(tx: Transaction, seller: AccountId) -> Sequence[ProductId]:
    (id_,) = tx.products.next_ids(1)
    tx.products.add(
        [Product.listed(id=id_, seller_id=seller, category_id=CATEGORY, name="Tea pot", price=usd(1_00), now=NOW)]
    )
    tx.stock.add([Stock.opened(id_, 3, NOW)])
    return [id_]
