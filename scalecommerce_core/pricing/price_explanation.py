"""What a policy has learnt about the demand for a product, from the stored inputs of its decisions.

The curve is that of the strategy's state after the last decision: expected units and profit per week at prices between
the floor and the ceiling, with a band of 80 % about what the strategy does not know yet. The views per week are those
of the last decisions. Stock is no limit here.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.guardrails import price_bounds
from scalecommerce_core.pricing.interface import EstimatesDemand, one_line_message
from scalecommerce_core.pricing.messages import Message, Templates
from scalecommerce_core.pricing.replay import Inputs, UnpackedInputs, input_values, unpack_inputs
from scalecommerce_core.pricing.signals import COLUMNS

POINTS: Final = 60
"""Prices of the curve between the floor and the ceiling; the present and the best price are added."""
_CANDIDATES: Final = 2_000
"""Most prices among which the best one is searched."""
_LOWEST, _HIGHEST = 0.5, 2.0
"""Share of the present price up to which the curve is shown: a product may have no ceiling."""
CURVE_MESSAGES: Final = Templates(
    "curve",
    {
        "no_decision": "No pricing policy has decided about this product yet.",
        "not_learnt": "The strategy {strategy} does not estimate how demand depends on the price.",
        "not_installed": "The strategy {strategy} is not installed, so its estimates cannot be read.",
        "earlier_release": "The last decision was made by an earlier release, whose estimates are not shown.",
        "no_views": "Nobody viewed this product in the last epochs, so its sales cannot be estimated.",
        "failed": "The strategy {strategy} failed to estimate the demand: {error}",
        "unknown_cost": "The cost of the product is unknown, so its profit cannot be estimated: enter the cost.",
    },
)


@frozen
class Estimate:
    """An estimate and the bounds of its central 80 %."""

    expected: float
    low: float
    high: float


@frozen
class CurvePoint:
    """Expected sales at a price, per week. Amounts are in minor units; `profit` is None if the cost is unknown."""

    price: int
    units: Estimate
    profit: Estimate | None


@frozen
class DemandCurve:
    """The learnt demand for a product, by rising price; `views` is the views per week that it assumes.

    `best` is the price of the highest expected profit within the bounds; None if the cost is unknown.
    """

    views: float
    points: tuple[CurvePoint, ...]
    best: int | None


@frozen
class LearntDemand:
    """The bounds of the price at the last decision, the price that the seller chose, and the demand curve.

    Amounts are in minor units. `curve` is None if there is none, and `note` says why; `note` also says what a curve
    lacks.
    """

    floor: int | None = None
    ceiling: int | None = None
    own_price: int | None = None
    curve: DemandCurve | None = None
    note: Message | None = None


def learnt_demand(decided: Sequence[Inputs]) -> LearntDemand:
    """What was learnt, from the inputs of the last decisions about one product, the newest first."""
    if not decided:
        return LearntDemand(note=CURVE_MESSAGES.message("no_decision"))
    last, name = decided[0], decided[0].head["document"]["policy"]
    try:
        found = unpack_inputs(last)
    except (Invalid, ValueError):
        return LearntDemand(note=CURVE_MESSAGES.message("not_installed", strategy=str(name)))
    floor, ceiling = (int(bound[0]) for bound in price_bounds(found.signals, found.policy.guardrails))
    own_price = int(found.signals.own_price()[0])
    curve, note = _curve(found, floor, ceiling, views_a_week(decided))
    return LearntDemand(floor, ceiling, own_price, curve, note)


def views_a_week(decided: Sequence[Inputs]) -> float:
    """Views per week on sale over the epochs of these decisions, as the strategy counts them."""
    epochs = [
        {name: values.get(name, COLUMNS[name].metadata["default"]) for name in ("views", "days")}
        for values in map(input_values, decided)
    ]
    days = sum(float(epoch["days"]) for epoch in epochs)
    return 7.0 * sum(float(epoch["views"]) for epoch in epochs) / days if days > 0 else 0.0


def _curve(found: UnpackedInputs, floor: int, ceiling: int, views: float) -> tuple[DemandCurve | None, Message | None]:
    strategy, price = found.strategy, int(found.signals.price[0])
    if not isinstance(strategy, EstimatesDemand):
        return None, CURVE_MESSAGES.message("not_learnt", strategy=found.policy.policy)
    if views <= 0:
        return None, CURVE_MESSAGES.message("no_views")
    low, high = max(floor, round(_LOWEST * price)), min(ceiling, round(_HIGHEST * price))
    low, high = min(low, high), max(low, high)
    spaced = np.rint(np.linspace(low, high, min(high - low + 1, _CANDIDATES)))
    searched = np.unique(np.append(spaced, np.clip(price, low, high)).astype(np.float64))
    try:
        demand = strategy.estimate_demand(found.state, found.signals, searched)
    except Exception as error:  # noqa: BLE001 - the strategy may be a user's
        said = one_line_message(error)
        return None, CURVE_MESSAGES.message("failed", strategy=found.policy.policy, error=said)
    if demand is None:
        return None, CURVE_MESSAGES.message("earlier_release")
    within = (demand.prices >= low) & (demand.prices <= high)
    prices = demand.prices[within]
    units = tuple(views * values[within] for values in (demand.expected, demand.low, demand.high))
    profit = _profit(found, prices, units)
    best = int(prices[np.argmax(profit[0])]) if profit is not None and len(prices) else None
    chosen = _chosen(prices, {price, best} - {None})
    points = tuple(
        CurvePoint(
            int(prices[row]),
            Estimate(*(float(values[row]) for values in units)),
            None if profit is None else Estimate(*(float(values[row]) for values in profit)),
        )
        for row in chosen
    )
    return DemandCurve(views, points, best), None if profit is not None else CURVE_MESSAGES.message("unknown_cost")


def _profit(found: UnpackedInputs, prices: Floats, units: tuple[Floats, ...]) -> tuple[Floats, ...] | None:
    """Expected profit and its bounds; None if the cost is unknown. Below the cost, more units lose more."""
    signals = found.signals
    cost = 0 if getattr(found.strategy, "perishable", False) else int(signals.cost[0])
    if cost < 0:
        return None
    margin = prices * (1.0 - int(signals.fee[0]) / 10_000) - cost
    expected, low, high = (margin * values for values in units)
    return expected, np.minimum(low, high), np.maximum(low, high)


def _chosen(prices: Floats, marked: set[int | None]) -> list[int]:
    """The rows of about `POINTS` prices at equal distances, and of those that are `marked`."""
    if len(prices) <= POINTS:
        return list(range(len(prices)))
    rows = {round(row) for row in np.linspace(0, len(prices) - 1, POINTS)}
    rows |= {row for row, price in enumerate(prices) if int(price) in marked}
    return sorted(rows)
