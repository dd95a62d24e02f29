"""Scenarios of what happens in practice: sellers who price well, thin margins, and disturbed signals.

The worlds drift; the form of demand alternates between seeds. Results are compared with fixed prices, seed by seed, and
no strategy should earn less than these in any cell: any seed of any variant.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.simulation.frictions import (
    Bots,
    BulkOrders,
    Friction,
    Promotions,
    ReturnsAndDelays,
    Shocks,
    StockOuts,
    all_frictions,
)
from scalecommerce_core.simulation.marketplace import COMPETENT, DEMANDS, THIN_MARGINS, USUAL, Marketplace, Seller
from scalecommerce_core.simulation.scenario import (
    UPLIFT,
    Figure,
    MarketVariant,
    Scenario,
    Size,
    StrategyResult,
    find_worst_cells,
    static_tracks,
    uplift,
)

_LEARNING: Final = ElasticityLearning.name
WEEKS: Final = 104
PRODUCTS: Final = 1_000
SEEDS: Final = 8
_Frictions = Callable[[], Sequence[Friction]]
_Targets = Mapping[str, float]
"""Targets of `elasticity_learning` by variant."""


def _nothing() -> Sequence[Friction]:
    return ()


def _market(size: Size, seller: Seller, frictions: _Frictions) -> Marketplace:
    return Marketplace(
        demand=DEMANDS[size.seed % len(DEMANDS)], drifting=True, seed=size.seed, products=size.worlds or PRODUCTS,
        epochs=size.epochs or WEEKS, seller=seller, frictions=frictions(),
    )  # fmt: skip


def _scenario(
    name: str,
    about: str,
    variants: Mapping[str, tuple[Seller, _Frictions]],
    *,
    shares: _Targets | None = None,
    uplifts: _Targets | None = None,
) -> Scenario:
    """`shares` are targets in percent of the best profit, `uplifts` in percent of that at fixed prices. The latter
    are 0 where none is given: `elasticity_learning` must not earn less than fixed prices.
    """

    def places(size: Size) -> Sequence[MarketVariant]:
        return [MarketVariant(label, partial(_market, size, *parts)) for label, parts in variants.items()]

    def figures(results: Sequence[StrategyResult]) -> list[Figure]:
        return compare_with_static(results, shares or {}, uplifts or {})

    def worst(results: Sequence[StrategyResult]) -> list[Figure]:
        return find_worst_cells(results, {_LEARNING: uplifts or {}})

    return Scenario(
        name, about, places, (None, HillClimb(), ElasticityLearning()), figures, worlds=PRODUCTS, epochs=WEEKS,
        seeds=SEEDS, compute_worst=worst,
    )  # fmt: skip


def compare_with_static(results: Sequence[StrategyResult], shares: _Targets, uplifts: _Targets) -> list[Figure]:
    """The profit of each strategy in each variant, and its uplift over fixed prices in the same worlds."""
    static = static_tracks(results)
    figures = []
    for result in results:
        name, place, judged = result.track.policy, result.place, result.track.policy == _LEARNING
        figures.append(
            Figure(result.market, name, place, result.track.share(), bar=shares.get(place) if judged else None)
        )
        if (above := uplift(result, static)) is not None:
            bar = uplifts.get(place, 0.0) if judged else None
            figures.append(Figure(result.market, name, f"{place}, {UPLIFT}", above, bar=bar))
    return figures


def _one(
    name: str, about: str, seller: Seller = USUAL, frictions: _Frictions = _nothing, **targets: _Targets
) -> Scenario:
    return _scenario(name, about, {name: (seller, frictions)}, **targets)


PRACTICAL_SCENARIOS: Final = (
    _one("base", "a drifting marketplace without frictions", uplifts={"base": 9.0}),
    _one(
        "competent-seller",
        "start prices within 5 % of the best price of the first week",
        COMPETENT,
        uplifts={"competent-seller": -0.3},
    ),
    _one("thin-margins", "costs of 70 to 90 % of the start price", THIN_MARGINS, uplifts={"thin-margins": 35.0}),
    _one("unknown-costs", "sellers do not tell the costs", Seller(tells_cost=False)),
    _one("zipf-traffic", "few products have most of the views", Seller(zipf=1.1)),
    _one(
        "stock-outs",
        "products are out of stock in a quarter of the time, while views continue",
        frictions=lambda: [StockOuts()],
        shares={"stock-outs": 95.0},
    ),
    _scenario(
        "promotions",
        "prices 20 % lower in 8 % of the weeks, with more demand than that explains",
        {
            "announced": (USUAL, lambda: [Promotions(announced=True)]),
            "by hand": (USUAL, lambda: [Promotions(announced=False)]),
        },
        shares={"announced": 94.0},
    ),
    _one("returns", "late payments, and returns of 12 % of the units", frictions=lambda: [ReturnsAndDelays()]),
    _one("bots", "views without intent", frictions=lambda: [Bots()]),
    _one("bulk-orders", "orders of several units: four times the variance", frictions=lambda: [BulkOrders()]),
    _one("shocks", "the demand of whole categories jumps", frictions=lambda: [Shocks()]),
    _scenario(
        "all-frictions",
        "stock-outs, promotions by hand, returns, late payments, bots, bulk orders and shocks at once",
        {"usual sellers": (USUAL, all_frictions), "competent sellers": (COMPETENT, all_frictions)},
        uplifts={"usual sellers": 6.0, "competent sellers": -0.5},
    ),
)  # fmt: skip
