"""The policies that come with the engine; importing them registers them. The first is the default."""

from typing import Final

from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.learning import ControlledVariance, Inventory, Learning
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.threshold import Threshold

BUILT_IN: Final = (Learning, ControlledVariance, Inventory, PriceGrid, LinearDemand, HillClimb, Threshold)
