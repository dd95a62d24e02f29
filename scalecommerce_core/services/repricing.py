"""Running pricing policies: decide range by range, judge the whole, write range by range, take back as one.

Any number of processes may work on a run at once, and any of them may die: what a range has become is committed with
its effects. Each step is one transaction of bounded size.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

import numpy as np
from attrs import evolve, field, frozen

from scalecommerce_core.domain.errors import Conflict, ConnectionLost, Invalid, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.ports import Clock, Duplicate, Store, Transaction
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.decisions import Breaker, Decision, Decisions
from scalecommerce_core.pricing.interface import PricingStrategy, known_strategies, registered_strategies
from scalecommerce_core.pricing.observation import RangeResult, decide_range, pool_state, price_window_days
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope, policy_scope
from scalecommerce_core.pricing.policy_state import BLOCK_SIZE, PolicyState, StateBlockRange, split_into_ranges
from scalecommerce_core.pricing.runs import IN_PROGRESS, Range, RangeStatus, Run, RunStatus, Schedule, Tally, Trigger
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.retry import retry_on

POOLING_INTERVAL: Final = 4
"""Epochs from one look across products to the next."""
RETENTION: Final = timedelta(days=90)
NOTE_LENGTH: Final = 500
"""Characters of a run's note."""
WAIT_SECONDS: Final = 0.1
"""Seconds from one look to the next while others work on the last ranges."""
_EARLY: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TICK: Final = timedelta(microseconds=1)


class RunInProgress(Conflict):
    """Another run of the policy decides or writes."""

    code = "run_in_progress"


class StrategyUnknown(Conflict):
    """The policy's strategy is not registered in this process."""

    code = "policy_unknown"

    def __init__(self, policy_id: PolicyId, strategy: str) -> None:
        super().__init__(
            f"Policy {policy_id} uses the pricing strategy {strategy!r}, which is not installed in this process."
            f" Installed strategies: {', '.join(registered_strategies())}. Install the package that provides it,"
            " or name its module in PRICING_POLICIES."
        )


class PricingStopped(Conflict):
    """A kill switch is thrown: of the policy, or of everything."""

    code = "pricing_stopped"


@frozen
class Selection:
    """Which of a policy's products a run is for: those of one category, and at most so many, the first by id that
    have not had their turn in this epoch.
    """

    category_id: CategoryId | None = None
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        return self.category_id is None and self.limit is None


EVERYTHING: Final = Selection()


class RunStep(Enum):
    """What a call of `Repricing.step` came to."""

    WORKED = "worked"
    WAITING = "waiting"
    """Others work on what is left."""
    FINISHED = "finished"


@frozen
class Preview:
    """What would be decided now; nothing is stored. `parts` hold all decisions in order of product."""

    policy: PricingPolicy
    parts: Sequence[Decisions]
    breaker: Breaker

    sentence: str
    """The verdict of the breaker, and for how many products the policy proposed no usable price."""

    @property
    def looked_at(self) -> int:
        return sum(len(part) for part in self.parts)

    def decisions(self, *, moves_only: bool = False) -> Iterator[Decision]:
        for part in self.parts:
            rows = np.flatnonzero(part.moves) if moves_only else range(len(part))
            for row in rows:
                yield part[int(row)]


@frozen
class _RunContext:
    """A policy, its strategy, and the products that it covers."""

    policy: PricingPolicy
    strategy: PricingStrategy = field(repr=False)
    scope: PolicyScope


class Repricing:
    """`block` is how many products a range has; `retention` is how long runs and their decisions are kept."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        retention: timedelta = RETENTION,
        block: int = BLOCK_SIZE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._pause = pause
        self._clock = clock
        self._retention = retention
        self._block = block

    # --- beginning

    def due(self, limit: int = 100) -> Sequence[PolicyId]:
        """Active policies whose epoch has ended and that have no run at work; none while everything is stopped.

        Policies whose strategy is not registered in this process are left to processes that have it.
        """
        with self._store.begin() as tx:
            return [] if tx.policies.is_stopped() else tx.policies.due(self._clock.now(), limit, known_strategies())

    def unfinished(self, limit: int = 100) -> Sequence[RunId]:
        """Runs that decide, write or roll back, the oldest first; deciding ones if their strategy is registered."""
        with self._store.begin() as tx:
            return tx.runs.unfinished(limit, known_strategies())

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
    ) -> Run:
        """A new run with its ranges; products that had their turn in this epoch are passed over.

        `shadow`: decide and record; neither prices nor the policy state change. Raise `NotFound`, `PricingStopped`,
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
                    raise RunInProgress(f"A run of policy {policy_id} is at work.")
                scope = _scope_of(tx, policy, only)
                schedule = tx.policies.lock_schedules([policy_id])[policy_id]
                if not shadow:
                    schedule.advance(policy, now)
                epoch = schedule.next_epoch(now) if shadow else schedule.epoch
                failure = ""
                try:
                    context = _RunContext(policy, _strategy(policy), scope)
                    if not shadow:
                        self._pool(tx, context, schedule)
                except (Invalid, StrategyFailed) as error:
                    failure, parts = str(error), []
                    schedule.is_done = schedule.is_done or (only.is_all and not shadow)
                else:
                    parts = self._parts(tx, context, only, epoch, keep=not shadow)
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
                )
                if failure:
                    run.end(RunStatus.FAILED, now, failure[:NOTE_LENGTH])
                tx.runs.add(run, [_range(run_id, number, part) for number, part in enumerate(parts)])
        except Duplicate as error:
            raise RunInProgress(f"A run of policy {policy_id} is at work.") from error
        return run

    def _parts(
        self, tx: Transaction, context: _RunContext, only: Selection, epoch: int, *, keep: bool
    ) -> list[StateBlockRange]:
        """The ranges of a run. With `keep`, blocks of policy state that have grown too large are cut."""
        policy_id = context.policy.id
        products = tx.runs.product_ids(context.scope)
        blocks = tx.runs.blocks(policy_id)
        if only.limit is not None:
            done = [self._done(tx, policy_id, block, epoch) for block in blocks]
            if done:
                products = np.setdiff1d(products, np.concatenate(done))
            products = products[: only.limit]
        parts = split_into_ranges(products, blocks, self._block)
        if keep:
            self._cut(tx, policy_id, blocks, {part.block for part in parts})
            return parts
        # Whoever stores nothing reads what there is: cut where blocks end, and nowhere else.
        return split_into_ranges(products, blocks, max(self._block, len(products))) if blocks else parts

    @staticmethod
    def _done(tx: Transaction, policy_id: PolicyId, block: int, epoch: int) -> Whole:
        state = tx.runs.policy_state(policy_id, block)
        return np.empty(0, dtype=np.int64) if state is None else state.product[state.epoch >= epoch]

    @staticmethod
    def _cut(tx: Transaction, policy_id: PolicyId, blocks: Sequence[int], wanted: set[int]) -> None:
        for block, end in zip(blocks, [*blocks[1:], None], strict=False):
            new = sorted(name for name in wanted if name > block and (end is None or name < end))
            state = tx.runs.policy_state(policy_id, block) if new else None
            if state is None:
                continue
            bounds = np.searchsorted(state.product, new)
            for name, first, last in zip([block, *new], [0, *bounds], [*bounds, len(state)], strict=True):
                tx.runs.save_policy_state(policy_id, name, state.rows(slice(int(first), int(last))))

    @staticmethod
    def _pool(tx: Transaction, context: _RunContext, schedule: Schedule) -> None:
        """Every few epochs, products learn from each other, out of what is remembered of them."""
        if schedule.epoch - schedule.pooled_in < POOLING_INTERVAL:
            return
        policy_id = context.policy.id
        parts = [(block, tx.runs.policy_state(policy_id, block)) for block in tx.runs.blocks(policy_id)]
        known = [(block, part) for block, part in parts if part is not None and part.fits(context.strategy.columns)]
        whole = (
            PolicyState.concatenate([part for _, part in known])
            if known
            else PolicyState.empty(context.strategy.columns)
        )
        learned, groups = pool_state(context.strategy, whole, tx.runs.category_parameters(policy_id))
        schedule.pooled_in = schedule.epoch
        if learned is whole:
            return
        for block, part in known:
            tx.runs.save_policy_state(policy_id, block, part.updated_with(learned.for_products(part.product)))
        tx.runs.save_category_parameters(policy_id, groups)

    # --- working

    @retry_on(TransactionAborted, ConnectionLost)
    def step(self, run_id: RunId) -> RunStep:
        """Do one range of a run, or bring the run from one phase to the next. Raise `NotFound`, and `StrategyUnknown`
        for a deciding run whose strategy is not registered in this process; another process may have it.

        What the policy's own code raises ends the run as FAILED, with what it said.
        """
        try:
            with self._store.begin() as tx:
                run = tx.runs.lock_shared(run_id)
                if run is None:
                    raise NotFound("run", run_id)
                if (wanted := _NEXT.get(run.status)) is None:
                    return RunStep.FINISHED
                stopped = run.status in IN_PROGRESS and _stopped(tx, run)
                if run.status is RunStatus.DECIDING and not stopped:
                    _check_known(run.policy(_EARLY))
                part = None if stopped else tx.runs.claim_range(run_id, wanted)
                if part is not None:
                    self._work(tx, run, part)
                    return RunStep.WORKED
        except _Broken as error:
            self._fail(run_id, str(error))
            return RunStep.FINISHED
        return self._advance(run_id)

    def _work(self, tx: Transaction, run: Run, part: Range) -> None:
        if run.status is RunStatus.DECIDING:
            self._decide(tx, run, part)
        elif run.status is RunStatus.WRITING:
            self._write(tx, run, part)
        else:
            part.status = RangeStatus.UNDONE
            part.undone = tx.runs.revert_prices(run, part, self._after(part.written_at))

    def _decide(self, tx: Transaction, run: Run, part: Range) -> None:
        policy = run.policy(_EARLY)
        try:
            context = _RunContext(policy, _strategy(policy), _scope_of_run(tx, run))
            result = self._decide_range(tx, context, part.block, (part.first, part.last), run.epoch)
        except (Invalid, StrategyFailed) as error:
            raise _Broken(str(error)) from error
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
        part.status, part.decided_at = RangeStatus.DECIDED, self._clock.now()
        part.tally = Tally.of(result.decisions)
        tx.runs.stage_decisions(part, result)

    def _decide_range(
        self, tx: Transaction, context: _RunContext, block: int, bounds: tuple[ProductId, ProductId], epoch: int
    ) -> RangeResult:
        first, last = bounds
        now = self._clock.now()
        strategy, policy_id = context.strategy, context.policy.id
        return decide_range(
            context.policy,
            strategy,
            policy_state=tx.runs.policy_state(policy_id, block) or PolicyState.empty(strategy.columns),
            category_parameters=tx.runs.category_parameters(policy_id),
            facts=tx.runs.facts(context.scope, first, last, now),
            past=tx.runs.past_prices(first, last, now - timedelta(days=price_window_days(context.policy))),
            epoch=epoch,
            now=(now - _EARLY) // _TICK,
        )

    def _write(self, tx: Transaction, run: Run, part: Range) -> None:
        part.status = RangeStatus.WRITTEN
        at = self._after(part.decided_at)
        if run.is_shadow:
            moved = np.empty(0, dtype=np.int64)
        else:
            part.written_at = at
            moved = tx.runs.apply_prices(run, part, at)
            part.written = len(moved)
        if run.updates_state:
            state, groups = tx.runs.staged_state(part)
            # These prices began with this range: what is sold from now on is theirs.
            began = np.where(np.isin(state.product, moved), (at - _EARLY) // _TICK, state.priced_at)
            tx.runs.save_policy_state(run.policy_id, part.block, evolve(state, priced_at=began))
            tx.runs.add_category_parameters(run.policy_id, groups)
        tx.runs.save_range(part)

    def _after(self, moment: datetime | None) -> datetime:
        """Now, but after `moment` whatever the clock of who read it said."""
        now = self._clock.now()
        return now if moment is None else max(now, moment + _TICK)

    def _advance(self, run_id: RunId) -> RunStep:
        """From deciding to writing, when all ranges are decided and the breaker holds; from there to the end."""
        now = self._clock.now()
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or run.status not in _NEXT:
                return RunStep.FINISHED
            before = run.status
            if run.status in IN_PROGRESS and _stopped(tx, run):
                run.sum_ranges(tx.runs.ranges(run_id))
                run.end(RunStatus.CANCELLED, now, "A kill switch was thrown.")
            else:
                ranges = tx.runs.ranges(run_id)
                if any(part.status is _NEXT[run.status] for part in ranges):
                    return RunStep.WAITING
                _close_phase(run, ranges, now)
            if run.status not in IN_PROGRESS and before in IN_PROGRESS and run.updates_state and run.is_whole:
                self._settle(tx, run)
            tx.runs.save(run)
        return RunStep.WORKED if run.status in _NEXT else RunStep.FINISHED

    @staticmethod
    def _settle(tx: Transaction, run: Run) -> None:
        """The policy's epoch is done, unless a kill switch ended it: then it is due again when that is taken back."""
        for schedule in tx.policies.lock_schedules([run.policy_id]).values():
            if schedule.epoch == run.epoch and run.status is not RunStatus.CANCELLED:
                schedule.is_done = True
                tx.policies.save_schedules([schedule])

    @retry_on(TransactionAborted, ConnectionLost)
    def _fail(self, run_id: RunId, note: str) -> None:
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is not None and run.status in IN_PROGRESS:
                run.end(RunStatus.FAILED, self._clock.now(), note[:NOTE_LENGTH])
                if run.updates_state and run.is_whole:
                    self._settle(tx, run)
                tx.runs.save(run)

    def finish(self, run_id: RunId, progress: Progress = no_progress) -> Run:
        """Work on a run until it is finished; others may help. `progress` is told products per phase."""
        while (step := self.step(run_id)) is not RunStep.FINISHED:
            self._tell(run_id, progress)
            if step is RunStep.WAITING:
                self._pause(WAIT_SECONDS)
        return self.get_run(run_id)

    def run(
        self,
        policy_id: PolicyId,
        *,
        shadow: bool = False,
        only: Selection = EVERYTHING,
        progress: Progress = no_progress,
    ) -> Run:
        """Begin a run, or continue the policy's run in progress, and finish it.

        Raise what `begin` raises; `RunInProgress` if the run in progress was begun with other arguments, for example
        one that writes prices when `shadow` is set.
        """
        with self._store.begin() as tx:
            at_work = tx.runs.active_run(policy_id)
            run = None if at_work is None else tx.runs.lock_shared(at_work)
        if run is None:
            try:
                run = self.begin(policy_id, shadow=shadow, only=only)
            except RunInProgress:
                return self.run(policy_id, shadow=shadow, only=only, progress=progress)
        elif (run.updates_state, run.within, run.is_whole) != (not shadow, only.category_id, only.is_all):
            raise RunInProgress(f"Run {run.id} of policy {policy_id} is at work, which was begun otherwise.")
        return self.finish(run.id, progress)

    # --- looking, taking back, cancelling

    def get_run(self, run_id: RunId) -> Run:
        """The run as it is; raise `NotFound`."""
        with self._store.begin() as tx:
            run = tx.runs.lock_shared(run_id)
        if run is None:
            raise NotFound("run", run_id)
        return run

    def preview(
        self,
        policy: PolicyId | PricingPolicy,
        *,
        only: Selection = EVERYTHING,
        progress: Progress = no_progress,
    ) -> Preview:
        """What a run would decide now, and whether the breaker would stop it; nothing is stored.

        A `PricingPolicy` may be edited or not stored at all; the policy state stored under its id is used. Inactive
        policies can be previewed, too. Raise `NotFound`, `StrategyUnknown`, `StrategyFailed`, and `Invalid` for a
        strategy that cannot be built.
        """
        with self._store.begin() as tx:
            chosen = tx.policies.get_many([policy]).get(policy) if isinstance(policy, int) else policy
            if chosen is None:
                raise NotFound("policy", policy)
            context = _RunContext(chosen, _strategy(chosen), _scope_of(tx, chosen, only))
            schedules = tx.policies.lock_schedules([chosen.id])
            epoch = schedules[chosen.id].next_epoch(self._clock.now()) if schedules else 0
            parts = self._parts(tx, context, only, epoch, keep=False)
        done, decided = 0, []
        total = sum(part.products for part in parts)
        for part in parts:
            with self._store.begin() as tx:
                result = self._decide_range(
                    tx, context, part.block, (ProductId(part.first), ProductId(part.last)), epoch
                )
            decided.append(result.decisions)
            done += part.products
            progress("deciding", done, total)
        tally = Tally.sum([Tally.of(each) for each in decided])
        return Preview(chosen, decided, tally.breaker(chosen), tally.sentence(chosen))

    @retry_on(TransactionAborted, ConnectionLost)
    def begin_rollback(self, run_id: RunId, owner: AccountId | None = None) -> Run:
        """Mark a run as to be rolled back; workers do it, or `rollback`. A run at work is cancelled by this.

        `owner` None: an operator. Asking again is harmless. Raise `NotFound` and `RunNotReversible`.
        """
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or owner not in {None, run.seller_id}:
                raise NotFound("run", run_id)
            was_at_work = run.status in IN_PROGRESS
            if run.begin_rollback():
                tx.runs.save(run)
                if was_at_work and run.is_whole:
                    self._settle(tx, run)
        return run

    def rollback(self, run_id: RunId, progress: Progress = no_progress, owner: AccountId | None = None) -> Run:
        """Put all prices of a run back, where they are still in force; what somebody moved since stays.

        Nobody may insist on a price that was taken back, and automation leaves these products alone for an epoch.
        """
        run = self.begin_rollback(run_id, owner)
        return run if run.status is RunStatus.ROLLED_BACK else self.finish(run_id, progress)

    @retry_on(TransactionAborted, ConnectionLost)
    def cancel(self, run_id: RunId, owner: AccountId | None = None) -> Run:
        """End a run at work; what it has written stands. Harmless for others. Raise `NotFound`."""
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or owner not in {None, run.seller_id}:
                raise NotFound("run", run_id)
            if run.status in IN_PROGRESS:
                run.sum_ranges(tx.runs.ranges(run_id))
                run.end(RunStatus.CANCELLED, self._clock.now(), "It was cancelled.")
                tx.runs.save(run)
        return run

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 20) -> int:
        """Delete up to `limit` ranges of runs that ended before the retention, with their decisions, and empty runs."""
        with self._store.begin() as tx:
            return tx.runs.purge(self._clock.now() - self._retention, limit)

    def _tell(self, run_id: RunId, progress: Progress) -> None:
        if progress is no_progress:
            return
        with self._store.begin() as tx:
            run, ranges = tx.runs.lock_shared(run_id), tx.runs.ranges(run_id)
        if run is None:
            return
        waits, step = _NEXT.get(run.status), _PHASES.get(run.status)
        if waits is not None and step is not None:
            progress(step, sum(each.products for each in ranges if each.status is not waits), run.products)


_NEXT: Final[Mapping[RunStatus, RangeStatus]] = {
    RunStatus.DECIDING: RangeStatus.OPEN,
    RunStatus.WRITING: RangeStatus.DECIDED,
    RunStatus.ROLLING_BACK: RangeStatus.WRITTEN,
}
"""What a range waits for in each phase of a run."""
_PHASES: Final = {
    RunStatus.DECIDING: "deciding",
    RunStatus.WRITING: "writing",
    RunStatus.ROLLING_BACK: "rolling back",
}


class _Broken(Exception):
    """The strategy's own code failed."""


def _check_known(policy: PricingPolicy) -> None:
    if policy.policy not in registered_strategies():
        raise StrategyUnknown(policy.id, policy.policy)


def _strategy(policy: PricingPolicy) -> PricingStrategy:
    _check_known(policy)
    return policy.strategy()


def _scope_of(tx: Transaction, policy: PricingPolicy, only: Selection) -> PolicyScope:
    if only.category_id is not None and not tx.categories.existing([only.category_id]):
        raise NotFound("category", only.category_id)
    of_seller = tx.policies.of_sellers([policy.seller_id])
    return policy_scope(policy, of_seller, only.category_id)


def _scope_of_run(tx: Transaction, run: Run) -> PolicyScope:
    return policy_scope(run.policy(_EARLY), tx.policies.of_sellers([run.seller_id]), run.within)


def _range(run_id: RunId, number: int, part: StateBlockRange) -> Range:
    return Range(run_id, number, ProductId(part.block), ProductId(part.first), ProductId(part.last), part.products)


def _stopped(tx: Transaction, run: Run) -> bool:
    policy = tx.policies.get_many([run.policy_id]).get(run.policy_id)
    return policy is None or not policy.is_active or tx.policies.is_stopped()


def _close_phase(run: Run, ranges: Sequence[Range], now: datetime) -> None:
    run.sum_ranges(ranges)
    if run.status is RunStatus.DECIDING:
        policy = run.policy(_EARLY)
        note = run.tally.sentence(policy)
        if run.tally.breaker(policy).tripped:
            run.end(RunStatus.STOPPED, now, note)
        else:
            run.status, run.note = RunStatus.WRITING, note
    elif run.status is RunStatus.WRITING:
        run.end(RunStatus.DONE, now, run.note)
    else:
        run.end_rollback(ranges, now)
