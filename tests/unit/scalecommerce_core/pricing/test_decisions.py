import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId
from scalecommerce_core.pricing.decisions import Decision, decide
from scalecommerce_core.pricing.guardrails import Guardrails, guardrail_names
from scalecommerce_core.pricing.interface import MOTIVES, Motive, Proposal, parameter_values
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs, pack_inputs, replay
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from tests.unit.support.pricing_signals import NOW, chaos, learned, policy, signals

DECISIONS = 1_000_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 100_000
CHOICES: list[dict[str, Any]] = [
    {},
    {"policy": "hill_climb", "guardrails": {"ending": "99"}},
    {"policy": "controlled_variance"},
    {"policy": "inventory", "parameters": {"perishable": True}},
    {"policy": "price_grid", "parameters": {"prices": [500, 900, 1_500]}},
    {"policy": "threshold", "parameters": {"wanted": 5.0}},
    {"policy": "linear_demand"},
]


# --- the aggregate


def test_a_policy_document_can_be_read_back() -> None:
    made = policy(
        category_id=3, policy="price_grid", parameters={"prices": [100, 200]}, guardrails={"step": 0.1},
        epoch_seconds=60, is_active=False,
    )  # fmt: skip
    document = json.loads(json.dumps(made.document()))
    assert (
        PricingPolicy.from_document(document, id=made.id, seller_id=made.seller_id, created_at=made.created_at) == made
    )
    assert made.guardrails == Guardrails(step=0.1)
    assert made.epoch == timedelta(minutes=1)


def test_the_default_policy_is_weekly_elasticity_learning() -> None:
    made = PricingPolicy(PolicyId(1), AccountId(2), "Mine", NOW)
    assert (made.policy, made.epoch_days, made.is_active, made.version) == ("elasticity_learning", 7.0, True, 1)
    assert [made.epoch_at(NOW + timedelta(days=days)) for days in (0, 6.9, 7, 700)] == [0, 0, 1, 100]


@pytest.mark.parametrize(
    ("facts", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"policy": "astrology"}, ["policy"]),
        ({"policy": None}, ["policy"]),
        ({"parameters": {"caution": -1, "x": 1}}, ["parameters.caution", "parameters.x"]),
        ({"parameters": []}, ["parameters"]),
        ({"guardrails": {"step": 2, "ending": "13"}}, ["guardrails.ending", "guardrails.step"]),
        ({"guardrails": None}, ["guardrails"]),
        ({"epoch_seconds": 0.5}, ["epoch_seconds"]),
        ({"epoch_seconds": 1e300}, ["epoch_seconds"]),
        ({"epoch_seconds": float("nan")}, ["epoch_seconds"]),
        ({"epoch_seconds": True}, ["epoch_seconds"]),
        ({"epoch_seconds": -1}, ["epoch_seconds"]),
        ({"fee": 0.95}, ["fee"]),
        ({"fee": float("nan")}, ["fee"]),
        ({"fee": True}, ["fee"]),
        ({"stock_days": 0}, ["stock_days"]),
        ({"stock_days": "x"}, ["stock_days"]),
        ({"stock_until": "2030-01-31T18:00:00"}, ["stock_until"]),
        ({"stock_until": "tomorrow"}, ["stock_until"]),
        ({"stock_until": 5}, ["stock_until"]),
        ({"is_active": 1}, ["is_active"]),
        ({"category_id": "x"}, ["category_id"]),
        ({"version": 9}, ["version"]),
        ({"name": "", "policy": "astrology"}, ["name", "policy"]),
    ],
)
def test_an_invalid_edit_names_the_fields_and_changes_nothing(facts: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        policy(**facts)
    assert sorted(caught.value.errors) == fields
    edited, untouched = policy(), policy()
    with pytest.raises(Invalid) as caught:
        edited.edit(**facts)
    assert sorted(caught.value.errors) == fields
    assert edited == untouched


def test_an_edit_increments_the_version() -> None:
    edited = policy()
    edited.edit(policy="hill_climb", parameters={"step": 0.02}, epoch_seconds=86_400)
    edited.edit(is_active=False)
    assert (edited.version, edited.policy, edited.epoch_days, edited.is_active) == (3, "hill_climb", 1.0, False)


# --- decisions and their sentences

BEST = "sales at other prices are needed to estimate demand"
CEILING = "the highest price that your limits and the usual price allow"


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ({"views_ever": 3}, "Kept at 100.00: too few people have viewed the product."),
        ({"stock": 0}, "Kept at 100.00: the product is out of stock, so its sales say nothing about its price."),
        ({"cost": 30_00}, f"Lowered by 5.0% to 95.00: {BEST}; limited by the largest step."),
        ({"cost": 90_00, "max_price": 103_00}, f"Raised by 3.0% to 103.00: {BEST}; limited by {CEILING}."),
        ({"cost": 90_00, "max_price": 100_00}, f"Kept at 100.00: limited by {CEILING}."),
        ({"cost": 53_50}, "Kept at 100.00: the change would be too small to matter."),
        ({"cost": 58_50}, "Kept at 100.00: no other price is likely to earn more."),
    ],
)  # fmt: skip
def test_decisions_have_sentences_for_sellers(seen: dict[str, Any], sentence: str) -> None:
    chosen = policy(parameters={"caution": 0, "vary": False, "pace": 1, "unproven_margin": 0})
    look = signals(**seen)
    decisions = decide(chosen, learned(chosen.strategy(), look), look, 5)
    assert decisions[0].sentence == sentence
    assert (decisions[0].product_id, decisions[0].policy_id, decisions[0].policy_version) == (1, 7, 1)
    assert decisions[0].moves == bool(decisions.moves[0]) == (not sentence.startswith("Kept"))


@pytest.mark.parametrize("motive", MOTIVES)
def test_every_motive_has_a_sentence(motive: Motive) -> None:
    for new in (95_00, 100_00, 105_00):
        said = Decision(ProductId(1), PolicyId(1), 1, 0, 100_00, new, new, motive, ()).sentence
        assert said.endswith(".")
        assert said.count(":") == 1


def wishing(prices: Any) -> Any:
    """A strategy that proposes these prices for any signals."""
    rules = create_autospec(ElasticityLearning, instance=True)
    rules.propose.return_value = Proposal(prices)
    return rules


def test_a_strategy_with_unusable_prices_changes_nothing() -> None:
    chosen = policy()
    look = signals()
    with pytest.raises(StrategyFailed, match="2 prices for 1 products"):
        decide(chosen, chosen.strategy().start(look, {}), look, 0, strategy=wishing(np.array([1.0, 2.0])))


# --- replay


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.get("policy", "elasticity_learning"))
def test_a_decision_can_be_replayed_from_its_stored_inputs(choice: dict[str, Any]) -> None:
    chosen = policy(**choice)
    rules, seen = chosen.strategy(), chaos(DECISIONS // len(CHOICES), seed=11)
    state = rules.pool(rules.update(rules.start(seen, {}), seen), seen)
    decisions = decide(chosen, state, seen, 12)
    inputs = pack_inputs(chosen, state, seen, 12)
    assert len(inputs.rows) == len(seen)
    # Through JSON, in another order, and one at a time.
    head = json.loads(json.dumps(inputs.head))
    again = replay(Inputs(head, inputs.rows[::-1]))
    for name in ("product", "old", "new", "wanted", "motive", "guardrails"):
        assert np.array_equal(getattr(again, name)[::-1], getattr(decisions, name), equal_nan=name == "wanted"), name
    assert (again.policy_id, again.policy_version, again.epoch) == (7, 1, 12)
    for row in range(0, len(seen), len(seen) // 10):
        alone = replay(Inputs(head, inputs.rows[row : row + 1]))[0]
        assert alone == decisions[row]
        assert alone.guardrails == guardrail_names(int(decisions.guardrails[row]))


def test_stored_inputs_are_compact() -> None:
    seen = signals(product=np.arange(1_000, 2_000), price=np.full(1_000, 19_99), median_90d=19_99)
    chosen = policy()
    inputs = pack_inputs(chosen, chosen.strategy().start(seen, {}), seen, 0)
    assert len(inputs.rows[0]) < 80


def test_stored_inputs_do_not_depend_on_later_defaults() -> None:
    seen, chosen = signals(), policy(parameters={"caution": 0.25}, guardrails={"step": 0.03})
    document = pack_inputs(chosen, chosen.strategy().start(seen, {}), seen, 0).head["document"]
    assert document["parameters"] == parameter_values(ElasticityLearning(caution=0.25))
    assert document["guardrails"] == parameter_values(Guardrails(step=0.03))


RECORDED = json.loads((Path(__file__).parent / "decisions_0_2_0.json").read_text("utf-8"))
"""Decisions of release 0.2.0 with their inputs: several products of each strategy, before and after pooling."""


@pytest.mark.parametrize(
    "recorded", RECORDED, ids=lambda each: f"{each['head']['document']['policy']}-{each['head']['epoch']}"
)
def test_decisions_of_an_earlier_release_can_be_replayed(recorded: dict[str, Any]) -> None:
    again = replay(Inputs(recorded["head"], [bytes.fromhex(row) for row in recorded["rows"]]))
    for name in ("new", "motive", "guardrails"):
        assert getattr(again, name).tolist() == recorded[name], name


def test_inputs_of_a_later_format_are_refused() -> None:
    seen = signals()
    chosen = policy()
    inputs = pack_inputs(chosen, chosen.strategy().start(seen, {}), seen, 0)
    with pytest.raises(ValueError, match="format 2"):
        replay(Inputs({**inputs.head, "format": 2}, inputs.rows))


# --- products that an experiment holds out


@pytest.mark.parametrize(
    ("price", "own", "new", "sentence"),
    [
        (100_00, 100_00, 100_00,
         "Kept at 100.00: an experiment compares the policy with your own prices, and this product keeps yours."),
        (97_00, 100_00, 100_00,
         "Raised by 3.1% to 100.00: an experiment returns this product to your own price, to compare."),
        (130_00, 100_00, 123_50,
         ("Lowered by 5.0% to 123.50: an experiment returns this product to your own price, to compare; limited by the"
          " largest step.")),
        (99_50, 100_00, 99_50,
         "Kept at 99.50: an experiment compares the policy with your own prices, and this product keeps yours."),
    ],
)  # fmt: skip
def test_a_held_out_product_returns_to_the_sellers_price_and_stays_there(
    price: int, own: int, new: int, sentence: str
) -> None:
    seen = signals(price=price, lowest_30d=price, highest_30d=price, held_out_price=own)
    chosen = policy(parameters={"caution": 0, "vary": False})
    state = chosen.strategy().start(seen, {})
    (made,) = (decide(chosen, state, seen, 0)[0],)
    assert (made.new, made.motive, made.sentence) == (new, Motive.OWN_PRICE, sentence)
    assert made.guardrails[0] == "hold_out"
    again = replay(pack_inputs(chosen, state, seen, 0))[0]
    assert again == made


def test_other_products_are_priced_as_without_the_experiment() -> None:
    seen = chaos(500, 3)
    chosen = policy()
    state = chosen.strategy().start(seen, {})
    held = np.arange(500) % 4 == 0
    without = decide(chosen, state, seen, 0)
    compared = decide(chosen, state, seen.with_columns(held_out_price=np.where(held, seen.price, 0)), 0)
    assert (compared.new[held] == seen.price[held]).all()
    assert (compared.new[~held] == without.new[~held]).all()
    assert (compared.guardrails[~held] == without.guardrails[~held]).all()
