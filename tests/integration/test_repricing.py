"""Runs of pricing policies on PostgreSQL: complete, interrupted, concurrent and rolled back."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from adapters.db.store import PostgresStore
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import MarketError, PriceMoved
from scalecommerce_core.domain.identifiers import CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.pricing.runs import DecisionOutcome, RunStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct, EditProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import OrderLineRequest, PlaceOrder
from scalecommerce_core.services.pricing import AssignProduct, CreatePolicy, DeletePolicy, EditPolicy, ExcludeProduct
from scalecommerce_core.services.repricing import Repricing, RunInProgress, RunStep, Selection, StrategyUnknown
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.testing import CountingIds, SettableClock
from tests.integration.real_market import real_market

CALM = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
PRODUCTS = 30


class Shelf:
    """A seller with thirty products that have had views for a month; runs have ranges of eight products."""

    def __init__(self, market: Market, clock: SettableClock) -> None:
        self.market, self.clock = market, clock
        self.seller: Account = unwrap_single(market.accounts.sign_up([SignUp("sam@example.com", "a long password")]))
        commands = [
            CreateProduct(self.seller.id, CategoryId(1 + n % 2), f"Tea pot {n}", usd(1000), 50, cost=usd(700))
            for n in range(PRODUCTS)
        ]
        self.products = [unwrap_single([outcome]).product.id for outcome in market.catalog.create_products(commands)]
        clock.advance(days=30)
        self.look(self.products)
        self.repricing = Repricing(market.store, clock, block=8)
        self.ids = CountingIds()

    def look(self, products: Sequence[ProductId]) -> None:
        """Record four hundred views of each product."""
        views = {(product, self.clock.now()): 400 for product in products}
        self.market.catalog.record_views(ViewBatch(f"to {products[0]}", views))

    def policy(self, **guardrails: float) -> PolicyId:
        document = {"name": "Learn", "guardrails": {**CALM, **guardrails}}
        return unwrap_single(self.market.pricing.create([CreatePolicy(self.seller.id, document)])).id

    def prices(self) -> dict[ProductId, int]:
        found = self.market.queries.products(self.products)
        return {product_id: found[product_id].price.minor for product_id in self.products}

    def edit(self, product_id: ProductId, minor: int) -> None:
        unwrap_single(
            self.market.catalog.edit_products([EditProduct(product_id, self.seller.id, {"price": usd(minor)})])
        )


def usd(minor: int) -> Money:
    return Money(minor, "USD")


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    clock = SettableClock()
    with real_market(database, clock) as market:
        yield Shelf(market, clock)


def outcomes(shelf: Shelf, run_id: RunId) -> Sequence[DecisionOutcome]:
    page = shelf.market.queries.decisions(run_id, PageRequest(PRODUCTS))
    return [stored.outcome for stored in page.rows]


def test_a_run_writes_prices_history_feed_and_log_and_its_log_replays(shelf: Shelf, database: str) -> None:
    run = shelf.repricing.run(shelf.policy())
    assert (run.status, run.products, run.tally.decided) == (RunStatus.DONE, PRODUCTS, PRODUCTS)
    moved = {product for product, price in shelf.prices().items() if price != 1000}
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
    again = [(replay(inputs), stored) for inputs, stored in shelf.market.queries.recorded_decisions(run.id)]
    assert sum(len(stored) for _, stored in again) == PRODUCTS
    for made, stored in again:
        for name in ("product", "old", "new", "wanted", "motive", "guardrails"):
            assert np.array_equal(getattr(made, name), getattr(stored, name), equal_nan=name == "wanted")
    last = shelf.market.queries.product_decisions(next(iter(moved)), PageRequest(5)).rows
    assert [stored.outcome for stored in last] == [DecisionOutcome.WRITTEN]


def test_what_the_seller_forbids_after_the_look_is_not_written(shelf: Shelf) -> None:
    market, owner = shelf.market, shelf.seller.id
    run = shelf.repricing.begin(shelf.policy())
    while shelf.repricing.get_run(run.id).status is RunStatus.DECIDING:
        shelf.repricing.step(run.id)
    decided = [stored.decision for stored in market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows]
    assert all(decision.new > decision.old for decision in decided)
    excluded, assigned, switched_off, bounded, *rest = [decision.product_id for decision in decided]
    costly, same_bound = rest[:2]
    other = unwrap_single(market.pricing.create([CreatePolicy(owner, {"name": "Other", "assigned_only": True})]))
    unwrap_single(market.pricing.exclude([ExcludeProduct(excluded, owner)]))
    unwrap_single(market.pricing.assign([AssignProduct(assigned, owner, other.id)]))
    for product, changes in (
        (switched_off, {"is_active": False}),
        (bounded, {"max_price": usd(1001)}),
        (costly, {"max_price": usd(900), "cost": usd(1100)}),
        (same_bound, {"max_price": usd(decided[5].new), "min_price": usd(decided[5].new)}),
    ):
        unwrap_single(market.catalog.edit_products([EditProduct(product, owner, changes)]))
    done = shelf.repricing.finish(run.id)
    stays = {product for product, price in shelf.prices().items() if price == 1000}
    assert stays == {excluded, assigned, switched_off, bounded}
    assert outcomes(shelf, run.id).count(DecisionOutcome.SUPERSEDED) == done.superseded == len(stays)


def test_a_policy_whose_strategy_is_not_installed_stops_no_other_policy(shelf: Shelf, database: str) -> None:
    lost = shelf.repricing.begin(shelf.policy())
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in ("pricing_policies", "pricing_runs"):
            gone = f"""UPDATE {table} SET document = document || '{{"policy": "gone"}}'"""  # noqa: S608 - tables of ours
            connection.execute(text(gone))
    engine.dispose()
    with pytest.raises(StrategyUnknown, match="'gone'"):
        shelf.repricing.finish(lost.id)
    assert shelf.repricing.unfinished() == []
    assert [each.policy for each in shelf.repricing.active_with_unknown_strategy()] == ["gone"]
    # The run is left to a process that has the strategy; it can be cancelled everywhere.
    assert shelf.repricing.cancel(lost.id).status is RunStatus.CANCELLED
    assert shelf.repricing.due() == []
    with pytest.raises(StrategyUnknown):
        shelf.repricing.begin(lost.policy_id)
    unwrap_single(shelf.market.pricing.edit([EditPolicy(lost.policy_id, shelf.seller.id, {"is_active": False})]))
    assert shelf.repricing.active_with_unknown_strategy() == []
    assert shelf.repricing.run(shelf.policy()).written > 0
    unwrap_single(shelf.market.pricing.delete([DeletePolicy(lost.policy_id, shelf.seller.id)]))
    assert lost.policy_id not in {each.id for each in shelf.market.queries.policies(None, PageRequest()).rows}


def test_policies_and_runs_stored_under_a_former_name_of_their_strategy_go_on(shelf: Shelf, database: str) -> None:
    begun = shelf.repricing.begin(shelf.policy())
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in ("pricing_policies", "pricing_runs"):
            stored = f"""UPDATE {table} SET document = document || '{{"policy": "learning"}}'"""  # noqa: S608 - tables of ours
            connection.execute(text(stored))
    assert shelf.repricing.active_with_unknown_strategy() == []
    assert shelf.repricing.unfinished() == [begun.id]
    done = shelf.repricing.finish(begun.id)
    assert (done.status, done.written) == (RunStatus.DONE, done.tally.moves)
    with engine.begin() as connection:
        connection.execute(
            text("""UPDATE pricing_ranges SET head = jsonb_set(head, '{document,policy}', '"learning"')""")
        )
    engine.dispose()
    for inputs, decisions in shelf.market.queries.recorded_decisions(begun.id):
        assert np.array_equal(replay(inputs).new, decisions.new)
    shelf.clock.advance(days=8)
    assert shelf.repricing.due() == [begun.policy_id]
    (policy,) = shelf.market.queries.policies(None, PageRequest()).rows
    assert policy.policy == "elasticity_learning"


def test_a_product_has_one_turn_an_epoch(shelf: Shelf) -> None:
    policy = shelf.policy()
    few = shelf.repricing.run(policy, only=Selection(limit=10))
    rest = shelf.repricing.run(policy)
    assert (few.tally.decided, rest.tally.decided) == (10, PRODUCTS - 10)
    assert shelf.repricing.due() == []
    assert shelf.repricing.run(policy).tally.decided == 0
    shelf.clock.advance(days=7)
    assert shelf.repricing.due() == [policy]
    assert shelf.repricing.run(policy).tally.decided == PRODUCTS


def test_a_decision_knows_from_when_until_when_its_price_was_in_force(shelf: Shelf) -> None:
    policy = shelf.policy(cooldown_days=0)
    first = shelf.repricing.run(policy)
    shelf.clock.advance(days=1)
    product = next(product for product, price in shelf.prices().items() if price != 1000)
    (stored,) = shelf.market.queries.product_decisions(product, PageRequest(1)).rows
    assert stored.in_force_from is not None
    assert stored.in_force_until is None
    shelf.edit(product, 1234)
    (edited,) = shelf.market.queries.product_decisions(product, PageRequest(1)).rows
    assert (edited.in_force_from, edited.in_force_until) == (stored.in_force_from, shelf.clock.now())
    shelf.clock.advance(days=1)
    shelf.repricing.rollback(first.id)
    page = shelf.market.queries.decisions(first.id, PageRequest(PRODUCTS)).rows
    for each in page:
        was_in_force = each.outcome in {DecisionOutcome.WRITTEN, DecisionOutcome.ROLLED_BACK}
        assert (each.in_force_from is not None, each.in_force_until is not None) == (was_in_force, was_in_force)


def test_an_edit_between_reading_and_writing_wins(shelf: Shelf) -> None:
    run = shelf.repricing.begin(shelf.policy())
    while shelf.repricing.get_run(run.id).status is RunStatus.DECIDING:
        shelf.repricing.step(run.id)
    # After two edits the second product has the price that the run has read, but its price interval began later.
    shelf.edit(shelf.products[0], 4200)
    shelf.edit(shelf.products[1], 1100)
    shelf.edit(shelf.products[1], 1000)
    done = shelf.repricing.finish(run.id)
    assert [shelf.prices()[product] for product in shelf.products[:2]] == [4200, 1000]
    assert done.written == done.tally.moves - outcomes(shelf, run.id).count(DecisionOutcome.SUPERSEDED)
    assert done.superseded > 0


def test_a_killed_run_goes_on_where_it_was(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = shelf.policy()
    run = shelf.repricing.begin(policy)
    died = 0
    for _ in range(100):
        step = RunStep.WORKED
        with monkeypatch.context() as patch:
            # The commit is the last action of a range: a process that dies before it writes nothing of the range.
            broken = RuntimeError("killed")
            patch.setattr(type(shelf.market.store), "begin", dying(type(shelf.market.store).begin, broken))
            with pytest.raises(RuntimeError):
                shelf.repricing.step(run.id)
            died += 1
        step = shelf.repricing.step(run.id)
        if step is RunStep.FINISHED:
            break
    done = shelf.repricing.get_run(run.id)
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


def test_two_at_once_share_a_run_and_none_begins_another(shelf: Shelf) -> None:
    policy = shelf.policy()
    run = shelf.repricing.begin(policy)
    with pytest.raises(RunInProgress):
        shelf.repricing.begin(policy)
    threads = [threading.Thread(target=shelf.repricing.finish, args=(run.id,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = shelf.repricing.get_run(run.id)
    assert (done.status, done.tally.decided, done.written) == (RunStatus.DONE, PRODUCTS, done.tally.moves)


def test_a_run_is_taken_back_as_one_and_only_where_its_prices_are(shelf: Shelf) -> None:
    policy = shelf.policy()
    run = shelf.repricing.run(policy)
    moved = [product for product, price in shelf.prices().items() if price != 1000]
    shelf.clock.advance(minutes=1)
    shelf.edit(moved[0], 4200)
    undone = shelf.repricing.rollback(run.id)
    assert (undone.status, undone.undone) == (RunStatus.ROLLED_BACK, len(moved) - 1)
    assert shelf.prices() == {product: 4200 if product == moved[0] else 1000 for product in shelf.products}
    assert shelf.repricing.rollback(run.id) == undone
    assert outcomes(shelf, run.id).count(DecisionOutcome.ROLLED_BACK) == len(moved) - 1
    # Policies keep restored prices for an epoch, and the prices that were rolled back are not promised.
    with shelf.market.store.begin() as tx:
        promised = tx.products.prices_since(moved[1:2], shelf.clock.now())
    assert [change.price.minor for change in promised[moved[1]]] == [1000]
    shelf.clock.advance(days=6)
    assert shelf.repricing.run(policy).written == 0


def order(shelf: Shelf, product: ProductId, price: int) -> Order | MarketError:
    """Place an order of a new buyer who saw the product at `price`."""
    buyer = unwrap_single(
        shelf.market.accounts.sign_up([SignUp(f"{shelf.ids.command()}@example.com", "a long password")])
    )
    command = PlaceOrder(shelf.ids.command(), buyer.id, [OrderLineRequest(product, 1, price)])
    (outcome,) = shelf.market.ordering.place([command])
    assert not isinstance(outcome, Replayed)
    return outcome


def price_of(placed: Order | MarketError) -> int:
    assert isinstance(placed, Order), placed
    return placed.lines[0].price


def test_who_saw_a_price_before_a_run_gets_it_and_what_was_taken_back_promises_nothing(shelf: Shelf) -> None:
    policy = shelf.policy()
    run = shelf.repricing.begin(policy)
    while shelf.repricing.get_run(run.id).status is not RunStatus.WRITING:
        shelf.repricing.step(run.id)
    # The run is half written: some new prices are in force, and all orders are accepted.
    shelf.repricing.step(run.id)
    shelf.clock.advance(minutes=1)
    for product in (shelf.products[0], shelf.products[-1]):
        assert price_of(order(shelf, product, 1000)) <= 1000
    run = shelf.repricing.finish(run.id)
    shelf.clock.advance(minutes=1)
    raised, high = next((product, price) for product, price in shelf.prices().items() if price > 1000)
    assert price_of(order(shelf, raised, 1000)) == 1000
    assert price_of(order(shelf, raised, high)) == high
    shelf.repricing.rollback(run.id)
    shelf.clock.advance(minutes=1)
    assert isinstance(order(shelf, raised, high), PriceMoved), "nobody may insist on what was taken back"
    assert price_of(order(shelf, raised, 1000)) == 1000


def test_two_sellers_policies_run_at_once_and_move_their_own(shelf: Shelf) -> None:
    other = unwrap_single(shelf.market.accounts.sign_up([SignUp("sue@example.com", "a long password")]))
    listed = shelf.market.catalog.create_products(
        [CreateProduct(other.id, CategoryId(1), f"Cup {n}", usd(2000), 50, cost=usd(900)) for n in range(PRODUCTS)]
    )
    cups = [unwrap_single([outcome]).product.id for outcome in listed]
    shelf.clock.advance(days=30)
    shelf.look(cups)
    document = {"name": "Hers", "guardrails": CALM}
    hers = unwrap_single(shelf.market.pricing.create([CreatePolicy(other.id, document)])).id
    runs = [shelf.repricing.begin(policy) for policy in (shelf.policy(), hers)]
    threads = [threading.Thread(target=shelf.repricing.finish, args=(run.id,)) for run in runs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run, products in zip(runs, (shelf.products, cups), strict=True):
        done = shelf.repricing.get_run(run.id)
        assert (done.status, done.tally.decided, done.written) == (RunStatus.DONE, PRODUCTS, done.tally.moves)
        decided = shelf.market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows
        assert [stored.decision.product_id for stored in decided] == products
        now = shelf.market.queries.products(products)
        assert [stored.decision.new for stored in decided] == [now[product].price.minor for product in products]


def test_the_breaker_stops_a_run_before_anything_is_written(shelf: Shelf) -> None:
    policy = shelf.policy(breaker_share=0.0, breaker_mean=0.0, breaker_least=0)
    run = shelf.repricing.run(policy)
    assert (run.status, run.written) == (RunStatus.STOPPED, 0)
    assert "breaker tripped, no price is changed" in run.note
    assert set(shelf.prices().values()) == {1000}
    assert set(outcomes(shelf, run.id)) <= {DecisionOutcome.STAGED, DecisionOutcome.KEPT}
    assert shelf.repricing.due() == []


def test_a_trial_and_a_preview_leave_prices_and_memory_alone(shelf: Shelf) -> None:
    policy = shelf.policy()
    preview = shelf.repricing.preview(policy)
    shadow = shelf.repricing.run(policy, shadow=True)
    assert (shadow.status, shadow.written, set(shelf.prices().values())) == (RunStatus.DONE, 0, {1000})
    real = shelf.repricing.run(policy)
    assert preview.looked_at == shadow.tally.decided == real.tally.decided == PRODUCTS
    assert sum(1 for _ in preview.decisions(moves_only=True)) == shadow.tally.moves == real.written


def test_what_is_old_is_forgotten(shelf: Shelf) -> None:
    run = shelf.repricing.run(shelf.policy())
    assert shelf.repricing.purge() == 0
    shelf.clock.advance(days=91)
    while shelf.repricing.purge(2):
        pass
    assert shelf.market.queries.repricing_run(run.id) is None
    assert shelf.market.queries.decisions(run.id, PageRequest(5)).rows == ()
