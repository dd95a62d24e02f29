"""Execution of pricing runs: decide all ranges, apply the circuit breaker, write all ranges; or roll them back.

Any number of processes may work on one run, and each may die at any time: a range changes its status in the transaction
of its effects. Each step is one transaction of bounded size.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Final

import numpy as np
from attrs import evolve

from scalecommerce_core.domain.errors import ConnectionLost, Invalid, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import RunId
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.breaker import limited_prices, range_limit
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import IN_PROGRESS, UNFINISHED, Range, RangeStatus, Run, RunStatus, Tally
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.repricing.common import (
    NOTE_LENGTH,
    TICK,
    RepricingBase,
    RunContext,
    check_known,
    decide,
    finish_epoch,
    policy_of,
    scope_of_run,
    strategy_of,
)
from scalecommerce_core.services.retry import retry_on

WAIT_SECONDS: Final = 0.1
"""Seconds between two checks while other processes work on the last ranges."""

_PENDING: Final[Mapping[RunStatus, RangeStatus]] = {
    RunStatus.DECIDING: RangeStatus.OPEN,
    RunStatus.WRITING: RangeStatus.DECIDED,
    RunStatus.ROLLING_BACK: RangeStatus.WRITTEN,
}
"""The status of ranges that are still to be processed, by phase of the run."""
_PHASE_NAMES: Final = {
    RunStatus.DECIDING: "deciding",
    RunStatus.WRITING: "writing",
    RunStatus.ROLLING_BACK: "rolling back",
}


class RunStep(Enum):
    """Result of `Repricing.step`."""

    WORKED = "worked"
    """A range was processed, or the run entered its next phase."""
    WAITING = "waiting"
    """Other processes work on the last ranges of the phase."""
    FINISHED = "finished"


class _StrategyError(Exception):
    """The strategy's code failed; the message goes into the run's note."""


class Execution(RepricingBase):
    """Use cases that work on runs."""

    @retry_on(TransactionAborted, ConnectionLost)
    def step(self, run_id: RunId) -> RunStep:
        """Process one range of a run, or bring the run into its next phase.

        Raise `NotFound`, and `StrategyUnknown` for a deciding run whose strategy is not registered in this process;
        another process may have it. An exception of the strategy's code ends the run as FAILED with the message as its
        note.
        """
        actions: Mapping[Guardrail, int] = {}
        try:
            with self._store.begin() as tx:
                run = tx.runs.lock_shared(run_id)
                if run is None:
                    raise NotFound("run", run_id)
                stopped = run.status in IN_PROGRESS and _is_stopped(tx, run)
                pending = _PENDING.get(run.status)
                if pending is None and not self._leaves_approval(run, stopped=stopped):
                    return RunStep.FINISHED
                if run.status is RunStatus.DECIDING and not stopped:
                    check_known(policy_of(run))
                part = None if stopped or pending is None else tx.runs.claim_range(run_id, pending)
                if part is not None:
                    actions = self._process(tx, run, part)
        except _StrategyError as error:
            self._fail(run_id, str(error))
            return RunStep.FINISHED
        if part is None:
            return self._advance(run_id)
        self._measurements.prices_decided(part.tally.decided if run.status is RunStatus.DECIDING else 0, actions)
        return RunStep.WORKED

    def finish(self, run_id: RunId, progress: Progress = no_progress) -> Run:
        """Work on a run, possibly together with other processes, until it is finished; raise what `step` raises.

        `progress` receives the phase, the number of processed products, and their total.
        """
        while (step := self.step(run_id)) is not RunStep.FINISHED:
            self._report(run_id, progress)
            if step is RunStep.WAITING:
                self._pause(WAIT_SECONDS)
        return self.get_run(run_id)

    def get_run(self, run_id: RunId) -> Run:
        """The run in its present state; raise `NotFound`."""
        with self._store.begin() as tx:
            run = tx.runs.lock_shared(run_id)
        if run is None:
            raise NotFound("run", run_id)
        return run

    def _process(self, tx: Transaction, run: Run, part: Range) -> Mapping[Guardrail, int]:
        """Process a range; return in how many of its decisions each guardrail acted."""
        if run.status is RunStatus.DECIDING:
            return self._decide(tx, run, part)
        if run.status is RunStatus.WRITING:
            return self._write(tx, run, part)
        part.status = RangeStatus.UNDONE
        part.undone = tx.runs.revert_prices(run, part, self._later_than(part.written_at))
        return {}

    def _decide(self, tx: Transaction, run: Run, part: Range) -> Mapping[Guardrail, int]:
        policy = policy_of(run)
        try:
            context = RunContext(policy, strategy_of(policy), scope_of_run(tx, run, policy))
            bounds, now = (part.first, part.last), self._clock.now()
            result = decide(tx, context, part.block, bounds, epoch=run.epoch, now=now)
        except (Invalid, StrategyFailed) as error:
            raise _StrategyError(str(error)) from error
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise _StrategyError(f"{type(error).__name__}: {error}") from error
        part.status, part.decided_at = RangeStatus.DECIDED, self._clock.now()
        part.tally = Tally.of(result.decisions, policy)
        tx.runs.stage_decisions(part, result)
        flags = result.decisions.guardrails
        return {rail: int(np.count_nonzero(flags & rail.value)) for rail in Guardrail}

    def _write(self, tx: Transaction, run: Run, part: Range) -> Mapping[Guardrail, int]:
        part.status = RangeStatus.WRITTEN
        at = self._later_than(part.decided_at)
        limited = _limit_moves(tx, run, part) if run.is_limited else 0
        if run.changes_prices:
            part.written_at = at
            part.written = len(tx.runs.apply_prices(run, part, at))
        if run.updates_state:
            tx.runs.save_staged_state(run, part)
        tx.runs.save_range(part)
        return {Guardrail.BREAKER: limited}

    def _later_than(self, moment: datetime | None) -> datetime:
        """The present time, or one tick after `moment`, which another process's clock may have put in the future."""
        now = self._clock.now()
        return now if moment is None else max(now, moment + TICK)

    def _advance(self, run_id: RunId) -> RunStep:
        """Bring the run into its next phase once all ranges of the present phase are processed.

        From deciding to writing, with the limits of the circuit breaker, or to the wait for approval; from an expired
        wait to writing; from writing to DONE, DECLINED or EXPIRED.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or (run.status not in _PENDING and run.status is not RunStatus.AWAITING_APPROVAL):
                return RunStep.FINISHED
            before = run.status
            if run.status in IN_PROGRESS and _is_stopped(tx, run):
                run.sum_ranges(tx.runs.ranges(run_id))
                run.end(RunStatus.CANCELLED, now, "The policy was switched off, or all pricing was stopped.")
            elif run.status is RunStatus.AWAITING_APPROVAL:
                if run.awaits_approval(now):
                    return RunStep.FINISHED
                run.expire()
            else:
                ranges = tx.runs.ranges(run_id)
                if any(part.status is _PENDING[run.status] for part in ranges):
                    return RunStep.WAITING
                self._close_phase(tx, run, ranges, now)
            if run.status not in IN_PROGRESS and before in IN_PROGRESS and run.updates_state and run.is_whole:
                finish_epoch(tx, run)
            tx.runs.save(run)
        if run.status in _PENDING:
            return RunStep.WORKED
        if run.status not in UNFINISHED:
            self._measurements.run_ended(run.status)
        self._replace_repeated(run)
        return RunStep.FINISHED

    def _leaves_approval(self, run: Run, *, stopped: bool) -> bool:
        """Whether the run awaited approval and does so no longer: the time is over, or the policy was stopped."""
        waits = run.status is RunStatus.AWAITING_APPROVAL
        return waits and (stopped or not run.awaits_approval(self._clock.now()))

    def _close_phase(self, tx: Transaction, run: Run, ranges: Sequence[Range], now: datetime) -> None:
        run.sum_ranges(ranges)
        if run.status is RunStatus.DECIDING:
            schedule = tx.policies.lock_schedules([run.policy_id]).get(run.policy_id)
            run.close_deciding(policy_of(run), self._approval, now if schedule is None else schedule.ends_at)
        elif run.status is RunStatus.WRITING:
            run.end(run.ends_as, now, run.note)
        else:
            run.end_rollback(ranges, now)

    @retry_on(TransactionAborted, ConnectionLost)
    def _fail(self, run_id: RunId, note: str) -> None:
        has_ended = False
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is not None and run.status in IN_PROGRESS:
                has_ended = True
                run.end(RunStatus.FAILED, self._clock.now(), note[:NOTE_LENGTH])
                if run.updates_state and run.is_whole:
                    finish_epoch(tx, run)
                tx.runs.save(run)
        if run is not None:
            if has_ended:
                self._measurements.run_ended(run.status)
            self._replace_repeated(run)

    def _report(self, run_id: RunId, progress: Progress) -> None:
        if progress is no_progress:
            return
        with self._store.begin() as tx:
            run, ranges = tx.runs.lock_shared(run_id), tx.runs.ranges(run_id)
        if run is None:
            return
        pending, phase = _PENDING.get(run.status), _PHASE_NAMES.get(run.status)
        if pending is not None and phase is not None:
            progress(phase, sum(each.products for each in ranges if each.status is not pending), run.products)


def _is_stopped(tx: Transaction, run: Run) -> bool:
    policy = tx.policies.get_many([run.policy_id]).get(run.policy_id)
    return policy is None or not policy.is_active or tx.policies.is_stopped()


def _limit_moves(tx: Transaction, run: Run, part: Range) -> int:
    """Replace the staged prices of a range by those that the circuit breaker allows; return how many it changed."""
    policy, moves = policy_of(run), tx.runs.staged_moves(part)
    limit = range_limit(run.tally.breaker(policy), policy, moves, prices=part.tally.decided, epoch=run.epoch)
    wanted = moves.new
    moves = evolve(moves, new=limited_prices(moves, limit, policy.guardrails.ending, run.epoch))
    tx.runs.limit_moves(part, moves, limit)
    part.tally = Tally.of_moves(moves, policy, decided=part.tally.decided, unpriced=part.tally.unpriced)
    return int(np.count_nonzero(moves.new != wanted))
