"""Sentences that describe the inputs of a decision: signals and estimates."""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any, Final

from attrs import frozen

from scalecommerce_core.domain.money import unit_text
from scalecommerce_core.pricing.guardrails import USUAL_EPOCH_DAYS
from scalecommerce_core.pricing.price_windows import MEDIAN_DAYS, MONTH_DAYS
from scalecommerce_core.pricing.replay import Inputs, input_values
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN
from scalecommerce_core.pricing.signals import COLUMNS

GUARDRAIL_EXPLANATIONS: Final[Mapping[str, str]] = {
    "hold_out": "an experiment keeps the product at the seller's own price, to compare",
    "few_views": "too few people have viewed the product",
    "short_history": "the product is too new",
    "out_of_stock": "the product is out of stock",
    "manual_edit": "the price was set by hand, restored by a rollback or withdrawn, and is kept for an epoch",
    "promotion": "a promotion is running",
    "anomaly_hold": "views, sales or refunds jumped; the price is kept for an epoch",
    "floor": "not below min_price, nor below cost, fees and the least margin",
    "ceiling": "not above max_price, nor far above the median price of 90 days",
    "step": "limited to the largest change in an epoch",
    "day_limit": "limited to the largest change in a day",
    "month_limit": "limited to the largest change in 30 days",
    "before_promotion": "not lowered before an announced promotion, whose prior price would be lower",
    "min_hold": "prices of the category are kept for the minimum hold that the marketplace has set",
    "cooldown": "the price changed recently and is kept for a while",
    "dead_band": "the change would be too small to matter",
    "ending": "rounded to the price ending that the seller chose",
    "breaker": "reduced, because the run would have changed too many prices, or the mean price, by too much",
}
"""Effect of each guardrail, by its name in a decision."""


@frozen
class ElasticityBelief:
    """The elasticities that a strategy had estimated for a product when it decided.

    Elasticities are at the reference price: percent of sales per percent of price, usually negative.
    """

    elasticity: float
    standard_deviation: float
    """Standard deviation of `elasticity`."""
    category_elasticity: float
    """Mean elasticity of products of its category with the same mark-up."""


def elasticity_belief(inputs: Inputs) -> ElasticityBelief | None:
    """The estimate in the first row of `inputs`; None for strategies that estimate no elasticities."""
    return _belief_in(input_values(inputs))


def explain_inputs(inputs: Inputs) -> dict[str, str]:
    """Describe the first row of `inputs`: headings with sentences, in the order of their display."""
    seen = _defaults() | input_values(inputs)
    sections = {
        "price": f"{_amount(seen, seen['price'])}, {_since(seen['since_change'])}",
        "reference": f"{_amount(seen, seen['reference'])}, the seller's starting price",
        "demand": _demand(seen),
        "late sales": _late_sales(seen),
        "stock": _stock(seen),
        "cost": _cost(seen),
        "bounds": _bounds(seen),
        "minimum hold": _min_hold(seen),
        "experiment": _experiment(seen),
        "past prices": _past(seen, inputs.head["document"]["epoch_seconds"] / 86_400 / USUAL_EPOCH_DAYS),
        "belief": _belief(seen),
    }
    return {heading: said for heading, said in sections.items() if said}


def _defaults() -> dict[str, Any]:
    """Default values of columns that `inputs` leaves out."""
    return {name: column.metadata["default"] for name, column in COLUMNS.items()}


def _amount(seen: Mapping[str, Any], minor: float) -> str:
    return unit_text(round(minor), int(seen["minor_per_unit"]))


def _days(days: float) -> str:
    for unit, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
        if days >= length:
            return _counted(round(days / length, 1), unit)
    return _counted(round(days * 86_400), "second")


def _counted(number: float, unit: str) -> str:
    return f"{number:,g} {unit}{'' if number == 1 else 's'}"


def _since(days: float) -> str:
    return f"in force for {_days(days)}" if isfinite(days) else "in force from the start"


def _experiment(seen: Mapping[str, Any]) -> str:
    return (
        f"held out at the seller's own price, {_amount(seen, seen['held_out_price'])}"
        if seen["held_out_price"] > 0
        else ""
    )


def _demand(seen: Mapping[str, Any]) -> str:
    if seen["counted_views"] >= 0:
        return _unusual_demand(seen)
    views, units = seen["views"], seen["units"]
    if not seen["weight"] and seen["promoted"]:
        return "not used: a promotion is running"
    if not seen["weight"]:
        return "not used: a promotion ran, or the figures of the release before the last upgrade cannot be compared"
    if not seen["days"]:
        return "no data at this price yet"
    if seen["views_assumed"]:
        return f"{units:,.0f} units sold in {_days(seen['days'])} on sale, compared with time: views are not counted"
    if not views and not units:
        return f"no views and no sales at this price in the last {_days(seen['days'])} on sale"
    rate = f", a conversion of {units / views:.1%}" if views else ""
    return f"{views:,.0f} views and {units:,.0f} units sold in {_days(seen['days'])} on sale{rate}"


def _late_sales(seen: Mapping[str, Any]) -> str:
    units = seen["late_units"]
    if not units:
        return ""
    what = "paid" if units > 0 else "refunded"
    return f"{_counted(abs(units), 'unit')} of earlier prices, {_amount(seen, seen['late_price'])} on average, {what}"


def _unusual_demand(seen: Mapping[str, Any]) -> str:
    counted = f"{seen['counted_views']:,.0f} views and {seen['counted_units']:,.0f} units sold, net of refunds"
    if not seen["weight"]:
        return f"{counted}: too unusual for this product to learn from"
    used = f"used as {seen['views']:,.0f} views and {seen['units']:,.1f} units"
    if seen["weight"] == 1:
        return f"{counted}, {used}, because views rose or fell earlier without sales"
    return f"{counted}; unusual for this product, and {used} with a weight of {seen['weight']:.0%}"


def _stock(seen: Mapping[str, Any]) -> str:
    stock, days = seen["stock"], seen["days"]
    if not isfinite(stock):
        return ""
    a_day = seen["units"] / days if days > 0 else 0.0
    lasts = f"enough for {_days(stock / a_day)} at this rate of sales" if a_day > 0 and stock > 0 else ""
    until = f"intended to last {_days(seen['days_left'])}" if isfinite(seen["days_left"]) else ""
    return ", ".join(filter(None, [f"{stock:,.0f} units", lasts, until]))


def _cost(seen: Mapping[str, Any]) -> str:
    cost, fee = seen["cost"], seen["fee"] / 10_000
    if cost < 0:
        return "unknown, so the price stays near the seller's price"
    margin = (1 - fee) - cost / seen["price"]
    fees = f" and a fee of {fee:.1%}" if fee else ""
    return f"{_amount(seen, cost)}{fees}: a margin of {margin:.1%} of the price"


def _bounds(seen: Mapping[str, Any]) -> str:
    low, high = seen["min_price"], seen["max_price"]
    said = [f"at least {_amount(seen, low)}" if low >= 0 else "", f"at most {_amount(seen, high)}" if high >= 0 else ""]
    return " and ".join(filter(None, said))


def _min_hold(seen: Mapping[str, Any]) -> str:
    days = seen["min_hold_days"]
    return f"{_days(days)} for each price of the category" if days else ""


def _past(seen: Mapping[str, Any], scale: float) -> str:
    """Past prices. Durations are those of an epoch of a week, multiplied by `scale`."""
    low, high, usual = seen["lowest_30d"], seen["highest_30d"], seen["median_90d"]
    if low < 0 or usual < 0:
        return ""
    lowest, highest = _amount(seen, low), _amount(seen, high)
    month = f"{lowest} to {highest}" if low != high else f"always {lowest}"
    by_hand = (
        f"; last set by hand, rollback or withdrawal {_days(seen['since_edit'])} earlier"
        if isfinite(seen["since_edit"])
        else ""
    )
    # A younger product had its prices for its age only.
    months, medians = (_days(min(days * scale, seen["history_days"])) for days in (MONTH_DAYS, MEDIAN_DAYS))
    common = f"median {_amount(seen, usual)} in the last {medians}"
    return f"{month} in the last {months}, {common}{by_hand}"


def _belief(seen: Mapping[str, Any]) -> str:
    found = _belief_in(seen)
    if found is None:
        return ""
    return (
        f"a price 1 % higher sells {-found.elasticity:.1f} % less, plus or minus {found.standard_deviation:.1f}"
        f" (elasticity {found.elasticity:.2f}); in its category {-found.category_elasticity:.1f} % less"
    )


def _belief_in(seen: Mapping[str, Any]) -> ElasticityBelief | None:
    if not {"state.b", "state.c11", "group.mean"} <= seen.keys():
        return None
    category = seen["group.mean"]
    if {"group.markup_share", "state.markup"} <= seen.keys() and isfinite(seen["state.markup"]):
        category += seen["group.markup_share"] * (seen["state.markup"] - ROOT_MEAN)
    return ElasticityBelief(seen["state.b"], sqrt(max(seen["state.c11"], 0.0)), category)
