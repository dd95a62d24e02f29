"""Pictures of simulations: cumulative revenue and the path of a price. Needs the extra `plot`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scalecommerce_core.pricing.simulation.program import Outcome

_PRODUCTS_SHOWN = 3


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """A row per place: what was earned so far, of what could be, and the first few products' prices."""
    places = list(dict.fromkeys((outcome.market, outcome.place) for outcome in outcomes))
    figure = Figure(figsize=(12, 3.5 * len(places)), layout="constrained")
    grid = figure.subplots(len(places), 2, squeeze=False)
    for (left, right), place in zip(grid, places, strict=True):
        tracks = [outcome.track for outcome in outcomes if (outcome.market, outcome.place) == place]
        for colour, track in enumerate(tracks):
            share = 100 * np.cumsum(track.earned) / np.cumsum(track.best)
            left.plot(np.arange(1, track.epochs + 1), share, color=f"C{colour}", label=track.policy)
            paths = track.prices[:, :_PRODUCTS_SHOWN]
            right.plot(paths / paths[0], color=f"C{colour}", linewidth=0.8)
        left.set(title=": ".join(place), xlabel="epoch", ylabel="cumulative profit, % of the best")
        left.legend()
        right.set(title=f"prices of {_PRODUCTS_SHOWN} products", xlabel="epoch", ylabel="price / first price")
    figure.savefig(file)
