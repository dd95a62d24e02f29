"""Queries of pricing experiments."""

from collections.abc import Collection, Mapping
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.queries.pagination import Page, PageRequest


class ExperimentQueries(Protocol):
    """Experiments with their last results. With the `owner` None, those of all sellers are returned."""

    def experiments(
        self, owner: AccountId | None, page: PageRequest, *, policy_id: PolicyId | None = None
    ) -> Page[PricingExperiment]:
        """Return experiments, newest first; only those of `policy_id`, if given."""
        ...

    def experiment(self, experiment_id: ExperimentId) -> PricingExperiment | None: ...

    def latest_experiments(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        """Return the newest experiment of each policy that has one."""
        ...
