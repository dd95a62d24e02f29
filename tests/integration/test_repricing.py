"""Runs of pricing policies on PostgreSQL: complete, interrupted, concurrent and rolled back."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from adapters.db.store import PostgresStore
from scalecommerce_core.domain.errors import MarketError, PriceMoved
from scalecommerce_core.domain.identifiers import CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.pricing.runs import DecisionOutcome, RunStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.catalog import EditProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.pricing import AssignProduct, CreatePolicy, DeletePolicy, EditPolicy, ExcludeProduct
from scalecommerce_core.services.repricing import Repricing, RunInProgress, RunStep, Selection, StrategyUnknown
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.testing import SettableClock
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions, usd

CALM = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
PRODUCTS = 30


class PricedMarket(MarketActions):
    """A seller with thirty products that have had views for a month; runs have ranges of eight products."""

    def __init__(self, market: Market, clock: SettableClock) -> None:
        super().__init__(market)
        self.clock = clock
        self.seller = self.person("sam")
        self.products = [
            self.list(self.seller, stock=50, name=f"Tea pot {n}", category_id=CategoryId(1 + n % 2), cost=usd("7.00"))
            for n in range(PRODUCTS)
        ]
        clock.advance(days=30)
        self.record_views(self.products)
        self.repricing = Repricing(market.store, clock, block=8)

    def record_views(self, products: Sequence[ProductId]) -> None:
        """Record four hundred views of each product."""
        views = {(product, self.clock.now()): 400 for product in products}
        self.market.catalog.record_views(ViewBatch(f"to {products[0]}", views))

    def policy(self, **guardrails: float) -> PolicyId:
        document = {"name": "Learn", "guardrails": {**CALM, **guardrails}}
        return unwrap_single(self.market.pricing.create([CreatePolicy(self.seller.id, document)])).id

    def prices(self) -> dict[ProductId, int]:
        found = self.market.queries.products(self.products)
        return {product_id: found[product_id].price.minor for product_id in self.products}


@pytest.fixture
def priced(database: str) -> Iterator[PricedMarket]:
    clock = SettableClock()
    with real_market(database, clock) as market:
        yield PricedMarket(market, clock)


def outcomes(priced: PricedMarket, run_id: RunId) -> Sequence[DecisionOutcome]:
    page = priced.market.queries.decisions(run_id, PageRequest(PRODUCTS))
    return [stored.outcome for stored in page.rows]


def test_a_run_writes_prices_history_feed_and_log_and_its_log_replays(priced: PricedMarket, database: str) -> None:
    run = priced.repricing.run(priced.policy())
    assert (run.status, run.products, run.tally.decided) == (RunStatus.DONE, PRODUCTS, PRODUCTS)
    moved = {product for product, price in priced.prices().items() if price != 1000}
    assert len(moved) == run.written == run.tally.moves > 0
    engine = create_engine(database)
    with engine.connect() as connection:
        counts = {
            "history": "SELECT count(*) FROM price_history WHERE cause = 'policy'",
            "feed": "SELECT count(*) FROM outbox WHERE topic = 'price.changed' AND payload->>'cause' = 'policy'",
        }
        found = {name: connection.execute(text(count)).scalar_one() for name, count in counts.items()}
    engine.dispose()
    assert found == {"history": run.written, "feed": run.written}
    again = [(replay(inputs), stored) for inputs, stored in priced.market.queries.recorded_decisions(run.id)]
    assert sum(len(stored) for _, stored in again) == PRODUCTS
    for made, stored in again:
        for name in ("product", "old", "new", "wanted", "motive", "guardrails"):
            assert np.array_equal(getattr(made, name), getattr(stored, name), equal_nan=name == "wanted")
    last = priced.market.queries.product_decisions(next(iter(moved)), PageRequest(5)).rows
    assert [stored.outcome for stored in last] == [DecisionOutcome.WRITTEN]


def test_prices_that_the_seller_forbids_after_the_decision_are_not_written(priced: PricedMarket) -> None:
    market, owner = priced.market, priced.seller.id
    run = priced.repricing.begin(priced.policy())
    while priced.repricing.get_run(run.id).status is RunStatus.DECIDING:
        priced.repricing.step(run.id)
    decided = [stored.decision for stored in market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows]
    raised = [decision for decision in decided if decision.new > decision.old]
    excluded, assigned, switched_off, bounded, costly, same_bound = [decision.product_id for decision in raised[:6]]
    new = Money(raised[5].new, "USD")
    other = unwrap_single(market.pricing.create([CreatePolicy(owner, {"name": "Other", "assigned_only": True})]))
    unwrap_single(market.pricing.exclude([ExcludeProduct(excluded, owner)]))
    unwrap_single(market.pricing.assign([AssignProduct(assigned, owner, other.id)]))
    for product, changes in (
        (switched_off, {"is_active": False}),
        (bounded, {"max_price": usd("10.01")}),
        (costly, {"max_price": usd("9.00"), "cost": usd("11.00")}),
        (same_bound, {"max_price": new, "min_price": new}),
    ):
        unwrap_single(market.catalog.edit_products([EditProduct(product, owner, changes)]))
    done = priced.repricing.finish(run.id)
    prices, refused = priced.prices(), {excluded, assigned, switched_off, bounded}
    assert {product for product in refused if prices[product] == 1000} == refused
    assert all(prices[each.product_id] == each.new for each in decided if each.product_id not in refused)
    assert outcomes(priced, run.id).count(DecisionOutcome.SUPERSEDED) == done.superseded == len(refused)


def test_a_policy_whose_strategy_is_not_installed_stops_no_other_policy(priced: PricedMarket, database: str) -> None:
    lost = priced.repricing.begin(priced.policy())
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in ("pricing_policies", "pricing_runs"):
            gone = f"""UPDATE {table} SET document = document || '{{"policy": "gone"}}'"""  # noqa: S608 - tables of ours
            connection.execute(text(gone))
    engine.dispose()
    with pytest.raises(StrategyUnknown, match="'gone'"):
        priced.repricing.finish(lost.id)
    assert priced.repricing.unfinished() == []
    assert [each.policy for each in priced.repricing.active_with_unknown_strategy()] == ["gone"]
    # The run is left to a process that has the strategy; it can be cancelled everywhere.
    assert priced.repricing.cancel(lost.id).status is RunStatus.CANCELLED
    assert priced.repricing.due() == []
    with pytest.raises(StrategyUnknown):
        priced.repricing.begin(lost.policy_id)
    unwrap_single(priced.market.pricing.edit([EditPolicy(lost.policy_id, priced.seller.id, {"is_active": False})]))
    assert priced.repricing.active_with_unknown_strategy() == []
    assert priced.repricing.run(priced.policy()).written > 0
    unwrap_single(priced.market.pricing.delete([DeletePolicy(lost.policy_id, priced.seller.id)]))
    assert lost.policy_id not in {each.id for each in priced.market.queries.policies(None, PageRequest()).rows}


def test_policies_and_runs_with_a_former_strategy_name_continue(priced: PricedMarket, database: str) -> None:
    begun = priced.repricing.begin(priced.policy())
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in ("pricing_policies", "pricing_runs"):
            stored = f"""UPDATE {table} SET document = document || '{{"policy": "learning"}}'"""  # noqa: S608 - tables of ours
            connection.execute(text(stored))
    assert priced.repricing.active_with_unknown_strategy() == []
    assert priced.repricing.unfinished() == [begun.id]
    done = priced.repricing.finish(begun.id)
    assert (done.status, done.written) == (RunStatus.DONE, done.tally.moves)
    with engine.begin() as connection:
        connection.execute(
            text("""UPDATE pricing_ranges SET head = jsonb_set(head, '{document,policy}', '"learning"')""")
        )
    engine.dispose()
    for inputs, decisions in priced.market.queries.recorded_decisions(begun.id):
        assert np.array_equal(replay(inputs).new, decisions.new)
    priced.clock.advance(days=8)
    assert priced.repricing.due() == [begun.policy_id]
    (policy,) = priced.market.queries.policies(None, PageRequest()).rows
    assert policy.policy == "elasticity_learning"


def test_a_product_is_decided_once_per_epoch(priced: PricedMarket) -> None:
    policy = priced.policy()
    few = priced.repricing.run(policy, only=Selection(limit=10))
    rest = priced.repricing.run(policy)
    assert (few.tally.decided, rest.tally.decided) == (10, PRODUCTS - 10)
    assert priced.repricing.due() == []
    assert priced.repricing.run(policy).tally.decided == 0
    priced.clock.advance(days=7)
    assert priced.repricing.due() == [policy]
    assert priced.repricing.run(policy).tally.decided == PRODUCTS


def test_a_decision_shows_when_its_price_was_in_force(priced: PricedMarket) -> None:
    policy = priced.policy(cooldown_days=0)
    first = priced.repricing.run(policy)
    priced.clock.advance(days=1)
    product = next(product for product, price in priced.prices().items() if price != 1000)
    (stored,) = priced.market.queries.product_decisions(product, PageRequest(1)).rows
    assert stored.in_force_from is not None
    assert stored.in_force_until is None
    priced.edit(product, price=usd("12.34"))
    (edited,) = priced.market.queries.product_decisions(product, PageRequest(1)).rows
    assert (edited.in_force_from, edited.in_force_until) == (stored.in_force_from, priced.clock.now())
    priced.clock.advance(days=1)
    priced.repricing.rollback(first.id)
    page = priced.market.queries.decisions(first.id, PageRequest(PRODUCTS)).rows
    for each in page:
        was_in_force = each.outcome in {DecisionOutcome.WRITTEN, DecisionOutcome.ROLLED_BACK}
        assert (each.in_force_from is not None, each.in_force_until is not None) == (was_in_force, was_in_force)


def test_an_edit_between_reading_and_writing_wins(priced: PricedMarket) -> None:
    run = priced.repricing.begin(priced.policy())
    while priced.repricing.get_run(run.id).status is RunStatus.DECIDING:
        priced.repricing.step(run.id)
    # After two edits the second product has the price that the run has read, but its price interval began later.
    priced.edit(priced.products[0], price=usd("42.00"))
    priced.edit(priced.products[1], price=usd("11.00"))
    priced.edit(priced.products[1], price=usd("10.00"))
    done = priced.repricing.finish(run.id)
    assert [priced.prices()[product] for product in priced.products[:2]] == [4200, 1000]
    assert done.written == done.tally.moves - outcomes(priced, run.id).count(DecisionOutcome.SUPERSEDED)
    assert done.superseded > 0


def test_a_killed_run_continues_where_it_stopped(priced: PricedMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = priced.policy()
    run = priced.repricing.begin(policy)
    died = 0
    for _ in range(100):
        step = RunStep.WORKED
        with monkeypatch.context() as patch:
            # The commit is the last action of a range: a process that dies before it writes nothing of the range.
            broken = RuntimeError("killed")
            patch.setattr(type(priced.market.store), "begin", dying(type(priced.market.store).begin, broken))
            with pytest.raises(RuntimeError):
                priced.repricing.step(run.id)
            died += 1
        step = priced.repricing.step(run.id)
        if step is RunStep.FINISHED:
            break
    done = priced.repricing.get_run(run.id)
    assert (done.status, done.tally.decided, done.written) == (RunStatus.DONE, PRODUCTS, done.tally.moves)
    assert died > 8


Begin = Callable[[PostgresStore], AbstractContextManager[Transaction]]


def dying(begin: Begin, error: Exception) -> Begin:
    @contextmanager
    def begin_and_die(store: PostgresStore) -> Iterator[Transaction]:
        with begin(store) as tx:
            yield tx
            raise error

    return begin_and_die


def test_concurrent_workers_share_a_run_and_begin_no_other(priced: PricedMarket) -> None:
    policy = priced.policy()
    run = priced.repricing.begin(policy)
    with pytest.raises(RunInProgress):
        priced.repricing.begin(policy)
    threads = [threading.Thread(target=priced.repricing.finish, args=(run.id,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = priced.repricing.get_run(run.id)
    assert (done.status, done.tally.decided, done.written) == (RunStatus.DONE, PRODUCTS, done.tally.moves)


def test_a_rollback_restores_only_prices_that_are_still_in_force(priced: PricedMarket) -> None:
    policy = priced.policy()
    run = priced.repricing.run(policy)
    moved = [product for product, price in priced.prices().items() if price != 1000]
    priced.clock.advance(minutes=1)
    priced.edit(moved[0], price=usd("42.00"))
    undone = priced.repricing.rollback(run.id)
    assert (undone.status, undone.undone) == (RunStatus.ROLLED_BACK, len(moved) - 1)
    assert priced.prices() == {product: 4200 if product == moved[0] else 1000 for product in priced.products}
    assert priced.repricing.rollback(run.id) == undone
    assert outcomes(priced, run.id).count(DecisionOutcome.ROLLED_BACK) == len(moved) - 1
    # Policies keep restored prices for an epoch, and the prices that were rolled back are not promised.
    with priced.market.store.begin() as tx:
        changes = tx.products.prices_since(moved[1:2], priced.clock.now() - timedelta(hours=1))
    assert [change.price.minor for change in changes[moved[1]] if not change.is_withdrawn] == [1000, 1000]
    priced.clock.advance(days=6)
    assert priced.repricing.run(policy).written == 0


def order_at(priced: PricedMarket, product: ProductId, price: int) -> Order | MarketError:
    """Order one unit as a new buyer who saw the product at `price`."""
    buyer = priced.person(str(priced.ids.command()))
    (outcome,) = priced.market.ordering.place([priced.command(buyer, OrderLineRequest(product, 1, price))])
    assert not isinstance(outcome, Replayed)
    return outcome


def price_of(placed: Order | MarketError) -> int:
    assert isinstance(placed, Order), placed
    return placed.lines[0].price


def test_prices_before_a_run_are_promised_and_rolled_back_prices_are_not(priced: PricedMarket) -> None:
    policy = priced.policy()
    run = priced.repricing.begin(policy)
    while priced.repricing.get_run(run.id).status is not RunStatus.WRITING:
        priced.repricing.step(run.id)
    # The run is half written: some new prices are in force, and all orders are accepted.
    priced.repricing.step(run.id)
    priced.clock.advance(minutes=1)
    for product in (priced.products[0], priced.products[-1]):
        assert price_of(order_at(priced, product, 1000)) <= 1000
    run = priced.repricing.finish(run.id)
    priced.clock.advance(minutes=1)
    raised, high = next((product, price) for product, price in priced.prices().items() if price > 1000)
    assert price_of(order_at(priced, raised, 1000)) == 1000
    assert price_of(order_at(priced, raised, high)) == high
    priced.repricing.rollback(run.id)
    priced.clock.advance(minutes=1)
    assert isinstance(order_at(priced, raised, high), PriceMoved), "a price that was rolled back is not promised"
    assert price_of(order_at(priced, raised, 1000)) == 1000


def test_concurrent_runs_of_two_sellers_change_only_their_own_prices(priced: PricedMarket) -> None:
    other = priced.person("sue")
    cups = [priced.list(other, "20.00", stock=50, name=f"Cup {n}", cost=usd("9.00")) for n in range(PRODUCTS)]
    priced.clock.advance(days=30)
    priced.record_views(cups)
    document = {"name": "Hers", "guardrails": CALM}
    hers = unwrap_single(priced.market.pricing.create([CreatePolicy(other.id, document)])).id
    runs = [priced.repricing.begin(policy) for policy in (priced.policy(), hers)]
    threads = [threading.Thread(target=priced.repricing.finish, args=(run.id,)) for run in runs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run, products in zip(runs, (priced.products, cups), strict=True):
        done = priced.repricing.get_run(run.id)
        assert (done.status, done.tally.decided, done.written) == (RunStatus.DONE, PRODUCTS, done.tally.moves)
        decided = priced.market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows
        assert [stored.decision.product_id for stored in decided] == products
        now = priced.market.queries.products(products)
        assert [stored.decision.new for stored in decided] == [now[product].price.minor for product in products]


def test_the_circuit_breaker_reduces_the_changes_of_a_run(priced: PricedMarket) -> None:
    policy = priced.policy(breaker_share=1.0, breaker_mean=0.001, breaker_least=0)
    preview = priced.repricing.preview(policy)
    run = priced.repricing.run(policy)
    assert (run.status, run.caps_moves) == (RunStatus.DONE, False)
    assert 0 < run.move_factor < 1
    assert "The circuit breaker limited this run: all changes are" in run.note
    prices = np.array(list(priced.prices().values()))
    assert run.written == run.tally.moves == (prices != 1000).sum() > 0
    assert abs((prices / 1000 - 1).mean()) <= 0.001
    assert preview.breaker.factor == run.move_factor
    for inputs, decisions in priced.market.queries.recorded_decisions(run.id):
        again = replay(inputs)
        for name in ("product", "old", "new", "guardrails"):
            assert np.array_equal(getattr(again, name), getattr(decisions, name)), name
    stored = priced.market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows
    assert any("breaker" in each.decision.guardrails for each in stored)
    assert [each.decision.new for each in stored] == [priced.prices()[each.decision.product_id] for each in stored]
    assert priced.repricing.due() == []


def test_a_run_whose_changes_are_limited_to_nothing_updates_the_policy_state(priced: PricedMarket) -> None:
    policy = priced.policy(breaker_share=0.0, breaker_mean=0.0, breaker_least=0)
    run = priced.repricing.run(policy)
    assert (run.status, run.written, run.move_factor) == (RunStatus.DONE, 0, 0.0)
    assert set(priced.prices().values()) == {1000}
    with priced.market.store.begin() as tx:
        states = [tx.runs.policy_state(policy, block) for block in tx.runs.blocks(policy)]
    assert sum(0 if state is None else len(state) for state in states) == PRODUCTS


def test_shadow_runs_and_previews_change_neither_prices_nor_policy_state(priced: PricedMarket) -> None:
    policy = priced.policy()
    preview = priced.repricing.preview(policy)
    shadow = priced.repricing.run(policy, shadow=True)
    assert (shadow.status, shadow.written, set(priced.prices().values())) == (RunStatus.DONE, 0, {1000})
    real = priced.repricing.run(policy)
    assert preview.looked_at == shadow.tally.decided == real.tally.decided == PRODUCTS
    assert sum(1 for _ in preview.decisions(moves_only=True)) == shadow.tally.moves == real.written


def test_runs_older_than_the_retention_are_purged(priced: PricedMarket) -> None:
    run = priced.repricing.run(priced.policy())
    assert priced.repricing.purge() == 0
    priced.clock.advance(days=91)
    while priced.repricing.purge(2):
        pass
    assert priced.market.queries.repricing_run(run.id) is None
    assert priced.market.queries.decisions(run.id, PageRequest(5)).rows == ()
