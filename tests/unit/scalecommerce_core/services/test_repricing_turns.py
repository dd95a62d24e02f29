"""The task of pricing runs: sellers take turns, and consecutive runs without effect leave one row."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.tasks.tasks import RUNS_PER_SELLER, BackgroundTasks
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import RunId
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import Run, RunStatus, Trigger
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.pricing import CreatePolicy, EditPolicy
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import Shop

STEADY = {"least_views": 0, "least_history_days": 0, "dead_band": 0.5}
"""Guardrails that keep every price."""


def jobs(shop: Shop) -> BackgroundTasks:
    views: Any = None
    return BackgroundTasks(shop.market, views, lambda: None)


def policies(shop: Shop, seller: Account, count: int, **document: Any) -> list[PricingPolicy]:
    facts = {"guardrails": STEADY, "epoch_seconds": 60, "assigned_only": True, **document}
    return [
        unwrap_single(shop.pricing.create([CreatePolicy(seller.id, {"name": f"Policy {n}", **facts})]))
        for n in range(count)
    ]


def rows(shop: Shop, policy: PricingPolicy | None = None) -> list[Run]:
    return list(shop.queries.runs(None, PageRequest(200), policy_id=policy.id if policy else None).rows)


class TickingClock:
    """Wraps a clock: each look at it costs time, as real work does."""

    def __init__(self, shop: Shop, step: timedelta) -> None:
        self._shop = shop
        self._step = step

    def now(self) -> Any:
        self._shop.clock.advance(seconds=self._step.total_seconds())
        return self._shop.clock.now()


def test_a_seller_with_many_policies_does_not_delay_another(shop: Shop, seller: Account) -> None:
    greedy, honest = seller, shop.person("honest")
    shop.clock.advance(seconds=-60)
    policies(shop, greedy, 20)
    shop.clock.advance(seconds=60)
    (waiting,) = policies(shop, honest, 1)
    market = shop.market
    object.__setattr__(market, "clock", TickingClock(shop, timedelta(seconds=0.03)))
    jobs(shop).reprice()
    (run,) = rows(shop, waiting)
    assert run.status is RunStatus.DONE
    finished = [each for each in rows(shop) if each.seller_id == greedy.id and each.status is RunStatus.DONE]
    assert len(finished) < 20


def test_a_seller_has_few_runs_in_progress(shop: Shop, seller: Account) -> None:
    policies(shop, seller, 5)
    repricing = shop.market.repricing
    for policy_id in repricing.due(per_seller=RUNS_PER_SELLER):
        repricing.begin(policy_id, trigger=Trigger.SCHEDULE)
    assert len(repricing.unfinished()) == RUNS_PER_SELLER
    assert repricing.due(per_seller=RUNS_PER_SELLER) == []


def test_the_next_round_continues_behind_the_last_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sellers = [shop.person(f"s{n}") for n in range(3)]
    for each in sellers:
        policies(shop, each, 1)
    work = jobs(shop)
    for policy_id in shop.market.repricing.due():
        shop.market.repricing.begin(policy_id, trigger=Trigger.SCHEDULE)
    first, second, third = shop.market.repricing.unfinished()
    work.repricing_turn.run_id = first
    finished: list[RunId] = []
    get_run = shop.market.repricing.get_run

    def recording(run_id: RunId) -> Run:
        finished.append(run_id)
        return get_run(run_id)

    monkeypatch.setattr(shop.market.repricing, "get_run", recording)
    work.reprice()
    assert finished == [second, third, first]


def test_consecutive_runs_without_effect_leave_one_row(shop: Shop, seller: Account) -> None:
    shop.list(seller)
    (policy,) = policies(shop, seller, 1, assigned_only=False)
    began = shop.clock.now()
    for _ in range(5):
        jobs(shop).reprice()
        shop.clock.advance(seconds=60)
    (run,) = rows(shop, policy)
    assert (run.status, run.repetitions, run.repeated_since, run.epoch) == (RunStatus.DONE, 4, began, 4)
    jobs(shop).purge_decisions()
    assert len(list(shop.tables.runs.all())) == 1
    assert len(list(shop.tables.staged.items())) == 1


def test_a_new_version_or_another_result_begins_a_new_row(shop: Shop, seller: Account) -> None:
    shop.list(seller)
    (policy,) = policies(shop, seller, 1, assigned_only=False)
    jobs(shop).reprice()
    unwrap_single(shop.pricing.edit([EditPolicy(policy.id, seller.id, {"name": "Renamed"})]))
    shop.clock.advance(seconds=60)
    jobs(shop).reprice()
    assert [run.repetitions for run in rows(shop, policy)] == [0, 0]


def test_runs_of_commands_are_kept(shop: Shop, seller: Account) -> None:
    (policy,) = policies(shop, seller, 1)
    for _ in range(3):
        shop.market.repricing.run(policy.id)
        shop.clock.advance(seconds=60)
    assert len(rows(shop, policy)) == 3


def test_a_policy_with_a_shorter_epoch_runs_at_the_minimum(shop: Shop, seller: Account) -> None:
    (policy,) = policies(shop, seller, 1)
    with shop.store.begin() as tx:
        found = tx.policies.lock([policy.id])[policy.id]
        found.edit(epoch_seconds=1)
        tx.policies.save([found])
    for _ in range(4):
        jobs(shop).reprice()
        shop.clock.advance(seconds=30)
    (run,) = rows(shop, policy)
    assert (run.epoch, run.repetitions) == (1, 1)
