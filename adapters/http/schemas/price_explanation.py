"""Schemas of the explanation of a price."""

from datetime import datetime
from typing import Literal

import msgspec

from adapters.http.schemas.sales import SoldSchema, sold_fields
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.pricing.explaining import describe_decision
from scalecommerce_core.pricing.messages import KINDS, Amount, Message, Moment, Parameter
from scalecommerce_core.pricing.price_explanation import CurvePoint, DemandCurve, Estimate
from scalecommerce_core.pricing.runs import DecisionOutcome, StoredDecision
from scalecommerce_core.services.price_explanation import FiguresAtPrice, PriceExplanation, PriceMove

ParameterKind = Literal["amount", "share", "number", "units", "days", "moment", "text"]


class MessageParameterSchema(msgspec.Struct):
    """`value` is a decimal string for an amount, RFC 3339 for a moment, and a number for the other kinds but `text`."""

    kind: ParameterKind
    value: str | float
    text: str


class MessageSchema(msgspec.Struct):
    """`text` is English. To translate it, replace `template`, whose parameters are in braces; `key` identifies it."""

    key: str
    text: str
    template: str
    parameters: dict[str, MessageParameterSchema]


class PriceMoveSchema(msgspec.Struct):
    """A price with the reasons for it, the main one first. `run` is the pricing run that set it, null if none did."""

    price: str
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    is_withdrawn: bool
    run: int | None
    reasons: list[MessageSchema]


class FiguresAtPriceSchema(SoldSchema):
    """Sales of the whole times for which the price was in force; `days` counts those in the range.

    `profit` is after refunds, at the current cost of the product; null without a cost.
    """

    price: str
    days: float
    profit: str | None


class EstimateSchema(msgspec.Struct):
    """An estimate, and the bounds between which the true value is with a probability of 80 %."""

    expected: float
    low: float
    high: float


class AmountEstimateSchema(msgspec.Struct):
    """An estimated amount of money, and the bounds between which the true value is with a probability of 80 %."""

    expected: str
    low: str
    high: str


class CurvePointSchema(msgspec.Struct):
    """Expected sales at a price; `profit_a_week` is null if the cost is unknown."""

    price: str
    units_a_week: EstimateSchema
    profit_a_week: AmountEstimateSchema | None


class DemandCurveSchema(msgspec.Struct):
    """What the policy has learnt about the demand, with `views_a_week` as in its last epochs, and without regard to
    the stock.
    """

    views_a_week: float
    points: list[CurvePointSchema]


class DecisionInputSchema(msgspec.Struct):
    """An input of a decision, in phrases."""

    heading: str
    phrases: list[MessageSchema]


class DecisionTextSchema(msgspec.Struct):
    """A decision in words: the change, its causes, its outcome, the guardrails that acted, and its inputs."""

    run: int
    policy: int
    decided_at: datetime
    outcome: DecisionOutcome
    sentence: str
    change: MessageSchema
    causes: list[MessageSchema]
    outcome_message: MessageSchema
    guardrail_messages: list[MessageSchema]
    inputs: list[DecisionInputSchema]


class PriceExplanationSchema(msgspec.Struct):
    """`price` is the current price, `proposed_price` the one that the policy proposed last, before the guardrails, and
    `best_price` the one of the highest expected profit. `floor` and `ceiling` are the bounds at the last decision, and
    `own_price` is the price that the seller chose. They are null where nothing is known; `note` says why there is no
    curve or no best price. `path` is the prices in the range from `starts_at` to `ends_at`, oldest first.
    """

    product: int
    name: str
    currency: str
    price: str
    proposed_price: str | None
    best_price: str | None
    floor: str | None
    ceiling: str | None
    own_price: str | None
    starts_at: datetime
    ends_at: datetime
    path: list[PriceMoveSchema]
    by_price: list[FiguresAtPriceSchema]
    curve: DemandCurveSchema | None
    note: MessageSchema | None
    decision: DecisionTextSchema | None


def to_price_explanation_schema(found: PriceExplanation) -> PriceExplanationSchema:
    currency, learnt, last = found.product.price.currency, found.learnt, found.last
    curve = learnt.curve

    def amount(minor: int | None) -> str | None:
        return None if minor is None else decimal_text(minor, currency)

    return PriceExplanationSchema(
        product=found.product.id,
        name=found.product.name,
        currency=currency,
        price=found.product.price.text,
        proposed_price=None if last is None else amount(last.decision.wanted),
        best_price=None if curve is None else amount(curve.best),
        floor=amount(learnt.floor),
        ceiling=amount(learnt.ceiling),
        own_price=amount(learnt.own_price),
        starts_at=found.since,
        ends_at=found.until,
        path=[_to_move_schema(move) for move in found.path],
        by_price=[_to_figures_schema(each) for each in found.by_price],
        curve=None if curve is None else _to_curve_schema(curve, currency),
        note=None if learnt.note is None else to_message_schema(learnt.note),
        decision=None if last is None else to_decision_text_schema(last),
    )


def to_message_schema(message: Message) -> MessageSchema:
    parameters = {
        name: MessageParameterSchema(KINDS[type(value)], _value(value), str(value))  # type: ignore[arg-type]
        for name, value in message.parameters.items()
    }
    return MessageSchema(message.key, message.text, message.template, parameters)


def to_decision_text_schema(stored: StoredDecision) -> DecisionTextSchema:
    described = describe_decision(stored)
    return DecisionTextSchema(
        run=stored.run_id,
        policy=stored.decision.policy_id,
        decided_at=stored.decided_at,
        outcome=stored.outcome,
        sentence=stored.decision.sentence,
        change=to_message_schema(described.change),
        causes=[to_message_schema(cause) for cause in described.causes],
        outcome_message=to_message_schema(described.outcome),
        guardrail_messages=[to_message_schema(rail) for rail in described.guardrails],
        inputs=[
            DecisionInputSchema(heading, [to_message_schema(phrase) for phrase in phrases])
            for heading, phrases in described.inputs.items()
        ],
    )


def _value(parameter: Parameter) -> str | float:
    if isinstance(parameter, str):
        return parameter
    if isinstance(parameter, Moment):
        return parameter.value.isoformat().replace("+00:00", "Z")
    return str(parameter) if isinstance(parameter, Amount) else parameter.value


def _to_move_schema(move: PriceMove) -> PriceMoveSchema:
    step = move.step
    return PriceMoveSchema(
        price=step.price.text,
        valid_from=step.valid_from,
        valid_to=step.valid_to,
        cause=step.cause,
        is_withdrawn=step.is_withdrawn,
        run=None if step.decision is None else step.decision.run_id,
        reasons=[to_message_schema(reason) for reason in move.reasons],
    )


def _to_figures_schema(each: FiguresAtPrice) -> FiguresAtPriceSchema:
    currency = each.price.currency
    return FiguresAtPriceSchema(
        **sold_fields(each.sales, currency),
        price=each.price.text,
        days=each.days,
        profit=None if each.profit is None else decimal_text(each.profit, currency),
    )


def _to_curve_schema(curve: DemandCurve, currency: str) -> DemandCurveSchema:
    return DemandCurveSchema(curve.views, [_to_point_schema(point, currency) for point in curve.points])


def _to_point_schema(point: CurvePoint, currency: str) -> CurvePointSchema:
    units, profit = point.units, point.profit
    return CurvePointSchema(
        decimal_text(point.price, currency),
        EstimateSchema(units.expected, units.low, units.high),
        None if profit is None else _to_amounts_schema(profit, currency),
    )


def _to_amounts_schema(profit: Estimate, currency: str) -> AmountEstimateSchema:
    return AmountEstimateSchema(
        *(decimal_text(round(minor), currency) for minor in (profit.expected, profit.low, profit.high))
    )
