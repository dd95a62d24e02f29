"""Plots of simulations: cumulative profit and price paths. Needs the extra `plot`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.simulation.scenario import StrategyResult

_PRODUCTS_SHOWN = 3
_POINTS = 150
"""Points of a price path; with more, strategies that alternate prices would fill the plot."""


def draw(outcomes: Sequence[StrategyResult], file: Path) -> None:
    """Write a plot of the first seed to `file`: one row per market variant, with cumulative profit and some prices."""
    outcomes = [outcome for outcome in outcomes if outcome.seed == outcomes[0].seed]
    places = list(dict.fromkeys((outcome.market, outcome.place) for outcome in outcomes))
    figure = Figure(figsize=(12, 3.5 * len(places)), layout="constrained")
    grid = figure.subplots(len(places), 2, squeeze=False)
    for (left, right), place in zip(grid, places, strict=True):
        tracks = [outcome.track for outcome in outcomes if (outcome.market, outcome.place) == place]
        window = 1
        for colour, track in enumerate(tracks):
            share = 100 * np.cumsum(track.earned) / np.cumsum(track.best)
            left.plot(np.arange(1, track.epochs + 1), share, color=f"C{colour}", label=track.policy)
            window = -(-track.epochs // _POINTS)
            epoch, paths = _means((track.prices / track.start_prices)[:, :_PRODUCTS_SHOWN], window)
            right.plot(epoch, paths, color=f"C{colour}", linewidth=0.8)
        left.set(title=": ".join(place), xlabel="epoch", ylabel="cumulative profit, % of the best")
        left.legend()
        averaged = "" if window == 1 else f", means of {window:,} epochs"
        right.set(
            title=f"prices of {_PRODUCTS_SHOWN} products{averaged}", xlabel="epoch", ylabel="price / price at the start"
        )
    figure.savefig(file)


def _means(paths: Floats, window: int) -> tuple[Floats, Floats]:
    """Last epoch of each window of `window` epochs, and the mean of each path in the window."""
    begins = np.arange(0, len(paths), window)
    lengths = np.diff(np.append(begins, len(paths)))
    return (begins + lengths).astype(np.float64), np.add.reduceat(paths, begins, axis=0) / lengths[:, None]
