"""`elasticity_learning` earns more than fixed prices, and costs sellers whose prices are good little.

Small markets; the published sizes are measured by `scalecommerce simulate`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from scalecommerce_core.pricing.learning import ElasticityLearning, Inventory
from scalecommerce_core.simulation.frictions import (
    Bots,
    Friction,
    Promotions,
    ReturnsAndDelays,
    StockOuts,
    all_frictions,
)
from scalecommerce_core.simulation.limited_stock import LimitedStock
from scalecommerce_core.simulation.marketplace import COMPETENT, DEMANDS, THIN_MARGINS, USUAL, Marketplace, Seller
from scalecommerce_core.simulation.runner import run

SEEDS = (31, 32, 33)


def earned(seed: int, seller: Seller, frictions: Sequence[Friction], policy: ElasticityLearning | None) -> float:
    market = Marketplace(
        demand=DEMANDS[seed % 3], drifting=True, seed=seed, products=150, epochs=78, seller=seller, frictions=frictions
    )
    return float(run(policy, market).earned.sum())


def uplift(seller: Seller, frictions: Callable[[], Sequence[Friction]]) -> float:
    """Mean uplift in percent of the profit at fixed prices, in the same worlds."""
    return float(
        np.mean(
            [
                100.0
                * (
                    earned(seed, seller, frictions(), ElasticityLearning()) / earned(seed, seller, frictions(), None)
                    - 1
                )
                for seed in SEEDS
            ]
        )
    )


@pytest.mark.parametrize(
    ("seller", "frictions", "least"),
    [
        (USUAL, list, 3.0),
        (THIN_MARGINS, list, 10.0),
        (USUAL, lambda: [StockOuts()], 2.0),
        (USUAL, lambda: [Promotions(announced=True)], 2.0),
        (USUAL, lambda: [ReturnsAndDelays()], 2.0),
        (USUAL, lambda: [Bots()], 1.5),
        (USUAL, all_frictions, 0.0),
        (COMPETENT, list, -1.5),
        # Short of the target of -0.5, the more so in small shops.
        (COMPETENT, all_frictions, -4.5),
    ],
    ids=["base", "thin", "stock-outs", "promotions", "returns", "bots", "all", "competent", "competent-all"],
)
def test_the_uplift_over_fixed_prices(
    seller: Seller, frictions: Callable[[], Sequence[Friction]], least: float
) -> None:
    assert uplift(seller, frictions) > least


def test_inventory_exceeds_fixed_prices_when_stock_is_limited() -> None:
    def share(policy: Inventory | None) -> float:
        return run(policy, LimitedStock(seed=31, products=150)).share()

    assert share(Inventory()) > share(None) + 2
