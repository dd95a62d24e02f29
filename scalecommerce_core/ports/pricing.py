"""Pricing policies, assignments, runs and decisions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.breaker import MoveLimit, Moves
from scalecommerce_core.pricing.facts import Facts, PriceIntervals
from scalecommerce_core.pricing.observation import CategoryParameters, RangeResult
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.runs import Assignment, Range, RangeStatus, Run, Schedule


class PolicyRepository(Protocol):
    """Pricing policies and their schedules, assignments and exclusions of products, and the stop of all pricing."""

    def next_ids(self, count: int) -> Sequence[PolicyId]:
        """Draw `count` new ids."""
        ...

    def add(self, policies: Collection[PricingPolicy]) -> None:
        """Insert policies with their schedules; the first run is due at once."""
        ...

    def lock(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """Lock and read policies, in id order."""
        ...

    def save(self, policies: Collection[PricingPolicy]) -> None:
        """Update policies that this transaction has locked."""
        ...

    def remove(self, ids: Collection[PolicyId]) -> None:
        """Delete policies with their schedules, assignments and policy state. Runs and decisions are kept until their
        purge.
        """
        ...

    def of_sellers(self, sellers: Collection[AccountId]) -> Sequence[PricingPolicy]:
        """All policies of these sellers, active or not, by id, read without a lock."""
        ...

    def get_many(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """Read policies without a lock."""
        ...

    def lock_schedules(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, Schedule]:
        """Lock and read the schedules of policies."""
        ...

    def save_schedules(self, schedules: Collection[Schedule]) -> None:
        """Update schedules that this transaction has locked."""
        ...

    def due(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[PolicyId]:
        """Ids of active policies whose next run is due; sellers take turns.

        The policy of each seller that is due longest comes first, then the second of each seller, and so on; of the
        same turn, the one that is due longest first. Left out are policies with a run in progress, also one that awaits
        approval, those whose strategy (`PricingPolicy.policy`) is not among `known`, and those that would exceed
        `per_seller` runs of a seller that decide or write. A policy's first run is not due while pending
        facts exist (`StatisticsRepository.add_pending_facts`), because it would learn from only a part of the sales.
        """
        ...

    def active_with_unknown_strategy(self, known: Collection[str], limit: int) -> Sequence[PricingPolicy]:
        """Active policies whose strategy is not among `known`, by id, read without a lock."""
        ...

    def assign(self, choices: Mapping[ProductId, PolicyId | None]) -> None:
        """Assign products to policies; None removes the assignment, and the policy of the product's category applies
        again.
        """
        ...

    def exclude(self, choices: Mapping[ProductId, bool]) -> None:
        """Exclude (True) or include (False) products: policies do not change the price of an excluded
        product.
        """
        ...

    def assignments(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Assignment]:
        """The assignments and exclusions of products that have one."""
        ...

    def is_stopped(self) -> bool:
        """Whether all pricing is stopped."""
        ...

    def stop(self, stopped: bool) -> None:
        """Stop all pricing (True) or allow it again (False)."""
        ...


class RunRepository(Protocol):
    """Pricing runs, the signals that they read, and the prices and states that they write, in arrays by product id."""

    # --- signals

    def product_ids(self, scope: PolicyScope) -> Whole:
        """Ids of the products in `scope`, in order."""
        ...

    def facts(self, scope: PolicyScope, first: ProductId, last: ProductId, now: datetime) -> Facts:
        """Facts of the products in `scope` with ids from `first` to `last`, read without a lock."""
        ...

    def price_intervals(
        self,
        first: ProductId,
        last: ProductId,
        since: datetime,
        *,
        counted_after: datetime,
        all_since: datetime | None = None,
    ) -> PriceIntervals:
        """The price intervals after `since` of products with ids from `first` to `last`, and the one at `since`, of
        products whose price changed after `since`. The first price of a product is no change.

        The totals of intervals that did not end after `counted_after` may be 0. Of the intervals that began before
        `all_since` (default: `since`), only the last `MOST_EARLIER` of each product are returned.
        """
        ...

    # --- policy state

    def blocks(self, policy_id: PolicyId) -> Sequence[int]:
        """First product ids of the blocks of its policy state, in order."""
        ...

    def policy_state(self, policy_id: PolicyId, block: int) -> PolicyState | None:
        """The state of one block of products, or None; `block` is the first id of the block."""
        ...

    def save_policy_state(self, policy_id: PolicyId, block: int, state: PolicyState) -> None:
        """Insert or replace the state of one block."""
        ...

    def category_parameters(self, policy_id: PolicyId) -> CategoryParameters:
        """The parameters of all categories that the policy has learnt."""
        ...

    def add_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        """Insert the parameters of categories that have none yet; existing ones stay."""
        ...

    def save_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        """Replace all category parameters of the policy."""
        ...

    def delete_policy_states(self, policy_ids: Collection[PolicyId]) -> None:
        """Delete the states and category parameters of policies."""
        ...

    # --- runs

    def next_ids(self, count: int) -> Sequence[RunId]:
        """Draw `count` new ids."""
        ...

    def add(self, run: Run, ranges: Collection[Range]) -> None:
        """Insert a run with its ranges; raise `Duplicate("policy")` while another run of the policy is in progress."""
        ...

    def lock(self, run_id: RunId) -> Run | None:
        """Lock and read a run; None if it does not exist."""
        ...

    def lock_shared(self, run_id: RunId) -> Run | None:
        """Read a run and lock it against changes; several transactions may hold this lock at once."""
        ...

    def save(self, run: Run) -> None:
        """Update a run that this transaction has locked."""
        ...

    def lock_last(self, policy_id: PolicyId, count: int) -> Sequence[Run]:
        """Lock and read the last `count` runs of the policy, in id order, without those that were replaced."""
        ...

    def replace(self, run_ids: Collection[RunId]) -> None:
        """Mark ended runs that a later run replaced: lists leave them out, and `purge` deletes them."""
        ...

    def unfinished(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[RunId]:
        """Unfinished runs, the oldest first, read without a lock; deciding ones if their strategy is among `known`.

        Runs that await approval are left out until the time for it has ended. Of each seller at most `per_seller`, the
        oldest ones.
        """
        ...

    def active_run(self, policy_id: PolicyId) -> RunId | None:
        """The run of the policy that is in progress, read without a lock; None if there is none."""
        ...

    def claim_range(self, run_id: RunId, status: RangeStatus) -> Range | None:
        """Lock the first range with this status, skipping locked ones; None if there is none."""
        ...

    def ranges(self, run_id: RunId) -> Sequence[Range]:
        """All ranges of a run, in order, read without a lock."""
        ...

    def stage_decisions(self, part: Range, result: RangeResult) -> None:
        """Store the decisions of a claimed range with the new policy state, and update the range.

        `save_staged_state` puts the policy state in force.
        """
        ...

    def save_staged_state(self, run: Run, part: Range) -> None:
        """Put the policy state that `stage_decisions` stored with the range in force, and add the category parameters
        that are not known yet.
        """
        ...

    def staged_moves(self, part: Range) -> Moves:
        """The staged decisions of a range that change a price, by product id."""
        ...

    def limit_moves(self, part: Range, moves: Moves, limit: MoveLimit) -> None:
        """Replace the prices of `staged_moves` by those of `moves`, and add `limit` to the inputs of the range.

        Decisions whose price this changes get the flag `Guardrail.BREAKER`.
        """
        ...

    def apply_prices(self, run: Run, part: Range, at: datetime) -> Whole:
        """Put the range's new prices in force at `at`, with history and events, and update the range; return the
        product ids.

        A product keeps its price if the price changed since it was decided; if the product was withdrawn, switched off,
        excluded or assigned to another policy; or if the new price is outside the product's present bounds. Rows are
        locked in id order.
        """
        ...

    def revert_prices(self, run: Run, part: Range, at: datetime) -> int:
        """Restore the old prices where the range's new ones are still in force, and update the range; return how many.

        The prices that are rolled back are not promised to buyers (`ProductRepository.prices_since`).
        """
        ...

    def save_range(self, part: Range) -> None:
        """Update a range that this transaction has claimed."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` ranges, with their decisions, of runs that ended before `before` or were replaced, and
        such runs without ranges.

        Return how many ranges and runs.
        """
        ...
