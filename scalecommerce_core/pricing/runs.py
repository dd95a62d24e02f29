"""Runs: one execution of a policy over its products per epoch, divided into ranges of products.

All ranges are decided before the first is written, and the circuit breaker limits their changes as a whole. The status
of a range is committed together with its effects, so any process can continue a run after another one has died.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import Conflict, Forbidden
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.breaker import Breaker, Moves, capped_prices, is_large
from scalecommerce_core.pricing.decisions import Decision, Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.strategy_calls import is_unpriced, unpriced_sentence


class RunStatus(StrEnum):
    DECIDING = "DECIDING"
    WRITING = "WRITING"
    DONE = "DONE"
    STOPPED = "STOPPED"
    """The circuit breaker of an earlier release stopped the run: no price and no policy state was written."""
    CANCELLED = "CANCELLED"
    """Cancelled, or its policy or all pricing was stopped; prices written before stay."""
    FAILED = "FAILED"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    """All ranges are decided, and a second person must approve the changes before they are written."""
    DECLINED = "DECLINED"
    """A second person declined the changes: no price was changed, the policy state was updated."""
    EXPIRED = "EXPIRED"
    """Nobody approved the changes before the epoch ended: no price was changed, the policy state was updated."""


IN_PROGRESS: Final = frozenset({RunStatus.DECIDING, RunStatus.AWAITING_APPROVAL, RunStatus.WRITING})
"""A policy has at most one run in one of these states."""
UNFINISHED: Final = IN_PROGRESS | {RunStatus.ROLLING_BACK}


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    COMMAND = "command"


class DecisionOutcome(StrEnum):
    """Outcome of a decision."""

    KEPT = "kept"
    """The decision keeps the price."""
    STAGED = "staged"
    """The decided change is not written: the run is in progress, was cancelled or not approved, or is in shadow."""
    WRITTEN = "written"
    SUPERSEDED = "superseded"
    """Not written, because the price or the product was changed after the run had read it."""
    ROLLED_BACK = "rolled_back"


class RunNotAwaitingApproval(Conflict):
    """The run does not await approval, or no longer."""

    code = "run_not_awaiting_approval"


@frozen
class ApprovalLimits:
    """Runs that change more than a limit wait for the approval of a second person; 0: no limit."""

    prices: int = 0
    """Number of prices that a run may change without approval."""
    mean_basis_points: int = 0
    """Mean change of all prices of a run, up or down, that needs no approval, in hundredths of a percent."""

    def require_approval(self, breaker: Breaker, moves: int) -> bool:
        """Whether a run that changes `moves` prices needs approval; the mean is that after the circuit breaker."""
        mean = abs(breaker.limited_mean) * 10_000.0
        many = self.prices > 0 and moves > self.prices
        return many or (self.mean_basis_points > 0 and mean > self.mean_basis_points)


NO_APPROVAL: Final = ApprovalLimits()


class RunNotReversible(Conflict):
    """The run has changed no price."""

    code = "run_not_reversible"


@frozen
class Tally:
    """Counts of decisions: all, changes, changes of more than 4 %, and the sum of all relative changes.

    `unpriced` counts decisions for which the strategy proposed no usable price. `capped_move` is the sum of the
    relative changes if those of more than 4 % are reduced to 4 % (`breaker.capped_prices`).
    """

    decided: int = 0
    moves: int = 0
    large: int = 0
    total_move: float = 0.0
    unpriced: int = 0
    capped_move: float = 0.0

    @classmethod
    def of(cls, decisions: Decisions, policy: PricingPolicy) -> Self:
        moves = Moves.of(decisions)
        return cls.of_moves(
            moves, policy, decided=len(decisions), unpriced=int(np.count_nonzero(is_unpriced(decisions.motive)))
        )

    @classmethod
    def of_moves(cls, moves: Moves, policy: PricingPolicy, *, decided: int, unpriced: int) -> Self:
        """The counts of `decided` decisions, of which `moves` change a price."""
        return cls(
            decided,
            int(np.count_nonzero(moves.new != moves.old)),
            int(np.count_nonzero(is_large(moves.old, moves.new))),
            float((moves.new / moves.old - 1.0).sum()),
            unpriced,
            float((capped_prices(moves, policy.guardrails.ending) / moves.old - 1.0).sum()),
        )

    @classmethod
    def sum(cls, tallies: Sequence["Tally"]) -> "Tally":
        return Tally(
            sum(tally.decided for tally in tallies),
            sum(tally.moves for tally in tallies),
            sum(tally.large for tally in tallies),
            float(np.sum([tally.total_move for tally in tallies])),
            sum(tally.unpriced for tally in tallies),
            float(np.sum([tally.capped_move for tally in tallies])),
        )

    def breaker(self, policy: PricingPolicy) -> Breaker:
        """`breaker.check_breaker` computed from the counts alone."""
        return Breaker.evaluate(policy, self.decided, self.large, self.total_move, self.capped_move)

    def sentence(self, policy: PricingPolicy) -> str:
        """The result of the circuit breaker, and the number of decisions without a usable price."""
        said = (self.breaker(policy).sentence, unpriced_sentence(policy.policy, self.unpriced, self.decided))
        return " ".join(filter(None, said))


class RangeStatus(StrEnum):
    OPEN = "OPEN"
    DECIDED = "DECIDED"
    WRITTEN = "WRITTEN"
    UNDONE = "UNDONE"


@define
class Range:
    """Products with ids from `first` to `last`; `products` of them belonged to the policy when the run began.

    `block` is the first product id of the block that holds their policy state.
    """

    run_id: RunId = field(on_setattr=setters.frozen)
    number: int = field(on_setattr=setters.frozen)
    block: ProductId = field(on_setattr=setters.frozen)
    first: ProductId = field(on_setattr=setters.frozen)
    last: ProductId = field(on_setattr=setters.frozen)
    products: int = field(on_setattr=setters.frozen)
    status: RangeStatus = RangeStatus.OPEN
    tally: Tally = Tally()
    decided_at: datetime | None = None
    written_at: datetime | None = None
    """Time from which all written prices of the range are in force."""
    written: int = 0
    undone: int = 0


@define
class Run:
    """A run of a policy. `document` is the policy when the run began; later edits do not affect the run.

    `note` explains how the run ended.
    """

    id: RunId = field(on_setattr=setters.frozen)
    policy_id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    policy_version: int = field(on_setattr=setters.frozen)
    document: Mapping[str, Any] = field(on_setattr=setters.frozen)
    epoch: int = field(on_setattr=setters.frozen)
    trigger: Trigger = field(on_setattr=setters.frozen)
    started_at: datetime = field(on_setattr=setters.frozen)
    products: int = field(on_setattr=setters.frozen)
    """Number of products of the policy when the run began."""
    is_shadow: bool = field(default=False, on_setattr=setters.frozen)
    """The run changes no price."""
    updates_state: bool = field(default=True, on_setattr=setters.frozen)
    """Whether the run updates the policy state; false for a run that was begun with `shadow=True` (`--shadow`)."""
    within: CategoryId | None = field(default=None, on_setattr=setters.frozen)
    is_whole: bool = field(default=True, on_setattr=setters.frozen)
    """Whether the run covers all of the policy's products; its end completes the epoch."""
    status: RunStatus = RunStatus.DECIDING
    finished_at: datetime | None = None
    tally: Tally = Tally()
    """Counts of the decisions: as decided in the phases DECIDING and WRITING, later after the circuit breaker."""
    written: int = 0
    undone: int = 0
    note: str = ""
    move_factor: float = 1.0
    """Share of the decided changes that the circuit breaker left; 1 if it did not reduce all changes."""
    caps_moves: bool = False
    """Whether the circuit breaker reduced changes of more than 4 % to 4 %."""
    edited_by: AccountId | None = field(default=None, on_setattr=setters.frozen)
    """Who edited or activated the policy last when the run began; None: unknown, taken for the seller."""
    approval_until: datetime | None = None
    """End of the time for the approval by a second person; None if the run needed none."""
    reviewed_by: AccountId | None = None
    """Who approved or declined the run."""
    reviewed_at: datetime | None = None
    ends_as: RunStatus = RunStatus.DONE
    """Status after the phase WRITING: DONE, or DECLINED or EXPIRED if the run changes no price."""
    repetitions: int = 0
    """Number of earlier runs that this run replaced, because they had the same result and changed no price."""
    repeated_since: datetime | None = None
    """Start of the first of these runs; None without `repetitions`."""

    @property
    def is_limited(self) -> bool:
        """Whether the circuit breaker reduced changes."""
        return self.caps_moves or self.move_factor < 1.0

    @property
    def superseded(self) -> int:
        """Changes not written because price or product was changed in the meantime; 0 until the run is DONE."""
        return self.tally.moves - self.written if self.status is RunStatus.DONE and not self.is_shadow else 0

    @property
    def min_price_per_cost(self) -> float:
        """The lowest price that guardrails allow for a cost of 1."""
        policy = self.policy(self.started_at)
        return 1.0 / ((1.0 - policy.fee) * (1.0 - policy.guardrails.least_margin))

    def policy(self, created_at: datetime) -> PricingPolicy:
        """The policy as it was when the run began."""
        return PricingPolicy.from_stored(
            self.document,
            id=self.policy_id,
            seller_id=self.seller_id,
            created_at=created_at,
            version=self.policy_version,
        )

    @property
    def is_without_effect(self) -> bool:
        """Whether this scheduled run ended and changed no price; false for a shadow run that decided a change."""
        return (
            self.status in {RunStatus.DONE, RunStatus.STOPPED, RunStatus.FAILED}
            and self.trigger is Trigger.SCHEDULE
            and self.is_whole
            and self.updates_state
            and not self.written
            and not (self.is_shadow and self.tally.moves)
        )

    def replace_repeated(self, earlier: "Run") -> bool:
        """Count `earlier`, the preceding run of the policy, as a repetition of this run; return false if it is none.

        It is one if neither had an effect, and both had the same status under the same version of the policy; failed
        runs must have the same note, too.
        """
        if not (self.is_without_effect and earlier.is_without_effect):
            return False
        if (self.status, self.policy_version) != (earlier.status, earlier.policy_version):
            return False
        if self.status is RunStatus.FAILED and self.note != earlier.note:
            return False
        self.repetitions += earlier.repetitions + 1
        self.repeated_since = earlier.repeated_since or earlier.started_at
        return True

    def sum_ranges(self, ranges: Sequence[Range]) -> None:
        """Set the totals of the run to the sums over its ranges."""
        self.tally = Tally.sum([part.tally for part in ranges])
        self.written = sum(part.written for part in ranges)
        self.undone = sum(part.undone for part in ranges)

    @property
    def changes_prices(self) -> bool:
        """Whether the phase WRITING changes prices."""
        return not self.is_shadow and self.ends_as is RunStatus.DONE

    def close_deciding(self, policy: PricingPolicy, limits: ApprovalLimits, epoch_ends_at: datetime) -> None:
        """Enter the next phase once all ranges are decided; the circuit breaker may reduce the changes.

        The next phase is AWAITING_APPROVAL, until the end of the epoch, if the changes exceed `limits`, else WRITING.
        """
        breaker = self.tally.breaker(policy)
        self.move_factor, self.caps_moves = breaker.factor, breaker.caps
        self.status, self.note = RunStatus.WRITING, self.tally.sentence(policy)
        if not self.is_shadow and limits.require_approval(breaker, self.tally.moves):
            self.status, self.approval_until = RunStatus.AWAITING_APPROVAL, epoch_ends_at

    def awaits_approval(self, now: datetime) -> bool:
        """Whether the run can be approved or declined at `now`."""
        return self.status is RunStatus.AWAITING_APPROVAL and (self.approval_until is None or now < self.approval_until)

    def review(self, by: AccountId, now: datetime, declined_for: str | None = None) -> None:
        """Approve the run, or decline it for a reason; the phase WRITING follows, also to store the policy state.

        Raise `RunNotAwaitingApproval`, and `Forbidden` for the person whose policy or edit is to be approved.
        """
        if not self.awaits_approval(now):
            raise RunNotAwaitingApproval(
                f"Run {self.id} does not await approval: its status is {self.status.value}."
                if self.status is not RunStatus.AWAITING_APPROVAL
                else f"The time for the approval of run {self.id} has ended."
            )
        if by == (self.edited_by or self.seller_id):
            raise Forbidden(
                "You edited or activated this policy last: another member of staff must approve or decline its run."
            )
        self.reviewed_by, self.reviewed_at, self.status = by, now, RunStatus.WRITING
        if declined_for is None:
            self.note = f"Approved by account {by}. {self.note}"
        else:
            self.ends_as = RunStatus.DECLINED
            self.note = f"Declined by account {by}: {declined_for.rstrip('.')}. No price was changed. {self.note}"

    def expire(self) -> None:
        """End the wait for an approval that did not come; the phase WRITING stores the policy state."""
        self.status, self.ends_as = RunStatus.WRITING, RunStatus.EXPIRED
        self.note = f"Nobody approved the run before its epoch ended. No price was changed. {self.note}"

    def end(self, status: RunStatus, now: datetime, note: str = "") -> None:
        self.status, self.finished_at, self.note = status, now, note

    def begin_rollback(self) -> bool:
        """Begin a rollback; return false if it has ended. Raise `RunNotReversible` for a run that changed no price."""
        if self.status in {RunStatus.ROLLING_BACK, RunStatus.ROLLED_BACK}:
            return self.status is RunStatus.ROLLING_BACK
        wrote_nothing = self.status not in UNFINISHED and not self.written
        if self.is_shadow or wrote_nothing:
            raise RunNotReversible("This run has changed no price.")
        self.status = RunStatus.ROLLING_BACK
        return True

    def end_rollback(self, ranges: Sequence[Range], now: datetime) -> None:
        """End a rollback after its last range. If no price was restored, the run gets its former status."""
        stayed = self.written - self.undone
        if not stayed:
            self.end(RunStatus.ROLLED_BACK, now, self.note)
        elif self.undone:
            said = "1 had changed since and was kept" if stayed == 1 else f"{stayed:,} had changed since and were kept"
            note = f"{self.undone:,} of {self.written:,} prices were restored; {said}."
            self.end(RunStatus.ROLLED_BACK, now, note)
        else:
            whole = all(part.status is RangeStatus.UNDONE for part in ranges)
            note = (
                f"A rollback restored none of the {self.written:,} prices: all of them had changed since and were kept."
            )
            self.end(RunStatus.DONE if whole else RunStatus.CANCELLED, now, note)


@frozen
class StoredDecision:
    """A recorded decision with its inputs (one row).

    The new price was in force from `in_force_from` to `in_force_until`. Both are None if it never was in force;
    `in_force_until` is also None if it still is.
    """

    run_id: RunId
    decided_at: datetime
    currency: str
    decision: Decision
    outcome: DecisionOutcome
    inputs: Inputs = field(repr=False, eq=False)
    in_force_from: datetime | None = None
    in_force_until: datetime | None = None


# --- when runs are due


@define
class Schedule:
    """The current epoch of a policy. In each epoch, every product is decided at most once.

    `is_done`: all products were decided in this epoch, or its run was stopped.
    """

    policy_id: PolicyId = field(on_setattr=setters.frozen)
    ends_at: datetime
    """End of the current epoch; the first epoch begins with the first run."""
    epoch: int = -1
    is_done: bool = True
    pooled_in: int = 0
    """The epoch in which `pool` of the strategy was last called."""

    def advance(self, policy: PricingPolicy, now: datetime, shortest: timedelta = timedelta(0)) -> None:
        """Begin the next epoch if the current one has ended.

        Epochs end at multiples of their length, which is at least `shortest`, after the policy's `created_at`.
        """
        if now >= self.ends_at:
            self.epoch += 1
            self.is_done = False
            self.ends_at = _epoch_end(policy, now, shortest)

    def next_epoch(self, now: datetime) -> int:
        """Number of the epoch of a run that would begin at `now`."""
        return self.epoch + (self.is_done or now >= self.ends_at)

    def reschedule(self, policy: PricingPolicy, now: datetime, shortest: timedelta = timedelta(0)) -> None:
        """Adjust the end of the current epoch after an edit of the policy's epoch length; it is never postponed.

        It is not brought forward to less than `shortest` from now, so that edits cannot make a policy run more often.
        """
        if self.epoch >= 0:
            self.ends_at = min(self.ends_at, max(_epoch_end(policy, now, shortest), now + shortest))


def _epoch_end(policy: PricingPolicy, now: datetime, shortest: timedelta) -> datetime:
    length = max(policy.epoch, shortest)
    return policy.created_at + ((now - policy.created_at) // length + 1) * length


@frozen
class Assignment:
    """Assignment of a product to a policy, or its exclusion from all.

    A product without an assignment follows the policy for its category, else the one for all products.
    """

    product_id: ProductId
    policy_id: PolicyId | None = None
    is_excluded: bool = False
    """True: no policy changes this product's price."""
