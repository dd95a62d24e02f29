"""Start, end and measure experiments; held-out products in runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.tasks.tasks import BackgroundTasks
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid, NotFound
from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId, ProductId
from scalecommerce_core.pricing.decisions import Decision
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, ExperimentStatus, PricingExperiment
from scalecommerce_core.pricing.experiments.results import Measure, Verdict
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.interface import Motive
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.experiments import (
    EndExperiment,
    ExperimentInProgress,
    ExperimentNotPossible,
    StartExperiment,
)
from scalecommerce_core.services.pricing import CreatePolicy, DeletePolicy, EditPolicy, ExcludeProduct
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import MemoryViewCounter
from tests.unit.support.shop import Shop, line, usd

RAILS = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
PRODUCTS = 25
Start = Callable[..., PricingExperiment]


@pytest.fixture
def products(shop: Shop, seller: Account) -> list[ProductId]:
    """Products whose stock will not last, so that their policy raises all prices."""
    return [shop.list(seller, cost=usd("9.50"), stock=500) for _ in range(PRODUCTS)]


@pytest.fixture
def policy(shop: Shop, seller: Account) -> PricingPolicy:
    document = {"name": "Learn", "guardrails": RAILS, "parameters": {"caution": 0, "vary": False}}
    return unwrap_single(shop.pricing.create([CreatePolicy(seller.id, document)]))


@pytest.fixture
def start(shop: Shop, policy: PricingPolicy) -> Start:
    def start(**plan: Any) -> PricingExperiment:
        command = StartExperiment(policy.id, policy.seller_id, {"share": 0.4} | plan)
        return unwrap_single(shop.market.experiments.start([command]))

    return start


def arms(shop: Shop, experiment: PricingExperiment) -> dict[int, bool]:
    with shop.store.begin() as tx:
        products, held = tx.experiments.arms(experiment.id, ProductId(0), ProductId(2**63 - 1))
    return dict(zip(products.tolist(), held.tolist(), strict=True))


def decisions(shop: Shop, policy: PricingPolicy) -> dict[int, Decision]:
    run = shop.market.repricing.run(policy.id)
    rows = shop.queries.decisions(run.id, PageRequest(100)).rows
    for stored in rows:
        said = explain_inputs(stored.inputs).get("experiment")
        assert (said is not None) is ("hold_out" in stored.decision.guardrails)
        assert said is None or said.startswith("held out at the seller's own price, ")
    assert [replay(stored.inputs)[0] for stored in rows] == [stored.decision for stored in rows]
    return {int(stored.decision.product_id): stored.decision for stored in rows}


def fold(shop: Shop) -> None:
    shop.market.relay.assign_sequence()
    shop.market.statistics.catch_up()


@pytest.mark.usefixtures("products")
def test_a_hold_out_keeps_a_share_of_the_products_at_the_sellers_prices(
    shop: Shop, policy: PricingPolicy, start: Start
) -> None:
    shop.clock.advance(days=30)
    experiment = start()
    held = arms(shop, experiment)
    assert (len(held), sum(held.values())) == (PRODUCTS, 10)
    made = decisions(shop, policy)
    for product, is_held_out in held.items():
        assert made[product].moves is not is_held_out
        assert ("hold_out" in made[product].guardrails) is is_held_out
        if is_held_out:
            assert made[product].motive is Motive.OWN_PRICE
            assert made[product].sentence == (
                "Kept at 10.00: an experiment compares the policy with your own prices, and this product keeps yours."
            )


@pytest.mark.usefixtures("products")
def test_held_out_products_return_to_the_sellers_price_within_the_guardrails(
    shop: Shop, policy: PricingPolicy, start: Start
) -> None:
    shop.clock.advance(days=30)
    for _ in range(3):
        decisions(shop, policy)
        shop.clock.advance(days=7)
    held = [product for product, is_held_out in arms(shop, start()).items() if is_held_out]
    away = shop.product(ProductId(held[0])).price
    assert away != usd("10.00")
    made = decisions(shop, policy)[held[0]]
    assert made.motive is Motive.OWN_PRICE
    assert made.guardrails[0] == "hold_out"
    if made.moves:
        assert "an experiment returns this product to your own price, to compare" in made.sentence
    for _ in range(3):
        shop.clock.advance(days=7)
        decisions(shop, policy)
    assert {shop.product(ProductId(product)).price for product in held} == {usd("10.00")}


@pytest.mark.usefixtures("products")
def test_a_price_that_the_seller_sets_becomes_the_held_out_price(
    shop: Shop, policy: PricingPolicy, start: Start
) -> None:
    shop.clock.advance(days=30)
    held = [ProductId(product) for product, is_held_out in arms(shop, start()).items() if is_held_out]
    decisions(shop, policy)
    shop.clock.advance(days=1)
    shop.edit(held[0], price=usd("8.00"))
    for _ in range(3):
        shop.clock.advance(days=7)
        decisions(shop, policy)
    assert shop.product(held[0]).price == usd("8.00")
    assert shop.product(held[1]).price == usd("10.00")


@pytest.mark.usefixtures("products")
def test_new_products_join_an_arm_at_random_and_keep_it(
    shop: Shop, seller: Account, policy: PricingPolicy, start: Start
) -> None:
    experiment = start()
    before = arms(shop, experiment)
    new = [shop.list(seller) for _ in range(40)]
    decisions(shop, policy)
    after = arms(shop, experiment)
    assert {product: after[product] for product in before} == before
    assert 6 <= sum(after[product] for product in new) <= 26
    shop.clock.advance(days=7)
    decisions(shop, policy)
    assert arms(shop, experiment) == after


@pytest.mark.usefixtures("products")
def test_a_switchback_changes_all_products_between_both_prices(shop: Shop, policy: PricingPolicy, start: Start) -> None:
    shop.clock.advance(days=30)
    experiment = start(kind="switchback", weeks=20, period_epochs=2, burn_in_epochs=1)
    own = experiment.own_periods()
    assert (len(own), int(own.sum())) == (10, 5)
    for epoch in range(20):
        held = {"hold_out" in made.guardrails for made in decisions(shop, policy).values()}
        assert held == {bool(own[epoch // 2])}
        shop.clock.advance(days=7)
    assert "hold_out" not in decisions(shop, policy)[1].guardrails


def test_the_result_counts_profit_of_both_arms_and_says_so_in_words(
    shop: Shop, start: Start, products: list[ProductId], buyer: Account
) -> None:
    def sell(weeks: int, better: Callable[[ProductId], int]) -> None:
        for week in range(weeks):
            for number, product in enumerate(products):
                shop.buy(buyer, line(product, 2 + (number + week) % 2 + better(product)))
            shop.clock.advance(days=7)
        fold(shop)

    sell(4, lambda _: 0)
    experiment = start(weeks=8, burn_in_epochs=0)
    measured = shop.market.experiments.measure(experiment.id)
    assert measured.sentence == "Not proven yet: there are too few sales so far."
    held = arms(shop, experiment)
    sell(4, lambda product: 0 if held[int(product)] else 3)
    measured = shop.market.experiments.measure(experiment.id)
    result = measured.result
    assert result is not None
    assert (result.measure, result.verdict, result.products, result.held_out) == (
        Measure.PROFIT, Verdict.EARNS_MORE, PRODUCTS, 10,
    )  # fmt: skip
    assert result.elapsed == pytest.approx(0.5)
    assert result.lift == pytest.approx(3 / 2.5, rel=0.05)
    assert result.low is not None
    assert result.fixed_low is not None
    assert result.lift is not None
    assert 0 < result.low < result.fixed_low < result.lift
    assert measured.sentence.startswith("The policy earns ")
    assert measured.sentence.endswith(" more profit than your own prices.")
    sell(4, lambda _: 0)
    finished = shop.market.experiments.measure(experiment.id)
    assert finished.status(shop.clock.now()) is ExperimentStatus.FINISHED
    assert finished.ended_at == experiment.planned_end
    assert finished.note == ""


@pytest.mark.usefixtures("products")
def test_running_experiments_are_measured_every_hour_and_ended_ones_once(
    shop: Shop, policy: PricingPolicy, start: Start
) -> None:
    experiments = shop.market.experiments
    experiment = start()
    assert (experiments.measure_due(), experiments.measure_due()) == (1, 0)
    shop.clock.advance(hours=2)
    assert experiments.measure_due() == 1
    shop.clock.advance(minutes=1)
    unwrap_single(experiments.end([EndExperiment(experiment.id, policy.seller_id)]))
    assert (experiments.measure_due(), experiments.measure_due()) == (1, 0)
    found = shop.queries.experiment(experiment.id)
    assert found is not None
    assert found.result is not None
    assert (found.status(shop.clock.now()), found.note) == (ExperimentStatus.ENDED, "It was ended by hand.")
    assert found.sentence == "Not proven: there were too few sales."
    shop.clock.advance(days=99)
    assert experiments.measure_due() == 0


@pytest.mark.usefixtures("products")
def test_workers_measure_experiments(shop: Shop, start: Start) -> None:
    experiment, views = start(), MemoryViewCounter(shop.clock)
    BackgroundTasks(shop.market, views, lambda: None).measure_experiments()
    found = shop.queries.experiment(experiment.id)
    assert found is not None
    assert found.measured_at == shop.clock.now()


@pytest.mark.usefixtures("products")
def test_a_result_notes_edits_of_the_policy_and_products_that_left_it(
    shop: Shop, policy: PricingPolicy, start: Start, seller: Account, products: list[ProductId]
) -> None:
    experiment = start()
    for fee in (0.1, 0.2):
        unwrap_single(shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, {"fee": fee})]))
    unwrap_single(shop.pricing.exclude([ExcludeProduct(products[0], seller.id)]))
    result = shop.market.experiments.measure(experiment.id).result
    assert result is not None
    assert result.notes == (
        "The policy was edited 2 times since the start; the result is about all of its versions.",
        "1 products do not follow the policy any more; they are measured like the others.",
    )


@pytest.mark.parametrize(
    ("act", "note"),
    [
        (lambda shop, policy: shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, {"is_active": False})]),
         "The policy was switched off."),
        (lambda shop, policy: shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, {"is_shadow": True})]),
         "The policy was switched off."),
        (lambda shop, policy: shop.pricing.delete([DeletePolicy(policy.id, policy.seller_id)]),
         "The policy was deleted."),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("products")
def test_an_experiment_ends_with_its_policy(
    shop: Shop, policy: PricingPolicy, start: Start, act: Callable[[Shop, PricingPolicy], Any], note: str
) -> None:
    experiment = start()
    shop.clock.advance(days=1)
    unwrap_single(act(shop, policy))
    found = shop.market.experiments.measure(experiment.id)
    assert (found.ended_at, found.note) == (shop.clock.now(), note)
    assert found.result is not None
    assert found.result.notes[0] == note


@pytest.mark.usefixtures("products")
def test_a_policy_has_one_experiment_at_a_time(shop: Shop, policy: PricingPolicy, start: Start) -> None:
    first = start(weeks=4)
    with pytest.raises(ExperimentInProgress, match=f"Experiment {first.id} of policy {policy.id}"):
        start()
    shop.clock.advance(days=28)
    second = start()
    assert second.id != first.id
    found = shop.queries.experiment(first.id)
    assert found is not None
    assert found.ended_at == first.planned_end


def test_an_experiment_needs_an_active_policy_with_enough_products(
    shop: Shop, policy: PricingPolicy, start: Start, seller: Account
) -> None:
    with pytest.raises(ExperimentNotPossible, match="covers no product"):
        start()
    for _ in range(3):
        shop.list(seller)
    with pytest.raises(ExperimentNotPossible, match="3 products; a hold-out of 40% needs at least 25"):
        start()
    assert start(kind="switchback", weeks=52).kind is ExperimentKind.SWITCHBACK
    unwrap_single(shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, {"is_shadow": True})]))
    with pytest.raises(ExperimentNotPossible, match="is_shadow"):
        start(kind="switchback", weeks=52)


@pytest.mark.parametrize(
    ("plan", "fields"),
    [
        ({"share": 0.9, "weeks": 1}, {"share", "weeks"}),
        ({"share": "a", "weeks": 2.5, "kind": "other", "arms": 3}, {"share", "weeks", "kind", "arms"}),
        ({"burn_in_epochs": 14, "weeks": 26}, {"burn_in_epochs"}),
        ({"kind": "switchback", "weeks": 26, "period_epochs": 4}, {"weeks"}),
        ({"kind": "switchback", "period_epochs": 2, "burn_in_epochs": 2}, {"burn_in_epochs"}),
        ({"seed": -1}, {"seed"}),
        ({"weeks": True}, {"weeks"}),
    ],
)
@pytest.mark.usefixtures("products")
def test_an_invalid_plan_is_refused_by_field(start: Start, plan: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(Invalid) as refused:
        start(**plan)
    assert set(refused.value.errors) == fields


@pytest.mark.usefixtures("products")
def test_only_the_seller_and_staff_start_and_end_experiments(shop: Shop, policy: PricingPolicy, buyer: Account) -> None:
    experiments = shop.market.experiments
    with pytest.raises(Invalid, match=f"There is no policy {policy.id}"):
        unwrap_single(experiments.start([StartExperiment(policy.id, buyer.id, {"share": 0.4})]))
    with pytest.raises(Invalid, match="There is no policy 99"):
        unwrap_single(experiments.start([StartExperiment(PolicyId(99), buyer.id)]))
    started = unwrap_single(
        experiments.start([StartExperiment(policy.id, AccountId(0), {"share": 0.4}, as_staff=True)])
    )
    with pytest.raises(NotFound):
        unwrap_single(experiments.end([EndExperiment(started.id, buyer.id)]))
    with pytest.raises(NotFound):
        experiments.measure(ExperimentId(99))
    shop.clock.advance(days=1)
    ended = unwrap_single(experiments.end([EndExperiment(started.id, AccountId(0), as_staff=True)]))
    again = unwrap_single(experiments.end([EndExperiment(started.id, AccountId(0), as_staff=True)]))
    assert again.ended_at == ended.ended_at == started.started_at + timedelta(days=1)


@pytest.mark.usefixtures("products")
def test_the_same_seed_assigns_the_same_products(shop: Shop, policy: PricingPolicy, start: Start) -> None:
    first = start(seed=5)
    unwrap_single(shop.market.experiments.end([EndExperiment(first.id, policy.seller_id)]))
    second = start(seed=5)
    unwrap_single(shop.market.experiments.end([EndExperiment(second.id, policy.seller_id)]))
    other = start(seed=6)
    assert arms(shop, first) == arms(shop, second) != arms(shop, other)
