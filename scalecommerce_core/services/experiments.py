"""Pricing experiments: start, end and measure them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import numpy as np
from attrs import evolve, field, fields, frozen

from scalecommerce_core.domain.audit import AuditAction, AuditEntry, changed
from scalecommerce_core.domain.errors import Conflict, Invalid, MarketError, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId, ProductId
from scalecommerce_core.ports import Clock, Store, Transaction
from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.experiments.assignment import hold_out_products, holds_out_new
from scalecommerce_core.pricing.experiments.experiment import (
    ExperimentKind,
    PricingExperiment,
    too_few_products,
)
from scalecommerce_core.pricing.experiments.measuring import (
    BEFORE,
    ExperimentProducts,
    PeriodSales,
    measure,
    measured_edges,
)
from scalecommerce_core.pricing.facts import Facts
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope, policy_scope
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on

MEASURE_EVERY: Final = timedelta(hours=1)
"""How often running experiments are measured; sales are counted by the hour."""
CHUNK: Final = 5_000
"""Products whose sales are read by one statement."""
_Arrays = TypeVar("_Arrays", ExperimentProducts, PeriodSales)


class ExperimentInProgress(Conflict):
    """The policy has an experiment in progress."""

    code = "experiment_in_progress"


class ExperimentNotPossible(Conflict):
    """The policy changes no prices now, or covers too few products."""

    code = "experiment_not_possible"


@frozen
class StartExperiment(StaffCommand):
    """Start an experiment about a policy. `plan` is as `PricingExperiment.plan` returns it; fields have defaults."""

    policy_id: PolicyId
    owner: AccountId
    plan: Mapping[str, Any] = field(factory=dict)
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EndExperiment(StaffCommand):
    """End an experiment before its planned end. Staff may end the experiments of all sellers."""

    experiment_id: ExperimentId
    owner: AccountId


class Experiments:
    """Use cases of pricing experiments."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retry_on(TransactionAborted)
    def start(self, commands: Sequence[StartExperiment]) -> list[PricingExperiment | Replayed | MarketError]:
        """Start experiments, and assign the products of each policy to the arms.

        Errors: `Invalid`, which names fields (`policy`: no such policy of the caller), `ExperimentInProgress`,
        `ExperimentNotPossible`; `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._start(tx, fresh, now))

    def _start(
        self, tx: Transaction, commands: Sequence[StartExperiment], now: datetime
    ) -> list[PricingExperiment | MarketError]:
        ids = {command.policy_id for command in commands}
        policies = tx.policies.lock(ids)
        running = dict(tx.experiments.lock_open(ids))
        numbers = iter(tx.experiments.next_ids(len(commands)))

        def start(command: StartExperiment) -> PricingExperiment:
            number = next(numbers)
            policy = policies.get(command.policy_id)
            if policy is None or (policy.seller_id != command.owner and not command.as_staff):
                raise Invalid.field("policy", f"There is no policy {command.policy_id}, or it is another seller's.")
            before = running.get(policy.id)
            if before is not None:
                if before.is_running(now):
                    raise ExperimentInProgress(
                        f"Experiment {before.id} of policy {policy.id} is in progress: end it first."
                    )
                before.end(now)
                tx.experiments.save([before])
            experiment = PricingExperiment.from_plan(
                command.plan, id=number, policy_id=policy.id, seller_id=policy.seller_id,
                policy_version=policy.version, started_at=now, epoch=policy.epoch, fee=policy.fee, seed=int(number),
            )  # fmt: skip
            products = _products_to_compare(tx, policy, experiment)
            tx.experiments.add([experiment])
            held = np.zeros(len(products), dtype=np.bool_)
            if experiment.kind is ExperimentKind.HOLD_OUT:
                described, revenue = _revenue_before(tx, products, now)
                held = hold_out_products(
                    described.product,
                    described.currency * 2**31 + described.category,
                    revenue,
                    share=experiment.share,
                    seed=experiment.seed,
                )
            for first in range(0, len(products), CHUNK):
                part = slice(first, first + CHUNK)
                tx.experiments.add_products(experiment.id, products[part], held[part])
            running[policy.id] = experiment
            if (actor := actor_on(policy.seller_id, command.owner, command.address)) is not None:
                facts = {"policy_id": policy.id, "kind": experiment.kind, "weeks": experiment.weeks}
                tx.audit.record([actor.entry(AuditAction.EXPERIMENT_STARTED, experiment.id, now, after=facts)])
            return experiment

        return apply_each(commands, start)

    @retry_on(TransactionAborted)
    def end(self, commands: Sequence[EndExperiment]) -> list[PricingExperiment | MarketError]:
        """End experiments; those that have ended stay as they are. Errors: `NotFound`.

        The policy prices all of its products again from its next run on. The final result is measured afterwards, by
        `measure_due` at the latest.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.experiments.lock({command.experiment_id for command in commands})
            entries: list[AuditEntry] = []

            def end(command: EndExperiment) -> PricingExperiment:
                experiment = found.get(command.experiment_id)
                if experiment is None or (experiment.seller_id != command.owner and not command.as_staff):
                    raise NotFound("experiment", command.experiment_id)
                before = {"ended_at": experiment.ended_at}
                experiment.end(now, "It was ended by hand.")
                if (actor := actor_on(experiment.seller_id, command.owner, command.address)) is not None:
                    action, after = AuditAction.EXPERIMENT_ENDED, {"ended_at": experiment.ended_at}
                    entries.append(actor.entry(action, experiment.id, now, before=before, after=after))
                return experiment

            outcomes = apply_each(commands, end)
            tx.experiments.save(succeeded(outcomes))
            tx.audit.record(changed(entries))
        return outcomes

    @retry_on(TransactionAborted)
    def measure(self, experiment_id: ExperimentId) -> PricingExperiment:
        """Compute the result of an experiment from the sales so far, store it, and return the experiment.

        An experiment whose planned end has passed is ended. Raise `NotFound`.
        """
        now = self._clock.now()
        # Without a lock: reading the sales of a large catalog takes long.
        with self._store.begin() as tx:
            experiment = tx.experiments.lock([experiment_id]).get(experiment_id)
        if experiment is None:
            raise NotFound("experiment", experiment_id)
        edges = measured_edges(experiment, now)
        products, sales = self._read_sales(experiment_id, edges)
        with self._store.begin() as tx:
            notes = _notes(tx, experiment, products)
            result = measure(experiment, products, sales, fee=experiment.fee, now=now, notes=notes)
            current = tx.experiments.lock([experiment_id])[experiment_id]
            # Otherwise it was ended in the meantime, and is measured once more.
            if current.ended_at == experiment.ended_at:
                if now >= current.planned_end:
                    current.end(now)
                current.record(result, now)
                tx.experiments.save([current])
        return current

    def measure_due(self, limit: int = 100) -> int:
        """Measure experiments in progress that were not measured for an hour, and ended ones a last time.

        Return how many were measured.
        """
        with self._store.begin() as tx:
            due = tx.experiments.measured_before(self._clock.now() - MEASURE_EVERY, limit)
        for experiment_id in due:
            self.measure(experiment_id)
        return len(due)

    def _read_sales(
        self, experiment_id: ExperimentId, edges: Sequence[datetime]
    ) -> tuple[ExperimentProducts, PeriodSales]:
        parts: list[ExperimentProducts] = []
        sold: list[PeriodSales] = []
        after = ProductId(0)
        while True:
            with self._store.begin() as tx:
                part = tx.experiments.products(experiment_id, after, CHUNK)
                sold.append(tx.experiments.sales(part.product, edges))
            parts.append(part)
            if len(part) < CHUNK:
                return _joined(parts), _joined(sold)
            after = ProductId(int(part.product[-1]))


def _joined(parts: Sequence[_Arrays]) -> _Arrays:
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(kind)))


def _products_to_compare(tx: Transaction, policy: PricingPolicy, experiment: PricingExperiment) -> Whole:
    if not policy.is_active or policy.is_shadow:
        raise ExperimentNotPossible(
            f"Policy {policy.id} changes no prices: set its is_active to true and its is_shadow to false first."
        )
    products = tx.runs.product_ids(policy_scope(policy, tx.policies.of_sellers([policy.seller_id])))
    if not len(products):
        raise ExperimentNotPossible(
            f"Policy {policy.id} covers no product: none is for sale in its scope, or other policies apply to them."
        )
    if experiment.kind is ExperimentKind.HOLD_OUT and (said := too_few_products(len(products), experiment.share)):
        raise ExperimentNotPossible(said)
    return products


def _revenue_before(tx: Transaction, products: Whole, now: datetime) -> tuple[ExperimentProducts, Floats]:
    """The products, sorted by id, with their revenue before the start."""
    described: list[ExperimentProducts] = []
    revenue: list[Floats] = []
    for first in range(0, len(products), CHUNK):
        part = products[first : first + CHUNK]
        described.append(tx.experiments.described(part))
        sales = tx.experiments.sales(part, [now - BEFORE, now])
        earned = np.zeros(len(part))
        earned[np.searchsorted(part, sales.product)] = sales.revenue
        revenue.append(earned)
    return _joined(described), np.concatenate(revenue)


def _notes(tx: Transaction, experiment: PricingExperiment, products: ExperimentProducts) -> list[str]:
    """What happened to the policy since the start."""
    policy = tx.policies.get_many([experiment.policy_id]).get(experiment.policy_id)
    notes = [experiment.note] if experiment.note else []
    if policy is None:
        return notes
    if (edits := policy.version - experiment.policy_version) > 0:
        times = "once" if edits == 1 else f"{edits} times"
        notes.append(f"The policy was edited {times} since the start; the result is about all of its versions.")
    followed = tx.runs.product_ids(policy_scope(policy, tx.policies.of_sellers([policy.seller_id])))
    if gone := int((~np.isin(products.product, followed)).sum()):
        notes.append(f"{gone:,} products do not follow the policy any more; they are measured like the others.")
    return notes


def join_new_products(tx: Transaction, scope: PolicyScope, now: datetime) -> None:
    """Assign the products in `scope` that have no arm yet; they join at random, by their ids."""
    experiment = tx.experiments.unended(scope.policy_id)
    if experiment is None or not experiment.is_running(now):
        return
    products = tx.runs.product_ids(scope)
    if not len(products):
        return
    known, _ = tx.experiments.arms(experiment.id, ProductId(int(products[0])), ProductId(int(products[-1])))
    new = np.setdiff1d(products, known)
    if len(new):
        held = np.zeros(len(new), dtype=np.bool_)
        if experiment.kind is ExperimentKind.HOLD_OUT:
            held = holds_out_new(new, share=experiment.share, seed=experiment.seed)
        tx.experiments.add_products(experiment.id, new, held)


def with_held_out_prices(tx: Transaction, policy_id: PolicyId, facts: Facts, now: datetime) -> Facts:
    """The facts with the seller's own prices of the products that an experiment keeps at them."""
    experiment = tx.experiments.unended(policy_id)
    if experiment is None or not experiment.is_running(now) or not len(facts):
        return facts
    if experiment.kind is ExperimentKind.SWITCHBACK:
        held = np.full(len(facts), experiment.holds_all(now))
    else:
        first, last = ProductId(int(facts.product[0])), ProductId(int(facts.product[-1]))
        products, is_held_out = tx.experiments.arms(experiment.id, first, last)
        held = np.isin(facts.product, products[is_held_out])
    if not held.any():
        return facts
    price = np.zeros(len(facts), dtype=np.int64)
    price[held] = tx.experiments.own_prices(facts.product[held])
    return evolve(facts, held_out_price=price)
