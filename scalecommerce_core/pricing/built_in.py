"""The policies that come with the engine, and finding any registered one by its name."""

from collections.abc import Mapping
from typing import Any, Final

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.interface import PricingStrategy, build, current_name, registered_strategies
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.threshold import Threshold

BUILT_IN: Final = (ElasticityLearning, ControlledVariance, Inventory, PriceGrid, LinearDemand, HillClimb, Threshold)
"""The first is the default. Being imported here registers them."""


def strategy_named(name: str, values: Mapping[str, Any]) -> PricingStrategy:
    """The registered policy with these parameters; raise `Invalid` naming the fields `policy` or `parameters.…`."""
    cls = registered_strategies().get(current_name(name))
    if cls is None:
        raise Invalid.field(
            "policy", f"There is no such policy; these are known: {', '.join(registered_strategies())}."
        )
    policy: PricingStrategy = build(cls, values, within="parameters.")
    return policy


def drop_retired_parameters(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored parameters without those of an earlier release that had no effect (`retired_parameters`)."""
    retired: frozenset[str] = getattr(registered_strategies().get(name), "retired_parameters", frozenset())
    return {each: value for each, value in values.items() if each not in retired}
