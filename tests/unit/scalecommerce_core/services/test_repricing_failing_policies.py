"""A policy that fails, or whose strategy is unknown, keeps its prices and does not affect other policies."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
from attrs import frozen

from adapters.tasks.tasks import BackgroundTasks
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.pricing import interface
from scalecommerce_core.pricing.interface import Proposal, parameter
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import DecisionOutcome, RunNotReversible, RunStatus
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.pricing import CreatePolicy, EditPolicy
from scalecommerce_core.services.repricing import POOLING_INTERVAL, StrategyUnknown
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import Shop, usd
from tests.unit.support.user_policies import Markup, Remembering, proposing, temporarily_registered

RAILS = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}


def raising(_signals: Any) -> Any:
    raise RuntimeError("no such luck")


@pytest.fixture(autouse=True)
def _policies() -> Iterator[None]:
    Remembering.broken.clear()
    with temporarily_registered(Markup, Remembering, proposing(raising)):
        yield
    Remembering.broken.clear()


def make(shop: Shop, seller: Account, policy: str, **document: Any) -> PricingPolicy:
    facts = {"name": policy.title(), "policy": policy, "guardrails": RAILS, **document}
    return unwrap_single(shop.pricing.create([CreatePolicy(seller.id, facts)]))


def jobs(shop: Shop) -> BackgroundTasks:
    views: Any = None
    return BackgroundTasks(shop.market, views, lambda: None)


def last_run(shop: Shop, policy: PricingPolicy) -> Any:
    return shop.queries.runs(None, PageRequest(1), policy_id=policy.id).rows[0]


def price(shop: Shop, product: ProductId) -> int:
    return shop.product(product).price.minor


@pytest.fixture
def products(shop: Shop, seller: Account) -> tuple[ProductId, ProductId]:
    """Two products in different categories, each covered by another policy."""
    first = shop.list(seller, cost=usd("8.00"))
    second = shop.list(seller, cost=usd("8.00"), name="Cup")
    shop.edit(second, category_id=CategoryId(2))
    shop.clock.advance(days=10)
    return first, second


def test_a_failing_policy_is_reported_by_name_and_the_others_run(
    shop: Shop, seller: Account, products: tuple[ProductId, ProductId], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = make(shop, seller, "faulty", category_id=1), make(shop, seller, "markup", category_id=2)
    jobs(shop).reprice()
    failed, done = last_run(shop, bad), last_run(shop, good)
    said = "The pricing strategy 'faulty' failed in propose: RuntimeError: no such luck (user_policies.py, line "
    assert (failed.status, done.status) == (RunStatus.FAILED, RunStatus.DONE)
    assert failed.note.startswith(said)
    assert [price(shop, each) for each in products] == [10_00, 10_50]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith(f"run {failed.id} of policy {bad.id} (faulty) failed: {said}")
    assert shop.market.repricing.due() == [], "its turn in this epoch is over"
    with pytest.raises(StrategyFailed, match="no such luck"):
        shop.market.repricing.preview(bad.id)
    with pytest.raises(RunNotReversible):
        shop.market.repricing.begin_rollback(failed.id)


@pytest.mark.parametrize("wrong", [np.inf, -5.0, 0.0, np.nan])
def test_unusable_prices_are_counted_and_logged(
    shop: Shop, seller: Account, caplog: pytest.LogCaptureFixture, wrong: float
) -> None:
    bad, good = shop.list(seller), shop.list(seller)
    shop.clock.advance(days=10)
    rules = proposing(lambda seen: Proposal(np.where(seen.product == bad, wrong, 1.04) * seen.price), "half")
    with temporarily_registered(rules):
        policy = make(shop, seller, "half")
        preview = shop.market.repricing.preview(policy.id)
        jobs(shop).reprice()
    run = last_run(shop, policy)
    said = "The pricing strategy 'half' proposed no usable price (NaN, infinite, zero or negative) in 1 of 2 decisions"
    assert (run.status, run.tally.unpriced, run.written) == (RunStatus.DONE, 1, 1)
    assert said in run.note
    assert said in preview.sentence
    assert [record.levelno for record in caplog.records if said in record.getMessage()] == [logging.WARNING]
    assert (price(shop, bad), price(shop, good)) == (10_00, 10_40)
    (stored,) = shop.queries.product_decisions(bad, PageRequest(1)).rows
    assert stored.outcome is DecisionOutcome.KEPT


def test_a_policy_that_fails_to_learn_across_products_fails_its_run_and_tries_again_in_the_next_epoch(
    shop: Shop, seller: Account, products: tuple[ProductId, ProductId]
) -> None:
    bad, good = make(shop, seller, "remembering", category_id=1), make(shop, seller, "markup", category_id=2)
    for _ in range(POOLING_INTERVAL):
        jobs(shop).reprice()
        shop.clock.advance(days=7)
    Remembering.broken["pool"] = raising
    before = price(shop, products[0])
    for _ in range(2):
        jobs(shop).reprice()
        run = last_run(shop, bad)
        assert run.status is RunStatus.FAILED
        assert "The pricing strategy 'remembering' failed in pool: RuntimeError: no such luck" in run.note
        assert last_run(shop, good).status is RunStatus.DONE
        assert price(shop, products[0]) == before
        shop.clock.advance(days=7)
    Remembering.broken.clear()
    jobs(shop).reprice()
    assert last_run(shop, bad).status is RunStatus.DONE


# --- strategies that are not registered in this process


@pytest.fixture
def forgotten(shop: Shop, seller: Account) -> tuple[PricingPolicy, PricingPolicy]:
    """A policy whose strategy is not installed any more, and a policy of the same seller with a built-in strategy."""
    return make(shop, seller, "markup", category_id=1), make(shop, seller, "elasticity_learning", category_id=2)


@contextmanager
def unregistered(name: str) -> Iterator[None]:
    kept = interface._REGISTER.pop(name)
    try:
        yield
    finally:
        interface._REGISTER[name] = kept


def test_policies_with_an_unknown_strategy_are_logged_once_and_skipped(
    shop: Shop,
    products: tuple[ProductId, ProductId],
    forgotten: tuple[PricingPolicy, PricingPolicy],
    caplog: pytest.LogCaptureFixture,
) -> None:
    unknown, known = forgotten
    with unregistered("markup"):
        work = jobs(shop)
        for _ in range(3):
            work.reprice()
            shop.clock.advance(minutes=2)
        assert last_run(shop, known).status is RunStatus.DONE
        assert shop.queries.runs(None, PageRequest(9), policy_id=unknown.id).rows == ()
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert said.startswith(
            f"policy skipped: Policy {unknown.id} uses the pricing strategy 'markup', which is not installed"
        )
        assert "PRICING_POLICIES" in said
        with pytest.raises(StrategyUnknown, match="'markup'"):
            shop.market.repricing.run(unknown.id)
        with pytest.raises(StrategyUnknown, match="'markup'"):
            shop.market.repricing.preview(unknown.id)
    jobs(shop).reprice()
    assert last_run(shop, unknown).status is RunStatus.DONE, "a process with the strategy runs the policy"
    assert price(shop, products[0]) == 10_50


def test_a_run_is_left_to_processes_that_have_its_strategy(
    shop: Shop, products: tuple[ProductId, ProductId], forgotten: tuple[PricingPolicy, PricingPolicy]
) -> None:
    run = shop.market.repricing.begin(forgotten[0].id)
    with unregistered("markup"):
        jobs(shop).reprice()
        assert shop.market.repricing.get_run(run.id).status is RunStatus.DECIDING
        with pytest.raises(StrategyUnknown):
            shop.market.repricing.step(run.id)
    jobs(shop).reprice()
    assert shop.market.repricing.get_run(run.id).status is RunStatus.DONE
    assert price(shop, products[0]) == 10_50


def test_a_policy_with_an_unknown_strategy_can_be_switched_off_and_not_edited(
    shop: Shop, forgotten: tuple[PricingPolicy, PricingPolicy]
) -> None:
    policy = forgotten[0]

    def edit(**changes: Any) -> PricingPolicy | Any:
        return shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, changes)])[0]

    with unregistered("markup"):
        assert isinstance(edit(parameters={"share": 0.1}), Invalid)
        off = edit(is_active=False)
    assert (off.is_active, off.policy, off.version) == (False, "markup", 2)


def test_parameters_that_a_strategy_no_longer_has_fail_the_run(
    shop: Shop, seller: Account, products: tuple[ProductId, ProductId]
) -> None:
    del products
    policy = make(shop, seller, "markup", parameters={"share": 0.1})
    run = shop.market.repricing.begin(policy.id)
    with unregistered("markup"), temporarily_registered(proposing(lambda seen: Proposal(seen.price), "markup")):
        jobs(shop).reprice()
        ended = shop.market.repricing.get_run(run.id)
        assert (ended.status, ended.note) == (RunStatus.FAILED, "parameters.share: Unknown parameter.")
        shop.clock.advance(days=7)
        jobs(shop).reprice()
        assert last_run(shop, policy).status is RunStatus.FAILED
        assert shop.market.repricing.due() == []


@frozen
class Strict(Markup):
    name: ClassVar[str] = "strict"
    most: float = parameter(1.0, at_least=0, at_most=5, says="The largest share.")

    def __attrs_post_init__(self) -> None:
        if self.share > self.most:
            raise ValueError("share is above most")


def test_parameters_that_a_strategy_rejects_are_refused_with_its_message(shop: Shop, seller: Account) -> None:
    with temporarily_registered(Strict):
        assert make(shop, seller, "strict", parameters={"share": 1.0}).policy == "strict"
        with pytest.raises(Invalid) as caught:
            make(shop, seller, "strict", parameters={"share": 2.0})
    assert caught.value.errors == {"parameters": ["share is above most"]}
