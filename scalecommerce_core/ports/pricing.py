"""Pricing policies, runs and decisions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.observation import CategoryParameters, Facts, PastPrices, RangeResult
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.runs import Assignment, Range, RangeStatus, Run, Schedule


class PolicyRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[PolicyId]: ...

    def add(self, policies: Collection[PricingPolicy]) -> None:
        """With their schedules: the first run is due at once."""
        ...

    def lock(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """In id order."""
        ...

    def save(self, policies: Collection[PricingPolicy]) -> None: ...

    def remove(self, ids: Collection[PolicyId]) -> None:
        """With schedule, assignments and all that it remembers. Its runs and decisions stay for their time."""
        ...

    def of_sellers(self, sellers: Collection[AccountId]) -> Sequence[PricingPolicy]:
        """Read without a lock, by id, active or not."""
        ...

    def get_many(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """Read without a lock."""
        ...

    def lock_schedules(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, Schedule]:
        """Of locked policies."""
        ...

    def save_schedules(self, schedules: Collection[Schedule]) -> None: ...

    def due(self, now: datetime, limit: int, known: Collection[str]) -> Sequence[PolicyId]:
        """Active policies whose next run is due, by id: those that have no run in progress and whose strategy
        (`PricingPolicy.policy`) is among `known`.
        """
        ...

    def active_with_unknown_strategy(self, known: Collection[str], limit: int) -> Sequence[PricingPolicy]:
        """Active policies whose strategy is not among `known`, by id, read without a lock."""
        ...

    def assign(self, choices: Mapping[ProductId, PolicyId | None]) -> None:
        """Each product follows that policy; None: that of its category again."""
        ...

    def exclude(self, choices: Mapping[ProductId, bool]) -> None:
        """Whatever they are assigned to: an excluded product's price does not move by itself."""
        ...

    def assignments(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Assignment]:
        """Of those of which something was said."""
        ...

    def is_stopped(self) -> bool:
        """Whether all pricing is."""
        ...

    def stop(self, stopped: bool) -> None: ...


class RunRepository(Protocol):
    """Runs, what they read, and what they write, in arrays by product id."""

    # --- what a policy's products show

    def product_ids(self, scope: PolicyScope) -> Whole:
        """Of the products that the policy is for, in order."""
        ...

    def facts(self, scope: PolicyScope, first: ProductId, last: ProductId, now: datetime) -> Facts:
        """Of those of them with ids from `first` to `last`, without a lock."""
        ...

    def past_prices(self, first: ProductId, last: ProductId, since: datetime) -> PastPrices:
        """Of products with ids from `first` to `last` whose price changed after `since`."""
        ...

    # --- what a policy remembers

    def blocks(self, policy_id: PolicyId) -> Sequence[int]:
        """First product ids of the blocks of its policy state, in order."""
        ...

    def policy_state(self, policy_id: PolicyId, block: int) -> PolicyState | None: ...

    def save_policy_state(self, policy_id: PolicyId, block: int, state: PolicyState) -> None: ...

    def category_parameters(self, policy_id: PolicyId) -> CategoryParameters: ...

    def add_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        """Those categories that nothing is known of."""
        ...

    def save_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None: ...

    def delete_policy_states(self, policy_ids: Collection[PolicyId]) -> None:
        """Blocks and groups."""
        ...

    # --- runs

    def next_ids(self, count: int) -> Sequence[RunId]: ...

    def add(self, run: Run, ranges: Collection[Range]) -> None:
        """Raise `Duplicate("policy")` while another run of the policy decides or writes."""
        ...

    def lock(self, run_id: RunId) -> Run | None: ...

    def lock_shared(self, run_id: RunId) -> Run | None:
        """Locked against changes, together with others who share it."""
        ...

    def save(self, run: Run) -> None: ...

    def unfinished(self, limit: int, known: Collection[str]) -> Sequence[RunId]:
        """Runs in progress, the oldest first, read without a lock; deciding ones if their strategy is among
        `known`.
        """
        ...

    def active_run(self, policy_id: PolicyId) -> RunId | None:
        """The run of the policy that decides or writes, read without a lock."""
        ...

    def claim_range(self, run_id: RunId, status: RangeStatus) -> Range | None:
        """Lock the first range with that status, skipping those that others have locked."""
        ...

    def ranges(self, run_id: RunId) -> Sequence[Range]:
        """In order, without a lock."""
        ...

    def stage_decisions(self, part: Range, result: RangeResult) -> None:
        """Keep the decisions of a claimed range, with what is to be remembered, and save the range."""
        ...

    def staged_state(self, part: Range) -> tuple[PolicyState, CategoryParameters]:
        """What was staged with it."""
        ...

    def apply_prices(self, run: Run, part: Range, at: datetime) -> Whole:
        """Put the range's moves in force at `at`, into the history and the feed, and save the range; return the ids.

        A price that is not the one which was seen, or began later, stays; so does that of a product which was
        withdrawn, switched off, excluded, or assigned to another policy meanwhile, and a price that would move out of
        the bounds that its product has by now. Rows are locked in id order.
        """
        ...

    def revert_prices(self, run: Run, part: Range, at: datetime) -> int:
        """Put old prices back in force where the range's new ones still are, and save the range; return how many.

        Nobody may insist on the prices that were taken back.
        """
        ...

    def save_range(self, part: Range) -> None: ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` ranges, with their decisions, of runs that ended before, and runs without ranges.

        Return how many ranges and runs.
        """
        ...
