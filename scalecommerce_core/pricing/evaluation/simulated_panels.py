"""Simulated panels with a known cause of price changes: good ones, and ones that mislead every regression.

Each function returns weekly sales of `categories`·`cells_each` cells with a known true elasticity. They are test data
of `report.evaluate_panel`, and examples of what it refuses.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.evaluation.panel import SalesLines


@frozen
class PanelShape:
    """Size and demand of a simulated panel."""

    categories: int = 5
    cells_each: int = 20
    weeks: int = 80
    elasticity: float = -2.2
    """Mean of the true elasticities; those of cells have a standard deviation of 0.4 around it."""
    units_a_week: float = 40.0
    """Median of the cells' usual units in a week, at the usual price."""
    noise: float = 0.15
    """Standard deviation of log demand of a single cell and week."""


@frozen(eq=False)
class _World:
    """Cells of a shape, and the random numbers of one seed; matrices have a row per cell and a column per week."""

    shape: PanelShape
    rng: np.random.Generator
    group: Whole
    usual_price: Floats
    level: Floats
    """Log units of a week at the usual price."""
    elasticity: Floats
    noise: Floats = field(repr=False)

    @classmethod
    def of(cls, shape: PanelShape, seed: int) -> "_World":
        rng = np.random.default_rng(seed)
        cells = shape.categories * shape.cells_each
        return cls(
            shape, rng, np.arange(cells) % shape.categories,
            np.round(np.exp(rng.normal(np.log(20.0), 0.6, cells)), 2).astype(np.float64),
            np.log(shape.units_a_week) + rng.normal(0.0, 0.7, cells),
            rng.normal(shape.elasticity, 0.4, cells),
            rng.normal(0.0, shape.noise, (cells, shape.weeks)),
        )  # fmt: skip

    @property
    def size(self) -> tuple[int, int]:
        return len(self.group), self.shape.weeks

    def list_prices(self, *, spread: float = 0.1, change: float = 0.25) -> Floats:
        """Relative prices that each cell changes at random times to random values, for reasons unrelated to demand."""
        cells, weeks = self.size
        prices = np.empty((cells, weeks))
        now = self.rng.normal(0.0, spread, cells)
        for week in range(weeks):
            changed = self.rng.random(cells) < change
            now = np.where(changed, self.rng.normal(0.0, spread, cells), now)
            prices[:, week] = now
        return np.exp(np.clip(prices, -0.5, 0.5))

    def lines(self, relative_price: Floats, shock: Floats | float = 0.0, sold: Floats | None = None) -> SalesLines:
        """Sales at `relative_price` (price / usual price), with log demand `shock`; or of `sold` units."""
        price = np.round(self.usual_price[:, None] * relative_price, 2)
        x = price / self.usual_price[:, None] - 1.0
        log_units = self.level[:, None] + self.elasticity[:, None] * x + self.noise + shock
        units = self.rng.poisson(np.exp(np.clip(log_units, -20.0, 20.0))) if sold is None else sold
        return _as_lines(self, units.astype(np.float64), price)


def _as_lines(world: _World, units: Floats, price: Floats) -> SalesLines:
    cell, week = (each.ravel() for each in np.meshgrid(*map(np.arange, world.size), indexing="ij"))
    return SalesLines(cell, world.group[cell], week, units.ravel(), price.ravel())


def good_panel(seed: int, shape: PanelShape = PanelShape()) -> SalesLines:
    """Price changes unrelated to demand, which is steady."""
    world = _World.of(shape, seed)
    return world.lines(world.list_prices())


def drifting_panel(seed: int, shape: PanelShape = PanelShape()) -> SalesLines:
    """Price changes unrelated to demand, whose level drifts: a random walk for each category and each cell, growth, and
    seasons.
    """
    world = _World.of(shape, seed)
    cells, weeks = world.size
    shared = np.cumsum(world.rng.normal(0.0, 0.08, (shape.categories, weeks)), axis=1)[world.group]
    own = np.cumsum(world.rng.normal(0.0, 0.05, (cells, weeks)), axis=1)
    season = 0.2 * np.sin(2.0 * np.pi * np.arange(weeks) / 52.0 + world.rng.uniform(0.0, 6.0))
    return world.lines(world.list_prices(), shared + own + season + 0.005 * np.arange(weeks))


def promoted_panel(seed: int, shape: PanelShape = PanelShape()) -> SalesLines:
    """Prices change only in promotions of 10 to 30 % at random weeks; half of them are shared by a category."""
    world = _World.of(shape, seed)
    cells, weeks = world.size
    own = world.rng.random((cells, weeks)) < 0.08
    shared = (world.rng.random((shape.categories, weeks)) < 0.08)[world.group]
    shared &= world.rng.random((cells, weeks)) < 0.8
    cut = np.where(own | shared, np.round(world.rng.uniform(0.1, 0.3, (cells, weeks)), 2), 0.0)
    return world.lines(1.0 - cut, world.rng.normal(0.0, 0.1, (shape.categories, weeks))[world.group])


def sparse_panel(seed: int, shape: PanelShape = PanelShape(units_a_week=1.5)) -> SalesLines:
    """Cells that sell about one unit a week, so many weeks have no sale."""
    world = _World.of(shape, seed)
    return world.lines(world.list_prices(spread=0.15))


def quantity_discount_panel(
    seed: int,
    shape: PanelShape = PanelShape(),
    *,
    discounts: tuple[tuple[int, float], ...] = ((5, 0.1), (10, 0.2), (25, 0.3)),
) -> SalesLines:
    """Large orders pay less per unit, and the file has the total units and mean price of each week; list prices never
    change. `discounts` has pairs of a least quantity and a discount.
    """
    world = _World.of(shape, seed)
    cells, weeks = world.size
    orders = world.rng.poisson(np.exp(world.level - 1.0)[:, None] * np.exp(world.noise))
    at = np.repeat(np.arange(cells * weeks), orders.ravel())
    quantity = np.ceil(np.exp(world.rng.normal(0.5, 1.0, len(at))))
    off = np.zeros(len(at))
    for least, discount in discounts:
        off = np.where(quantity >= least, discount, off)

    def of_weeks(values: Floats) -> Floats:
        return np.bincount(at, values, cells * weeks).astype(np.float64).reshape(cells, weeks)

    total, paid = of_weeks(quantity), of_weeks(quantity * (1.0 - off))
    mean = paid / np.maximum(total, 1.0)
    return _as_lines(world, total, world.usual_price[:, None] * mean)


def busy_weeks_panel(seed: int, shape: PanelShape = PanelShape(), *, response: float = 0.3) -> SalesLines:
    """All cells of a category lower their prices in its busy weeks: by `response` times the shock of log demand."""
    world = _World.of(shape, seed)
    shock = world.rng.normal(0.0, 0.35, (shape.categories, shape.weeks))[world.group]
    own = world.rng.normal(0.0, 0.04, world.size)
    return world.lines(np.exp(np.clip(own - response * shock, -0.6, 0.6)), shock)


def busy_cells_panel(seed: int, shape: PanelShape = PanelShape(), *, response: float = 0.12) -> SalesLines:
    """Each cell lowers its own price when it is busy: by `response` times the shock of its log demand."""
    world = _World.of(shape, seed)
    shock = world.rng.normal(0.0, 0.6, world.size)
    own = world.rng.normal(0.0, 0.01, world.size)
    return world.lines(np.exp(np.clip(own - response * shock, -0.6, 0.6)), shock)


PANELS: Final[Mapping[str, Callable[[int], SalesLines]]] = {
    "good": good_panel, "drifting": drifting_panel, "promoted": promoted_panel, "sparse": sparse_panel,
    "quantity discounts": quantity_discount_panel, "busy weeks": busy_weeks_panel, "busy cells": busy_cells_panel,
}  # fmt: skip
"""All kinds of panels with their default shapes, by name."""
