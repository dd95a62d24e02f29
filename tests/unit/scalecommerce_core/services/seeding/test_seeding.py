"""Seeded markets follow the same rules as real ones; the tests check the stored rows."""

from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import datetime, timedelta

import pytest

from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import CategoryId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.seeding import PASSWORD, AlreadySeeded, NothingToSeedOn, Seeded, Seeding
from scalecommerce_core.testing import MemoryStore, PlainPasswords, SettableClock, in_memory_market
from scalecommerce_core.testing.memory.tables import Tables

SOLD = {OrderStatus.PAID, OrderStatus.REFUNDED}


def seeding(market: Market) -> Seeding:
    return Seeding(market.store, market.queries, market.clock, PlainPasswords())


def tables(market: Market) -> Tables:
    assert isinstance(market.store, MemoryStore)
    return market.store.tables


@pytest.fixture(scope="module")
def market() -> Market:
    market = in_memory_market()
    made = seeding(market).everything(users=12, products=150, orders=1_200, rng_seed=7)
    assert (made.users, made.products, made.orders) == (12, 150, 1_200)
    return market


# --- what must hold in every market


def test_seeded_stock_agrees_with_its_ledger(market: Market) -> None:
    assert market.queries.stock_discrepancies() == []


def test_stock_was_never_below_zero(market: Market) -> None:
    on_hand: Counter[ProductId] = Counter()
    for movement in tables(market).movements.rows:
        on_hand[movement.product_id] += movement.quantity
        assert on_hand[movement.product_id] >= 0
    for stock in tables(market).stock.all():
        assert 0 <= stock.reserved <= stock.on_hand


def test_each_sale_and_return_is_one_of_an_order(market: Market) -> None:
    moved: defaultdict[OrderId, Counter[ProductId]] = defaultdict(Counter)
    for movement in tables(market).movements.rows:
        if movement.kind is MovementKind.SALE and movement.order_id is not None:
            moved[movement.order_id][movement.product_id] -= movement.quantity
    sold = {order.id: order.quantities() for order in tables(market).orders.all() if order.status in SOLD}
    assert sold == dict(moved)
    returned = sum(m.quantity for m in tables(market).movements.rows if m.kind is MovementKind.RETURN)
    assert returned == sum(refund.quantity for refund in tables(market).refunds.rows if refund.restocked)


def test_seeded_orders_have_no_own_products_and_no_repeated_lines(market: Market) -> None:
    for order in tables(market).orders.all():
        assert order.buyer_id not in order.seller_ids
        products = [line.product_id for line in order.lines]
        assert 1 <= len(products) == len(set(products)) <= 10
        assert [line.position for line in order.lines] == list(range(1, len(products) + 1))
        assert order.origin is OrderOrigin.SEED


def test_lines_have_the_price_in_force_at_their_time(market: Market) -> None:
    history: defaultdict[ProductId, list[tuple[datetime, int]]] = defaultdict(list)
    for change in sorted(tables(market).price_changes.rows, key=lambda change: change.valid_from):
        history[change.product_id].append((change.valid_from, change.price.minor))
    for order in tables(market).orders.all():
        for line in order.lines:
            begins = [at for at, _ in history[line.product_id]]
            in_force = history[line.product_id][bisect_right(begins, order.created_at) - 1]
            assert line.price == in_force[1]


def test_the_price_in_force_is_the_last_of_the_history(market: Market) -> None:
    last = {}
    for change in sorted(tables(market).price_changes.rows, key=lambda change: change.valid_from):
        last[change.product_id] = (change.price, change.valid_from)
    for product in tables(market).products.all():
        assert last[product.id] == (product.price, product.priced_at)
        assert product.cost is not None
        assert product.cost < product.price


def test_refunds_never_exceed_what_was_sold(market: Market) -> None:
    refunded: Counter[tuple[OrderId, int]] = Counter()
    for refund in tables(market).refunds.rows:
        refunded[refund.order_id, refund.position] += refund.quantity
    for order in tables(market).orders.all():
        for line in order.lines:
            assert line.refunded == refunded[order.id, line.position] <= line.quantity
        assert (order.status is OrderStatus.REFUNDED) == all(line.refundable == 0 for line in order.lines)


def test_statuses_of_seeded_orders_are_plausible_and_stable(market: Market) -> None:
    now = market.clock.now()
    orders = list(tables(market).orders.all())
    counted = Counter(order.status for order in orders)
    assert set(counted) == set(OrderStatus) - {OrderStatus.CREATED}
    assert counted[OrderStatus.PAID] > len(orders) * 0.7
    for order in orders:
        assert now - timedelta(days=91) <= order.created_at <= order.updated_at <= now
        assert (order.status is OrderStatus.REJECTED) == bool(order.shortfalls)
        assert all(short.wanted > short.available for short in order.shortfalls)
        if order.status is OrderStatus.PENDING:
            assert order.expires_at is not None
            assert order.expires_at >= now + timedelta(days=6)
    assert market.ordering.expire() == 0
    assert market.ordering.decide().total == 0


def test_ids_follow_the_times(market: Market) -> None:
    orders = sorted(tables(market).orders.all(), key=lambda order: order.id)
    assert orders == sorted(orders, key=lambda order: order.created_at)


def test_products_have_price_histories_and_most_are_active(market: Market) -> None:
    products = list(tables(market).products.all())
    assert len({(product.seller_id, product.sku) for product in products}) == len(products)
    assert 0.85 < sum(product.is_active for product in products) / len(products) < 1
    changes = Counter(change.product_id for change in tables(market).price_changes.rows)
    assert changes.total() > 3 * len(products)


def test_orders_per_view_are_plausible(market: Market) -> None:
    bought = {line.product_id for order in tables(market).orders.all() for line in order.lines}
    for seller in {product.seller_id for product in tables(market).products.all()}:
        assert 0.005 < market.queries.seller_stats(seller).conversion_rate < 0.1
    assert all(market.queries.products([product])[product].count_viewed > 0 for product in bought)


def test_seeded_policies_find_prices_to_change(market: Market) -> None:
    previews = [market.repricing.preview(policy.id) for policy in market.queries.policies(None, PageRequest(100)).rows]
    assert sum(preview.looked_at for preview in previews) > 100


def test_seeding_publishes_no_events(market: Market) -> None:
    assert tables(market).events.rows == []


def test_everybody_logs_in_with_the_same_password(market: Market) -> None:
    for account in tables(market).accounts.all():
        assert market.accounts.log_in(account.email, PASSWORD).access


# --- determinism, and several runs


def snapshot(market: Market) -> tuple[object, ...]:
    kept = tables(market)
    by_id = [sorted(table.all(), key=lambda row: row.id) for table in (kept.accounts, kept.products, kept.orders)]
    stock = sorted(kept.stock.all(), key=lambda row: row.product_id)
    return (*by_id, stock, sorted(kept.views.items()))


def seeded(clock: SettableClock, rng_seed: int) -> Market:
    market = in_memory_market(clock)
    seeding(market).everything(users=5, products=40, orders=60, rng_seed=rng_seed)
    return market


def test_the_same_seed_gives_the_same_data_all_day_long() -> None:
    morning, evening = SettableClock(), SettableClock()
    evening.advance(hours=22)
    assert snapshot(seeded(morning, 3)) == snapshot(seeded(evening, 3))
    assert snapshot(seeded(morning, 3)) != snapshot(seeded(morning, 4))


def test_separate_steps_make_the_same_data_as_all_together() -> None:
    together, apart = seeded(SettableClock(), 3), in_memory_market()
    steps = seeding(apart)
    steps.categories()
    steps.users(5, rng_seed=3)
    steps.products(40, rng_seed=3)
    steps.orders(60, rng_seed=3)
    assert snapshot(together) == snapshot(apart)


def test_a_seed_is_accepted_once_and_another_seed_adds_data() -> None:
    market = seeded(SettableClock(), 3)
    before = snapshot(market)
    again = seeding(market)
    with pytest.raises(AlreadySeeded, match="Seed 3 was used for users here before"):
        again.users(5, rng_seed=3)
    with pytest.raises(AlreadySeeded):
        again.products(1, rng_seed=3)
    with pytest.raises(AlreadySeeded):
        again.orders(1, rng_seed=3)
    assert snapshot(market) == before
    assert again.everything(users=5, products=40, orders=60, rng_seed=4).orders == 60
    assert market.queries.stock_discrepancies() == []


def test_seeding_does_not_touch_other_accounts_and_products() -> None:
    market = in_memory_market()
    real = unwrap_single(market.accounts.sign_up([SignUp("real@example.com", "a long password")]))
    pot = CreateProduct(real.id, CategoryId(1), "Pot", Money.of("9.99", "USD"), stock=5)
    (shelved,) = market.catalog.create_products([pot])
    assert not isinstance(shelved, MarketError)
    seeding(market).everything(users=5, products=20, orders=100, rng_seed=1)
    assert real.id not in {p.seller_id for p in tables(market).products.all() if p.sku is not None}
    assert {line.product_id for o in tables(market).orders.all() for line in o.lines}.isdisjoint({1})
    assert real.id not in {order.buyer_id for order in tables(market).orders.all()}


@pytest.mark.parametrize("step", ["products", "orders"])
def test_a_step_names_the_data_that_it_needs(step: str) -> None:
    with pytest.raises(NothingToSeedOn, match="seed users"):
        getattr(seeding(in_memory_market()), step)(5, rng_seed=1)


def test_one_user_alone_cannot_trade() -> None:
    with pytest.raises(NothingToSeedOn, match="buyers"):
        seeding(in_memory_market()).everything(users=1, products=5, orders=5, rng_seed=1)


def test_counts_of_zero_make_no_data() -> None:
    assert seeding(in_memory_market()).everything(users=0, products=0, orders=0, rng_seed=1) == Seeded()


def test_an_interruption_leaves_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecommerce_core.services.seeding.service.GROUP_ORDERS", 20)
    monkeypatch.setattr("scalecommerce_core.services.seeding.service.MIN_GROUP_PRODUCTS", 5)
    market = in_memory_market()
    seen: list[int] = []

    def interrupt(step: str, done: int, total: int | None) -> None:
        assert total is not None
        if step == "orders":
            seen.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seeding(market).everything(users=5, products=60, orders=1_000, rng_seed=1, progress=interrupt)
    written = len(list(tables(market).orders.all()))
    assert 0 < seen[0] <= written < 1_000
    assert market.queries.stock_discrepancies() == []
