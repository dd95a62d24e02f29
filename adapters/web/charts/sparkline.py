"""A small line without axes, for a cell of a table."""

from typing import Final

from attrs import field, frozen

from adapters.web.charts.frame import Scale, check_figures, padded
from adapters.web.charts.lines import line_path, runs
from adapters.web.charts.markup import Html, coordinate, escape
from adapters.web.charts.thinning import pick

_WIDTH: Final = 120.0
_HEIGHT: Final = 28.0
_MARGIN: Final = 4.0


@frozen
class Sparkline:
    """`values` at equal distances; `title` says what they are, with the figures that matter.

    `empty` is shown if there is no value.
    """

    title: str
    values: tuple[float | None, ...] = field(validator=check_figures)
    empty: str
    from_zero: bool = True


def render_sparkline(chart: Sparkline) -> Html:
    """A line with a dot at the last value, or the text for empty data."""
    present = [value for value in chart.values if value is not None]
    if not present:
        return Html(f'<span class="chart-sparkline-empty">{escape(chart.empty)}</span>')
    low, high = padded(min(present), max(present), 1, from_zero=chart.from_zero)
    count = len(chart.values)
    x = Scale(0, max(count - 1, 1), _MARGIN, _WIDTH - _MARGIN)
    y = Scale(low, high, _HEIGHT - _MARGIN, _MARGIN)
    positions = [
        (x(count - 1 if count == 1 else index), None if value is None else y(value))
        for index, value in pick(list(enumerate(chart.values)), chart.values, int(_WIDTH))
    ]
    parts = [f'<path class="chart-line" d="{line_path(run)}"/>' for run in runs(positions) if len(run) > 1]
    last_x, last_y = runs(positions)[-1][-1]
    parts.append(f'<circle class="chart-dot" cx="{coordinate(last_x)}" cy="{coordinate(last_y)}" r="2.5"/>')
    title = escape(chart.title)
    return Html(
        f'<svg class="chart-sparkline" viewBox="0 0 {coordinate(_WIDTH)} {coordinate(_HEIGHT)}" role="img" '
        f'aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'
    )
