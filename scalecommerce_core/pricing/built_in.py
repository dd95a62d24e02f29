"""The built-in strategies, and look-up of registered strategies by name."""

from collections.abc import Mapping
from typing import Any, Final

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.pricing.competitor import Competitor
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.interface import PricingStrategy, build, current_name, registered_strategies
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.price_list_inventory import PriceListInventory
from scalecommerce_core.pricing.substitutes import Substitutes
from scalecommerce_core.pricing.threshold import Threshold

BUILT_IN: Final = (
    ElasticityLearning,
    ControlledVariance,
    Inventory,
    Substitutes,
    Competitor,
    PriceGrid,
    PriceListInventory,
    LinearDemand,
    HillClimb,
    Threshold,
)
"""The first one is the default. Importing this module registers all of them."""


def strategy_named(name: str, values: Mapping[str, Any]) -> PricingStrategy:
    """Build the registered strategy `name` with these parameters. `name` may be a former name.

    Raise `Invalid`, which names the field `policy` or `parameters.…`.
    """
    cls = registered_strategies().get(current_name(name))
    if cls is None:
        raise Invalid.field(
            "policy", f"There is no such pricing strategy. Installed: {', '.join(registered_strategies())}."
        )
    strategy: PricingStrategy = build(cls, values, within="parameters.")
    return strategy


def drop_retired_parameters(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Remove parameters that earlier releases accepted without effect (`retired_parameters` of the strategy)."""
    retired: frozenset[str] = getattr(registered_strategies().get(name), "retired_parameters", frozenset())
    return {each: value for each, value in values.items() if each not in retired}
