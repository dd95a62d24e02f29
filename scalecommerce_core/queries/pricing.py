"""Queries of pricing policies, runs and decisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.runs import Run, RunStatus, StoredDecision
from scalecommerce_core.queries.pagination import Page, PageRequest
from scalecommerce_core.queries.statistics import SalesFigures

MAX_STEPS: Final = 1_000


@frozen
class PriceStep:
    """A price of a product, in force from `valid_from` until `valid_to`, which is None for the current price.

    `sales` are those of the whole time for which the price was in force. `decision` is the one that set the price, None
    if it was not set by a policy, or if its decision was deleted.
    """

    price: Money
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    is_withdrawn: bool
    sales: SalesFigures
    decision: StoredDecision | None


class PricingQueries(Protocol):
    """Policies and the runs and decisions they produced. With the `owner` None, those of all sellers are returned."""

    def policies(self, owner: AccountId | None, page: PageRequest) -> Page[PricingPolicy]:
        """Return policies in the order of their ids, active or not."""
        ...

    def policy(self, policy_id: PolicyId) -> PricingPolicy | None: ...

    def runs(
        self,
        owner: AccountId | None,
        page: PageRequest,
        *,
        policy_id: PolicyId | None = None,
        status: RunStatus | None = None,
    ) -> Page[Run]:
        """Return runs, newest first; only those of `policy_id` and with `status`, if given."""
        ...

    def repricing_run(self, run_id: RunId) -> Run | None: ...

    def decisions(self, run_id: RunId, page: PageRequest, *, moves_only: bool = False) -> Page[StoredDecision]:
        """Return the decisions of a run in the order of product ids; with `moves_only`, only changes of a price."""
        ...

    def product_decisions(self, product_id: ProductId, page: PageRequest) -> Page[StoredDecision]:
        """Return the decisions about a product, those of the newest run first."""
        ...

    def price_path(self, product_id: ProductId, since: datetime, until: datetime) -> Sequence[PriceStep]:
        """Return the prices that were in force at some time from `since` to `until`, oldest first.

        At most `MAX_STEPS`, the newest ones.
        """
        ...

    def recorded_decisions(self, run_id: RunId) -> Iterator[tuple[Inputs, Decisions]]:
        """Iterate over the ranges of a run: inputs, from which `replay` repeats the decisions, and decisions."""
        ...
