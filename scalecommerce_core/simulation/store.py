"""Store of a simulated market: policies and runs in memory, products in the arrays of a `Ledger`.

Runs execute the use cases of `services.repricing`. What is stored per product is read and written as arrays, so a run
of a thousand products takes milliseconds.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
from attrs import define, field, fields

from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.facts import FACTS, INTERVAL_COLUMNS, Facts, PriceIntervals, microseconds
from scalecommerce_core.pricing.interface import PricingStrategy
from scalecommerce_core.pricing.observation import RangeResult
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.runs import IN_PROGRESS, Range, Run
from scalecommerce_core.services.repricing.common import LOOK_BACK
from scalecommerce_core.simulation.ledger import Ledger
from scalecommerce_core.testing.memory.experiments import MemoryExperiments
from scalecommerce_core.testing.memory.pricing import MemoryRuns
from scalecommerce_core.testing.memory.statistics import MemoryStatistics
from scalecommerce_core.testing.memory.store import MemoryStore, MemoryTransaction
from scalecommerce_core.testing.memory.tables import StagedRange, Tables


@define
class MarketPolicy(PricingPolicy):
    """A policy whose strategy is an object. It need not be registered, and its parameters need not be JSON values."""

    chosen: PricingStrategy = field(kw_only=True)

    def strategy(self) -> PricingStrategy:
        return self.chosen


@define
class _MarketRun(Run):
    """A run that keeps the policy itself. A stored document is validated, and limits guardrails to sensible values."""

    chosen: PricingPolicy | None = None

    def policy(self, created_at: datetime) -> PricingPolicy:
        return super().policy(created_at) if self.chosen is None else self.chosen


class MarketStore(MemoryStore):
    """A store with the products of `ledger`. Of each policy, it keeps the last few runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        super().__init__()

    def _transaction(self) -> MemoryTransaction:
        return _MarketTransaction(self.tables, self._next, self._ledger)


class _MarketTransaction(MemoryTransaction):
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]], ledger: Ledger) -> None:
        super().__init__(tables, numbers)
        self.runs = _MarketRuns(tables, numbers, self.statistics, ledger)
        self.experiments = _MarketExperiments(tables, numbers, ledger)


class _MarketExperiments(MemoryExperiments):
    """`MemoryExperiments` with the sellers' own prices of the ledger."""

    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]], ledger: Ledger) -> None:
        super().__init__(tables, numbers)
        self._ledger = ledger

    def own_prices(self, products: Whole) -> Whole:
        return self._ledger.own_price[products - 1]


class _MarketRuns(MemoryRuns):
    """The methods of `MemoryRuns` that concern products, on arrays."""

    def __init__(
        self,
        tables: Tables,
        numbers: Callable[[str, int], list[int]],
        statistics: MemoryStatistics,
        ledger: Ledger,
    ) -> None:
        super().__init__(tables, numbers, statistics)
        self._ledger = ledger

    def product_ids(self, scope: PolicyScope) -> Whole:
        del scope
        return np.arange(1, len(self._ledger) + 1)

    def facts(self, scope: PolicyScope, first: ProductId, last: ProductId, now: datetime) -> Facts:
        del scope
        facts, part = self._ledger.facts(microseconds(now)), slice(first - 1, last)
        # The ledger changes its arrays in place.
        return Facts(*(facts[name][part].copy() for name in FACTS))

    def price_intervals(
        self,
        first: ProductId,
        last: ProductId,
        since: datetime,
        *,
        counted_after: datetime,
        all_since: datetime | None = None,
    ) -> PriceIntervals:
        # Markets have few prices before their first run, so that `all_since` leaves nothing out.
        del counted_after, all_since
        found = self._ledger.intervals(first, last, microseconds(since))
        return PriceIntervals(*(found[name] for name in INTERVAL_COLUMNS))

    def save_policy_state(self, policy_id: PolicyId, block: int, state: PolicyState) -> None:
        self._tables.blocks.put((policy_id, block), state)

    def add(self, run: Run, ranges: Any) -> None:
        policy = self._tables.policies.get(run.policy_id)
        values = {attribute.name: getattr(run, attribute.name) for attribute in fields(Run)}
        super().add(_MarketRun(**values, chosen=policy), ranges)
        ended = [each.id for each in self._tables.runs.all() if each.status not in IN_PROGRESS]
        for run_id in sorted(ended)[: -LOOK_BACK - 1]:
            for part in self.ranges(run_id):
                self._tables.ranges.delete((run_id, part.number))
                self._tables.staged.delete((run_id, part.number))
            self._tables.runs.delete(run_id)
            self._tables.replaced_runs.delete(run_id)

    def stage_decisions(self, part: Range, result: RangeResult) -> None:
        self._tables.staged.put((part.run_id, part.number), StagedRange(result, {}))
        self.save_range(part)

    def apply_prices(self, run: Run, part: Range, at: datetime) -> Whole:
        staged, ledger = self._staged(part), self._ledger
        decisions, rows = staged.result.decisions, staged.result.decisions.product - 1
        unchanged = (ledger.price[rows] == decisions.old) & (ledger.priced_at[rows] == staged.result.priced_at)
        chosen = decisions.moves & unchanged & self._are_applicable(run, rows, decisions.new)
        moved = ledger.set_prices(rows[chosen], decisions.new[chosen], microseconds(at), is_manual=False) + 1
        part.written = len(moved)
        self.save_range(part)
        return moved

    def _are_applicable(self, run: Run, rows: Whole, new: Whole) -> Flags:
        """`MemoryRuns._is_applicable` for many products."""
        facts = self._ledger.facts()
        old, cost, least, most = (facts[name][rows] for name in ("price", "cost", "min_price", "max_price"))
        by_cost = np.where(cost < 0, 0.0, cost * run.min_price_per_cost)
        highest = np.maximum(np.where(most < 0, new, most), np.ceil(by_cost) + 1)
        lowest = np.maximum(np.maximum(least, 0), np.floor(by_cost) - 1)
        applicable: Flags = np.where(new > old, new <= highest, new >= lowest)
        return applicable
