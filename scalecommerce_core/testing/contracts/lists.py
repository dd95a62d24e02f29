"""Tests of lists of accounts, orders and sales, and of their pages."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from attrs import evolve

from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, OrderId, ProductId, SessionId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, OrderStatus, RefundLine, Shortfall
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.ports import Store
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import (
    LOW_STOCK,
    MAX_SESSIONS,
    AccountFilter,
    AccountView,
    AllProductsFilter,
    Key,
    OrderLineView,
    OrderMoment,
    OrderView,
    OwnProductsFilter,
    Page,
    PageRequest,
    ProductFilter,
    Queries,
    SaleFilter,
    SaleState,
    SaleView,
    SessionState,
    SessionView,
    StaffProductView,
    StockLevel,
    StockMovementView,
    ValidationBacklog,
)
from scalecommerce_core.queries.accounts import MAX_ACTIONS
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage

T = TypeVar("T")


def round_trip(key: Key) -> Key:
    """The key as a client sends it back."""
    return tuple(json.loads(json.dumps(key)))


def forwards(fetch: Callable[[PageRequest], Page[T]], size: int) -> list[Page[T]]:
    """All pages, from the first one."""
    pages = [fetch(PageRequest(size))]
    while (key := pages[-1].next) is not None:
        pages.append(fetch(PageRequest(size, after=round_trip(key))))
        assert len(pages) < 1000, "the pages have no end"
    return pages


def backwards(fetch: Callable[[PageRequest], Page[T]], last: Page[T], size: int) -> list[Page[T]]:
    """The pages before `last`, in the order of the list."""
    pages = [last]
    while (key := pages[0].previous) is not None:
        pages.insert(0, fetch(PageRequest(size, before=round_trip(key))))
        assert len(pages) < 1000, "the pages have no beginning"
    return pages[:-1]


def rows(pages: list[Page[T]]) -> list[T]:
    return [row for page in pages for row in page.rows]


class ListsContract:
    # --- accounts

    def test_accounts_are_listed_by_id(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        kara = stage.account("kara@example.com", first_name="Kara", last_name="Sexton", bio="Tea.")
        stage.account("left@example.com", is_active=False)
        others = [stage.account() for _ in range(5)]
        listed = rows(forwards(queries.accounts, 3))
        assert [view.id for view in listed] == [kara, *others]
        assert listed[0] == AccountView(kara, "Kara", "Sexton", "kara@example.com", "Tea.", "Kara S.")
        assert listed[1].public_name == f"Seller {others[0]}"
        assert queries.account(kara) == listed[0]
        assert queries.account(AccountId(10**30)) is None

    def test_accounts_are_filtered(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, left = stage.account("ann@example.com"), stage.account("left@example.com", is_active=False)
        omar = stage.account("omar@example.com", is_staff=True)

        def found(criteria: AccountFilter) -> list[AccountId]:
            return [view.id for view in rows(forwards(lambda page: queries.accounts(page, criteria), 2))]

        assert found(AccountFilter()) == [ann, omar]
        assert found(AccountFilter(is_active=None)) == [ann, left, omar]
        assert found(AccountFilter(is_active=False)) == [left]
        assert found(AccountFilter(is_staff=True)) == [omar]
        assert found(AccountFilter(is_staff=False)) == [ann]
        assert found(AccountFilter(is_active=None, email="left@example.com")) == [left]
        assert found(AccountFilter(email="left@example.com")) == []

    def test_the_history_of_an_account_is_listed_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, omar = stage.account("ann@example.com", first_name="Ann"), stage.account(is_staff=True)
        entries = [
            Actor(omar if n else None).entry(
                AuditAction.ACCOUNT_DEACTIVATED, ann, NOW + n * SECOND, reason=f"Reason {n}."
            )
            for n in range(MAX_ACTIONS + 1)
        ]
        for entry in entries:
            with store.begin() as tx:
                tx.audit.record([entry])
        found = queries.account_details(ann)
        assert found is not None
        assert (found.account, found.is_staff, found.is_active) == (queries.account(ann), False, True)
        assert found.created_at == NOW
        assert list(found.actions) == entries[:0:-1]
        other = queries.account_details(omar)
        assert other is not None
        assert (other.is_staff, list(other.actions)) == (True, [])
        assert queries.account_details(AccountId(10**15)) is None

    def test_details_show_second_factor_verified_address_and_deletion(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ids = [stage.account() for _ in range(3)]
        guarded, enrolling, deleted = ids
        with store.begin() as tx:
            accounts = tx.accounts.lock(ids)
            accounts[guarded].email_verified_at = NOW
            accounts[deleted].erase("abc")
            tx.accounts.save(list(accounts.values()))
            tx.second_factors.put(
                [SecondFactor(guarded, "secret", NOW, confirmed_at=NOW), SecondFactor(enrolling, "secret", NOW)]
            )
        found = [queries.account_details(id_) for id_ in ids]
        assert [(each.has_second_factor, each.email_verified_at, each.is_deleted) for each in found if each] == [
            (True, NOW, False),
            (False, None, False),
            (False, None, True),
        ]

    # --- sessions

    def test_a_session_is_open_until_it_is_revoked_or_its_account_is_deactivated(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        ann, left, staff = stage.account(), stage.account(is_active=False), stage.account(is_staff=True)
        opened = [Session(SessionId(f"s{who}"), who, "first", NOW, NOW + DAY) for who in (ann, left, staff)]
        revoked = Session(SessionId("revoked"), ann, "first", NOW, NOW + DAY, NOW)
        with store.begin() as tx:
            tx.sessions.add([*opened, revoked])
        assert queries.session_states([*(session.id for session in opened), revoked.id, SessionId("unknown")]) == {
            opened[0].id: SessionState(ann, is_open=True, is_staff=False),
            opened[1].id: SessionState(left, is_open=False, is_staff=False),
            opened[2].id: SessionState(staff, is_open=True, is_staff=True),
            revoked.id: SessionState(ann, is_open=False, is_staff=False),
        }
        assert queries.session_states([]) == {}

    def test_open_sessions_are_listed_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, other = stage.account(), stage.account()
        made = [
            Session(
                SessionId(f"s{n}"),
                ann,
                "first",
                NOW + n * SECOND,
                NOW + DAY,
                network="192.0.2.0/24",
                user_agent="Ärger",
            )
            for n in range(MAX_SESSIONS + 1)
        ]
        made[-1].rotated_at = NOW + DAY / 2
        hidden = [
            Session(SessionId("revoked"), ann, "first", NOW + DAY, NOW + DAY, NOW),
            Session(SessionId("expired"), ann, "first", NOW, NOW + SECOND),
            Session(SessionId("other"), other, "first", NOW, NOW + DAY),
        ]
        with store.begin() as tx:
            tx.sessions.add([*made, *hidden])
        found = queries.open_sessions(ann, NOW + SECOND)
        assert [view.id for view in found] == [each.id for each in made[:0:-1]]
        assert found[0] == SessionView(
            made[-1].id, made[-1].created_at, NOW + DAY / 2, NOW + DAY, "192.0.2.0/24", "Ärger"
        )
        assert found[1].used_at == found[1].created_at

    def test_revoked_sessions_are_those_since_a_time(self, store: Store, queries: Queries) -> None:
        ann = Stage(store).account()
        moments = [None, NOW - SECOND, NOW, NOW + SECOND]
        with store.begin() as tx:
            tx.sessions.add(
                [Session(SessionId(f"s{n}"), ann, "first", NOW, NOW + DAY, at) for n, at in enumerate(moments)]
            )
        assert sorted(queries.revoked_sessions(NOW)) == ["s2", "s3"]

    # --- orders

    def test_a_buyer_sees_their_own_orders_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, other = stage.account(), stage.account()
        kara, omar = stage.account(), stage.account()
        cup, pot = stage.product(kara, price=3_00, name="Cup"), stage.product(omar, price=7_00, name="Pot")
        mine: list[OrderId] = []
        for quantity in range(1, 8):
            mine.insert(0, stage.order(buyer, {pot: quantity, cup: 1}, at=NOW + quantity * SECOND))
            stage.order(other, {cup: 1})
        listed = rows(forwards(lambda page: queries.orders_of_buyer(buyer, page), 3))
        assert [order.id for order in listed] == mine
        assert listed[0] == OrderView(
            id=mine[0],
            user=buyer,
            lines=(
                OrderLineView(mine[0] * 10_000 + 1, pot, omar, "Pot", 7, 7_00, 0),
                OrderLineView(mine[0] * 10_000 + 2, cup, kara, "Cup", 1, 3_00, 0),
            ),
            total=52_00,
            currency="USD",
            status=OrderStatus.CREATED,
            shortfalls=(),
            created_at=NOW + 7 * SECOND,
            updated_at=NOW + 7 * SECOND,
            expires_at=None,
        )
        assert queries.orders_of_buyer(stage.account(), PageRequest()) == Page(())

    def test_orders_that_staff_cancelled_show_it(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=5)
        own, by_staff = (stage.order(buyer, {product: 1}) for _ in range(2))
        for order_id in (own, by_staff):
            with store.begin() as tx:
                order = tx.orders.lock([order_id])[order_id]
                order.cancel({}, NOW, by_staff=order_id == by_staff)
                tx.orders.save([order])
        expected = {own: (False, OrderMoment.CANCELLED), by_staff: (True, OrderMoment.CANCELLED_BY_STAFF)}
        for order_id, (is_by_staff, moment) in expected.items():
            assert queries.orders([order_id])[order_id].is_cancelled_by_staff is is_by_staff
            details = queries.order_details(order_id)
            assert details is not None
            assert details.view.order.is_cancelled_by_staff is is_by_staff
            assert details.timeline[-1].moment is moment
        assert [view.is_cancelled_by_staff for view in queries.orders_of_buyer(buyer, PageRequest(2)).rows] == [
            True, False,
        ]  # fmt: skip

    def test_orders_show_their_state(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=5, price=10)
        pending = stage.order(buyer, {product: 2}, OrderStatus.PENDING)
        rejected = stage.order(buyer, {product: 9}, OrderStatus.REJECTED)
        refunded = stage.order(buyer, {product: 3}, OrderStatus.PAID)
        stage.refund(refunded, [RefundLine(product, 1)])
        found = queries.orders([pending, rejected, refunded, OrderId(10**30)])
        assert found.keys() == {pending, rejected, refunded}
        assert found[pending].expires_at == NOW + DAY
        assert found[rejected].shortfalls == (Shortfall(product, 9, 3),)
        assert [line.refunded for line in found[refunded].lines] == [1]
        assert [found[id_].total for id_ in (pending, rejected, refunded)] == [20, 90, 30]
        assert queries.orders([]) == {}

    def test_order_lines_keep_the_price_and_the_name_of_a_withdrawn_product(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(price=10, name="Cup")
        order_id = stage.order(buyer, {product: 1})
        stage.reprice(product, 99, NOW + DAY)
        stage.withdraw(product)
        (line,) = queries.orders([order_id])[order_id].lines
        assert (line.price, line.name) == (10, "Cup")

    # --- sales

    def test_a_seller_sees_only_their_own_order_lines(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, other, buyer = stage.account(), stage.account(), stage.account()
        cup, pot = stage.product(seller, price=3, name="Cup"), stage.product(seller)
        foreign = stage.product(other)
        first = stage.order(buyer, {foreign: 1, cup: 2, pot: 1}, OrderStatus.PAID)
        second = stage.order(buyer, {pot: 4, foreign: 1}, at=NOW + DAY)
        stage.order(buyer, {foreign: 1})
        stage.order(seller, {cup: 1})  # their own order, not a sale to others
        stage.refund(first, [RefundLine(cup, 1)])
        listed = rows(forwards(lambda page: queries.sales(seller, page), 2))
        assert [(sale.order, sale.product) for sale in listed] == [(second, pot), (first, pot), (first, cup)]
        assert listed[-1] == SaleView(
            id=first * 10_000 + 2,
            order=first,
            product=cup,
            name="Cup",
            quantity=2,
            price=3,
            refunded=1,
            currency="USD",
            status=OrderStatus.PAID,
            created_at=NOW,
        )

    def test_sales_are_filtered(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        cup, pot = stage.product(seller, name="Cup"), stage.product(seller)
        early = stage.order(buyer, {cup: 1, pot: 1}, OrderStatus.PAID)
        late = stage.order(buyer, {cup: 2}, at=NOW + DAY)

        def found(page: PageRequest | None = None, **conditions: Any) -> list[tuple[OrderId, ProductId]]:
            listed = queries.sales(seller, page or PageRequest(), SaleFilter(**conditions))
            return [(sale.order, sale.product) for sale in listed.rows]

        assert found() == [(late, cup), (early, pot), (early, cup)]
        assert found(status=OrderStatus.PAID) == [(early, pot), (early, cup)]
        assert found(product=cup) == [(late, cup), (early, cup)]
        assert found(status=OrderStatus.PAID, product=cup) == [(early, cup)]
        assert found(since=NOW + DAY) == [(late, cup)]
        assert found(until=NOW + DAY) == [(early, pot), (early, cup)]
        assert found(since=NOW, until=NOW) == []
        first = queries.sales(seller, PageRequest(1), SaleFilter(product=cup))
        assert found(PageRequest(1, after=first.next), product=cup) == [(early, cup)]
        with pytest.raises(Invalid):
            SaleFilter(since=NOW + DAY, until=NOW)

    # --- accounts

    def test_accounts_are_found_by_a_fragment(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ids = [stage.account() for _ in range(3)]
        texts = [("Kára", "Lind", "Tea_100%"), ("Омар", "Петров", ""), ("Ann", "Kar", "")]
        with store.begin() as tx:
            found = tx.accounts.lock(ids)
            for id_, (first, last, shown) in zip(ids, texts, strict=True):
                found[id_].edit(first_name=first, last_name=last, display_name=shown)
            tx.accounts.save(list(found.values()))
            emails = [found[id_].email for id_ in ids]

        def listed(search: str, size: int = 10) -> list[AccountId]:
            return [view.id for view in queries.accounts(PageRequest(size), AccountFilter(search=search)).rows]

        assert listed("kara") == [ids[0]]
        assert listed(" KÁRA li ") == [ids[0]]
        assert listed("омар пет") == [ids[1]]
        assert listed("_100%") == [ids[0]]
        assert listed("a_100") == [ids[0]]
        assert listed("a%100") == listed("k_r") == listed("nobody") == []
        assert listed(emails[2]) == [ids[2]]
        assert listed("kar", 1) == [ids[0]]
        assert queries.accounts(PageRequest(10), AccountFilter(search="kar", is_active=False)).rows == ()
        with pytest.raises(Invalid):
            AccountFilter(search=" ka ")

    # --- own products

    def test_a_seller_lists_their_products_newest_first_also_paused_ones(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, other = stage.account(), stage.account()
        stage.product(other)
        first, second, third = (stage.product(seller) for _ in range(3))
        with store.begin() as tx:
            paused = tx.products.lock([second])[second]
            paused.edit(NOW, is_active=False)
            tx.products.save([paused])
        listed = rows(forwards(lambda page: queries.own_products(seller, page), 2))
        assert [view.id for view in listed] == [third, second, first]
        whole = PageRequest(10)
        for is_active, expected in ((False, [second]), (True, [third, first])):
            found = queries.own_products(seller, whole, OwnProductsFilter(is_active)).rows
            assert [view.id for view in found] == expected

    def test_own_products_are_filtered_by_stock_category_policy_and_words(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, other = stage.account(), stage.account()
        blue = stage.product(seller, name="Blue cups", stock=LOW_STOCK, sku="B-1")
        red = stage.product(seller, name="Red cup", stock=LOW_STOCK + 1, category_id=CategoryId(2))
        gone = stage.product(seller, name="Blue vase", stock=0)
        stage.product(other, name="Blue cup", stock=LOW_STOCK)
        with store.begin() as tx:
            (policy_id,) = tx.policies.next_ids(1)
            tx.policies.add([PricingPolicy(policy_id, seller, "Mine", NOW)])
            tx.policies.assign({blue: policy_id})

        def found(**criteria: Any) -> list[ProductId]:
            chosen = OwnProductsFilter(**criteria)
            return [view.id for view in rows(forwards(lambda page: queries.own_products(seller, page, chosen), 1))]

        assert found(stock=StockLevel.OUT) == [gone]
        assert found(stock=StockLevel.LOW) == [blue]
        assert found(stock=StockLevel.IN) == [red, blue]
        assert found(category=CategoryId(2)) == [red]
        assert found(policy=policy_id) == [blue]
        assert found(search="cup") == [red, blue]
        assert found(search="CUPS blue") == [blue]
        assert found(search="B-1") == [blue]
        assert found(search="!") == []
        assert found(search="blue", stock=StockLevel.OUT, category=CategoryId(1)) == [gone]
        assert found(policy=policy_id, stock=StockLevel.OUT) == []

    def test_own_products_are_searched_by_their_names_alone(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        cup = stage.product(seller, name="Blue cup")
        stage.product(seller, name="Saucer", brand="Cup", description="For a blue cup.")
        page = queries.own_products(seller, PageRequest(10), OwnProductsFilter(search="blue cup"))
        assert [view.id for view in page.rows] == [cup]

    # --- stock movements

    def test_the_ledger_of_a_product_has_the_units_after_each_movement(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product, other = stage.product(stock=50), stage.product(stock=5)
        order = stage.order(stage.account(), {product: 2, other: 1}, OrderStatus.PAID)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            for delta in (-7, 30, -1):
                stock.adjust(delta, NOW + SECOND)
            tx.stock.save([stock])

        def fetch(page: PageRequest) -> Page[StockMovementView]:
            return queries.stock_movements(product, page)

        whole = rows(forwards(fetch, 10))
        assert [(view.kind, view.quantity, view.on_hand, view.order) for view in whole] == [
            (MovementKind.ADJUSTMENT, -1, 70, None),
            (MovementKind.ADJUSTMENT, 30, 71, None),
            (MovementKind.ADJUSTMENT, -7, 41, None),
            (MovementKind.SALE, -2, 48, order),
            (MovementKind.OPENING, 50, 50, None),
        ]
        assert whole[0].at == NOW + SECOND
        for size in (1, 2, 3):
            pages = forwards(fetch, size)
            assert rows(pages) == whole
            assert rows(backwards(fetch, pages[-1], size)) == rows(pages[:-1])
        assert queries.stock_movements(ProductId(10**12), PageRequest()).rows == ()

    # --- all products

    def test_staff_list_products_of_everybody_on_sale_or_not(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, banned, deleted = (stage.account() for _ in range(3))
        first, paused, withdrawn = (stage.product(seller) for _ in range(3))
        banned_one, banned_paused = (stage.product(banned) for _ in range(2))
        gone, last = stage.product(deleted), stage.product(seller)
        with store.begin() as tx:
            found = tx.products.lock([paused, withdrawn, banned_paused, gone])
            for each in (paused, banned_paused):
                found[each].edit(NOW, is_active=False)
            for each in (withdrawn, gone):
                found[each].withdraw(NOW)
            tx.products.save(list(found.values()))
        with store.begin() as tx:
            accounts = tx.accounts.lock([banned, deleted])
            accounts[banned].is_active = False
            accounts[deleted].erase("random")
            tx.accounts.save(list(accounts.values()))

        def listed(*, is_on_sale: bool | None = None, seller: AccountId | None = None) -> list[ProductId]:
            criteria = AllProductsFilter(is_on_sale, seller)

            def fetch(page: PageRequest) -> Page[StaffProductView]:
                return queries.all_products(page, criteria)

            whole = rows(forwards(fetch, 10))
            for size in (1, 2, 3):
                pages = forwards(fetch, size)
                assert rows(pages) == whole
                assert rows(backwards(fetch, pages[-1], size)) == rows(pages[:-1])
            return [view.product.id for view in whole]

        assert listed() == [last, gone, banned_paused, banned_one, withdrawn, paused, first]
        assert listed(is_on_sale=True) == [last, first]
        assert listed(is_on_sale=False) == [gone, banned_paused, banned_one, withdrawn, paused]
        assert listed(seller=banned) == listed(is_on_sale=False, seller=banned) == [banned_paused, banned_one]
        assert listed(is_on_sale=False, seller=seller) == [withdrawn, paused]
        assert listed(is_on_sale=True, seller=seller) == [last, first]
        assert listed(is_on_sale=True, seller=banned) == []
        assert [view.id for view in queries.search(ProductFilter(), PageRequest(10)).rows] == [last, first]
        whole = queries.all_products(PageRequest(10)).rows
        assert {view.product.id: (view.state, view.withdrawn_at) for view in whole} == {
            last: (SaleState.ON_SALE, None),
            first: (SaleState.ON_SALE, None),
            paused: (SaleState.PAUSED, None),
            banned_paused: (SaleState.PAUSED, None),
            banned_one: (SaleState.SELLER_DEACTIVATED, None),
            withdrawn: (SaleState.WITHDRAWN, NOW),
            gone: (SaleState.WITHDRAWN, NOW),
        }

    # --- pages

    def test_pages_cover_the_list_in_both_directions(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        orders = [stage.order(buyer, {product: 1}) for _ in range(7)][::-1]

        def fetch(page: PageRequest) -> Page[OrderView]:
            return queries.orders_of_buyer(buyer, page)

        for size in (1, 2, 3, 6, 7, 8):
            pages = forwards(fetch, size)
            assert [order.id for order in rows(pages)] == orders
            assert len(pages) == -(-7 // size)
            assert pages[0].previous is None
            assert rows(backwards(fetch, pages[-1], size)) == rows(pages[:-1])

    def test_pages_do_not_shift_when_rows_are_inserted_before_them(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        orders = [stage.order(buyer, {product: 1}) for _ in range(6)][::-1]
        first = queries.orders_of_buyer(buyer, PageRequest(2))
        late = stage.order(buyer, {product: 1})
        assert first.next is not None
        second = queries.orders_of_buyer(buyer, PageRequest(2, after=first.next))
        assert [order.id for order in second.rows] == orders[2:4]
        assert second.previous is not None
        back = queries.orders_of_buyer(buyer, PageRequest(2, before=second.previous))
        assert [order.id for order in back.rows] == orders[:2]
        assert back.previous is not None
        newest = queries.orders_of_buyer(buyer, PageRequest(2, before=back.previous))
        assert [order.id for order in newest.rows] == [late]
        assert newest.previous is None

    # --- backlog

    def test_the_oldest_undecided_order_is_found(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        assert queries.oldest_undecided() is None
        parked = stage.order(buyer, {product: 1}, at=NOW)
        decided = stage.order(buyer, {product: 1}, at=NOW + SECOND)
        stage.order(buyer, {product: 1}, at=NOW + 2 * SECOND)
        stage.order(buyer, {product: 1}, at=NOW + 3 * SECOND)
        assert queries.oldest_undecided() == NOW
        with store.begin() as tx:
            order = tx.orders.lock([parked])[parked]
            for _ in range(DECIDE_ATTEMPTS):
                order.record_decision_failure(NOW, NOW, "KeyError: 7")
            tx.orders.save([order])
        assert queries.oldest_undecided() == NOW + SECOND
        stage.decide([decided])
        assert queries.oldest_undecided() == NOW + 2 * SECOND

    def test_orders_that_wait_for_their_first_decision_are_counted(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        assert queries.validation_backlog() == ValidationBacklog()
        ids = [stage.order(buyer, {product: 1}, at=NOW + second * SECOND) for second in range(5)]
        assert queries.validation_backlog() == ValidationBacklog(5, 0, ids[0], ids[4], NOW)
        with store.begin() as tx:
            parked, deferred = tx.orders.lock(ids[:2]).values()
            for _ in range(DECIDE_ATTEMPTS):
                parked.record_decision_failure(NOW, NOW, "KeyError: 7")
            deferred.record_decision_failure(NOW, NOW, "KeyError: 7")
            tx.orders.save([parked, deferred])
        stage.decide([ids[2]])
        expected = ValidationBacklog(2, 1, ids[3], ids[4], NOW + 3 * SECOND)
        assert queries.validation_backlog(ids[3]) == expected
        assert queries.validation_backlog(ids[4]) == evolve(expected, remaining=2)

    def test_unknown_products_are_not_found(self, queries: Queries) -> None:
        assert queries.products([ProductId(10**30), ProductId(-1)]) == {}
        assert queries.products([]) == {}

    # --- exports

    def test_every_product_and_order_can_be_read_by_id(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        mine, asleep, gone = stage.product(seller), stage.product(seller, is_active=False), stage.product(seller)
        foreign = stage.product()
        stage.withdraw(gone)
        orders = [stage.order(buyer, {mine: 1, foreign: 2}) for _ in range(3)]
        assert [view.id for view in queries.iter_products()] == [mine, asleep, foreign]
        assert [view.id for view in queries.iter_products(seller)] == [mine, asleep]
        assert {view.id: view for view in queries.iter_products(seller)} == queries.products([mine, asleep])
        assert list(queries.iter_orders()) == [queries.orders(orders)[order_id] for order_id in orders]
