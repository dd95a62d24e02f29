"""Pricing experiments on PostgreSQL: held-out products in runs, and results from the rollups."""

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.pricing.experiments.experiment import ExperimentStatus, PricingExperiment
from scalecommerce_core.pricing.experiments.results import Measure, Verdict
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.experiments import ExperimentInProgress, StartExperiment
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.pricing import CreatePolicy, DeletePolicy
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.testing import SettableClock
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions, line, usd

PRODUCTS = 40
LAST = ProductId(2**63 - 1)
RAILS = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0, "least_history_days": 0}
PARAMETERS = {"caution": 0, "vary": False, "unproven_margin": 0}


class ComparedMarket(MarketActions):
    """A seller with forty products that sold for four weeks, and an experiment about the policy that covers them."""

    def __init__(self, market: Market, clock: SettableClock) -> None:
        super().__init__(market)
        self.clock = clock
        self.seller, self.buyer = self.person("sam"), self.person("bea")
        self.products = [
            self.list(self.seller, stock=5_000, name=f"Tea pot {n}", cost=usd("7.00")) for n in range(PRODUCTS)
        ]
        self.repricing = Repricing(market.store, clock, block=16)
        document = {"name": "Learn", "guardrails": RAILS, "parameters": PARAMETERS}
        self.policy = unwrap_single(market.pricing.create([CreatePolicy(self.seller.id, document)])).id
        self.sell(4, lambda _: 0)

    def sell(self, weeks: int, more: Callable[[ProductId], int]) -> None:
        """Sell two to five units of each product in each week, and `more`."""
        for week in range(weeks):
            views = {(product, self.clock.now()): 400 for product in self.products}
            self.market.catalog.record_views(ViewBatch(f"at {self.clock.now()}", views))
            for number, product in enumerate(self.products):
                self.buy(self.buyer, line(product, 2 + (3 * number + week) % 4 + more(product)))
            self.clock.advance(days=7)
        while self.market.relay.assign_sequence():
            pass
        self.market.statistics.catch_up()

    def start(self, policy: PolicyId | None = None) -> PricingExperiment:
        plan = {"share": 0.25, "weeks": 8, "burn_in_epochs": 0}
        command = StartExperiment(policy or self.policy, self.seller.id, plan)
        return unwrap_single(self.market.experiments.start([command]))

    def held_out(self, experiment: PricingExperiment) -> set[int]:
        with self.market.store.begin() as tx:
            products, held = tx.experiments.arms(experiment.id, ProductId(0), LAST)
        assert products.tolist() == self.products
        return set(products[held].tolist())


@pytest.fixture
def compared(database: str) -> Iterator[ComparedMarket]:
    clock = SettableClock()
    with real_market(database, clock) as market:
        yield ComparedMarket(market, clock)


def test_runs_keep_held_out_products_at_the_sellers_price_and_replay(compared: ComparedMarket) -> None:
    compared.repricing.run(compared.policy)
    before = compared.market.queries.products(compared.products)
    assert {before[product].price.minor for product in compared.products} != {1000}
    experiment = compared.start()
    held = compared.held_out(experiment)
    assert len(held) == PRODUCTS / 4
    for _ in range(2):
        compared.clock.advance(days=7)
        compared.repricing.run(compared.policy)
    compared.clock.advance(days=7)
    run = compared.repricing.run(compared.policy)
    rows = compared.market.queries.decisions(run.id, PageRequest(PRODUCTS)).rows
    assert {int(each.decision.product_id) for each in rows if "hold_out" in each.decision.guardrails} == held
    after = compared.market.queries.products(compared.products)
    assert {after[ProductId(product)].price.minor for product in held} == {1000}
    assert {after[product].price.minor for product in compared.products if product not in held} != {1000}
    for inputs, stored in compared.market.queries.recorded_decisions(run.id):
        made = replay(inputs)
        assert np.array_equal(made.guardrails, stored.guardrails)
        assert np.array_equal(made.new, stored.new)


def test_the_result_is_measured_from_the_rollups_and_outlives_the_policy(compared: ComparedMarket) -> None:
    experiment = compared.start()
    held = compared.held_out(experiment)
    compared.sell(4, lambda product: 0 if product in held else 3)
    assert compared.market.experiments.measure_due() == 1
    found = compared.market.queries.experiment(experiment.id)
    assert found is not None
    assert found.result is not None
    assert found.result.lift is not None
    assert (found.result.measure, found.result.verdict) == (Measure.PROFIT, Verdict.EARNS_MORE)
    assert found.result.lift == pytest.approx(3 / 3.5, rel=0.05)
    unwrap_single(compared.market.pricing.delete([DeletePolicy(compared.policy, compared.seller.id)]))
    assert compared.market.experiments.measure_due() == 1
    ended = compared.market.queries.experiment(experiment.id)
    assert ended is not None
    assert ended.result is not None
    assert (ended.status(compared.clock.now()), ended.result.verdict) == (ExperimentStatus.ENDED, Verdict.EARNS_MORE)
    assert ended.result.notes == ("The policy was deleted.",)


def test_of_two_concurrent_starts_one_is_refused(compared: ComparedMarket, database: str) -> None:
    outcomes: list[PricingExperiment | Replayed | MarketError] = []

    def start() -> None:
        command = StartExperiment(compared.policy, compared.seller.id, {"share": 0.25})
        outcomes.extend(compared.market.experiments.start([command]))

    threads: Sequence[threading.Thread] = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome) is ExperimentInProgress for outcome in outcomes) == [False, True, True, True]
    engine = create_engine(database)
    with engine.connect() as connection:
        arms = connection.execute(text("SELECT count(*) FROM pricing_experiment_products")).scalar_one()
    engine.dispose()
    assert arms == PRODUCTS
