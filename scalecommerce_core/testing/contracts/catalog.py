"""Tests of categories, products and their price history."""

import pytest

from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.product import Offer, PriceCause, PriceChange, PriceWithdrawal, Product
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.testing.contracts.stage import CATEGORY, DAY, NOW, SECOND, Stage, usd


class CatalogContract:
    # --- categories

    def test_a_new_store_has_the_default_categories(self, store: Store) -> None:
        with store.begin() as tx:
            expected = [(id_, name, slug_of(name)) for id_, name in enumerate(DEFAULT_CATEGORIES, 1)]
            assert [(c.id, c.name, c.slug) for c in tx.categories.all()] == expected

    def test_categories_are_added_once(self, store: Store) -> None:
        with store.begin() as tx:
            (added,) = tx.categories.add([("Чай", "чай")])
            assert (added.name, added.slug) == ("Чай", "чай")
        with store.begin() as tx:
            assert tx.categories.all()[-1] == added
            assert tx.categories.existing([added.id, CategoryId(1), CategoryId(10**30)]) == {added.id, 1}
        with pytest.raises(Duplicate) as refused, store.begin() as tx:
            tx.categories.add([("чай", "чай")])
        assert refused.value.field == "name"

    def test_a_category_is_renamed_and_keeps_its_slug(self, store: Store) -> None:
        with store.begin() as tx:
            pots, cups = tx.categories.add([("Pots", "pots"), ("Cups", "cups")])
            tx.categories.rename({pots.id: "Tea pots", CategoryId(10**9): "Nothing"})
        with store.begin() as tx:
            found = {category.id: (category.name, category.slug) for category in tx.categories.all()}
        assert (found[pots.id], found[cups.id]) == (("Tea pots", "pots"), ("Cups", "cups"))
        with pytest.raises(Duplicate), store.begin() as tx:
            tx.categories.rename({cups.id: "Tea pots"})

    def test_locked_categories_are_all_categories(self, store: Store) -> None:
        with store.begin() as tx:
            (added,) = tx.categories.add([("Pots", "pots")])
        with store.begin() as tx:
            locked = tx.categories.lock_all()
            tx.categories.rename({added.id: "Tea pots"})
            assert locked[-1] == added
            assert [category.name for category in tx.categories.lock_all()] == [
                *(category.name for category in locked[:-1]),
                "Tea pots",
            ]

    def test_the_minimum_hold_of_categories_is_stored(self, store: Store) -> None:
        with store.begin() as tx:
            tx.categories.set_min_holds({CategoryId(2): 3 * DAY, CategoryId(1): 2 * SECOND, CategoryId(10**9): DAY})
        with store.begin() as tx:
            holds = {category.id: category.min_hold for category in tx.categories.all()}
        assert (holds[CategoryId(1)], holds[CategoryId(2)], holds[CategoryId(3)]) == (2 * SECOND, 3 * DAY, 0 * DAY)
        assert len(holds) == len(DEFAULT_CATEGORIES)

    # --- products

    def test_products_are_stored_with_all_fields(self, store: Store) -> None:
        seller = Stage(store).account()
        with store.begin() as tx:
            (id_,) = tx.products.next_ids(1)
            product = Product.listed(
                id=id_,
                seller_id=seller,
                category_id=CATEGORY,
                name='Чайник "Ёлка", 1 {l}',
                price=usd(999),
                now=NOW,
                brand="NULL",
                description="\\ and\ttabs\nand lines",
                sku="a,b",
                cost=usd(5_00),
                min_price=usd(6_00),
                max_price=usd(20_00),
                max_per_buyer=4,
                stock_until=NOW + DAY,
                competitor_price=usd(9_00),
                competitor_price_at=NOW - DAY,
                is_active=False,
            )
            tx.products.add([product])
        with store.begin() as tx:
            assert tx.products.lock([id_, ProductId(10**30)]) == {id_: product}

    def test_locked_products_come_in_id_order(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller) for _ in range(4)]
        with store.begin() as tx:
            assert list(tx.products.lock(ids[::-1])) == ids

    def test_product_edits_are_saved(self, store: Store) -> None:
        stage = Stage(store)
        edited, other = stage.product(sku="A"), stage.product()
        with store.begin() as tx:
            products = tx.products.lock([edited, other])
            products[edited].edit(
                NOW + DAY,
                name="Kettle",
                brand="Boil & Co",
                description="Boils.",
                sku=None,
                category_id=CategoryId(2),
                cost=usd(1),
                min_price=usd(2),
                max_price=usd(3),
                max_per_buyer=None,
                stock_until=NOW + 3 * DAY,
                competitor_price=usd(4),
                competitor_price_at=NOW,
                is_active=False,
                price=usd(2),
            )
            products[other].withdraw(NOW + DAY)
            tx.products.save(list(products.values()))
        with store.begin() as tx:
            assert tx.products.lock([edited, other]) == products

    def test_a_price_change_alone_is_saved(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=10_00)
        stage.reprice(product, 9_00, NOW + DAY, PriceCause.POLICY)
        with store.begin() as tx:
            found = tx.products.lock([product])[product]
            assert (found.price, found.priced_at, found.version) == (usd(9_00), NOW + DAY, 1)

    def test_a_field_that_was_set_without_edit_is_saved(self, store: Store) -> None:
        product = Stage(store).product()
        with store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.description = "Set without an edit."
            tx.products.save([found])
        with store.begin() as tx:
            assert tx.products.lock([product])[product].description == "Set without an edit."

    def test_a_sku_is_unique_among_the_products_of_a_seller(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        first = stage.product(seller, sku="A")
        stage.product(stage.account(), sku="A")
        stage.product(seller)
        stage.product(seller)
        with pytest.raises(Duplicate) as refused:
            stage.product(seller, sku="A")
        assert refused.value.field == "sku"
        stage.withdraw(first)
        assert stage.product(seller, sku="A") != first

    def test_an_edit_cannot_take_a_sku(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        stage.product(seller, sku="A")
        second = stage.product(seller, sku="B")
        with store.begin() as tx:
            found = tx.products.lock([second])[second]
        found.edit(NOW, sku="A")
        with pytest.raises(Duplicate), store.begin() as tx:
            tx.products.save([found])

    def test_offers_have_the_facts_for_intake(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        active, gone = stage.product(seller, price=5, name="Cup"), stage.product(seller, name="Saucer")
        stage.withdraw(gone)
        with store.begin() as tx:
            assert tx.products.offers([active, gone, ProductId(10**30)]) == {
                active: Offer(active, seller, "Cup", usd(5), is_active=True),
                gone: Offer(gone, seller, "Saucer", usd(10_00), is_active=False),
            }

    # --- price history

    def test_prices_since_begin_with_the_price_in_force(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=1, at=NOW - 9 * DAY)
        for days, price in ((7, 2), (5, 3), (3, 4)):
            stage.reprice(product, price, NOW - days * DAY)

        def since(days: float) -> list[int]:
            with store.begin() as tx:
                changes = tx.products.prices_since([product], NOW - days * DAY)[product]
            assert [change.valid_from for change in changes] == sorted(change.valid_from for change in changes)
            return [change.price.minor for change in changes]

        assert since(20) == [1, 2, 3, 4]
        assert since(6) == [2, 3, 4]
        assert since(5) == [3, 4]
        assert since(1) == [4]

    def test_a_rolled_back_price_has_no_promise(self, store: Store) -> None:
        stage = Stage(store)
        product, other = stage.product(price=10, at=NOW), stage.product(price=50, at=NOW)
        stage.reprice(product, 99, NOW + SECOND, PriceCause.POLICY)
        stage.reprice(other, 60, NOW + SECOND, PriceCause.POLICY)
        stage.reprice(product, 11, NOW + 2 * SECOND, PriceCause.ROLLBACK)
        stage.reprice(product, 12, NOW + 3 * SECOND)
        with store.begin() as tx:
            found = tx.products.prices_since([product, other], NOW)
        assert [(change.price.minor, change.is_withdrawn) for change in found[product]] == [
            (10, False), (99, True), (11, False), (12, False),
        ]  # fmt: skip
        assert [(change.price.minor, change.is_withdrawn) for change in found[other]] == [(50, False), (60, False)]

    def test_withdrawals_of_prices_are_stored(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, price=10, at=NOW)
        for seconds, price in enumerate((1, 2, 3), 1):
            stage.reprice(product, price, NOW + seconds * SECOND)
        withdrawals = {
            (product, NOW + SECOND): PriceWithdrawal(NOW + DAY, seller, "typing error"),
            (product, NOW + 2 * SECOND): PriceWithdrawal(NOW + DAY, None, "typing error"),
        }
        with store.begin() as tx:
            tx.products.lock([product])
            tx.products.withdraw_prices(withdrawals)
        with store.begin() as tx:
            changes = tx.products.prices_since([product], NOW)[product]
            assert [(change.is_withdrawn, change.withdrawal) for change in changes] == [
                (False, None),
                *((True, withdrawal) for withdrawal in withdrawals.values()),
                (False, None),
            ]
            assert tx.products.last_other_price(product, usd(3)) == usd(10)
            assert tx.products.last_other_price(product, usd(7)) == usd(3)
            assert tx.products.last_other_price(ProductId(10**15), usd(7)) is None

    def test_price_changes_in_the_same_instant_are_both_stored(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=10, at=NOW)
        stage.reprice(product, 11, NOW)
        stage.reprice(product, 12, NOW)
        with store.begin() as tx:
            changes = tx.products.prices_since([product], NOW)[product]
            assert tx.products.lock([product])[product].priced_at == changes[-1].valid_from
        assert [change.price.minor for change in changes] == [10, 11, 12]
        assert len({change.valid_from for change in changes}) == 3

    def test_past_prices_are_appended_to_the_history(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=10, at=NOW)
        past = [PriceChange(product, usd(price), NOW - price * DAY, PriceCause.IMPORT) for price in range(9, 0, -1)]
        with store.bulk() as tx:
            tx.products.append_history(past)
        with store.begin() as tx:
            found = tx.products.prices_since([product], NOW - 2 * DAY)[product]
        assert found == [*past[-2:], PriceChange(product, usd(10), NOW, PriceCause.LISTED)]

    def test_products_without_a_history_have_an_empty_one(self, store: Store) -> None:
        with store.begin() as tx:
            assert not tx.products.prices_since([], NOW)
            assert not tx.products.prices_since([ProductId(987)], NOW).get(ProductId(987))
