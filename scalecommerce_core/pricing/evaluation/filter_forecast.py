"""The demand filter of production, judged on past sales: each period is predicted before its sales are known."""

from typing import Final, Protocol

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.evaluation.panel import Panel
from scalecommerce_core.pricing.interface import POOLING_INTERVAL, State
from scalecommerce_core.pricing.signals import Signals

MOST_PERIODS: Final = 2_000
"""Largest number of predicted periods; of a longer panel, several periods are combined into one."""
_REFERENCE: Final = 1_000_000
"""Reference price in signals, whose prices are whole numbers: relative prices have six digits."""
_CONVERSION: Final = 0.02
"""Units per view in training. Panels have no views; the filter then takes them as constant over time."""


class ElasticityStrategy(Protocol):
    """A strategy whose state has the belief of the demand filter: `a` and `b` for each product."""

    def start(self, signals: Signals, groups: dict[str, Floats]) -> State: ...

    def update(self, state: State, signals: Signals) -> State: ...

    def pool(self, state: State, signals: Signals) -> State: ...


@frozen(eq=False)
class Predictions:
    """Predicted units of the rows of the predicted periods, in the order of `rows`, and the last elasticities."""

    rows: Whole
    units: Floats
    elasticity: Floats
    cells: Whole


def predict_one_ahead(
    panel: Panel, strategy: ElasticityStrategy, *, begin: int, end: int, period_days: float, without_price: bool = False
) -> Predictions:
    """Run `strategy` over all periods and predict each period from `begin` on before the update with its sales.

    `panel` includes rows without sales. Cells without a row before `end` are left out. The mean price of a cell's rows
    before `end` is its reference price, and their mean sales determine its views. `without_price` gives the strategy
    the reference price in all periods, so that it learns from the level of sales alone.
    """
    trained = panel.period < end
    count = np.bincount(panel.cell[trained], minlength=panel.cells)
    known = np.flatnonzero(count > 0)
    number = np.full(panel.cells, -1, dtype=np.int64)
    number[known] = np.arange(len(known))

    def training_mean(values: Floats) -> Floats:
        total = np.bincount(panel.cell[trained], weights=values[trained], minlength=panel.cells)
        return total[known] / count[known]

    reference, usual = training_mean(panel.price), training_mean(panel.units)
    views = np.maximum(usual, 0.05) / _CONVERSION
    kept = np.flatnonzero(number[panel.cell] >= 0)
    order = kept[np.argsort(panel.period[kept], kind="stable")]
    cell = number[panel.cell[order]]
    relative = np.ones(len(order)) if without_price else panel.price[order] / reference[cell]
    price = np.clip(np.round(relative * _REFERENCE), 1, 100 * _REFERENCE).astype(np.int64)
    periods, begins = np.unique(panel.period[order], return_index=True)
    ends = np.append(begins[1:], len(order))

    product, group = np.arange(len(known)), panel.group[known]
    groups: dict[str, Floats] = {}
    state: State | None = None
    last_price = np.full(len(known), _REFERENCE)
    before = int(periods[0]) if len(periods) else 0
    tested, predicted = [], []
    for epoch, (period, first, stop) in enumerate(zip(periods, begins, ends, strict=True)):
        now = cell[first:stop]
        on_sale, units = np.zeros(len(known)), np.zeros(len(known))
        on_sale[now], units[now] = views[now], panel.units[order[first:stop]]
        last_price[now] = price[first:stop]
        days = max(int(period) - before, 1) * period_days
        before = int(period)
        signals = Signals.of(
            product=product, group=group, price=last_price, reference=_REFERENCE, views=on_sale, units=units, days=days,
            epoch_days=days,
        )  # fmt: skip
        if state is None:
            at_start = signals.with_columns(views=views, units=usual)
            state = strategy.start(at_start, groups)
        if period >= begin:
            tested.append(order[first:stop])
            predicted.append(_expected_units(state, signals)[now])
        state = strategy.update(state, signals)
        if epoch % POOLING_INTERVAL == POOLING_INTERVAL - 1:
            state = strategy.pool(state, signals)
    slopes = np.zeros(len(known)) if state is None else state.products["b"]
    none: Whole = np.zeros(0, dtype=np.int64)
    return Predictions(
        np.concatenate([none, *tested]), np.concatenate([np.zeros(0), *predicted]), np.asarray(slopes), known
    )


def _expected_units(state: State, signals: Signals) -> Floats:
    """Units that the demand filter expects in `signals.views` views at `signals.price`."""
    x = signals.price / signals.reference - 1.0
    expected: Floats = signals.views * np.exp(np.clip(state.products["a"] + state.products["b"] * x, -9.0, 0.0))
    return expected
