"""Reading pricing policies, runs and decisions."""

from collections.abc import Iterator
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.runs import Run, StoredDecision
from scalecommerce_core.queries.pagination import Page, PageRequest


class PricingQueries(Protocol):
    """What policies there are, and what they did. `owner` None: of everybody."""

    def policies(self, owner: AccountId | None, page: PageRequest) -> Page[PricingPolicy]:
        """By id, active or not."""
        ...

    def policy(self, policy_id: PolicyId) -> PricingPolicy | None: ...

    def runs(self, owner: AccountId | None, page: PageRequest, *, policy_id: PolicyId | None = None) -> Page[Run]:
        """Newest first."""
        ...

    def repricing_run(self, run_id: RunId) -> Run | None: ...

    def decisions(self, run_id: RunId, page: PageRequest, *, moves_only: bool = False) -> Page[StoredDecision]:
        """Of one run, by product."""
        ...

    def product_decisions(self, product_id: ProductId, page: PageRequest) -> Page[StoredDecision]:
        """About one product, of the newest run first."""
        ...

    def recorded_decisions(self, run_id: RunId) -> Iterator[tuple[Inputs, Decisions]]:
        """All decisions of a run, range by range, with what they were made of: `replay` makes them again."""
        ...
