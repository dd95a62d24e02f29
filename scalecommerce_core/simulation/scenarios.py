"""The scenarios of `scalecommerce simulate`: markets, strategies, and the figures that results are compared with."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.competitor import Competitor
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.price_list_inventory import PriceListInventory
from scalecommerce_core.pricing.substitutes import Substitutes
from scalecommerce_core.simulation.buy_box_market import LEFT, BuyBoxMarket
from scalecommerce_core.simulation.forged_signals import (
    ATTACKS,
    NO_ATTACK,
    ForgedMarket,
)
from scalecommerce_core.simulation.limited_stock import WEEKS, LimitedStock
from scalecommerce_core.simulation.linear_market import LinearMarket
from scalecommerce_core.simulation.logit_market import LogitMarket
from scalecommerce_core.simulation.market import SimulatedMarket
from scalecommerce_core.simulation.marketplace import DEMANDS, Marketplace
from scalecommerce_core.simulation.practical_scenarios import PRACTICAL_SCENARIOS
from scalecommerce_core.simulation.price_list_stock import LISTED, SHARES, PriceListStock
from scalecommerce_core.simulation.references import Cils, Cvp, LearnThenEarn, LeastSquares, TsFixed, TsUpdate, UcbPi
from scalecommerce_core.simulation.runner import STATIC, Track
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
from scalecommerce_core.simulation.substitutes_market import SubstitutesMarket
from scalecommerce_core.simulation.zip_recruiter import BLOCK, FIRST_VISITORS, PRICES, ZipRecruiter

_LONG_WEEKS: Final = 208
_YEAR: Final = 52
_SHORTEST_SEASON: Final = 16
_LIMITED: Final = 94.0
"""Target of `inventory` for limited stock."""
_KEPT: Final = 97.0
"""Percentage of the profit that a strategy must keep under each attack with forged signals."""


def _zip_places(size: Size) -> Sequence[MarketVariant]:
    epochs = size.epochs or 10_000
    first = min(FIRST_VISITORS // BLOCK, epochs)
    made = lambda: ZipRecruiter(seed=size.seed, worlds=size.worlds or 300, visitors=BLOCK * epochs)  # noqa: E731 - short
    return [MarketVariant("ten prices", made, (first, epochs))]


def _zip_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    known = {UcbPi.name: (92, 98, None), LearnThenEarn.name: (62, 94, 83)}
    bars = {PriceGrid.name: (94, 98, 95)}
    figures = []
    for result in results:
        name, rows = result.track.policy, result.track.by_row
        first, last = rows.get(FIRST_VISITORS // BLOCK), rows.get(result.track.epochs)
        measured = (
            (f"first {FIRST_VISITORS:,} visitors", None if first is None else first.mean()),
            ("all visitors", None if last is None else last.mean()),
            ("all visitors, worst world", None if last is None else last.min()),
        )
        references, least = known.get(name, (None,) * 3), bars.get(name, (None,) * 3)
        figures += [
            Figure("zip-recruiter", name, measure, float(share), reference, bar)
            for (measure, share), reference, bar in zip(measured, references, least, strict=True)
            if share is not None
        ]
    return figures


_HORIZONS: Final = (100, 1_000, 10_000)


def _linear_places(size: Size) -> Sequence[MarketVariant]:
    epochs = size.epochs or _HORIZONS[-1]
    made = lambda: LinearMarket(seed=size.seed, worlds=size.worlds or 1_000, epochs=epochs)  # noqa: E731 - short
    return [MarketVariant("linear demand", made, (*(t for t in _HORIZONS if t < epochs), epochs))]


def _linear_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    known = {
        "greedy_least_squares": (95.7, 96.6, 96.8), "cils": (96.0, 98.5, 99.5), "cvp": (95.6, 98.5, 99.5),
        LinearDemand.name: (97.8, 99.0, 99.6),
    }  # fmt: skip
    bars = {LinearDemand.name: (97.0, 98.5, 99.4)}
    figures = []
    for result in results:
        name = result.track.policy
        references = dict(zip(_HORIZONS, known.get(name, ()), strict=False))
        least = dict(zip(_HORIZONS, bars.get(name, ()), strict=False))
        for t, shares in result.track.by_row.items():
            figures.append(
                Figure("linear", name, f"{t:,} periods", float(shares.mean()), references.get(t), least.get(t))
            )
            if t == _HORIZONS[-1]:
                lowest = 98.5 if name in bars else None
                figures.append(
                    Figure("linear", name, f"{t:,} periods, 5th percentile", _percentile(shares, 5), bar=lowest)
                )
    return figures


_LOGIT_BARS: Final = {1_000: 97.0, 10_000: 98.0}


def _logit_places(size: Size) -> Sequence[MarketVariant]:
    epochs = size.epochs or _HORIZONS[-1]

    def variant(label: str, *, with_history: bool) -> MarketVariant:
        def made() -> SimulatedMarket:
            return LogitMarket(seed=size.seed, worlds=size.worlds or 200, epochs=epochs, with_history=with_history)

        return MarketVariant(label, made, (*(t for t in _LOGIT_BARS if t < epochs), epochs))

    return [variant("new products", with_history=False), variant("with history", with_history=True)]


def _logit_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    return [
        Figure(
            "logit", result.track.policy, f"{result.place}, {t:,} periods", float(shares.mean()),
            bar=_LOGIT_BARS.get(t) if judged else None,
        )
        for result in results
        for judged in (result.track.policy == ElasticityLearning.name and result.place == "with history",)
        for t, shares in result.track.by_row.items()
    ]  # fmt: skip


def _marketplace_places(size: Size) -> Sequence[MarketVariant]:
    return [
        _marketplace_place(size, demand, drifting=drifting, moody=False)
        for drifting in (False, True)
        for demand in DEMANDS
    ]


def _moody_places(size: Size) -> Sequence[MarketVariant]:
    return [
        _marketplace_place(size, demand, drifting=drifting, moody=True)
        for drifting in (False, True)
        for demand in DEMANDS
    ]


def _marketplace_place(size: Size, demand: str, *, drifting: bool, moody: bool) -> MarketVariant:
    def made() -> SimulatedMarket:
        return Marketplace(
            demand=demand, drifting=drifting, moody=moody, seed=size.seed, products=size.worlds or 6_000,
            epochs=size.epochs or 2 * _YEAR,
        )  # fmt: skip

    return MarketVariant(f"{demand}, {'drifting' if drifting else 'steady'}", made)


def _marketplace_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    return _compare_with_static(results, least={ElasticityLearning.name: 95.0, HillClimb.name: None})


def _moody_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    return _compare_with_static(results, least={ElasticityLearning.name: None})


def _compare_with_static(results: Sequence[StrategyResult], least: Mapping[str, float | None]) -> list[Figure]:
    """Figures per variant and their mean. Strategies in `least` must exceed fixed prices in each variant; the value in
    `least` is the target of their mean.
    """
    static = {result.place: result.track.share() for result in results if result.track.policy == STATIC}
    market, figures = results[0].market, []
    for name in dict.fromkeys(result.track.policy for result in results):
        tracks = {result.place: result.track for result in results if result.track.policy == name}
        for place, track in tracks.items():
            bar = static.get(place) if name in least else None
            figures.append(Figure(market, name, place, track.share(), bar=bar))
        mean = float(np.mean([track.share() for track in tracks.values()]))
        figures.append(Figure(market, name, f"mean of {len(tracks)}", mean, bar=least.get(name)))
        if name == ElasticityLearning.name and all(track.epochs >= _LONG_WEEKS for track in tracks.values()):
            fall = max(_decay(track) for track in tracks.values())
            figures.append(Figure(market, name, f"week {_LONG_WEEKS} less the best year", 0.0 - fall, bar=-1.0))
    return figures


def _decay(track: Track) -> float:
    """Percentage points by which the year before week 208 is below the best year."""
    years = [track.share(end - _YEAR, end) for end in range(_YEAR, _LONG_WEEKS + 1)]
    return max(years) - years[-1]


def _limited_places(size: Size) -> Sequence[MarketVariant]:
    epochs = size.epochs or WEEKS

    def variant(label: str, shortest: int) -> MarketVariant:
        def made() -> SimulatedMarket:
            return LimitedStock(
                seed=size.seed, products=size.worlds or 2_000, epochs=epochs, shortest=min(shortest, epochs)
            )

        return MarketVariant(label, made)

    return [variant("one season", epochs), variant("seasons of their own", _SHORTEST_SEASON)]


def _limited_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    static = static_tracks(results)
    figures = []
    for result in results:
        name, place, judged = result.track.policy, result.place, result.track.policy == Inventory.name
        figures.append(Figure("limited-stock", name, place, result.track.share(), bar=_LIMITED if judged else None))
        if (above := uplift(result, static)) is not None:
            figures.append(Figure("limited-stock", name, f"{place}, {UPLIFT}", above, bar=0.0 if judged else None))
    return figures


_SUBSTITUTES_BAR: Final = 88.0


def _substitutes_places(size: Size) -> Sequence[MarketVariant]:
    def variant(cross: float) -> MarketVariant:
        def made() -> SimulatedMarket:
            return SubstitutesMarket(
                cross=cross, demand="semi-log", drifting=False, seed=size.seed, products=size.worlds or 600,
                epochs=size.epochs or 2 * _YEAR,
            )  # fmt: skip

        return MarketVariant(f"cross elasticity {cross}", made)

    return [variant(0.4), variant(0.0)]


def _substitutes_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    """Without a cross effect, `substitutes` must keep what `elasticity_learning` earns, less 0.3 points."""
    alone = {result.place: result.track.share() for result in results if result.track.policy == ElasticityLearning.name}

    def bar(result: StrategyResult) -> float | None:
        if result.track.policy != Substitutes.name:
            return None
        least = alone.get(result.place)
        return _SUBSTITUTES_BAR if result.place.endswith("0.4") else None if least is None else least - 0.3

    return [
        Figure("substitutes", result.track.policy, result.place, result.track.share(), bar=bar(result))
        for result in results
    ]


_NO_EFFECT: Final = "competitors without effect"


def _buy_box_places(size: Size) -> Sequence[MarketVariant]:
    def variant(label: str, *, follows: bool, left: float = LEFT) -> MarketVariant:
        def made() -> SimulatedMarket:
            return BuyBoxMarket(
                follows=follows, left=left, demand="semi-log", drifting=False, seed=size.seed,
                products=size.worlds or 300, epochs=size.epochs or 2 * _YEAR,
            )  # fmt: skip

        return MarketVariant(label, made)

    return [
        variant("independent competitors", follows=False),
        variant("competitors who undercut", follows=True),
        variant(_NO_EFFECT, follows=False, left=1.0),
    ]


def _buy_box_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    """Profit as a percentage of that with fixed prices: the best price depends on competitors, who react to prices.

    `competitor` must earn at least what `elasticity_learning` does, which ignores competitors.
    """
    static = {result.place: result.track for result in results if result.track.policy == STATIC}

    def share(result: StrategyResult) -> float:
        track = result.track
        return 100.0 * float(track.earned.sum() / static[result.place].earned[: track.epochs].sum())

    compared = [result for result in results if result.track.policy != STATIC and result.place in static]
    learned = {each.place: share(each) for each in compared if each.track.policy == ElasticityLearning.name}
    return [
        Figure(
            "buy-box", each.track.policy, each.place, share(each),
            bar=learned.get(each.place) if each.track.policy == Competitor.name and each.place != _NO_EFFECT else None,
        )
        for each in compared
    ]  # fmt: skip


def _price_list_places(size: Size) -> Sequence[MarketVariant]:
    longest = size.epochs or _HORIZONS[-1]

    def variant(share: float, epochs: int) -> MarketVariant:
        def made() -> SimulatedMarket:
            return PriceListStock(seed=size.seed, share=share, worlds=size.worlds or 300, epochs=epochs)

        return MarketVariant(f"{epochs:,} periods, stock for {share:.0%} of the customers", made)

    horizons = [epochs for epochs in _HORIZONS if epochs <= longest] or [longest]
    return [variant(share, epochs) for epochs in horizons for share in SHARES]


def _price_list_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    bars = dict(zip(_HORIZONS, (93.0, 99.0, 99.8), strict=True))
    return [
        Figure(
            "price-list-stock", track.policy, result.place, track.share(),
            bar=bars.get(track.epochs) if track.policy == PriceListInventory.name else None,
        )
        for result in results
        for track in (result.track,)
    ]  # fmt: skip


def _forged_places(size: Size) -> Sequence[MarketVariant]:
    def variant(attack: str) -> MarketVariant:
        def made() -> SimulatedMarket:
            market = Marketplace(
                demand="semi-log", drifting=False, seed=size.seed, products=size.worlds or 2_000,
                epochs=size.epochs or 2 * _YEAR,
            )  # fmt: skip
            return ForgedMarket(market, seed=size.seed, **ATTACKS.get(attack, {}))

        return MarketVariant(attack, made)

    return [variant(attack) for attack in (NO_ATTACK, *ATTACKS)]


def _forged_figures(results: Sequence[StrategyResult]) -> list[Figure]:
    """Profit under each attack as a percentage of the profit without one."""
    undisturbed = {result.track.policy: result.track for result in results if result.place == NO_ATTACK}
    return [
        Figure(
            "forged-signals", track.policy, f"{result.place}, profit kept",
            100.0 * float(track.earned.sum() / undisturbed[track.policy].earned[: track.epochs].sum()),
            bar=_KEPT,
        )
        for result in results
        if result.place != NO_ATTACK and (track := result.track).policy in undisturbed
    ]  # fmt: skip


def _percentile(values: Floats, percent: float) -> float:
    return float(np.percentile(values, percent))


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "zip-recruiter",
            "price experiment of a subscription, ten prices (Misra and others 2019)",
            _zip_places,
            (LearnThenEarn(), UcbPi(), PriceGrid(prices=PRICES)),
            _zip_figures,
            worlds=300,
            epochs=10_000,
        ),
        Scenario(
            "linear",
            "linear demand with Gaussian noise, in which greedy strategies stop learning",
            _linear_places,
            (LeastSquares(), Cils(), Cvp(), LinearDemand()),
            _linear_figures,
            worlds=1_000,
            epochs=10_000,
        ),
        Scenario(
            "marketplace",
            "6,000 products with guardrails, three forms of demand, steady or drifting",
            _marketplace_places,
            (None, HillClimb(), ControlledVariance(), ElasticityLearning()),
            _marketplace_figures,
            worlds=6_000,
            epochs=104,
            compute_worst=partial(find_worst_cells, targets={ElasticityLearning.name: {}, HillClimb.name: {}}),
        ),
        Scenario(
            "moody-marketplace",
            "the same, but a category's good and bad weeks resemble effects of prices",
            _moody_places,
            (None, HillClimb(), ControlledVariance(), ElasticityLearning()),
            _moody_figures,
            worlds=6_000,
            epochs=104,
            compute_worst=partial(find_worst_cells, targets={ElasticityLearning.name: {}}),
        ),
        Scenario(
            "limited-stock",
            "seasonal goods without restocking, compared with an upper bound",
            _limited_places,
            (None, HillClimb(), ElasticityLearning(), Inventory()),
            _limited_figures,
            worlds=2_000,
            epochs=WEEKS,
            seeds=8,
            compute_worst=partial(find_worst_cells, targets={Inventory.name: {}}),
        ),
        Scenario(
            "price-list-stock",
            "four prices and stock that is not replenished (Ferreira, Simchi-Levi and Wang 2018)",
            _price_list_places,
            (TsFixed(), TsUpdate(), PriceListInventory(prices=LISTED)),
            _price_list_figures,
            worlds=300,
            epochs=10_000,
        ),
        Scenario(
            "substitutes",
            "600 products whose demand also depends on the prices of their category, and without that effect",
            _substitutes_places,
            (None, ElasticityLearning(), Substitutes()),
            _substitutes_figures,
            worlds=600,
            epochs=104,
        ),
        Scenario(
            "buy-box",
            "each product has a competitor, and the dearer offer loses most of its sales",
            _buy_box_places,
            (None, HillClimb(), ElasticityLearning(), Competitor()),
            _buy_box_figures,
            worlds=300,
            epochs=104,
            whole="the profit with fixed prices",
        ),
        Scenario(
            "forged-signals",
            "marketplace in which an attacker forges ten times the views, or purchases that are refunded",
            _forged_places,
            (HillClimb(), ControlledVariance(), ElasticityLearning()),
            _forged_figures,
            worlds=2_000,
            epochs=104,
            whole="the profit without the attack",
        ),
        Scenario(
            "logit",
            "logit demand, one product in each world, new or with a history of prices",
            _logit_places,
            (None, HillClimb(), ElasticityLearning()),
            _logit_figures,
            worlds=200,
            epochs=10_000,
        ),
        *PRACTICAL_SCENARIOS,
    )
}
