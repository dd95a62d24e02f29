"""Tests of the catalog changes that a store reports, on which caches depend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, SessionId
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import AccessChange, CatalogChange, ProductAspect, ProductScope, Store, Transaction
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing.contracts.stage import CATEGORY, DAY, NOW, SECOND, Stage, usd


class CatalogChangesContract:
    """Subclasses define the fixtures `store` and `queries`, and `reported` and `access_reported`: the changes of the
    catalog and of access that the store has reported.
    """

    @pytest.fixture
    def stage(self, store: Store) -> Stage:
        return Stage(store)

    @pytest.fixture
    def product(self, stage: Stage, reported: list[CatalogChange]) -> ProductId:
        product = stage.product(stock=10)
        reported.clear()
        return product

    def test_a_new_product_is_reported(self, stage: Stage, reported: list[CatalogChange]) -> None:
        seller = stage.account()
        assert reported == []
        product = stage.product(seller)
        assert [change.products for change in reported] == [{product}]

    def test_price_text_and_withdrawal_are_reported(
        self, store: Store, stage: Stage, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        stage.reprice(product, 9_00, NOW + SECOND)
        assert [change.products for change in reported] == [{product}]
        reported.clear()
        _edit(store, product, lambda found: found.edit(NOW, name="Coffee pot"))
        assert [change.products for change in reported] == [{product}]
        reported.clear()
        stage.withdraw(product)
        assert [change.products for change in reported] == [{product}]

    def test_available_stock_is_reported_and_unchanged_rows_are_not(
        self, store: Store, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        _stock(store, product, lambda stock: stock.adjust(5, NOW))
        assert [change.products for change in reported] == [{product}]
        reported.clear()
        _stock(store, product, lambda _: None)
        _edit(store, product, lambda _: None)
        _edit(store, product, lambda found: found.edit(NOW + SECOND, name=found.name, price=found.price))
        assert reported == []

    def test_the_changed_aspects_are_reported_with_the_scope_before_and_after(
        self, store: Store, stage: Stage, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        with store.begin() as tx:
            seller = tx.products.lock([product])[product].seller_id
        scope = ProductScope(frozenset({CATEGORY}), frozenset({seller}))
        stage.product(seller, category_id=OTHER_CATEGORY)
        assert _aspects(reported) == [{MEMBERSHIP: ProductScope(frozenset({OTHER_CATEGORY}), frozenset({seller}))}]
        stage.reprice(product, 9_00, NOW + SECOND)
        assert _aspects(reported) == [{ProductAspect.PRICE: scope}]
        texts: Sequence[dict[str, Any]] = ({"name": "Coffee pot"}, {"brand": "Alder"}, {"description": "A litre."})
        for facts in texts:
            stage.edit(product, **facts)
            assert _aspects(reported) == [{ProductAspect.TEXT: scope}]
        stage.edit(product, max_per_buyer=3)
        assert _aspects(reported) == [{}]
        stage.edit(product, category_id=OTHER_CATEGORY, price=usd(8_00))
        both = ProductScope(frozenset({CATEGORY, OTHER_CATEGORY}), frozenset({seller}))
        assert _aspects(reported) == [{MEMBERSHIP: both, ProductAspect.PRICE: both}]
        stage.edit(product, is_active=False)
        stage.withdraw(product)
        of_other = ProductScope(frozenset({OTHER_CATEGORY}), frozenset({seller}))
        assert _aspects(reported) == [{MEMBERSHIP: of_other}, {MEMBERSHIP: of_other}]

    def test_aspects_of_stock_are_reported_when_it_runs_out_and_returns(
        self, store: Store, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        for available, aspects in (
            (9, {}),
            (0, {ProductAspect.SOLD_OUT: None}),
            (4, {ProductAspect.RESTOCKED: None}),
            (0, {ProductAspect.SOLD_OUT: None}),
        ):
            _stock(store, product, lambda stock, units=available: stock.set_available(units, NOW))  # type: ignore[misc]
            assert _aspects(reported) == [aspects]

    def test_aspects_of_all_products_of_a_transaction_are_reported_together(
        self, store: Store, stage: Stage, reported: list[CatalogChange]
    ) -> None:
        sellers = [stage.account(), stage.account()]
        ids = [stage.product(seller) for seller in sellers]
        reported.clear()
        with store.begin() as tx:
            found = tx.products.lock(ids)
            found[ids[0]].edit(NOW, name="Coffee pot")
            found[ids[1]].edit(NOW, category_id=OTHER_CATEGORY)
            tx.products.save(list(found.values()))
        assert _aspects(reported) == [
            {
                ProductAspect.TEXT: ProductScope(frozenset({CATEGORY}), frozenset({sellers[0]})),
                MEMBERSHIP: ProductScope(frozenset({CATEGORY, OTHER_CATEGORY}), frozenset({sellers[1]})),
            }
        ]

    def test_changes_of_sellers_and_categories_have_no_aspects(
        self, store: Store, stage: Stage, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        person = stage.account()
        with store.begin() as tx:
            account = tx.accounts.lock([person])[person]
            account.edit(first_name="Grace")
            tx.accounts.save([account])
            found = tx.products.lock([product])[product]
            found.edit(NOW, name="Coffee pot")
            tx.products.save([found])
        with store.begin() as tx:
            tx.categories.add([("Tea pots", "tea-pots")])
        assert _aspects(reported) == [None, None]

    def test_a_rolled_back_change_is_not_reported(
        self, store: Store, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        def fail(found: Product) -> None:
            found.edit(NOW, name="Coffee pot")
            raise RuntimeError("enough")

        with pytest.raises(RuntimeError, match="enough"):
            _edit(store, product, fail)
        assert reported == []

    def test_a_new_seller_name_is_reported_and_a_new_bio_is_not(
        self, store: Store, stage: Stage, reported: list[CatalogChange]
    ) -> None:
        person = stage.account()
        reported.clear()
        _profile(store, person, lambda account: account.edit(bio="Pots since 1950"))
        assert reported == []
        _profile(store, person, lambda account: account.edit(first_name="Grace"))
        _profile(store, person, lambda account: account.edit(display_name="Pots & more"))
        assert [change.sellers for change in reported] == [{person}, {person}]
        assert not reported[0].products

    def test_revoked_sessions_are_reported_once(
        self, store: Store, stage: Stage, access_reported: list[AccessChange], reported: list[CatalogChange]
    ) -> None:
        ann = stage.account()
        names = [SessionId(f"s{n}") for n in range(4)]
        reported.clear()
        with store.begin() as tx:
            tx.sessions.add([Session(name, ann, "first", NOW, NOW + DAY) for name in names])
        assert access_reported == []
        with store.begin() as tx:
            session = tx.sessions.lock(names[:1])[names[0]]
            session.revoke(NOW)
            tx.sessions.save([session])
        with store.begin() as tx:
            tx.sessions.revoke_all(ann, NOW, keep=names[1])
        with store.begin() as tx:
            tx.sessions.save(list(tx.sessions.lock(names).values()))
            tx.sessions.revoke_all(ann, NOW, keep=names[1])
        assert [set(change.sessions) for change in access_reported] == [{names[0]}, set(names[2:])]
        assert reported == []

    def test_changed_keys_and_rights_are_reported_and_uses_are_not(
        self, store: Store, stage: Stage, access_reported: list[AccessChange]
    ) -> None:
        ann = stage.account()
        with store.begin() as tx:
            (id_,) = tx.api_keys.next_ids(1)
            tx.api_keys.add([ApiKey.created(id_, ann, name="K", scopes=["pricing"], secret="sk_" + "a" * 43, now=NOW)])
        with store.begin() as tx:
            tx.api_keys.record_uses({id_: NOW})
        _profile(store, ann, lambda account: account.edit(first_name="Ann"))
        assert access_reported == []

        def revoke(tx: Transaction) -> None:
            (key,) = tx.api_keys.lock_all(ann)
            key.revoke(NOW)
            tx.api_keys.save([key])

        with store.begin() as tx:
            revoke(tx)
        _profile(store, ann, lambda account: setattr(account, "is_staff", True))
        _profile(store, ann, lambda account: setattr(account, "is_active", False))
        with store.begin() as tx:
            tx.api_keys.delete_all(ann)
        assert access_reported == [AccessChange(key_owners=frozenset({ann}))] * 4

    def test_a_second_factor_is_reported_when_it_is_switched_on_or_off(
        self, store: Store, stage: Stage, access_reported: list[AccessChange]
    ) -> None:
        ann = stage.account()
        factor = SecondFactor(ann, "secret", NOW)
        with store.begin() as tx:
            tx.second_factors.put([factor])
        assert access_reported == []
        for step in (1, 2):
            with store.begin() as tx:
                found = tx.second_factors.lock([ann])[ann]
                found.confirmed_at, found.last_step = NOW, step
                tx.second_factors.put([found])
        assert access_reported == [AccessChange(key_owners=frozenset({ann}))]
        with store.begin() as tx:
            tx.second_factors.delete([ann])
        assert access_reported == [AccessChange(key_owners=frozenset({ann}))] * 2

    def test_a_new_name_of_a_category_is_reported_as_a_change_of_everything(
        self, store: Store, reported: list[CatalogChange]
    ) -> None:
        with store.begin() as tx:
            (added,) = tx.categories.add([("Pots for coffee", "pots-for-coffee")])
        reported.clear()
        with store.begin() as tx:
            tx.categories.rename({added.id: "Coffee pots"})
        (change,) = reported
        assert change == CatalogChange(change.number, everything=True)

    def test_a_new_category_is_reported_as_a_change_of_lists(self, store: Store, reported: list[CatalogChange]) -> None:
        with store.begin() as tx:
            tx.categories.add([("Tea pots", "tea-pots")])
        assert [(change.products, change.everything) for change in reported] == [(frozenset(), False)]

    def test_an_import_is_reported(self, store: Store, stage: Stage, reported: list[CatalogChange]) -> None:
        seller = stage.account()
        reported.clear()
        with store.bulk() as tx:
            (id_,) = _listed(tx, seller)
        assert [change.products for change in reported] == [{id_}]

    def test_a_change_lies_below_the_horizon_from_its_commit_on(
        self, queries: Queries, stage: Stage, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        before = queries.visibility_horizon()
        stage.reprice(product, 9_00, NOW + SECOND)
        (change,) = reported
        assert before <= change.number < queries.visibility_horizon()

    def test_a_change_that_is_not_committed_lies_at_or_above_the_horizon(
        self, store: Store, queries: Queries, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        with store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.edit(NOW, name="Coffee pot")
            tx.products.save([found])
            seen, views = queries.snapshot([product])
            assert views[product].name != "Coffee pot"
        assert reported[0].number >= seen
        seen, views = queries.snapshot([product])
        assert views[product].name == "Coffee pot"
        assert reported[0].number < seen

    def test_a_snapshot_without_products_has_a_horizon(
        self, queries: Queries, stage: Stage, product: ProductId, reported: list[CatalogChange]
    ) -> None:
        stage.reprice(product, 9_00, NOW + SECOND)
        horizon, views = queries.snapshot([ProductId(product + 1000)])
        assert views == {}
        assert reported[-1].number < horizon <= queries.visibility_horizon()


MEMBERSHIP: Final = ProductAspect.MEMBERSHIP
OTHER_CATEGORY: Final = CategoryId(2)


def _aspects(reported: list[CatalogChange]) -> list[Mapping[ProductAspect, ProductScope | None] | None]:
    """Return the aspects of the reported changes, and clear the list."""
    aspects = [change.aspects for change in reported]
    reported.clear()
    return aspects


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
