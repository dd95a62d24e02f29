"""What planning, execution and control of pricing runs share: errors, dependencies and small helpers."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.domain.errors import Conflict, ConnectionLost, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import CategoryId, PolicyId, ProductId
from scalecommerce_core.ports import NO_MEASUREMENTS, Clock, Measurements, SecurityLog, Store, Transaction
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.evidence import SHORTEST_OBSERVATION
from scalecommerce_core.pricing.facts import PriceIntervals, microseconds, moment_of
from scalecommerce_core.pricing.interface import PricingStrategy, registered_strategies
from scalecommerce_core.pricing.observation import HISTORY_DAYS, RangeResult, decide_range, price_window_days
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope, policy_scope
from scalecommerce_core.pricing.policy_state import BLOCK_SIZE, PolicyState
from scalecommerce_core.pricing.runs import NO_APPROVAL, ApprovalLimits, Run, RunStatus
from scalecommerce_core.services.experiments import with_held_out_prices
from scalecommerce_core.services.pricing import MIN_EPOCH
from scalecommerce_core.services.retry import retry_on

RETENTION: Final = timedelta(days=90)
"""Default age at which ended runs and their decisions are purged."""
LOOK_BACK: Final = 3
"""Runs of a policy that are compared for a repeated result: two, and one that a process left behind when it died."""
NOTE_LENGTH: Final = 500
"""Longest note of a run, in characters."""
TICK: Final = timedelta(microseconds=1)
"""Resolution of stored times."""
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


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
    """The policy is switched off, or all pricing is stopped."""

    code = "pricing_stopped"


@frozen
class Selection:
    """The part of a policy's products that a run covers.

    `category_id`: only products of this category. `limit`: at most so many products, in id order, of those that no run
    has decided in this epoch.
    """

    category_id: CategoryId | None = None
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        return self.category_id is None and self.limit is None


EVERYTHING: Final = Selection()
"""All products of the policy."""


@frozen
class RunContext:
    """A policy, its strategy, and the products that it covers."""

    policy: PricingPolicy
    strategy: PricingStrategy = field(repr=False)
    scope: PolicyScope


class RepricingBase:
    """Dependencies of the use cases. A range has `block` products; ended runs are kept for `retention`.

    Policies run at most every `min_epoch`, except those of staff. Runs above the limits of `approval` wait for it.
    `pause` waits between two checks while other processes finish the last ranges of a run.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        retention: timedelta = RETENTION,
        min_epoch: timedelta = MIN_EPOCH,
        block: int = BLOCK_SIZE,
        approval: ApprovalLimits = NO_APPROVAL,
        security_log: SecurityLog | None = None,
        pause: Callable[[float], None] = time.sleep,
        measurements: Measurements = NO_MEASUREMENTS,
    ) -> None:
        self._store = store
        self._pause = pause
        self._clock = clock
        self._retention = retention
        self._min_epoch = min_epoch
        self._block = block
        self._approval = approval
        self._security_log = security_log
        self._measurements = measurements

    @retry_on(TransactionAborted, ConnectionLost)
    def _replace_repeated(self, ended: Run) -> None:
        """Let a run without effect replace the preceding runs of its policy that had the same result.

        A transaction of its own: it locks several runs, and locks of a rank are taken in order. If the process dies
        before it, the next run without effect does the same.
        """
        if not ended.is_without_effect:
            return
        with self._store.begin() as tx:
            *earlier, last = tx.runs.lock_last(ended.policy_id, LOOK_BACK) or [ended]
            if last.id != ended.id or not last.is_without_effect:
                return
            replaced = []
            for run in reversed(earlier):
                if not last.replace_repeated(run):
                    break
                replaced.append(run.id)
            if replaced:
                tx.runs.save(last)
                tx.runs.replace(replaced)


def policy_of(run: Run) -> PricingPolicy:
    """The policy with the settings that it had when the run began. Its `created_at` is a placeholder, since runs do not
    store it.
    """
    return run.policy(_EPOCH)


def check_known(policy: PricingPolicy) -> None:
    """Raise `StrategyUnknown` if the policy's strategy is not registered."""
    if policy.policy not in registered_strategies():
        raise StrategyUnknown(policy.id, policy.policy)


def strategy_of(policy: PricingPolicy) -> PricingStrategy:
    """Build the policy's strategy; raise `StrategyUnknown`, or `Invalid` for parameters that it does not accept."""
    check_known(policy)
    return policy.strategy()


def scope_of(tx: Transaction, policy: PricingPolicy, only: Selection) -> PolicyScope:
    """The products of `policy` in `only`; raise `NotFound` for an unknown category."""
    if only.category_id is not None and not tx.categories.existing([only.category_id]):
        raise NotFound("category", only.category_id)
    return policy_scope(policy, tx.policies.of_sellers([policy.seller_id]), only.category_id)


def scope_of_run(tx: Transaction, run: Run, policy: PricingPolicy) -> PolicyScope:
    """The products of a run of `policy`."""
    return policy_scope(policy, tx.policies.of_sellers([run.seller_id]), run.within)


def decide(
    tx: Transaction,
    context: RunContext,
    block: int,
    bounds: tuple[ProductId, ProductId],
    *,
    epoch: int,
    now: datetime,
) -> RangeResult:
    """Decide the prices of the products with ids from `bounds[0]` to `bounds[1]`; store nothing."""
    strategy, policy_id = context.strategy, context.policy.id
    state = tx.runs.policy_state(policy_id, block)
    if state is None or not state.fits(strategy.columns):
        state = PolicyState.empty(strategy.columns)
    facts = with_held_out_prices(tx, policy_id, tx.runs.facts(context.scope, *bounds, now), now)
    return decide_range(
        context.policy,
        strategy,
        policy_state=state,
        category_parameters=tx.runs.category_parameters(policy_id),
        facts=facts,
        past=_price_intervals(tx, context.policy, facts.product, state, now),
        epoch=epoch,
        now=microseconds(now),
    )


def _price_intervals(
    tx: Transaction, policy: PricingPolicy, products: Whole, state: PolicyState, now: datetime
) -> PriceIntervals:
    """The price intervals of these products within the window of the policy.

    Totals are read only if a price ended, not by a run, since the last readings. Products that begin, or may begin
    anew because a price was withdrawn, have the intervals of `HISTORY_DAYS`, at most
    `MOST_EARLIER` of them before the window.
    """
    since = now - timedelta(days=price_window_days(policy))
    begins = ~np.isin(products, state.product)
    found: list[PriceIntervals] = []
    if not begins.all():
        seen_at = moment_of(int(state.for_products(products).seen_at.min()))
        bounds = _bounds(products)
        past = tx.runs.price_intervals(*bounds, since, counted_after=seen_at + SHORTEST_OBSERVATION * policy.epoch)
        begins |= np.isin(products, past.product[past.is_withdrawn])
        found.append(past.rows(~np.isin(past.product, products[begins])) if begins.any() else past)
    if begins.any():
        begin = min(since, now - timedelta(days=HISTORY_DAYS))
        past = tx.runs.price_intervals(*_bounds(products[begins]), begin, counted_after=begin, all_since=since)
        found.append(past.rows(np.isin(past.product, products[begins])))
    return PriceIntervals.concatenate(found)


def _bounds(products: Whole) -> tuple[ProductId, ProductId]:
    return ProductId(int(products[0])), ProductId(int(products[-1]))


def finish_epoch(tx: Transaction, run: Run) -> None:
    """Mark the policy's epoch as done. After a cancelled run the epoch stays open, and the policy remains due."""
    for schedule in tx.policies.lock_schedules([run.policy_id]).values():
        if schedule.epoch == run.epoch and run.status is not RunStatus.CANCELLED:
            schedule.is_done = True
            tx.policies.save_schedules([schedule])
