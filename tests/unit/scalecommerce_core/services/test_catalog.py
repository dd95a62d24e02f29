from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.category import Category, distinct_slug
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    StockMoved,
    TransactionAborted,
    VersionMismatch,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.domain.stock import MAX_STOCK, MovementKind
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.queries import PageRequest, ProductFilter
from scalecommerce_core.services.catalog import (
    AddCategory,
    AdjustStock,
    Catalog,
    CreateProduct,
    EditProduct,
    HistoricalProduct,
    ProductWithStock,
    RenameCategory,
    WithdrawProduct,
)
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.results import Replayed, unwrap_single
from tests.unit.support.shop import CATEGORY, Shop, line, usd
from tests.unit.support.tampering import TamperedStore, failing

STAFF = AccountId(500)


def named(outcome: object) -> set[str]:
    """The fields that an error names."""
    assert isinstance(outcome, Invalid), outcome
    return set(outcome.errors)


def edit(shop: Shop, product_id: ProductId, editor: AccountId, **more: Any) -> ProductWithStock | MarketError:
    changes = more.pop("changes", {"name": "Kettle"})
    (outcome,) = shop.catalog.edit_products([EditProduct(product_id, editor, changes, **more)])
    return outcome


# --- listing


def test_a_created_product_has_its_stock_and_price_history(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, "19.90", 3, name="Tea pot", brand="Brown", sku="T-1")
    view = shop.queries.products([tea])[tea]
    assert (view.name, view.brand, view.price, view.stock, view.seller.id) == (
        "Tea pot", "Brown", usd("19.90"), 3, seller.id,
    )  # fmt: skip
    history = shop.queries.price_history(tea, shop.clock.now())
    assert history is not None
    assert [(i.price, i.cause) for i in history.intervals] == [(usd("19.90"), PriceCause.LISTED)]
    (total,) = shop.queries.movement_totals()
    assert (total.kind, total.units) == (MovementKind.OPENING, 3)


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"price": Money(0, "USD")}, {"price"}),
        ({"price": Money(MAX_PRICE + 1, "USD")}, {"price"}),
        ({"cost": Money(-1, "USD")}, {"cost"}),
        ({"min_price": usd("2.00"), "max_price": usd("1.00")}, {"max_price"}),
        ({"cost": Money(1, "EUR")}, {"cost"}),
        ({"category_id": CategoryId(999)}, {"category_id"}),
        ({"stock": -1}, {"stock"}),
        ({"stock": MAX_STOCK + 1}, {"stock"}),
        ({"name": "", "stock": -1, "price": Money(0, "USD"), "category_id": CategoryId(0)},
         {"name", "stock", "price", "category_id"}),
    ],
)  # fmt: skip
def test_an_invalid_product_names_each_field_and_fails_alone(
    shop: Shop, seller: Account, wrong: dict[str, Any], fields: set[str]
) -> None:
    facts: dict[str, Any] = {"owner": seller.id, "category_id": CATEGORY, "name": "Tea", "price": usd("1.00")}
    refused, made = shop.catalog.create_products([CreateProduct(**(facts | wrong)), CreateProduct(**facts)])
    assert named(refused) == fields
    assert isinstance(made, ProductWithStock)
    assert list(shop.queries.products([ProductId(n) for n in range(1, 5)])) == [made.product.id]


def test_a_product_may_use_the_limits_of_price_and_stock(shop: Shop, seller: Account) -> None:
    dear = shop.list(seller, "99999999.99", MAX_STOCK, min_price=usd("0.01"), max_price=usd("99999999.99"))
    assert shop.stock(dear).available == MAX_STOCK


def test_a_product_with_an_idempotency_key_is_created_once(shop: Shop, seller: Account) -> None:
    key = IdempotencyKey("k", b"print", lambda shelved: str(shelved.product.id).encode())
    command = CreateProduct(seller.id, CATEGORY, "Tea", usd("1.00"), idempotency=key)
    (made,) = shop.catalog.create_products([command])
    assert isinstance(made, ProductWithStock)
    assert shop.catalog.create_products([command]) == [Replayed(str(made.product.id).encode())]


# --- codes of the seller's own


def test_a_code_is_unique_among_what_a_seller_offers(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, sku="T-1")
    twin, other = shop.catalog.create_products(
        [
            CreateProduct(seller.id, CATEGORY, "Twin", usd("1.00"), sku="T-1"),
            CreateProduct(buyer.id, CATEGORY, "Somebody else's", usd("1.00"), sku="T-1"),
        ]
    )
    assert named(twin) == {"sku"}
    assert isinstance(other, ProductWithStock)
    assert shop.queries.ids_by_sku(seller.id, ["T-1"]) == {"T-1": tea}


def test_a_code_is_free_again_when_its_product_is_withdrawn(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, sku="T-1")
    shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)])
    again = shop.list(seller, sku="T-1")
    assert shop.queries.ids_by_sku(seller.id, ["T-1"]) == {"T-1": again}


def test_an_edit_into_a_taken_code_fails_alone(shop: Shop, seller: Account) -> None:
    shop.list(seller, sku="T-1")
    cup, can = shop.list(seller), shop.list(seller)
    taken, done = shop.catalog.edit_products(
        [EditProduct(cup, seller.id, {"sku": "T-1"}), EditProduct(can, seller.id, {"sku": "T-2"})]
    )
    assert named(taken) == {"sku"}
    assert isinstance(done, ProductWithStock)
    assert (shop.product(cup).sku, shop.product(can).sku) == (None, "T-2")


# --- editing


def test_an_edit_writes_fields_history_and_stock_together(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    shop.clock.advance(hours=1)
    outcome = edit(shop, tea, seller.id, changes={"name": "Kettle", "price": usd("12.00")}, stock=25)
    assert isinstance(outcome, ProductWithStock)
    view = shop.queries.products([tea])[tea]
    assert (view.name, view.price, view.stock, view.version) == ("Kettle", usd("12.00"), 25, 2)
    history = shop.queries.price_history(tea, shop.clock.now())
    assert history is not None
    assert [i.cause for i in history.intervals] == [PriceCause.MANUAL, PriceCause.LISTED]
    assert history.lowest_price_30d == usd("10.00")
    assert shop.queries.stock_discrepancies() == []


def test_a_change_of_stock_alone_does_not_increase_the_version(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    edit(shop, tea, seller.id, changes={}, stock=1)
    assert (shop.product(tea).version, shop.stock(tea).available) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "stock", "fields"),
    [
        ({"name": ""}, 5, {"name"}),
        ({"price": Money(0, "USD")}, 5, {"price"}),
        ({"price": Money(1000, "EUR")}, 5, {"price"}),
        ({"category_id": CategoryId(999)}, 5, {"category_id"}),
        ({"name": "Kettle"}, -1, {"stock"}),
        ({"name": "Kettle"}, MAX_STOCK + 1, {"stock"}),
        ({"name": "Kettle", "min_price": Money(1, "EUR")}, 5, {"min_price"}),
    ],
)
def test_a_refused_edit_changes_neither_product_nor_stock(
    shop: Shop, seller: Account, changes: dict[str, Any], stock: int, fields: set[str]
) -> None:
    tea = shop.list(seller)
    before = (shop.product(tea), shop.stock(tea))
    assert named(edit(shop, tea, seller.id, changes=changes, stock=stock)) == fields
    assert (shop.product(tea), shop.stock(tea)) == before


def test_an_edit_that_repeats_what_was_read_undoes_neither_a_sale_nor_a_policy(
    shop: Shop, seller: Account, buyer: Account
) -> None:
    tea = shop.list(seller, "10.00", 5)
    read = shop.queries.products([tea])[tea]
    shop.buy(buyer, line(tea, 2))
    with shop.store.begin() as tx:
        product = tx.products.lock([tea])[tea]
        product.reprice(usd("12.00"), shop.clock.now(), PriceCause.POLICY)
        tx.products.save([product])
    changes, baseline = {"price": read.price, "name": "Kettle"}, {"price": read.price, "stock": read.stock}
    done = edit(shop, tea, seller.id, changes=changes, stock=read.stock, baseline=baseline)
    assert isinstance(done, ProductWithStock)
    now = shop.queries.products([tea])[tea]
    assert (now.name, now.price, now.stock) == ("Kettle", usd("12.00"), 3)


def test_a_new_stock_is_set_once_and_only_over_the_figure_that_was_read(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller, "10.00", 5)
    restocked = EditProduct(tea, seller.id, {}, stock=8, baseline={"stock": 5})
    for outcome in shop.catalog.edit_products([restocked, restocked]):
        assert isinstance(outcome, ProductWithStock)
    assert shop.stock(tea).available == 8
    moved = edit(shop, tea, seller.id, changes={"name": "Kettle"}, stock=9, baseline={"stock": 5})
    assert isinstance(moved, StockMoved)
    assert (moved.expected, moved.actual) == (5, 8)
    assert (shop.stock(tea).available, shop.product(tea).version) == (8, 1)
    assert named(edit(shop, tea, seller.id, changes={}, stock=-1, baseline={"stock": 5})) == {"stock"}


def test_of_two_edits_in_one_batch_the_refused_one_undoes_nothing(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    done, refused, stale = shop.catalog.edit_products(
        [
            EditProduct(tea, seller.id, {"name": "Kettle"}, version=1),
            EditProduct(tea, seller.id, {"name": ""}),
            EditProduct(tea, seller.id, {"name": "Late"}, version=1),
        ]
    )
    assert isinstance(done, ProductWithStock)
    assert named(refused) == {"name"}
    assert isinstance(stale, VersionMismatch)
    assert (shop.product(tea).name, shop.product(tea).version) == ("Kettle", 2)


def test_an_unknown_field_in_an_edit_raises_type_error(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    with pytest.raises(TypeError, match="no editable seller_id, version"):
        edit(shop, tea, seller.id, changes={"version": 9, "seller_id": 1})


def test_a_lost_reply_to_an_edit_is_tried_again(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    catalog = Catalog(TamperedStore(shop.store, before=failing(ConnectionLost(), TransactionAborted())), shop.clock)
    assert isinstance(
        unwrap_single(catalog.edit_products([EditProduct(tea, seller.id, {"name": "Kettle"})])), ProductWithStock
    )


# --- who may


@pytest.mark.parametrize("active", [True, False])
def test_a_stranger_may_not_edit_and_is_not_told_of_what_is_hidden(
    shop: Shop, seller: Account, buyer: Account, active: bool
) -> None:
    tea = shop.list(seller, is_active=active)
    refusal = Forbidden if active else NotFound
    outcomes = [
        edit(shop, tea, buyer.id),
        *shop.catalog.withdraw_products([WithdrawProduct(tea, buyer.id)]),
        *shop.catalog.adjust_stock([AdjustStock(tea, buyer.id, delta=1)]),
    ]
    assert [type(outcome) for outcome in outcomes] == [refusal] * 3
    assert (shop.product(tea).version, shop.stock(tea).on_hand) == (1, 10)


@pytest.mark.parametrize("active", [True, False])
def test_owner_and_staff_may_edit_a_product(shop: Shop, seller: Account, active: bool) -> None:
    tea = shop.list(seller, is_active=active)
    assert isinstance(edit(shop, tea, seller.id, changes={"is_active": not active}), ProductWithStock)
    assert isinstance(edit(shop, tea, STAFF, as_staff=True), ProductWithStock)
    assert unwrap_single(shop.catalog.adjust_stock([AdjustStock(tea, STAFF, delta=1, as_staff=True)])).on_hand == 11
    assert unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(tea, STAFF, as_staff=True)])).withdrawn_at


def test_missing_and_withdrawn_products_are_not_found(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)]))
    for missing in (tea, ProductId(999)):
        outcomes = [
            edit(shop, missing, seller.id),
            edit(shop, missing, STAFF, as_staff=True),
            *shop.catalog.withdraw_products([WithdrawProduct(missing, seller.id)]),
            *shop.catalog.adjust_stock([AdjustStock(missing, seller.id, delta=1)]),
        ]
        assert [type(outcome) for outcome in outcomes] == [NotFound] * 4
        assert shop.queries.products([missing]) == {}


def test_withdrawing_with_an_outdated_version_is_refused(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    shop.edit(tea, name="Kettle")
    (stale,) = shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id, version=1)])
    assert isinstance(stale, VersionMismatch)
    assert unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id, version=2)])).withdrawn_at


def test_orders_keep_the_lines_of_a_withdrawn_product(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller)
    order = shop.buy(buyer, line(tea))
    shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)])
    assert shop.queries.orders([order.id])[order.id].lines[0].name == "Tea pot"


# --- stock


def test_stock_is_adjusted_by_a_delta_or_set_when_it_is_as_expected(
    shop: Shop, seller: Account, buyer: Account
) -> None:
    tea = shop.list(seller)
    shop.reserve(buyer, line(tea, 4))
    added, moved, set_to = shop.catalog.adjust_stock(
        [
            AdjustStock(tea, seller.id, delta=5),
            AdjustStock(tea, seller.id, available=40, expected=6),
            AdjustStock(tea, seller.id, available=40, expected=11),
        ]
    )
    assert isinstance(moved, StockMoved)
    assert (moved.expected, moved.actual) == (6, 11)
    assert added == set_to == shop.stock(tea)
    assert (shop.stock(tea).available, shop.stock(tea).on_hand) == (40, 44)
    assert shop.queries.stock_discrepancies() == []


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"delta": 1, "available": 1},
        {"delta": -7},
        {"delta": MAX_STOCK},
        {"available": -1},
        {"available": MAX_STOCK - 3},
    ],
)
def test_stock_beyond_its_limits_is_refused(
    shop: Shop, seller: Account, buyer: Account, figures: dict[str, Any]
) -> None:
    tea = shop.list(seller)
    shop.reserve(buyer, line(tea, 4))
    (outcome,) = shop.catalog.adjust_stock([AdjustStock(tea, seller.id, **figures)])
    assert named(outcome) <= {"delta", "stock"}
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (10, 4)


# --- categories, views, the past


def test_a_category_is_added_once(shop: Shop) -> None:
    added, twin, nothing = shop.catalog.add_categories(
        [AddCategory(AccountId(1), name) for name in ("  Tea & Coffee ", "tea  &\u200b COFFEE", "!!!")]
    )
    assert isinstance(added, Category)
    assert (added.name, added.slug, added.id) == ("Tea & Coffee", "tea-and-coffee", 21)
    assert named(twin) == named(nothing) == {"name"}
    assert added in shop.queries.categories()


def test_different_names_of_categories_have_different_slugs(shop: Shop) -> None:
    names = ("C", "C++", "C#", ".NET", "NET", "เสื้อ", "เสือ", "कपड़े", "T-shirts", "T shirts", "T, shirts", "Node.js")
    outcomes = shop.catalog.add_categories([AddCategory(AccountId(1), name) for name in names])
    slugs = [outcome.slug for outcome in outcomes if isinstance(outcome, Category)]
    assert slugs[:9] == ["c", "c-plus-plus", "c-sharp", "dot-net", "net", "เสื้อ", "เสือ", "कपड़े", "t-shirts"]
    assert len(set(slugs)) == len(names)
    again = shop.catalog.add_categories([AddCategory(AccountId(1), name.lower()) for name in names])
    assert [named(outcome) for outcome in again] == [{"name"}] * len(names)


def test_a_category_of_before_keeps_its_slug_and_its_name(shop: Shop) -> None:
    with shop.store.begin() as tx:
        tx.categories.add([("Tea & Coffee", "tea-coffee")])
    outcomes = shop.catalog.add_categories([AddCategory(AccountId(1), n) for n in ("tea & coffee", "Tea coffee")])
    assert named(outcomes[0]) == {"name"}
    assert isinstance(outcomes[1], Category)
    assert outcomes[1].slug == distinct_slug("Tea coffee")
    assert "tea-coffee" in {category.slug for category in shop.queries.categories()}


def test_a_slug_taken_between_read_and_write_is_made_distinct(shop: Shop) -> None:
    class Late:
        """Another category takes the slug before the first write."""

        taken = False

        def __call__(self) -> None:
            if not self.taken:
                self.taken = True
                with shop.store.begin() as tx:
                    tx.categories.add([("T-shirts", "t-shirts")])
                raise Duplicate("name")

    (outcome,) = Catalog(TamperedStore(shop.store, before=Late()), shop.clock).add_categories(
        [AddCategory(AccountId(1), "T shirts")]
    )
    assert isinstance(outcome, Category)
    assert outcome.slug == distinct_slug("T shirts")


# --- the normal form of texts

SAME = ("T1", "T1 ", " T1", "T1\n", "T1\u200b", "\ufeffT1", "T\u00ad1", "T1\ufe0f")


@pytest.mark.parametrize("text", SAME)
def test_texts_that_look_the_same_are_the_same(shop: Shop, seller: Account, text: str) -> None:
    tea = shop.list(seller, sku=text, brand=text, name=text)
    product = shop.product(tea)
    assert (product.sku, product.brand, product.name) == ("T1", "T1", "T1")
    (twin,) = shop.catalog.create_products([CreateProduct(seller.id, CATEGORY, "Tea", usd("1.00"), sku="T1")])
    assert named(twin) == {"sku"}
    page = shop.queries.search(ProductFilter(brands=[text]), PageRequest())
    assert [view.id for view in page.rows] == [tea]


def test_a_text_is_edited_into_its_normal_form(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    changes = {"name": "Caf\u0065\u0301\u200b\u00a0 cup", "description": " One\r\ntwo\u202e \n", "sku": "A\t1"}
    (edited,) = shop.catalog.edit_products([EditProduct(tea, seller.id, changes)])
    assert not isinstance(edited, MarketError)
    assert (edited.product.name, edited.product.description) == ("Caf\u00e9 cup", "One\ntwo")
    assert edited.product.sku == "A 1"


@pytest.mark.parametrize("blank", ["\u200b", "\u2060\u200d", "\u3164", " \ufeff\n", "\u00ad\u061c"])
def test_a_name_that_cannot_be_seen_is_refused(shop: Shop, seller: Account, blank: str) -> None:
    tea = shop.list(seller)
    outcomes: list[object] = [
        *shop.catalog.create_products([CreateProduct(seller.id, CATEGORY, blank, usd("1.00"))]),
        *shop.catalog.edit_products([EditProduct(tea, seller.id, {"name": blank})]),
        *shop.catalog.add_categories([AddCategory(AccountId(1), blank)]),
    ]
    assert [named(outcome) for outcome in outcomes] == [{"name"}] * 3


def test_a_retry_does_not_take_its_own_categories_for_others(shop: Shop) -> None:
    store = TamperedStore(shop.store, before=failing(None, TransactionAborted()))
    outcomes = Catalog(store, shop.clock).add_categories(
        [AddCategory(AccountId(1), name) for name in ("Tea", "Coffee")]
    )
    assert [outcome.slug if isinstance(outcome, Category) else outcome for outcome in outcomes] == ["tea", "coffee"]


def test_views_are_added_up_and_unknown_products_skipped(shop: Shop, seller: Account) -> None:
    tea = shop.list(seller)
    now = shop.clock.now()
    batch = ViewBatch("one", {(tea, now): 1, (tea, now - timedelta(hours=1)): 2, (ProductId(999), now): 5})
    assert shop.catalog.record_views(batch)
    assert shop.catalog.record_views(ViewBatch("two", {(tea, now): 2}))
    assert shop.catalog.record_views(ViewBatch("three", {}))
    assert shop.queries.products([tea])[tea].count_viewed == 5
    assert shop.queries.products([tea])[tea].version == 1


def test_an_imported_product_has_its_price_history_and_no_events(shop: Shop, seller: Account) -> None:
    opened = shop.clock.now() - timedelta(days=90)
    prices = [(opened + timedelta(days=30 * n), usd(price)) for n, price in enumerate(["3.00", "2.00", "4.00"])]
    events = len(shop.tables.events.rows)
    (shelved,) = shop.catalog.import_products(
        [HistoricalProduct(seller.id, CATEGORY, "Mug", "M-1", prices, opening_stock=7, opened_at=opened)]
    )
    history = shop.queries.price_history(shelved.product.id, shop.clock.now())
    assert history is not None
    assert [(i.valid_from, i.price) for i in reversed(history.intervals)] == prices
    assert {interval.cause for interval in history.intervals} == {PriceCause.IMPORT}
    assert shop.product(shelved.product.id).price == usd("4.00")
    assert shop.stock(shelved.product.id).available == 7
    assert shop.queries.stock_discrepancies() == []
    assert len(shop.tables.events.rows) == events


def test_a_renamed_category_keeps_its_slug_and_leaves_an_entry(shop: Shop) -> None:
    toys, sports = shop.queries.categories()[10], shop.queries.categories()[9]
    by = Actor(STAFF, "192.0.2.7")
    renamed, again, taken, nothing, unknown = shop.catalog.rename_categories(
        [
            RenameCategory(toys.id, " Toys  & Games ", by),
            RenameCategory(toys.id, "Toys & Games", by),
            RenameCategory(toys.id, sports.name.upper(), by),
            RenameCategory(toys.id, "!!!", by),
            RenameCategory(CategoryId(999), "Toys", by),
        ]
    )
    assert renamed == again == shop.queries.categories()[10]
    assert isinstance(renamed, Category)
    assert (renamed.name, renamed.slug) == ("Toys & Games", toys.slug)
    assert named(taken) == named(nothing) == {"name"}
    assert isinstance(unknown, NotFound)
    (record,) = shop.queries.audit_entries(PageRequest(10)).rows
    entry = record.entry
    assert (entry.action, entry.target_id, entry.actor_id) == (AuditAction.CATEGORY_RENAMED, str(toys.id), STAFF)
    assert (entry.before, entry.after) == ({"name": toys.name}, {"name": "Toys & Games"})
    lower = shop.catalog.rename_categories([RenameCategory(toys.id, "toys & games", by)])
    assert isinstance(lower[0], Category)
