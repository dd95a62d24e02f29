from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from attrs import frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.built_in import BUILT_IN, strategy_named
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.interface import (
    PricingStrategy,
    State,
    build,
    known_strategies,
    parameter,
    parameter_values,
    register,
    registered_strategies,
)
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals
from tests.unit.support.pricing_signals import NOW, chaos, policy, signals


@pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.name)
def test_built_in_strategies_conform_to_the_interface(cls: type[Any]) -> None:
    policy: PricingStrategy = strategy_named(cls.name, {})
    seen = chaos(60, seed=1)
    before = {name: getattr(seen, name).copy() for name in ("price", "views", "units", "cost")}
    state = policy.start(seen, {})
    assert {name: int(np.prod(column.shape[1:])) for name, column in state.products.items()} == dict(policy.columns)
    kept = {name: column.copy() for name, column in state.products.items()}
    learned = policy.pool(policy.update(state, seen), seen)
    assert learned.products.keys() == state.products.keys()
    proposal = policy.propose(learned, seen, 3)
    again = policy.propose(learned, seen, 3)
    assert proposal.prices.shape == (60,)
    assert np.array_equal(proposal.prices, again.prices, equal_nan=True)
    # Arguments are not changed.
    assert all(np.array_equal(kept[name], column, equal_nan=True) for name, column in state.products.items())
    assert all(np.array_equal(before[name], getattr(seen, name)) for name in before)
    # A product is priced alone.
    alone = policy.propose(learned.rows(slice(7, 8)), seen.rows(slice(7, 8)), 3)
    assert np.array_equal(alone.prices, proposal.prices[7:8], equal_nan=True)
    assert build(cls, parameter_values(policy)) == policy


@pytest.mark.parametrize("cls", [*BUILT_IN, Guardrails], ids=lambda cls: cls.__name__)
def test_every_parameter_has_a_description(cls: type[Any]) -> None:
    for attribute in cls.__attrs_attrs__:
        assert attribute.metadata["rule"]["says"].endswith("."), attribute.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", 0.51), ("step", -0.1), ("step", float("nan")), ("step", float("inf")), ("step", "0.1"), ("step", None),
        ("step", True), ("least_views", 1.5), ("least_views", True), ("least_views", 10**30), ("ending", "95"),
        ("ending", 99), ("ending", None), ("no_such", 1),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        build(Guardrails, {name: value, "dead_band": 0.01}, within="guardrails.")
    assert list(caught.value.errors) == [f"guardrails.{name}"]


@pytest.mark.parametrize("prices", ["", 5, [1.5], [True], [0], ["1"], [10_000_000_000], [1] * 21])
def test_a_wrong_list_is_named(prices: Any) -> None:
    with pytest.raises(Invalid) as caught:
        strategy_named("price_grid", {"prices": prices})
    assert list(caught.value.errors) == ["parameters.prices"]


def test_parameter_values_have_their_declared_types() -> None:
    policy = strategy_named("price_grid", {"prices": [100, 200], "prior_views": 20})
    assert parameter_values(policy)["prices"] == [100, 200]
    assert repr(parameter_values(policy)["prior_views"]) == "20.0"
    assert parameter_values(strategy_named("elasticity_learning", {"vary": False}))["vary"] is False


def test_former_names_of_strategies_are_accepted() -> None:
    assert strategy_named("learning", {}) == strategy_named("elasticity_learning", {})
    policies = [policy(policy="learning"), policy()]
    policies.append(PricingPolicy.from_stored(
        {**policy().document(), "policy": "learning"}, id=PolicyId(7), seller_id=AccountId(2), created_at=NOW
    ))  # fmt: skip
    assert [each.document() for each in policies] == [policy(policy="elasticity_learning").document()] * 3
    edited = policy()
    edited.edit(policy="learning")
    assert edited.version == 1
    assert "learning" in known_strategies()
    assert "learning" not in registered_strategies()


def test_an_unknown_strategy_is_refused_with_the_installed_ones() -> None:
    with pytest.raises(Invalid, match="hill_climb") as caught:
        strategy_named("astrology", {})
    assert list(caught.value.errors) == ["policy"]


@frozen
class Idle:
    name: ClassVar[str] = "idle"
    columns: ClassVar[Mapping[str, int]] = {}
    anything: float = parameter(1.0, at_least=0, says="Nothing.")

    def start(self, signals: Signals, groups: Mapping[str, Any]) -> State:
        raise NotImplementedError

    update = pool = propose = start


def test_a_strategy_name_is_unique_but_its_module_may_be_reloaded() -> None:
    try:
        assert register(Idle) is Idle
        assert register(Idle) is Idle
        assert "idle" in registered_strategies()
        impostor = frozen(type("Impostor", (Idle,), {}))
        with pytest.raises(ValueError, match="already"):
            register(impostor)
    finally:
        registered_now = __import__("scalecommerce_core.pricing.interface", fromlist=["_REGISTER"])._REGISTER
        del registered_now["idle"]


def test_classes_that_are_not_strategies_are_not_registered() -> None:
    with pytest.raises(TypeError, match="attrs"):
        register(type("Plain", (), {}))
    with pytest.raises(TypeError, match="lacks name, columns, start"):
        register(frozen(type("Empty", (), {})))


# --- signals


def test_signals_repeat_scalars_and_refuse_wrong_columns() -> None:
    assert signals(price=[1, 2, 3]).reference.tolist() == [100_00] * 3
    assert len(Signals.of(product=[], price=[], reference=[])) == 0
    with pytest.raises(ValueError, match="No such signals: colour"):
        signals(colour=1)
    with pytest.raises(ValueError, match="price is missing"):
        Signals.of(product=[1], reference=[1])
    for group in (-1, 10**9):
        with pytest.raises(ValueError, match="Groups must be numbers from 0"):
            signals(group=group)
    with pytest.raises(ValueError, match="2 values for 3"):
        signals(price=[1, 2], views=[1.0, 2.0, 3.0])


def test_the_full_cost_includes_the_fee() -> None:
    assert signals(cost=[90_00, -1], fee=1_000).full_cost() == pytest.approx([100_00, float("nan")], nan_ok=True)
