"""Planning of pricing runs: which policies are due, and the ranges of a new run or of a preview."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.errors import Invalid, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import PolicyId, ProductId, RunId
from scalecommerce_core.ports import Duplicate, Transaction
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.breaker import Breaker, Moves, limit_decisions, range_limit
from scalecommerce_core.pricing.decisions import Decision, Decisions
from scalecommerce_core.pricing.interface import POOLING_INTERVAL, known_strategies
from scalecommerce_core.pricing.observation import pool_state
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import PolicyState, StateBlockRange, split_into_ranges
from scalecommerce_core.pricing.runs import Range, Run, RunStatus, Schedule, Tally, Trigger
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.services.experiments import join_new_products
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.repricing.common import (
    EVERYTHING,
    NOTE_LENGTH,
    PricingStopped,
    RepricingBase,
    RunContext,
    RunInProgress,
    Selection,
    decide,
    scope_of,
    strategy_of,
)
from scalecommerce_core.services.retry import retry_on

ANY_NUMBER: Final = 1_000_000
"""No limit on the policies or runs of a seller."""


@frozen
class Preview:
    """The decisions that a run would make now; nothing is stored.

    `parts` hold them in order of product id, after the circuit breaker.
    """

    policy: PricingPolicy
    parts: Sequence[Decisions]
    breaker: Breaker

    products: int
    """How many products the run would cover, also those that were decided in this epoch."""
    sentence: str
    """How the circuit breaker would limit the run, and for how many products there was no usable proposal."""

    @property
    def looked_at(self) -> int:
        """How many products were decided."""
        return sum(len(part) for part in self.parts)

    def decisions(self, *, moves_only: bool = False) -> Iterator[Decision]:
        """All decisions, or only those that change a price."""
        for part in self.parts:
            rows = np.flatnonzero(part.moves) if moves_only else range(len(part))
            for row in rows:
                yield part[int(row)]


class Planning(RepricingBase):
    """Use cases that begin runs and preview them."""

    def due(self, limit: int = 100, *, per_seller: int = ANY_NUMBER) -> Sequence[PolicyId]:
        """Active policies whose epoch has ended and that have no run in progress; none while all pricing is stopped.

        Sellers take turns (`PolicyRepository.due`); none gets more than `per_seller` runs in progress. Policies whose
        strategy is not registered in this process are left to processes that have it.
        """
        with self._store.begin() as tx:
            if tx.policies.is_stopped():
                return []
            return tx.policies.due(self._clock.now(), limit, known_strategies(), per_seller=per_seller)

    def waits_until(self, policy_id: PolicyId) -> datetime | None:
        """Return the start of the next epoch if the current one is finished (`Schedule.is_done`), else None."""
        with self._store.begin() as tx:
            schedule = tx.policies.lock_schedules([policy_id]).get(policy_id)
            return schedule.ends_at if schedule and schedule.is_done and self._clock.now() < schedule.ends_at else None

    def unfinished(self, limit: int = 100, *, per_seller: int = ANY_NUMBER) -> Sequence[RunId]:
        """Runs that decide, write or roll back, the oldest first; deciding ones if their strategy is registered.

        Runs whose approval has expired are included, because their policy state is still to be stored.

        Of each seller at most `per_seller`.
        """
        with self._store.begin() as tx:
            return tx.runs.unfinished(self._clock.now(), limit, known_strategies(), per_seller=per_seller)

    def active_with_unknown_strategy(self, limit: int = 100) -> Sequence[PricingPolicy]:
        """Active policies whose strategy is not registered in this process."""
        with self._store.begin() as tx:
            return tx.policies.active_with_unknown_strategy(known_strategies(), limit)

    @retry_on(TransactionAborted)
    def begin(
        self,
        policy_id: PolicyId,
        *,
        trigger: Trigger = Trigger.COMMAND,
        shadow: bool = False,
        only: Selection = EVERYTHING,
        by: Actor | None = None,
    ) -> Run:
        """Create a run with its ranges, without the products that were decided in this epoch.

        `shadow`: decide and record; neither prices nor the policy state change. `by` is an operator who begins the run
        of somebody else, for the audit log; None for the schedule. Raise `NotFound`, `PricingStopped`,
        `RunInProgress` and `StrategyUnknown`. The run of a policy whose strategy cannot be built, or fails in `pool`,
        is FAILED from the beginning, and its note says why.
        """
        now = self._clock.now()
        try:
            with self._store.begin() as tx:
                policy = tx.policies.lock([policy_id]).get(policy_id)
                if policy is None:
                    raise NotFound("policy", policy_id)
                if tx.policies.is_stopped():
                    raise PricingStopped("All pricing is stopped, until `scalecommerce pricing resume`.")
                if not policy.is_active:
                    raise PricingStopped(f"Policy {policy_id} is switched off: set its `is_active` to let it run.")
                if tx.runs.active_run(policy_id) is not None:
                    raise RunInProgress(f"A run of policy {policy_id} is in progress.")
                scope = scope_of(tx, policy, only)
                schedule = tx.policies.lock_schedules([policy_id])[policy_id]
                if not shadow:
                    is_staff = policy.seller_id in tx.accounts.staff_among([policy.seller_id])
                    schedule.advance(policy, now, timedelta(0) if is_staff else self._min_epoch)
                epoch = schedule.next_epoch(now) if shadow else schedule.epoch
                failure = ""
                try:
                    context = RunContext(policy, strategy_of(policy), scope)
                    if not shadow:
                        _pool(tx, context, schedule)
                except (Invalid, StrategyFailed) as error:
                    failure, parts = str(error), []
                    schedule.is_done = schedule.is_done or (only.is_all and not shadow)
                else:
                    if not shadow:
                        join_new_products(tx, scope, now)
                    parts = self._ranges(tx, context, only, epoch, split_blocks=not shadow)
                if not shadow:
                    tx.policies.save_schedules([schedule])
                (run_id,) = tx.runs.next_ids(1)
                run = Run(
                    id=run_id,
                    policy_id=policy_id,
                    seller_id=policy.seller_id,
                    policy_version=policy.version,
                    document=policy.document(),
                    epoch=epoch,
                    trigger=trigger,
                    started_at=now,
                    products=sum(part.products for part in parts),
                    is_shadow=shadow or policy.is_shadow,
                    updates_state=not shadow,
                    within=only.category_id,
                    is_whole=only.is_all,
                    edited_by=policy.edited_by,
                )
                if failure:
                    run.end(RunStatus.FAILED, now, failure[:NOTE_LENGTH])
                tx.runs.add(run, [_range(run_id, number, part) for number, part in enumerate(parts)])
                if by is not None:
                    facts = {"policy_id": policy_id, "is_shadow": run.is_shadow, "products": run.products}
                    tx.audit.record([by.entry(AuditAction.RUN_STARTED, run_id, now, after=facts)])
        except Duplicate as error:
            raise RunInProgress(f"A run of policy {policy_id} is in progress.") from error
        if run.status is RunStatus.FAILED:
            self._measurements.run_ended(run.status)
        self._replace_repeated(run)
        return run

    def preview(
        self,
        policy: PolicyId | PricingPolicy,
        *,
        only: Selection = EVERYTHING,
        progress: Progress = no_progress,
    ) -> Preview:
        """The decisions that a run would make now, after the circuit breaker; nothing is stored.

        A `PricingPolicy` may be edited or not stored at all; the policy state stored under its id is used. Inactive
        policies can be previewed, too. Raise `NotFound`, `StrategyUnknown`, `StrategyFailed`, and `Invalid` for a
        strategy that cannot be built.
        """
        with self._store.begin() as tx:
            chosen = tx.policies.get_many([policy]).get(policy) if isinstance(policy, int) else policy
            if chosen is None:
                raise NotFound("policy", policy)
            context = RunContext(chosen, strategy_of(chosen), scope_of(tx, chosen, only))
            schedules = tx.policies.lock_schedules([chosen.id])
            epoch = schedules[chosen.id].next_epoch(self._clock.now()) if schedules else 0
            parts = self._ranges(tx, context, only, epoch, split_blocks=False)
        done, decided = 0, []
        total = sum(part.products for part in parts)
        for part in parts:
            with self._store.begin() as tx:
                bounds = ProductId(part.first), ProductId(part.last)
                decided.append(decide(tx, context, part.block, bounds, epoch=epoch, now=self._clock.now()).decisions)
            done += part.products
            progress("deciding", done, total)
        tally = Tally.sum([Tally.of(each, chosen) for each in decided])
        breaker = tally.breaker(chosen)
        if breaker.acts:
            decided = [_limited(each, chosen, breaker) for each in decided]
        return Preview(chosen, decided, breaker, total, tally.sentence(chosen))

    def _ranges(
        self, tx: Transaction, context: RunContext, only: Selection, epoch: int, *, split_blocks: bool
    ) -> list[StateBlockRange]:
        """The ranges of a run. With `split_blocks`, stored blocks of policy state that grew too large are split."""
        policy_id = context.policy.id
        products = tx.runs.product_ids(context.scope)
        blocks = tx.runs.blocks(policy_id)
        if only.limit is not None:
            done = [_decided_in(tx, policy_id, block, epoch) for block in blocks]
            if done:
                products = np.setdiff1d(products, np.concatenate(done))
            products = products[: only.limit]
        parts = split_into_ranges(products, blocks, self._block)
        if split_blocks:
            _split_blocks(tx, policy_id, blocks, {part.block for part in parts})
            return parts
        # Blocks stay as they are stored, so ranges must not end within a block.
        return split_into_ranges(products, blocks, max(self._block, len(products))) if blocks else parts


def _limited(decisions: Decisions, policy: PricingPolicy, breaker: Breaker) -> Decisions:
    limit = range_limit(breaker, policy, Moves.of(decisions), prices=len(decisions), epoch=decisions.epoch)
    return limit_decisions(decisions, limit, policy.guardrails.ending)


def _decided_in(tx: Transaction, policy_id: PolicyId, block: int, epoch: int) -> Whole:
    """Ids of the products of a block that were decided in `epoch` or later."""
    state = tx.runs.policy_state(policy_id, block)
    return np.empty(0, dtype=np.int64) if state is None else state.product[state.epoch >= epoch]


def _split_blocks(tx: Transaction, policy_id: PolicyId, blocks: Sequence[int], starts: set[int]) -> None:
    """Split the stored `blocks` at those of `starts` that lie within them."""
    for block, end in zip(blocks, [*blocks[1:], None], strict=False):
        new = sorted(start for start in starts if start > block and (end is None or start < end))
        state = tx.runs.policy_state(policy_id, block) if new else None
        if state is None:
            continue
        bounds = np.searchsorted(state.product, new)
        for start, first, last in zip([block, *new], [0, *bounds], [*bounds, len(state)], strict=True):
            tx.runs.save_policy_state(policy_id, start, state.rows(slice(int(first), int(last))))


def _pool(tx: Transaction, context: RunContext, schedule: Schedule) -> None:
    """Every `POOLING_INTERVAL` epochs, estimate the category parameters from the policy state of all products."""
    if schedule.epoch - schedule.pooled_in < POOLING_INTERVAL:
        return
    policy_id, columns = context.policy.id, context.strategy.columns
    parts = [(block, tx.runs.policy_state(policy_id, block)) for block in tx.runs.blocks(policy_id)]
    known = [(block, part) for block, part in parts if part is not None and part.fits(columns)]
    whole = PolicyState.concatenate([part for _, part in known]) if known else PolicyState.empty(columns)
    learned, groups = pool_state(context.strategy, whole, tx.runs.category_parameters(policy_id))
    schedule.pooled_in = schedule.epoch
    if learned is whole:
        return
    for block, part in known:
        tx.runs.save_policy_state(policy_id, block, part.updated_with(learned.for_products(part.product)))
    tx.runs.save_category_parameters(policy_id, groups)


def _range(run_id: RunId, number: int, part: StateBlockRange) -> Range:
    return Range(run_id, number, ProductId(part.block), ProductId(part.first), ProductId(part.last), part.products)
