"""Measuring: the result of an experiment from the sales of its products."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
from attrs import fields, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, PricingExperiment
from scalecommerce_core.pricing.experiments.lift import HoldOutProfits, estimate_hold_out, estimate_switchback
from scalecommerce_core.pricing.experiments.results import (
    ExperimentResult,
    Measure,
    judge,
    persistent_share,
)

BEFORE: Final = timedelta(weeks=26)
"""How long before the start sales are read for the variance reduction."""
RECENT: Final = timedelta(weeks=8)
"""The newer of the two windows before the start."""
KNOWN_COSTS: Final = 0.8
"""Least share of the revenue that products with a known cost must have, to compare profits."""
_WEEK: Final = timedelta(weeks=1)


@frozen(eq=False)
class ExperimentProducts:
    """Products of an experiment, sorted by id; `currency` numbers currencies, `cost` is -1 if unknown.

    `created_at` is in microseconds since 1970.
    """

    product: Whole
    is_held_out: Flags
    category: Whole
    currency: Whole
    cost: Whole
    created_at: Whole

    def __len__(self) -> int:
        return len(self.product)

    def rows(self, chosen: Flags) -> "ExperimentProducts":
        return ExperimentProducts(*(getattr(self, name.name)[chosen] for name in fields(ExperimentProducts)))


@frozen(eq=False)
class PeriodSales:
    """Net sales of products in periods: units less refunded units, revenue less refunded amounts in minor units.

    One element per product and period with sales; periods are numbered from 0.
    """

    product: Whole
    period: Whole
    units: Whole
    revenue: Whole


def measured_edges(experiment: PricingExperiment, now: datetime) -> Sequence[datetime]:
    """The moments between the periods whose sales `measure` needs; period n lies between edges n and n + 1."""
    start, end = experiment.started_at, experiment.end_at(now)
    burn_in = experiment.burn_in_epochs * experiment.epoch
    if experiment.kind is ExperimentKind.HOLD_OUT:
        begin = min(start + burn_in, end)
        return [start - BEFORE, start - RECENT, start, begin, begin + (end - begin) / 2, end]
    count = min((end - start) // experiment.period, experiment.periods)
    edges = [start]
    for number in range(count):
        edges += [start + number * experiment.period + burn_in, start + (number + 1) * experiment.period]
    return edges


def measure(
    experiment: PricingExperiment,
    products: ExperimentProducts,
    sales: PeriodSales,
    *,
    fee: float,
    now: datetime,
    notes: Sequence[str] = (),
) -> ExperimentResult:
    """The result of an experiment at `now`; `sales` are those between `measured_edges`.

    Profit is revenue after the marketplace's share `fee`, less the present cost of the units. If products with a known
    cost have less than `KNOWN_COSTS` of the revenue, revenues are compared. Only products in the currency with most
    sales are measured.
    """
    edges = measured_edges(experiment, now)
    said = list(notes)
    units, revenue = _table(products, sales, len(edges) - 1)
    total = revenue.sum(axis=1)
    main = _main_currency(products, total)
    chosen = products.currency == main
    if not chosen.all():
        said.append(f"{int((~chosen).sum()):,} products in other currencies are not measured.")
    known = chosen & (products.cost >= 0)
    by = Measure.PROFIT if total[known].sum() >= KNOWN_COSTS * total[chosen].sum() else Measure.REVENUE
    if by is Measure.PROFIT:
        if (without := int((chosen & ~known).sum())) > 0:
            said.append(f"{without:,} products without a known cost are not measured.")
        chosen = known
        value = revenue * (1.0 - fee) - units * np.maximum(products.cost, 0)[:, None]
    else:
        said.append("Revenue is compared, because the costs of most products are unknown.")
        value = revenue
    kept, value = products.rows(chosen), value[chosen]
    ended = not experiment.is_running(now)
    if experiment.kind is ExperimentKind.SWITCHBACK:
        measured = value[:, 1::2].sum(axis=0)
        done = len(measured) // 2 * 2
        return judge(
            estimate_switchback(measured, experiment.own_periods()[: len(measured)]),
            measure=by,
            elapsed=done / experiment.periods,
            planned_weeks=experiment.periods * experiment.period / _WEEK,
            has_ended=ended,
            products=len(kept),
            held_out=len(kept),
            notes=said,
        )
    estimate = estimate_hold_out(_hold_out_profits(kept, value, edges, 2))
    half = estimate_hold_out(_hold_out_profits(kept, value, edges, 1)) if estimate is not None else None
    begin, planned_end = edges[3], experiment.planned_end
    return judge(
        estimate,
        measure=by,
        elapsed=(edges[-1] - begin) / (planned_end - begin) if planned_end > begin else 1.0,
        planned_weeks=(planned_end - begin) / _WEEK,
        has_ended=ended,
        persistent_share=0.0 if estimate is None else persistent_share(estimate, half),
        products=len(kept),
        held_out=int(kept.is_held_out.sum()),
        notes=said,
    )


def _table(products: ExperimentProducts, sales: PeriodSales, periods: int) -> tuple[Floats, Floats]:
    """Units and revenue, products by periods."""
    units, revenue = np.zeros((len(products), periods)), np.zeros((len(products), periods))
    if len(products) and len(sales.product):
        row = np.minimum(np.searchsorted(products.product, sales.product), len(products) - 1)
        mine = (products.product[row] == sales.product) & (sales.period >= 0) & (sales.period < periods)
        units[row[mine], sales.period[mine]] = sales.units[mine]
        revenue[row[mine], sales.period[mine]] = sales.revenue[mine]
    return units, revenue


def _main_currency(products: ExperimentProducts, revenue: Floats) -> int:
    """The currency of the most products with sales; of all products, if nothing was sold."""
    sold = products.currency[revenue > 0] if (revenue > 0).any() else products.currency
    currencies, counts = np.unique(sold, return_counts=True)
    return int(currencies[counts.argmax()]) if len(counts) else 0


def _hold_out_profits(
    products: ExperimentProducts, value: Floats, edges: Sequence[datetime], halves: int
) -> HoldOutProfits:
    """Profits since the burn-in in the first half, or both halves, of the measured time."""
    listed = [_weeks_listed(products.created_at, begin, end) for begin, end in pairwise(edges[:3])]
    rates = [value[:, number] / np.maximum(weeks, 1.0) for number, weeks in enumerate(listed)]
    older, recent = rates
    # A window in which a product was not listed for a week has the rate of the other window.
    before = np.column_stack([np.where(listed[1] >= 1.0, recent, older), np.where(listed[0] >= 1.0, older, recent)])
    new = (listed[0] < 1.0) & (listed[1] < 1.0)
    if new.any() and not new.all():
        before[new] = before[~new].mean(axis=0)
    elif new.all():
        before[:] = 0.0
    end = edges[3 + halves]
    whole = max((end - edges[3]) / _WEEK, 1e-9)
    return HoldOutProfits(
        category=products.category,
        is_held_out=products.is_held_out,
        before=before,
        during=value[:, 3 : 3 + halves].sum(axis=1),
        exposure=np.clip(_weeks_listed(products.created_at, edges[3], end) / whole, 0.01, 1.0),
    )


def _weeks_listed(created_at: Whole, begin: datetime, end: datetime) -> Floats:
    """Weeks between `begin` and `end` in which each product was listed."""
    first = np.maximum(created_at.astype(np.float64), begin.timestamp() * 1e6)
    return np.asarray(np.maximum(end.timestamp() * 1e6 - first, 0.0) / (_WEEK / timedelta(microseconds=1)))
