"""Pricing experiments: their plans and results, the arms of their products, and the sales that they compare."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import ExperimentId, PolicyId, ProductId
from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.pricing.experiments.measuring import ExperimentProducts, PeriodSales


class ExperimentRepository(Protocol):
    """Experiments outlive their policies: results remain when a policy is deleted."""

    def next_ids(self, count: int) -> Sequence[ExperimentId]:
        """Draw `count` new ids."""
        ...

    def add(self, experiments: Collection[PricingExperiment]) -> None:
        """Insert experiments; raise `Duplicate("policy")` while another experiment of the policy is not ended."""
        ...

    def lock(self, ids: Collection[ExperimentId]) -> Mapping[ExperimentId, PricingExperiment]:
        """Lock and read experiments, in id order."""
        ...

    def lock_open(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        """Lock and read the experiments of these policies that are not ended, in id order."""
        ...

    def save(self, experiments: Collection[PricingExperiment]) -> None:
        """Update experiments that this transaction has locked."""
        ...

    def unended(self, policy_id: PolicyId) -> PricingExperiment | None:
        """The experiment of the policy that is not ended, read without a lock; its planned end may have passed."""
        ...

    def measured_before(self, moment: datetime, limit: int) -> Sequence[ExperimentId]:
        """Experiments that were not measured since their start or end, or are not ended and were last measured before
        `moment`; by id.
        """
        ...

    def add_products(self, experiment_id: ExperimentId, products: Whole, is_held_out: Flags) -> None:
        """Store the arms of products; those that have one keep it."""
        ...

    def arms(self, experiment_id: ExperimentId, first: ProductId, last: ProductId) -> tuple[Whole, Flags]:
        """The products of the experiment with ids from `first` to `last`, in order, and whether each is held out."""
        ...

    def products(self, experiment_id: ExperimentId, after: ProductId, limit: int) -> ExperimentProducts:
        """The first `limit` products of the experiment with ids above `after`, with their facts."""
        ...

    def described(self, products: Whole) -> ExperimentProducts:
        """The facts of products, given in order of their ids; none is held out."""
        ...

    def sales(self, products: Whole, edges: Sequence[datetime]) -> PeriodSales:
        """Sales of products from their rollups by hour, in the periods between successive `edges`, which ascend."""
        ...

    def own_prices(self, products: Whole) -> Whole:
        """The price that the seller last gave each product, by hand, by an import or when it was listed.

        In minor units, in the order of `products`, which are sorted. Withdrawn prices do not count; without another
        price, the present one is returned.
        """
        ...
