"""`PricingExperiment`: compares the prices of a policy with the seller's own prices."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
from attrs import define, field, setters

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId
from scalecommerce_core.pricing.arrays import Flags
from scalecommerce_core.pricing.experiments.assignment import own_price_periods
from scalecommerce_core.pricing.experiments.lift import LEAST_PAIRS, LEAST_PRODUCTS
from scalecommerce_core.pricing.experiments.results import ExperimentResult

MIN_SHARE: Final = 0.02
MAX_SHARE: Final = 0.5
MIN_WEEKS: Final = 2
MAX_WEEKS: Final = 104
MAX_PERIOD_EPOCHS: Final = 52
MAX_SEED: Final = 2**53 - 1
"""The largest whole number that JSON represents exactly."""
LEAST_MEASURED: Final = timedelta(days=1)
"""Least measured time of a switchback's period: sales are counted by the hour, and days differ by hour."""
NOTE_LENGTH: Final = 200
"""Characters."""


class ExperimentKind(StrEnum):
    HOLD_OUT = "hold_out"
    """A random share of the products stays at the seller's own prices."""
    SWITCHBACK = "switchback"
    """All products change between the policy's prices and the seller's own, in periods of random order."""


class ExperimentStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    """It reached its planned end."""
    ENDED = "ended"
    """It was ended before its planned end."""


@define
class PricingExperiment:
    """An experiment about one policy. Its plan never changes after the start; a policy has one experiment at a time."""

    id: ExperimentId = field(on_setattr=setters.frozen)
    policy_id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    policy_version: int = field(on_setattr=setters.frozen)
    """Version of the policy at the start."""
    started_at: datetime = field(on_setattr=setters.frozen)
    epoch: timedelta = field(on_setattr=setters.frozen)
    """Epoch of the policy at the start."""
    seed: int = field(on_setattr=setters.frozen)
    fee: float = field(default=0.0, on_setattr=setters.frozen)
    """The marketplace's share of the price at the start."""
    kind: ExperimentKind = field(default=ExperimentKind.HOLD_OUT, on_setattr=setters.frozen)
    share: float = field(default=0.2, on_setattr=setters.frozen)
    """Share of the products that a hold-out keeps at the seller's own prices."""
    weeks: int = field(default=26, on_setattr=setters.frozen)
    """Planned duration."""
    period_epochs: int = field(default=4, on_setattr=setters.frozen)
    """Epochs in a period of a switchback."""
    burn_in_epochs: int = field(default=1, on_setattr=setters.frozen)
    """Epochs that are not measured, at the start of a hold-out or of each period of a switchback, while prices move."""
    ended_at: datetime | None = None
    """When it was ended; None while it runs and, until it is next measured, at its planned end."""
    note: str = ""
    """Why it was ended before its planned end."""
    measured_at: datetime | None = None
    """When `result` was measured; None until then, and from the end until it is measured a last time."""
    result: ExperimentResult | None = None

    def __attrs_post_init__(self) -> None:
        self._check()

    @property
    def planned_end(self) -> datetime:
        return self.started_at + timedelta(weeks=self.weeks)

    @property
    def period(self) -> timedelta:
        """Length of a period of a switchback."""
        return self.period_epochs * self.epoch

    @property
    def periods(self) -> int:
        """Number of complete periods of a switchback, an even number."""
        return timedelta(weeks=self.weeks) // self.period // 2 * 2

    def end_at(self, now: datetime) -> datetime:
        """The end of the measured time: when it was ended, its planned end, or `now`, whichever is first."""
        return min(self.ended_at or now, self.planned_end)

    def is_running(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.planned_end

    def status(self, now: datetime) -> ExperimentStatus:
        if self.is_running(now):
            return ExperimentStatus.RUNNING
        if self.ended_at is None or self.ended_at >= self.planned_end:
            return ExperimentStatus.FINISHED
        return ExperimentStatus.ENDED

    def own_periods(self) -> Flags:
        """Whether the seller's own prices apply in each period of a switchback."""
        return own_price_periods(self.periods, seed=self.seed)

    def holds_all(self, now: datetime) -> bool:
        """Whether all products of the policy are at the seller's own prices at `now`, in a switchback."""
        if self.kind is not ExperimentKind.SWITCHBACK or not self.is_running(now):
            return False
        number = (now - self.started_at) // self.period
        return number < self.periods and bool(self.own_periods()[number])

    def end(self, now: datetime, note: str = "") -> None:
        """End the experiment, at its planned end if that has passed; without effect if it has ended.

        Its result has to be measured once more.
        """
        if self.ended_at is None:
            self.note = note if now < self.planned_end else ""
            self.ended_at, self.measured_at = min(now, self.planned_end), None

    def record(self, result: ExperimentResult, now: datetime) -> None:
        """Store the result that was measured at `now`."""
        self.result, self.measured_at = result, now

    def plan(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "kind": self.kind.value,
            "share": self.share,
            "weeks": self.weeks,
            "period_epochs": self.period_epochs,
            "burn_in_epochs": self.burn_in_epochs,
            "seed": self.seed,
        }

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any], **facts: Any) -> "PricingExperiment":
        """Build an experiment from a `plan`; missing fields have their defaults. Raise `Invalid`, which names fields.

        `facts` are the other fields; `seed` among them is used if the plan has none.
        """
        return cls(**facts | _read(plan))

    @classmethod
    def from_stored(cls, *, epoch_seconds: float, **facts: Any) -> "PricingExperiment":
        """The experiment of a row in a database."""
        return cls(epoch=timedelta(seconds=epoch_seconds), **facts)

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.result is None:
            return "Not proven yet: there are too few sales so far."
        return self.result.sentence

    def _check(self) -> None:
        errors: dict[str, list[str]] = {}
        for name, least, most in (
            ("share", MIN_SHARE, MAX_SHARE),
            ("weeks", MIN_WEEKS, MAX_WEEKS),
            ("period_epochs", 1, MAX_PERIOD_EPOCHS),
            ("burn_in_epochs", 0, MAX_PERIOD_EPOCHS),
            ("seed", 0, MAX_SEED),
        ):
            if not least <= getattr(self, name) <= most:
                errors[name] = [f"Must be between {least} and {most}."]
        if not errors:
            errors = self._duration_errors()
        if errors:
            raise Invalid(errors)

    def _duration_errors(self) -> dict[str, list[str]]:
        burn_in = self.burn_in_epochs * self.epoch
        if self.kind is ExperimentKind.HOLD_OUT:
            if 2 * burn_in > timedelta(weeks=self.weeks):
                return {"burn_in_epochs": ["Must be at most half of the planned weeks."]}
            return {}
        if self.period - burn_in < LEAST_MEASURED:
            return {"burn_in_epochs": ["Each period must have at least a day after its burn-in."]}
        if self.periods < 2 * LEAST_PAIRS:
            least = 2 * LEAST_PAIRS * self.period
            weeks = -(-least // timedelta(weeks=1))
            return {
                "weeks": [f"Must be at least {weeks}, for {2 * LEAST_PAIRS} periods; or shorten them (period_epochs)."]
            }
        return {}


def too_few_products(count: int, share: float) -> str | None:
    """Why a hold-out of `count` products is not possible, or None."""
    needed = int(np.ceil(LEAST_PRODUCTS / share))
    if count >= needed:
        return None
    return (
        f"The policy covers {count:,} products; a hold-out of {share:.0%} needs at least {needed:,}."
        " Hold out a larger share, or choose a switchback."
    )


def _read(plan: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, list[str]] = {}
    kinds: dict[str, tuple[Any, str]] = {
        "share": (int | float, "Must be a number."),
        "weeks": (int, "Must be a whole number of weeks."),
        "period_epochs": (int, "Must be a whole number of epochs."),
        "burn_in_epochs": (int, "Must be a whole number of epochs."),
        "seed": (int, "Must be a whole number."),
    }
    read = dict(plan)
    for name, value in plan.items():
        if name == "kind":
            if value not in list(ExperimentKind):
                errors[name] = [f"Must be one of {', '.join(ExperimentKind)}."]
            else:
                read[name] = ExperimentKind(value)
        elif name not in kinds:
            errors[name] = ["Unknown field."]
        elif isinstance(value, bool) or not isinstance(value, kinds[name][0]):
            errors[name] = [kinds[name][1]]
    if errors:
        raise Invalid(errors)
    return read
