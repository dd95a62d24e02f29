"""Tests of pricing experiments: plans, results, the arms of products, and the sales that they compare."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ExperimentId, PolicyId, ProductId
from scalecommerce_core.domain.order import OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, PricingExperiment
from scalecommerce_core.pricing.experiments.results import ExperimentResult, Measure, Verdict
from scalecommerce_core.queries import PageRequest, Queries
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, usd
from scalecommerce_core.testing.fakes import SettableClock

LAST = ProductId(2**63 - 1)


class ExperimentsContract:
    def test_experiments_are_stored_with_all_fields_and_their_results(self, store: Store) -> None:
        experiment = _experiment(
            store, kind=ExperimentKind.SWITCHBACK, weeks=52, period_epochs=2, burn_in_epochs=0, seed=7, fee=0.1
        )
        with store.begin() as tx:
            found = tx.experiments.lock([experiment.id])[experiment.id]
            assert found == experiment
            found.record(_RESULT, NOW + DAY)
            found.end(NOW + 2 * DAY, "Enough.")
            tx.experiments.save([found])
        with store.begin() as tx:
            assert tx.experiments.lock([experiment.id]) == {experiment.id: found}
            assert found.result == _RESULT

    def test_a_policy_has_one_experiment_that_is_not_ended(self, store: Store) -> None:
        first = _experiment(store)
        with store.begin() as tx:
            assert tx.experiments.unended(first.policy_id) == first
            assert tx.experiments.lock_open([first.policy_id]) == {first.policy_id: first}
        with pytest.raises(Duplicate):
            _experiment(store, policy_id=first.policy_id)
        with store.begin() as tx:
            found = tx.experiments.lock([first.id])[first.id]
            found.end(NOW + DAY)
            tx.experiments.save([found])
            assert tx.experiments.unended(first.policy_id) is None
        second = _experiment(store, policy_id=first.policy_id)
        with store.begin() as tx:
            assert tx.experiments.unended(first.policy_id) == second

    def test_experiments_are_due_for_measurement_until_they_were_measured_after_their_end(self, store: Store) -> None:
        experiment = _experiment(store)

        def due(moment: Any) -> list[ExperimentId]:
            with store.begin() as tx:
                return list(tx.experiments.measured_before(moment, 10))

        assert due(NOW) == [experiment.id]
        with store.begin() as tx:
            found = tx.experiments.lock([experiment.id])[experiment.id]
            found.record(_RESULT, NOW + DAY)
            tx.experiments.save([found])
        assert due(NOW + DAY) == []
        assert due(NOW + 2 * DAY) == [experiment.id]
        with store.begin() as tx:
            found = tx.experiments.lock([experiment.id])[experiment.id]
            found.end(NOW + 2 * DAY)
            tx.experiments.save([found])
        assert due(NOW) == [experiment.id]
        with store.begin() as tx:
            found = tx.experiments.lock([experiment.id])[experiment.id]
            found.record(_RESULT, NOW + 2 * DAY)
            tx.experiments.save([found])
        assert due(NOW + 9 * DAY) == []

    def test_products_keep_the_arm_that_they_got_first(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = np.array([stage.product(seller) for _ in range(3)])
        experiment, other = _experiment(store, seller=seller), _experiment(store, seller=seller)
        with store.begin() as tx:
            tx.experiments.add_products(experiment.id, ids[:2], np.array([True, False]))
            tx.experiments.add_products(experiment.id, ids, np.array([False, True, True]))
            tx.experiments.add_products(other.id, ids[:0], np.zeros(0, dtype=np.bool_))
        with store.begin() as tx:
            products, held = tx.experiments.arms(experiment.id, ProductId(0), LAST)
            assert (products.tolist(), held.tolist()) == (ids.tolist(), [True, False, True])
            products, held = tx.experiments.arms(experiment.id, ProductId(int(ids[1])), ProductId(int(ids[1])))
            assert (products.tolist(), held.tolist()) == ([int(ids[1])], [False])
            assert tx.experiments.arms(other.id, ProductId(0), LAST)[0].tolist() == []

    def test_the_facts_of_products_are_read_in_pages(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        cup = stage.product(seller, cost=usd(4_00), category_id=CategoryId(2))
        plate = stage.product(seller, currency="EUR", at=NOW - DAY)
        experiment = _experiment(store, seller=seller)
        with store.begin() as tx:
            tx.experiments.add_products(experiment.id, np.array([cup, plate]), np.array([False, True]))
        with store.begin() as tx:
            first = tx.experiments.products(experiment.id, ProductId(0), 1)
            second = tx.experiments.products(experiment.id, cup, 1)
            none = tx.experiments.products(experiment.id, plate, 1)
            both = tx.experiments.described(np.array([cup, plate]))
        assert (first.product.tolist(), second.product.tolist(), len(none)) == ([cup], [plate], 0)
        assert (first.cost.tolist(), second.cost.tolist()) == ([4_00], [-1])
        assert (first.is_held_out.tolist(), second.is_held_out.tolist()) == ([False], [True])
        assert both.category.tolist() == [2, 1]
        assert both.is_held_out.tolist() == [False, False]
        assert both.currency.tolist() == [int.from_bytes(code, "big") for code in (b"USD", b"EUR")]
        assert int(both.created_at[0] - both.created_at[1]) == DAY // timedelta(microseconds=1)

    def test_sales_are_summed_by_product_and_period_without_refunds(self, store: Store) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        cup, plate = stage.product(seller, price=5_00), stage.product(seller, price=8_00)
        stage.order(buyer, {cup: 1}, OrderStatus.PAID, at=NOW - 3 * DAY)
        sold = stage.order(buyer, {cup: 4, plate: 2}, OrderStatus.PAID, at=NOW + DAY)
        stage.refund(sold, [RefundLine(cup, 1)], at=NOW + DAY)
        stage.order(buyer, {cup: 3}, OrderStatus.PAID, at=NOW + 5 * DAY)
        stage.order(buyer, {cup: 9}, OrderStatus.PAID, at=NOW + 9 * DAY)
        with store.begin() as tx:
            tx.events.assign_sequence(100)
        Statistics(store, SettableClock(NOW + 10 * DAY)).catch_up()
        with store.begin() as tx:
            edges = [NOW, NOW, NOW + 4 * DAY, NOW + 7 * DAY]
            sales = tx.experiments.sales(np.array([cup, plate]), edges)
            none = tx.experiments.sales(np.array([cup]), [NOW, NOW])
        rows = np.stack([sales.product, sales.period, sales.units, sales.revenue]).T.tolist()
        assert rows == [[cup, 1, 3, 15_00], [cup, 2, 3, 15_00], [plate, 1, 2, 16_00]]
        assert len(none.product) == 0

    def test_own_prices_are_those_that_the_seller_chose(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller, price=9_00, at=NOW - 60 * DAY) for _ in range(5)]
        changes = [
            [], [(8_00, PriceCause.POLICY)], [(7_00, PriceCause.MANUAL), (8_00, PriceCause.POLICY)],
            [(7_00, PriceCause.IMPORT), (5_00, PriceCause.PROMOTION), (7_50, PriceCause.PROMOTION_END)],
            [(8_00, PriceCause.POLICY), (9_50, PriceCause.ROLLBACK)],
        ]  # fmt: skip
        for product, prices in zip(ids, changes, strict=True):
            for number, (price, cause) in enumerate(prices):
                stage.reprice(product, price, NOW - (9 - number) * DAY, cause)
        with store.begin() as tx:
            assert tx.experiments.own_prices(np.array(ids)).tolist() == [9_00, 9_00, 7_00, 7_00, 9_00]
            tx.products.lock([ids[2]])
            tx.products.withdraw_prices({(ids[2], NOW - 9 * DAY): PriceWithdrawal(NOW, seller, "typing error")})
        with store.begin() as tx:
            assert tx.experiments.own_prices(np.array(ids)).tolist() == [9_00, 9_00, 9_00, 7_00, 9_00]


class ExperimentListsContract:
    def test_experiments_are_listed_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        mine, other = stage.account(), stage.account()
        first, second = _experiment(store, seller=mine), _experiment(store, seller=mine)
        foreign = _experiment(store, seller=other)
        assert queries.experiments(None, PageRequest()).rows == (foreign, second, first)
        page = queries.experiments(mine, PageRequest(1))
        assert page.rows == (second,)
        assert queries.experiments(mine, PageRequest(1, after=page.next)).rows == (first,)
        assert queries.experiments(mine, PageRequest(), policy_id=first.policy_id).rows == (first,)
        assert queries.experiments(None, PageRequest(), policy_id=foreign.policy_id).rows == (foreign,)
        assert queries.experiment(first.id) == first
        assert queries.experiment(ExperimentId(foreign.id + 1)) is None

    def test_the_latest_experiment_of_each_policy_is_found(self, store: Store, queries: Queries) -> None:
        first = _experiment(store)
        with store.begin() as tx:
            found = tx.experiments.lock([first.id])[first.id]
            found.end(NOW)
            tx.experiments.save([found])
        second = _experiment(store, policy_id=first.policy_id)
        alone = _experiment(store)
        policies = [first.policy_id, alone.policy_id, PolicyId(alone.policy_id + 1)]
        assert queries.latest_experiments(policies) == {first.policy_id: second, alone.policy_id: alone}
        assert queries.latest_experiments([]) == {}


_RESULT = ExperimentResult(
    measure=Measure.PROFIT, verdict=Verdict.EARNS_MORE, sentence="The policy earns more.", elapsed=0.5, lift=0.04,
    low=0.02, high=0.06, fixed_low=0.03, fixed_high=0.05, weeks_more=None, products=50, held_out=10, notes=("One.",),
)  # fmt: skip


def _experiment(
    store: Store, *, seller: AccountId | None = None, policy_id: PolicyId | None = None, **facts: Any
) -> PricingExperiment:
    seller = Stage(store).account() if seller is None else seller
    with store.begin() as tx:
        (number,) = tx.experiments.next_ids(1)
        if policy_id is None:
            (policy_id,) = tx.policies.next_ids(1)
        experiment = PricingExperiment(
            **{
                "id": number, "policy_id": policy_id, "seller_id": seller, "policy_version": 3, "started_at": NOW,
                "epoch": timedelta(days=7), "seed": 1, **facts,
            }
        )  # fmt: skip
        tx.experiments.add([experiment])
    return experiment
