"""Runs: a policy looks at all of its products once an epoch, range by range, and moves prices if the whole is sane.

Every range is decided before any is written. A run that is killed goes on where it was: what a range has become is
committed with its effects, and a range that nobody finished is taken up by the next one who looks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import Conflict
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.decisions import LARGE, Breaker, Decision, Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.strategy_calls import is_unpriced, unpriced_sentence


class RunStatus(StrEnum):
    DECIDING = "DECIDING"
    WRITING = "WRITING"
    DONE = "DONE"
    STOPPED = "STOPPED"
    """The catalogue breaker tripped: nothing was written or learned."""
    CANCELLED = "CANCELLED"
    """A kill switch was thrown, or somebody cancelled it; what was written by then stands."""
    FAILED = "FAILED"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"


UNFINISHED: Final = frozenset({RunStatus.DECIDING, RunStatus.WRITING, RunStatus.ROLLING_BACK})
IN_PROGRESS: Final = frozenset({RunStatus.DECIDING, RunStatus.WRITING})
"""A policy has one run at most that decides or writes."""


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    COMMAND = "command"


class DecisionOutcome(StrEnum):
    """What became of a decision."""

    KEPT = "kept"
    """The price stays."""
    STAGED = "staged"
    """It would move, and has not (yet): the run goes on, was stopped, or leaves prices alone."""
    WRITTEN = "written"
    SUPERSEDED = "superseded"
    """The price or the product was changed between reading and writing: whoever did that wins."""
    ROLLED_BACK = "rolled_back"


class RunNotReversible(Conflict):
    """The run has not moved prices, or is still at work."""

    code = "run_not_reversible"


@frozen
class Tally:
    """Counts of decisions: all, moves, moves of more than 4 %, and the sum of all relative moves.

    `unpriced` counts decisions in which the policy proposed no usable price.
    """

    decided: int = 0
    moves: int = 0
    large: int = 0
    total_move: float = 0.0
    unpriced: int = 0

    @classmethod
    def of(cls, decisions: Decisions) -> Self:
        moved = decisions.new - decisions.old
        return cls(
            len(decisions),
            int(np.count_nonzero(moved)),
            int((np.abs(moved) > LARGE * decisions.old).sum()),
            float((decisions.new / decisions.old - 1.0).sum()),
            int(np.count_nonzero(is_unpriced(decisions.motive))),
        )

    @classmethod
    def sum(cls, tallies: Sequence["Tally"]) -> "Tally":
        return Tally(
            sum(tally.decided for tally in tallies),
            sum(tally.moves for tally in tallies),
            sum(tally.large for tally in tallies),
            float(np.sum([tally.total_move for tally in tallies])),
            sum(tally.unpriced for tally in tallies),
        )

    def breaker(self, policy: PricingPolicy) -> Breaker:
        """As `decisions.breaker`, of a run whose decisions are not at hand any more."""
        return Breaker.evaluate(policy, self.decided, self.large, self.total_move)

    def sentence(self, policy: PricingPolicy) -> str:
        """The verdict of the breaker, and the number of decisions without a usable price."""
        said = (self.breaker(policy).sentence, unpriced_sentence(policy.policy, self.unpriced, self.decided))
        return " ".join(filter(None, said))


class RangeStatus(StrEnum):
    OPEN = "OPEN"
    DECIDED = "DECIDED"
    WRITTEN = "WRITTEN"
    UNDONE = "UNDONE"


@define
class Range:
    """Products with ids from `first` to `last`, of which `products` belonged to the policy when the run began.

    `block` is where what is remembered of them stands: the first id of its part of the policy's memory.
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
    """When every price that was written began to be in force."""
    written: int = 0
    undone: int = 0


@define
class Run:
    """`document` is the policy as it was: edits of it concern later runs. `note` is a sentence about the end."""

    id: RunId = field(on_setattr=setters.frozen)
    policy_id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    policy_version: int = field(on_setattr=setters.frozen)
    document: Mapping[str, Any] = field(on_setattr=setters.frozen)
    epoch: int = field(on_setattr=setters.frozen)
    trigger: Trigger = field(on_setattr=setters.frozen)
    started_at: datetime = field(on_setattr=setters.frozen)
    products: int = field(on_setattr=setters.frozen)
    """How many were the policy's when the run began."""
    is_shadow: bool = field(default=False, on_setattr=setters.frozen)
    """Leaves prices alone."""
    updates_state: bool = field(default=True, on_setattr=setters.frozen)
    """Whether the policy remembers this run; a trial (`--shadow`) leaves no trace but its record."""
    within: CategoryId | None = field(default=None, on_setattr=setters.frozen)
    is_whole: bool = field(default=True, on_setattr=setters.frozen)
    """Whether it is for all of the policy's products, so that the epoch is done with it."""
    status: RunStatus = RunStatus.DECIDING
    finished_at: datetime | None = None
    tally: Tally = Tally()
    written: int = 0
    undone: int = 0
    note: str = ""

    @property
    def superseded(self) -> int:
        """Moves that were not written because somebody else moved the price meanwhile; 0 until all are written."""
        return self.tally.moves - self.written if self.status is RunStatus.DONE and not self.is_shadow else 0

    @property
    def min_price_per_cost(self) -> float:
        """The lowest price that a cost of 1 allows."""
        policy = self.policy(self.started_at)
        return 1.0 / ((1.0 - policy.fee) * (1.0 - policy.guardrails.least_margin))

    def policy(self, created_at: datetime) -> PricingPolicy:
        """The policy that this run follows."""
        return PricingPolicy.from_stored(
            self.document,
            id=self.policy_id,
            seller_id=self.seller_id,
            created_at=created_at,
            version=self.policy_version,
        )

    def sum_ranges(self, ranges: Sequence[Range]) -> None:
        """What its ranges have come to by now, in sum."""
        self.tally = Tally.sum([part.tally for part in ranges])
        self.written = sum(part.written for part in ranges)
        self.undone = sum(part.undone for part in ranges)

    def end(self, status: RunStatus, now: datetime, note: str = "") -> None:
        self.status, self.finished_at, self.note = status, now, note

    def begin_rollback(self) -> bool:
        """Whether there is something to do; raise `RunNotReversible` for a run that has not moved prices."""
        if self.status in {RunStatus.ROLLING_BACK, RunStatus.ROLLED_BACK}:
            return self.status is RunStatus.ROLLING_BACK
        wrote_nothing = self.status not in UNFINISHED and not self.written
        if self.is_shadow or wrote_nothing:
            raise RunNotReversible("This run has changed no price.")
        self.status = RunStatus.ROLLING_BACK
        return True

    def end_rollback(self, ranges: Sequence[Range], now: datetime) -> None:
        """End a rollback when no range can be undone further; if no price was restored, the status is as before."""
        stayed = self.written - self.undone
        if not stayed:
            self.end(RunStatus.ROLLED_BACK, now, self.note)
        elif self.undone:
            said = "1 had moved since and was kept" if stayed == 1 else f"{stayed:,} had moved since and were kept"
            note = f"{self.undone:,} of {self.written:,} prices were restored; {said}."
            self.end(RunStatus.ROLLED_BACK, now, note)
        else:
            whole = all(part.status is RangeStatus.UNDONE for part in ranges)
            note = (
                f"A rollback restored none of the {self.written:,} prices: all of them had moved since and were kept."
            )
            self.end(RunStatus.DONE if whole else RunStatus.CANCELLED, now, note)


@frozen
class StoredDecision:
    """A decision as it was recorded; `inputs` is what it was made of, one row.

    The new price was in force from `in_force_from` to `in_force_until`: both are None if it never was, the second also
    if it still is.
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
    """Epochs of a policy, counted; in each, every product is decided once at most.

    `is_done`: all of them had their turn in this one, or the run was stopped.
    """

    policy_id: PolicyId = field(on_setattr=setters.frozen)
    ends_at: datetime
    """The first epoch begins with the first run."""
    epoch: int = -1
    is_done: bool = True
    pooled_in: int = 0
    """The epoch in which products last learned from each other."""

    def advance(self, policy: PricingPolicy, now: datetime) -> None:
        """Begin the next epoch if this one is over. Epochs end at multiples of their length from the policy's start."""
        if now >= self.ends_at:
            self.epoch += 1
            self.is_done = False
            self.ends_at = _epoch_end(policy, now)

    def next_epoch(self, now: datetime) -> int:
        """The epoch that a run would be of that begins now."""
        return self.epoch + (self.is_done or now >= self.ends_at)

    def reschedule(self, policy: PricingPolicy, now: datetime) -> None:
        """The length of the policy's epochs was edited."""
        if self.epoch >= 0:
            self.ends_at = min(self.ends_at, _epoch_end(policy, now))


def _epoch_end(policy: PricingPolicy, now: datetime) -> datetime:
    return policy.created_at + (policy.epoch_at(now) + 1) * policy.epoch


@frozen
class Assignment:
    """What was said about one product; a product of which nothing was said follows the policies for its category."""

    product_id: ProductId
    policy_id: PolicyId | None = None
    is_excluded: bool = False
    """The product's kill switch."""
