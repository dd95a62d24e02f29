"""Pricing experiments in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId, ProductId
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.rollups import FIGURES
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.pricing.experiments.measuring import ExperimentProducts, PeriodSales
from scalecommerce_core.queries import Page, PageRequest
from scalecommerce_core.testing.memory.pagination import paged
from scalecommerce_core.testing.memory.tables import Tables

_OF_SELLER: Final = frozenset({PriceCause.LISTED, PriceCause.MANUAL, PriceCause.IMPORT, PriceCause.WITHDRAWAL})
_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryExperiments:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[ExperimentId]:
        return [ExperimentId(number) for number in self._numbers("experiments", count)]

    def add(self, experiments: Collection[PricingExperiment]) -> None:
        if self.lock_open({experiment.policy_id for experiment in experiments}):
            raise Duplicate("policy")
        self.save(experiments)

    def lock(self, ids: Collection[ExperimentId]) -> Mapping[ExperimentId, PricingExperiment]:
        return self._tables.experiments.get_many(sorted(ids))

    def lock_open(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        found = [each for each in self._tables.experiments.all() if each.ended_at is None]
        chosen = [evolve(each) for each in found if each.policy_id in policy_ids]
        return {each.policy_id: each for each in sorted(chosen, key=lambda each: each.id)}

    def save(self, experiments: Collection[PricingExperiment]) -> None:
        for experiment in experiments:
            self._tables.experiments.put(experiment.id, experiment)

    def unended(self, policy_id: PolicyId) -> PricingExperiment | None:
        return self.lock_open([policy_id]).get(policy_id)

    def measured_before(self, moment: datetime, limit: int) -> Sequence[ExperimentId]:
        def is_due(experiment: PricingExperiment) -> bool:
            measured = experiment.measured_at
            return measured is None or (experiment.ended_at is None and measured < moment)

        return sorted(each.id for each in self._tables.experiments.all() if is_due(each))[:limit]

    def add_products(self, experiment_id: ExperimentId, products: Whole, is_held_out: Flags) -> None:
        for product_id, held in zip(products.tolist(), is_held_out.tolist(), strict=True):
            key = experiment_id, ProductId(product_id)
            if self._tables.arms.get(key) is None:
                self._tables.arms.put(key, held)

    def arms(self, experiment_id: ExperimentId, first: ProductId, last: ProductId) -> tuple[Whole, Flags]:
        found = sorted(
            (product_id, held)
            for (each, product_id), held in self._tables.arms.items()
            if each == experiment_id and first <= product_id <= last
        )
        return (
            np.array([product_id for product_id, _ in found], dtype=np.int64),
            np.array([held for _, held in found], dtype=np.bool_),
        )

    def products(self, experiment_id: ExperimentId, after: ProductId, limit: int) -> ExperimentProducts:
        ids, held = self.arms(experiment_id, ProductId(after + 1), ProductId(2**63 - 1))
        return evolve(self.described(ids[:limit]), is_held_out=held[:limit])

    def described(self, products: Whole) -> ExperimentProducts:
        found = self._tables.products.get_many(ProductId(each) for each in products.tolist())
        rows = [
            (
                each.id, each.category_id, currency_number(each.price.currency),
                -1 if each.cost is None else each.cost.minor, (each.created_at - _EARLY) // timedelta(microseconds=1),
            )
            for each in found.values()
        ]  # fmt: skip
        product, *facts = np.array(rows, dtype=np.int64).reshape(len(rows), 5).T.copy()
        return ExperimentProducts(product, np.zeros(len(rows), dtype=np.bool_), *facts)

    def sales(self, products: Whole, edges: Sequence[datetime]) -> PeriodSales:
        wanted = set(products.tolist())
        sums: dict[tuple[int, int], list[int]] = {}
        for key, figures in self._tables.rollups.items():
            if key[0] != "product_hours" or key[1] not in wanted or not edges[0] <= key[2] < edges[-1]:
                continue
            named = dict(zip(FIGURES, figures, strict=True))
            period = sum(edge <= key[2] for edge in edges) - 1
            total = sums.setdefault((key[1], period), [0, 0])
            total[0] += named["units"] - named["refunded_units"]
            total[1] += named["revenue"] - named["refunded_amount"]
        rows = [(*key, *total) for key, total in sorted(sums.items())]
        return PeriodSales(*np.array(rows, dtype=np.int64).reshape(len(rows), 4).T.copy())

    def own_prices(self, products: Whole) -> Whole:
        return np.array([self._own_price(ProductId(each)) for each in products.tolist()], dtype=np.int64)

    def _own_price(self, product_id: ProductId) -> int:
        own = [
            change.price.minor
            for change in self._tables.price_history(product_id)
            if change.cause in _OF_SELLER and change.withdrawal is None
        ]
        product = self._tables.products.get(product_id)
        assert product is not None
        return own[-1] if own else product.price.minor


def currency_number(code: str) -> int:
    """The number that the three letters of a currency are in base 256."""
    return int.from_bytes(code.encode(), "big")


class MemoryExperimentQueries:
    _tables: Tables

    def experiments(
        self, owner: AccountId | None, page: PageRequest, *, policy_id: PolicyId | None = None
    ) -> Page[PricingExperiment]:
        shown = [
            evolve(each)
            for each in self._tables.experiments.all()
            if owner in {None, each.seller_id} and policy_id in {None, each.policy_id}
        ]
        return paged(shown, lambda each: (-each.id,), page)

    def experiment(self, experiment_id: ExperimentId) -> PricingExperiment | None:
        return self._tables.experiments.get(experiment_id)

    def latest_experiments(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        mine = [evolve(each) for each in self._tables.experiments.all() if each.policy_id in policy_ids]
        return {each.policy_id: each for each in sorted(mine, key=lambda each: each.id)}
