"""A demand curve as text: observed points and the fitted line."""

from collections.abc import Sequence
from typing import Final

from scalecommerce_core.pricing.evaluation.demand_curve import DemandCurve

HEIGHT: Final = 12
WIDTH: Final = 56
OBSERVED: Final = "o"
FITTED: Final = "."
_MARGIN: Final = 7


def curve_lines(curve: DemandCurve) -> Sequence[str]:
    """Lines of a plot of at most 70 characters: units over price, both as percentages of the usual ones.

    Letters and points, so that every terminal and font shows them.
    """
    prices = [point.price for point in curve.points]
    low, high = min(prices, default=1.0), max(prices, default=1.0)
    if high - low < 0.01:
        low, high = low - 0.01, high + 0.01
    amounts = [value for point in curve.points for value in (point.units, point.fitted)]
    least, most = min(amounts, default=1.0), max(amounts, default=1.0)
    if most - least < 0.01:
        least, most = max(least - 0.01, 0.0), most + 0.01
    plot = [[" "] * WIDTH for _ in range(HEIGHT)]

    def put(price: float, units: float, mark: str) -> None:
        column = round((price - low) / (high - low) * (WIDTH - 1))
        row = round((most - units) / (most - least) * (HEIGHT - 1))
        plot[min(max(row, 0), HEIGHT - 1)][min(max(column, 0), WIDTH - 1)] = mark

    for column in range(WIDTH):
        price = low + (high - low) * column / (WIDTH - 1)
        put(price, curve.fitted(price), FITTED)
    for point in curve.points:
        put(point.price, point.units, OBSERVED)
    lines = []
    for number, row in enumerate(plot):
        level = most - (most - least) * number / (HEIGHT - 1)
        label = f"{level:.0%}" if number in {0, HEIGHT // 2, HEIGHT - 1} else ""
        lines.append(f"{label:>{_MARGIN}} |{''.join(row)}".rstrip())
    lines.append(f"{'':>{_MARGIN}} +{'-' * WIDTH}")
    left, right = f"{low:.0%}", f"{high:.0%}"
    middle = "price, as a share of the usual price"
    lines.append(f"{'':>{_MARGIN}}  {left}{middle:^{WIDTH - len(left) - len(right)}}{right}".rstrip())
    return lines
