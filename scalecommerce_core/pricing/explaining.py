"""Sentences that describe a stored decision: the change, its causes, its outcome, and the inputs it is based on."""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any, Final

from attrs import frozen

from scalecommerce_core.pricing.guardrails import USUAL_EPOCH_DAYS
from scalecommerce_core.pricing.messages import (
    Amount,
    Days,
    Message,
    Moment,
    Number,
    Share,
    Templates,
    Units,
    joined_text,
)
from scalecommerce_core.pricing.price_windows import MEDIAN_DAYS, MONTH_DAYS
from scalecommerce_core.pricing.replay import Inputs, input_values
from scalecommerce_core.pricing.runs import DecisionOutcome, StoredDecision
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN
from scalecommerce_core.pricing.signals import COLUMNS

GUARDRAIL_MESSAGES: Final = Templates(
    "guardrail",
    {
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
    },
)
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


INPUT_MESSAGES: Final = Templates(
    "input",
    {
        "price.since": "{price}, in force for {days}",
        "price.start": "{price}, in force from the start",
        "reference": "{price}, the seller's starting price",
        "demand.promotion": "not used: a promotion is running",
        "demand.not_comparable": "not used: a promotion ran, or the figures of the release before the last upgrade"
        " cannot be compared",
        "demand.none": "no data at this price yet",
        "demand.without_views": "{units} units sold in {days} on sale, compared with time: views are not counted",
        "demand.nothing": "no views and no sales at this price in the last {days} on sale",
        "demand.sold": "{views} views and {units} units sold in {days} on sale",
        "demand.conversion": "a conversion of {conversion}",
        "demand.followed": "used as {used_views} views, because views depend on the price",
        "demand.ignored": "{views} views and {units} units sold, net of refunds: too unusual for this product to learn"
        " from",
        "demand.corrected": "{views} views and {units} units sold, net of refunds, used as {used_views} views and"
        " {used_units} units, because views rose or fell earlier without sales",
        "demand.weighted": "{views} views and {units} units sold, net of refunds; unusual for this product, and used"
        " as {used_views} views and {used_units} units with a weight of {weight}",
        "late_sales.paid": "{units} of earlier prices, {price} on average, paid",
        "late_sales.refunded": "{units} of earlier prices, {price} on average, refunded",
        "stock.units": "{units} units",
        "stock.lasts": "enough for {days} at this rate of sales",
        "stock.until": "intended to last {days}",
        "cost.unknown": "unknown, so the price stays near the seller's price",
        "cost.known": "{cost}: a margin of {margin} of the price",
        "cost.with_fee": "{cost} and a fee of {fee}: a margin of {margin} of the price",
        "bounds.lowest": "at least {lowest}",
        "bounds.highest": "at most {highest}",
        "bounds.both": "at least {lowest} and at most {highest}",
        "min_hold": "{days} for each price of the category",
        "held_out": "held out at the seller's own price, {price}",
        "past.always": "always {price} in the last {days}",
        "past.range": "{lowest} to {highest} in the last {days}",
        "past.median": "median {price} in the last {days}",
        "past.median_by_hand": "median {price} in the last {days}; last set by hand, rollback or withdrawal"
        " {since_edit} earlier",
        "belief": "a price 1 % higher sells {less} % less, plus or minus {deviation} (elasticity {elasticity});"
        " in its category {category} % less",
    },
)
OUTCOME_MESSAGES: Final = Templates(
    "outcome",
    {
        "kept": "the price is unchanged",
        "staged": "not in force: the run is in progress, was cancelled or not approved, or is in shadow",
        "superseded": "not in force: the price or the product was changed in the meantime",
        "written": "in force since {since}",
        "written.ended": "in force from {since} until {until}",
        "rolled_back": "in force from {since} until {until}, when it was rolled back",
        "rolled_back.not_in_force": "rolled back",
    },
)
HEADINGS: Final = (
    "price", "reference", "demand", "late sales", "stock", "cost", "bounds", "minimum hold", "experiment",
    "past prices", "belief",
)  # fmt: skip
"""Names of the inputs of a decision, in the order of their display."""


@frozen
class DecisionText:
    """A stored decision in words.

    `causes` are the reasons, the main one first; `guardrails` say what each guardrail that acted does. `inputs` are the
    signals and estimates by their `HEADINGS`, each in one or several phrases.
    """

    change: Message
    causes: tuple[Message, ...]
    outcome: Message
    guardrails: tuple[Message, ...]
    inputs: Mapping[str, tuple[Message, ...]]


def describe_decision(stored: StoredDecision) -> DecisionText:
    """Describe a stored decision with its inputs."""
    decision = stored.decision
    return DecisionText(
        change=decision.change,
        causes=decision.causes,
        outcome=describe_outcome(stored),
        guardrails=tuple(GUARDRAIL_MESSAGES.message(name) for name in decision.guardrails),
        inputs=describe_inputs(stored.inputs),
    )


def describe_outcome(stored: StoredDecision) -> Message:
    """The outcome of a decision, and the time for which its price was in force."""
    since, until = stored.in_force_from, stored.in_force_until
    rolled_back = stored.outcome is DecisionOutcome.ROLLED_BACK
    if since is None:
        return OUTCOME_MESSAGES.message("rolled_back.not_in_force" if rolled_back else stored.outcome.value)
    if until is None:
        return OUTCOME_MESSAGES.message("written", since=Moment(since))
    name = "rolled_back" if rolled_back else "written.ended"
    return OUTCOME_MESSAGES.message(name, since=Moment(since), until=Moment(until))


def explain_inputs(inputs: Inputs) -> dict[str, str]:
    """Describe the first row of `inputs`: headings with English sentences, in the order of their display."""
    return {heading: joined_text(messages) for heading, messages in describe_inputs(inputs).items()}


def describe_inputs(inputs: Inputs) -> dict[str, tuple[Message, ...]]:
    """Describe the first row of `inputs`: headings with phrases, in the order of their display."""
    seen = _Seen(_defaults() | input_values(inputs))
    scale = inputs.head["document"]["epoch_seconds"] / 86_400 / USUAL_EPOCH_DAYS
    described = (
        seen.price(), seen.reference(), seen.demand(), seen.late_sales(), seen.stock(), seen.cost(), seen.bounds(),
        seen.min_hold(), seen.experiment(), seen.past_prices(scale), seen.belief(),
    )  # fmt: skip
    return {heading: messages for heading, messages in zip(HEADINGS, described, strict=True) if messages}


def _defaults() -> dict[str, Any]:
    """Default values of columns that `inputs` leaves out."""
    return {name: column.metadata["default"] for name, column in COLUMNS.items()}


def _phrase(name: str, **parameters: Any) -> tuple[Message, ...]:
    return (INPUT_MESSAGES.message(name, **parameters),)


class _Seen:
    """The values of one row of inputs by column, and phrases about them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def _amount(self, minor: float) -> Amount:
        return Amount(round(minor), int(self._values["minor_per_unit"]))

    def price(self) -> tuple[Message, ...]:
        price, days = self._amount(self._values["price"]), self._values["since_change"]
        return (
            _phrase("price.since", price=price, days=Days(days))
            if isfinite(days)
            else _phrase("price.start", price=price)
        )

    def reference(self) -> tuple[Message, ...]:
        return _phrase("reference", price=self._amount(self._values["reference"]))

    def experiment(self) -> tuple[Message, ...]:
        own = self._values["held_out_price"]
        return _phrase("held_out", price=self._amount(own)) if own > 0 else ()

    def demand(self) -> tuple[Message, ...]:
        seen = self._values
        if self._is_corrected():
            return self._unusual_demand()
        views, units, days = seen["views"], seen["units"], Days(seen["days"])
        if not seen["weight"]:
            return _phrase("demand.promotion" if seen["promoted"] else "demand.not_comparable")
        if not seen["days"]:
            return _phrase("demand.none")
        if seen["views_assumed"]:
            return _phrase("demand.without_views", units=Number(units), days=days)
        if not views and not units:
            return _phrase("demand.nothing", days=days)
        counted = seen["uncorrected_views"]
        if counted < 0:
            sold = _phrase("demand.sold", views=Number(views), units=Number(units), days=days)
        else:
            sold = _phrase("demand.sold", views=Number(counted), units=Number(units), days=days)
            sold += _phrase("demand.followed", used_views=Number(views))
        return (*sold, *_phrase("demand.conversion", conversion=Share(units / views))) if views else sold

    def _is_corrected(self) -> bool:
        """Whether the anomaly filter changed the demand by more than the rounding of the displayed numbers."""
        seen = self._values
        if seen["counted_views"] < 0:
            return False
        is_same = (
            round(seen["counted_views"]) == round(seen["views"]) and abs(seen["counted_units"] - seen["units"]) < 0.05
        )
        return seen["weight"] != 1 or not is_same

    def _unusual_demand(self) -> tuple[Message, ...]:
        seen = self._values
        counted = {"views": Number(seen["counted_views"]), "units": Number(seen["counted_units"])}
        if not seen["weight"]:
            return _phrase("demand.ignored", **counted)
        used = {"used_views": Number(seen["views"]), "used_units": Number(seen["units"], 1)}
        if seen["weight"] == 1:
            return _phrase("demand.corrected", **counted, **used)
        return _phrase("demand.weighted", **counted, **used, weight=Share(seen["weight"], 0))

    def late_sales(self) -> tuple[Message, ...]:
        units = self._values["late_units"]
        if not units:
            return ()
        name = "late_sales.paid" if units > 0 else "late_sales.refunded"
        return _phrase(name, units=Units(abs(units)), price=self._amount(self._values["late_price"]))

    def stock(self) -> tuple[Message, ...]:
        seen = self._values
        stock, days = seen["stock"], seen["days"]
        if not isfinite(stock):
            return ()
        phrases = _phrase("stock.units", units=Number(stock))
        a_day = seen["units"] / days if days > 0 else 0.0
        if a_day > 0 and stock > 0:
            phrases += _phrase("stock.lasts", days=Days(stock / a_day))
        if isfinite(seen["days_left"]):
            phrases += _phrase("stock.until", days=Days(seen["days_left"]))
        return phrases

    def cost(self) -> tuple[Message, ...]:
        seen = self._values
        cost, fee = seen["cost"], seen["fee"] / 10_000
        if cost < 0:
            return _phrase("cost.unknown")
        given = {"cost": self._amount(cost), "margin": Share((1 - fee) - cost / seen["price"])}
        return _phrase("cost.with_fee", fee=Share(fee), **given) if fee else _phrase("cost.known", **given)

    def bounds(self) -> tuple[Message, ...]:
        low, high = self._values["min_price"], self._values["max_price"]
        if low >= 0 and high >= 0:
            return _phrase("bounds.both", lowest=self._amount(low), highest=self._amount(high))
        if low >= 0:
            return _phrase("bounds.lowest", lowest=self._amount(low))
        return _phrase("bounds.highest", highest=self._amount(high)) if high >= 0 else ()

    def min_hold(self) -> tuple[Message, ...]:
        days = self._values["min_hold_days"]
        return _phrase("min_hold", days=Days(days)) if days else ()

    def past_prices(self, scale: float) -> tuple[Message, ...]:
        """Past prices. Durations are those of an epoch of a week, multiplied by `scale`."""
        seen = self._values
        low, high, usual = seen["lowest_30d"], seen["highest_30d"], seen["median_90d"]
        if low < 0 or usual < 0:
            return ()
        # A younger product had its prices for its age only.
        month, longer = (Days(min(days * scale, seen["history_days"])) for days in (MONTH_DAYS, MEDIAN_DAYS))
        lowest, highest = self._amount(low), self._amount(high)
        past = (
            _phrase("past.range", lowest=lowest, highest=highest, days=month)
            if low != high
            else _phrase("past.always", price=lowest, days=month)
        )
        median = {"price": self._amount(usual), "days": longer}
        if isfinite(seen["since_edit"]):
            return past + _phrase("past.median_by_hand", **median, since_edit=Days(seen["since_edit"]))
        return past + _phrase("past.median", **median)

    def belief(self) -> tuple[Message, ...]:
        found = _belief_in(self._values)
        if found is None:
            return ()
        return _phrase(
            "belief",
            less=Number(-found.elasticity, 1, grouped=False),
            deviation=Number(found.standard_deviation, 1, grouped=False),
            elasticity=Number(found.elasticity, 2, grouped=False),
            category=Number(-found.category_elasticity, 1, grouped=False),
        )


def _belief_in(seen: Mapping[str, Any]) -> ElasticityBelief | None:
    if not {"state.b", "state.c11", "group.mean"} <= seen.keys():
        return None
    category = seen["group.mean"]
    if {"group.markup_share", "state.markup"} <= seen.keys() and isfinite(seen["state.markup"]):
        category += seen["group.markup_share"] * (seen["state.markup"] - ROOT_MEAN)
    return ElasticityBelief(seen["state.b"], sqrt(max(seen["state.c11"], 0.0)), category)
