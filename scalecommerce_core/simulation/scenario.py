"""Scenarios: markets, strategies, and the figures that results are compared with, over one or several seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import pi, sqrt, tan
from typing import Final

import numpy as np
from attrs import evolve, field, frozen

from scalecommerce_core.pricing.experiments.intervals import student_quantile
from scalecommerce_core.pricing.interface import PricingStrategy
from scalecommerce_core.simulation.market import SimulatedMarket
from scalecommerce_core.simulation.runner import STATIC, RunFailed, Track, run


@frozen
class Size:
    """Size of a simulation; None: as published."""

    seed: int = 1
    worlds: int | None = None
    """Number of products, or of worlds with one product each."""
    epochs: int | None = None
    seeds: int | None = None
    """Number of seeds, from `seed` on."""


@frozen
class MarketVariant:
    """A variant of a market, for example one form of demand."""

    label: str
    make_market: Callable[[], SimulatedMarket]
    checkpoints: tuple[int, ...] = ()


@frozen
class Figure:
    """A result as a percentage of the highest possible expected profit, or of another whole (`Scenario.whole`).

    `reference` is a published result, `bar` the target of this release, if there is one. With several seeds, `ours` is
    the mean, and `half_width` half of its 95 % confidence interval (Student's t distribution).
    """

    market: str
    policy: str
    measure: str
    ours: float
    reference: float | None = None
    bar: float | None = None
    seeds: int = 1
    half_width: float | None = None

    @property
    def passed(self) -> bool | None:
        return None if self.bar is None else self.ours >= self.bar


@frozen(eq=False)
class StrategyResult:
    market: str
    place: str
    track: Track
    seed: int = 1


@frozen
class FailedStrategy:
    """A strategy that failed in a market; `problem` is the note of the failed run."""

    market: str
    place: str
    policy: str
    problem: str
    seed: int = 1


@frozen
class Scenario:
    """A market with its strategies, and the function that computes figures from their results."""

    name: str
    about: str
    variants: Callable[[Size], Sequence[MarketVariant]]
    strategies: tuple[PricingStrategy | None, ...]
    compute_figures: Callable[[Sequence[StrategyResult]], list[Figure]] = field(repr=False)
    """Figures of one seed."""
    worlds: int
    epochs: int
    seeds: int = 1
    """As published; smaller or shorter simulations are not compared with targets."""
    whole: str = "the best expected profit"
    """What figures are percentages of."""
    compute_worst: Callable[[Sequence[StrategyResult]], list[Figure]] | None = field(default=None, repr=False)
    """Figures of the worst among all variants and seeds."""

    def figures(self, results: Sequence[StrategyResult], size: Size) -> list[Figure]:
        """The figures of each seed, combined, and those of the worst."""
        seeds = dict.fromkeys(result.seed for result in results)
        by_seed = [self.compute_figures([result for result in results if result.seed == seed]) for seed in seeds]
        figures = _combine(by_seed) + (self.compute_worst(results) if self.compute_worst is not None else [])
        small = (size.worlds or self.worlds) < self.worlds or (size.epochs or self.epochs) < self.epochs
        if small or len(seeds) < self.seeds or any(result.track.interrupted for result in results):
            return [evolve(figure, reference=None, bar=None) for figure in figures]
        return figures

    def run(
        self,
        size: Size,
        strategies: Sequence[PricingStrategy | None] | None = None,
        progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> Iterator[StrategyResult | FailedStrategy]:
        """Simulate the strategies one after the other, in the worlds of each seed, and yield their results.

        `progress` receives a variant and strategy, the number of epochs that it has simulated, and their total.
        Results that were yielded before an interruption by Ctrl-C stay available to the caller.
        """
        count = size.seeds or self.seeds
        for index, seed in enumerate(range(size.seed, size.seed + count)):
            for place in self.variants(evolve(size, seed=seed)):
                for policy in self.strategies if strategies is None else strategies:
                    market = place.make_market()
                    label = f"{place.label}: {STATIC if policy is None else policy.name}"

                    def report(
                        done: int, label: str = label, before: int = index * market.epochs, epochs: int = market.epochs
                    ) -> None:
                        progress(label, before + done, count * epochs)

                    try:
                        track = run(policy, market, checkpoints=place.checkpoints, progress=report)
                    except RunFailed as error:
                        yield FailedStrategy(self.name, place.label, error.policy, str(error), seed)
                        continue
                    yield StrategyResult(self.name, place.label, track, seed)
                    if track.interrupted:
                        return


UPLIFT: Final = "uplift over fixed prices"
"""Measure of figures in percent of the profit at fixed prices."""


def static_tracks(results: Sequence[StrategyResult]) -> dict[tuple[str, int], Track]:
    """Results of fixed prices by variant and seed."""
    return {(result.place, result.seed): result.track for result in results if result.track.policy == STATIC}


def uplift(result: StrategyResult, static: Mapping[tuple[str, int], Track]) -> float | None:
    """Percentage by which the profit exceeds that of fixed prices in the same world and epochs.

    None for fixed prices themselves, and where fixed prices were not simulated or earn nothing.
    """
    fixed = static.get((result.place, result.seed))
    if fixed is None or result.track.policy == STATIC:
        return None
    share = fixed.share(0, result.track.epochs)
    return 100.0 * (result.track.share() / share - 1.0) if share > 0.0 else None


def find_worst_cells(results: Sequence[StrategyResult], targets: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """The lowest uplift over fixed prices of each strategy among all cells: the variants in the worlds of each seed.

    `targets` are those of the mean uplift, by strategy and variant; that of the lowest uplift is the same, at most 0.
    """
    static = static_tracks(results)
    figures = []
    for name in dict.fromkeys(result.track.policy for result in results):
        uplifts = [(uplift(result, static), result) for result in results if result.track.policy == name]
        known = [(above, result) for above, result in uplifts if above is not None]
        if not known:
            continue
        lowest, worst = min(known, key=lambda cell: cell[0])
        bar = min(targets[name].get(worst.place, 0.0), 0.0) if name in targets else None
        measure = f"lowest of {len(known)} cells ({worst.place}, seed {worst.seed}), {UPLIFT}"
        seeds = len({result.seed for result in results})
        figures.append(Figure(worst.market, name, measure, lowest, bar=bar, seeds=seeds))
    return figures


def _combine(by_seed: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The means of equal figures of several seeds, with their intervals; targets and references are means too."""
    if len(by_seed) == 1:
        return list(by_seed[0])
    found: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in (each for figures in by_seed for each in figures):
        found.setdefault((figure.market, figure.policy, figure.measure), []).append(figure)
    return [
        Figure(
            *key, _mean([each.ours for each in each_seed]), _mean_of_known([each.reference for each in each_seed]),
            _mean_of_known([each.bar for each in each_seed]), len(each_seed),
            half_width([each.ours for each in each_seed]),
        )
        for key, each_seed in found.items()
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95 % confidence interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    return _t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / sqrt(len(values))


def _t_quantile(degrees_of_freedom: int) -> float:
    """97.5 % quantile of Student's t distribution; exact for 1 and 2 degrees of freedom."""
    if degrees_of_freedom == 1:
        return tan(0.475 * pi)
    if degrees_of_freedom == 2:
        return 2.0 * 0.475 * sqrt(2.0 / (1.0 - 4.0 * 0.475**2))
    return student_quantile(0.975, degrees_of_freedom)
