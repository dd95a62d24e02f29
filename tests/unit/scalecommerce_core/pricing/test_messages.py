"""Messages about decisions: every cause, outcome and input has a text and a key that pages can translate."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.pricing.decisions import (
    CHANGE_MESSAGES,
    HELD_MESSAGES,
    LIMIT_MESSAGES,
    MOTIVE_MESSAGES,
    Decision,
)
from scalecommerce_core.pricing.explaining import (
    GUARDRAIL_MESSAGES,
    HEADINGS,
    INPUT_MESSAGES,
    OUTCOME_MESSAGES,
    describe_decision,
    describe_inputs,
    describe_outcome,
    explain_inputs,
)
from scalecommerce_core.pricing.guardrails import Guardrail, guardrail_names
from scalecommerce_core.pricing.interface import Motive, State
from scalecommerce_core.pricing.messages import Amount, Days, Moment, Number, Share, Templates, Units
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs, pack_inputs
from scalecommerce_core.pricing.runs import DecisionOutcome, StoredDecision
from scalecommerce_core.pricing.signals import Signals

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL_RAILS = guardrail_names(sum(Guardrail))


def decision(motive: Motive = Motive.LEARNED, old: int = 10_00, new: int = 10_00, *rails: str) -> Decision:
    return Decision(ProductId(1), PolicyId(1), 1, 0, old, new, new, motive, rails)


def inputs(**signals: Any) -> Inputs:
    given = {
        "product": [1],
        "price": [10_00],
        "reference": [10_00],
        **{name: [value] for name, value in signals.items()},
    }
    policy = PricingPolicy.from_document(
        {"name": "x", "policy": "competitor"}, id=PolicyId(1), seller_id=AccountId(1), created_at=NOW, version=1
    )
    return pack_inputs(policy, State(), Signals.of(**given), 0)


def test_every_motive_has_a_reason() -> None:
    assert set(MOTIVE_MESSAGES.templates) == {motive.value for motive in Motive}
    for motive in Motive:
        moved, kept = decision(motive, new=11_00), decision(motive)
        assert [cause.key for cause in moved.causes] == [cause.key for cause in kept.causes] == [f"motive.{motive}"]
        assert moved.sentence == f"Raised by 10.0% to 11.00: {MOTIVE_MESSAGES.templates[motive]}."
        assert kept.sentence == f"Kept at 10.00: {MOTIVE_MESSAGES.templates[motive]}."


def test_every_guardrail_has_a_reason_and_an_explanation() -> None:
    assert set(ALL_RAILS) == {*HELD_MESSAGES.templates, *LIMIT_MESSAGES.templates}
    assert set(GUARDRAIL_MESSAGES.templates) == set(ALL_RAILS)
    for rail in ALL_RAILS:
        group = "held" if rail in HELD_MESSAGES.templates else "limit"
        (kept,) = decision(Motive.LEARNED, 10_00, 10_00, rail).causes
        assert kept.key == f"{group}.{rail}"
    for rail in LIMIT_MESSAGES.templates:
        first, limit = decision(Motive.LEARNED, 10_00, 9_00, rail).causes
        assert (first.key, limit.key) == ("motive.learned", f"limit.{rail}")


def test_limits_are_joined_in_the_sentence() -> None:
    lowered = decision(Motive.TRYING, 10_00, 9_50, "step", "ending")
    assert lowered.sentence == (
        "Lowered by 5.0% to 9.50: sales at other prices are needed to estimate demand; limited by the largest step and"
        " the price ending."
    )


@pytest.mark.parametrize("outcome", DecisionOutcome)
def test_every_outcome_has_a_text(outcome: DecisionOutcome) -> None:
    plain = StoredDecision(RunId(1), NOW, "USD", decision(), outcome, inputs())
    name = "rolled_back.not_in_force" if outcome is DecisionOutcome.ROLLED_BACK else outcome.value
    if outcome is not DecisionOutcome.WRITTEN:
        assert describe_outcome(plain) == OUTCOME_MESSAGES.message(name)
    ended = StoredDecision(RunId(1), NOW, "USD", decision(), outcome, inputs(), NOW, NOW + timedelta(days=1))
    assert "from 2026-03-01 12:00:00Z until 2026-03-02 12:00:00Z" in describe_outcome(ended).text
    lasting = StoredDecision(RunId(1), NOW, "USD", decision(), outcome, inputs(), NOW)
    assert describe_outcome(lasting).text == "in force since 2026-03-01 12:00:00Z"


INPUTS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"price.start", "reference", "demand.nothing", "cost.unknown"}),
    ({"since_change": 3.0, "views": 9.0}, {"price.since", "demand.sold", "demand.conversion"}),
    ({"units": 3.0}, {"demand.sold"}),
    ({"views": 9.0, "uncorrected_views": 18.0}, {"demand.sold", "demand.followed", "demand.conversion"}),
    ({"weight": 0.0, "promoted": True}, {"demand.promotion"}),
    ({"weight": 0.0}, {"demand.not_comparable"}),
    ({"days": 0.0}, {"demand.none"}),
    ({"views_assumed": True}, {"demand.without_views"}),
    ({"counted_views": 9.0, "counted_units": 2.0, "weight": 0.0}, {"demand.ignored"}),
    ({"counted_views": 9.0, "counted_units": 2.0}, {"demand.corrected"}),
    ({"counted_views": 9.0, "counted_units": 2.0, "views": 8.9, "units": 2.0}, {"demand.sold", "demand.conversion"}),
    ({"counted_views": 9.0, "counted_units": 2.0, "views": 8.9, "units": 1.9}, {"demand.corrected"}),
    ({"counted_views": 9.0, "counted_units": 2.0, "weight": 0.5}, {"demand.weighted"}),
    ({"late_units": 1.0, "late_price": 9_00.0}, {"late_sales.paid"}),
    ({"late_units": -2.0, "late_price": 9_00.0}, {"late_sales.refunded"}),
    ({"stock": 9.0, "units": 3.0, "days_left": 20.0}, {"stock.units", "stock.lasts", "stock.until"}),
    ({"cost": 4_00}, {"cost.known"}),
    ({"cost": 4_00, "fee": 800}, {"cost.with_fee"}),
    ({"min_price": 9_00}, {"bounds.lowest"}),
    ({"max_price": 11_00}, {"bounds.highest"}),
    ({"min_price": 9_00, "max_price": 11_00}, {"bounds.both"}),
    ({"min_hold_days": 3.0}, {"min_hold"}),
    ({"held_out_price": 10_00}, {"held_out"}),
    ({"lowest_30d": 9_00, "highest_30d": 9_00, "median_90d": 9_00}, {"past.always", "past.median"}),
    (
        {"lowest_30d": 9_00, "highest_30d": 9_90, "median_90d": 9_00, "since_edit": 2.0},
        {"past.range", "past.median_by_hand"},
    ),
]


@pytest.mark.parametrize(("signals", "wanted"), INPUTS)
def test_inputs_are_described(signals: dict[str, Any], wanted: set[str]) -> None:
    described = describe_inputs(inputs(**signals))
    assert {f"input.{name}" for name in wanted} <= {each.key for messages in described.values() for each in messages}
    assert list(described) == [heading for heading in HEADINGS if heading in described]
    assert explain_inputs(inputs(**signals)).keys() == described.keys()


def test_all_messages_about_inputs_are_covered() -> None:
    # The belief needs a learnt state: see the tests of price explanations.
    covered = {name for _, names in INPUTS for name in names}
    assert covered == INPUT_MESSAGES.templates.keys() - {"belief"}


def test_a_decision_is_described_as_a_whole() -> None:
    stored = StoredDecision(
        RunId(1),
        NOW,
        "USD",
        decision(Motive.LEARNED, 10_00, 10_00, "cooldown"),
        DecisionOutcome.KEPT,
        inputs(cost=4_00),
    )
    described = describe_decision(stored)
    assert described.change.text == "Kept at 10.00"
    assert [cause.text for cause in described.causes] == ["the price changed recently"]
    assert [rail.key for rail in described.guardrails] == ["guardrail.cooldown"]
    assert described.outcome.key == "outcome.kept"
    (cost,) = described.inputs["cost"]
    assert cost.parameters == {"cost": Amount(4_00, 100), "margin": Share(0.6)}
    assert cost.text == "4.00: a margin of 60.0% of the price"


def test_parameters_are_displayed_in_english() -> None:
    displayed = [
        Amount(12_34, 100), Amount(1234, 1), Share(0.0412), Share(0.5, 0), Number(1234.5, 1), Units(1), Units(2),
        Days(1),
        Days(0.5), Days(0.01), Days(0.0001), Moment(NOW),
    ]  # fmt: skip
    assert [str(each) for each in displayed] == [
        "12.34", "1234", "4.1%", "50%", "1,234.5", "1 unit", "2 units", "1 day", "12 hours", "14.4 minutes",
        "9 seconds",
        "2026-03-01 12:00:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "group",
    [
        CHANGE_MESSAGES,
        MOTIVE_MESSAGES,
        HELD_MESSAGES,
        LIMIT_MESSAGES,
        GUARDRAIL_MESSAGES,
        INPUT_MESSAGES,
        OUTCOME_MESSAGES,
    ],
    ids=lambda group: group.group,
)
def test_keys_name_their_group_and_templates_have_named_parameters(group: Templates) -> None:
    for key, template in group.all().items():
        assert key.startswith(f"{group.group}.")
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        assert all(name.isidentifier() for name in names)
