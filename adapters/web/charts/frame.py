"""What all charts with axes share: two sizes, margins, gridlines, ticks, titles and a legend."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from math import isfinite
from typing import Any, Final, NamedTuple

import attrs
from attrs import frozen

from adapters.web.charts.formats import ChartFormats, Unit
from adapters.web.charts.label_rows import Place, place_labels
from adapters.web.charts.markup import (
    FONT_SIZE,
    Html,
    coordinate,
    escape,
    line_element,
    shorten,
    text_element,
    text_width,
)
from adapters.web.charts.ticks import NumberTicks, TimeTick, number_ticks, time_ticks

LARGEST: Final = 1e15
"""Largest absolute value that a chart accepts."""
_LINE: Final = 18.0
"""Distance of lines of text."""
_GAP: Final = 8.0
_BOLD: Final = 1.08
"""How much wider bold text is."""
_RIGHT: Final = 16.0
"""Margin on the right, for half of the last label of the x axis."""
_SYMBOL: Final = 24.0
"""Width of a symbol of the legend."""
_ID: Final = re.compile(r"[a-z][a-z0-9-]*")


@frozen
class Size:
    """One of the two sizes in which each chart is drawn, in user units; `charts.css` shows the one that fits."""

    name: str
    width: float
    height: float
    y_ticks: int
    tooltips: int
    """Most parts of the plot that show a tooltip."""


WIDE: Final = Size("wide", 720, 300, y_ticks=6, tooltips=84)
NARROW: Final = Size("narrow", 320, 260, y_ticks=5, tooltips=42)


@frozen
class Words:
    """Texts of a chart in the reader's language; `chart_id` is unique in the page."""

    chart_id: str = attrs.field()
    title: str
    description: str
    """What the chart shows, for readers who do not see it."""
    empty: str
    """Shown instead of a chart without figures."""
    x_title: str
    y_title: str

    @chart_id.validator
    def _check_chart_id(self, _: object, value: str) -> None:
        if not _ID.fullmatch(value):
            raise ValueError(f"The id of a chart must be lower-case letters, digits and hyphens: {value!r}.")


def check_figures(_: object, attribute: "attrs.Attribute[Any]", value: Iterable[float | None]) -> None:
    """A validator of fields with figures: all must be finite and at most `LARGEST`."""
    for figure in value:
        if figure is not None and not (isfinite(figure) and abs(figure) <= LARGEST):
            raise ValueError(f"{attribute.name} must be finite and between -1e15 and 1e15, not {figure}.")


def check_order(_: object, attribute: "attrs.Attribute[Any]", times: Sequence[datetime]) -> None:
    """A validator of fields with times: all must have time zones and ascend."""
    if any(at.tzinfo is None for at in times):
        raise ValueError(f"{attribute.name} must have times with time zones.")
    for one, other in pairwise(times):
        # Times of one zone compare by their clock, which repeats an hour in autumn.
        if one >= other and one.timestamp() >= other.timestamp():
            raise ValueError(f"{attribute.name} must be in ascending order of time, without repetitions: {other}.")


def check_period(start: datetime, end: datetime) -> None:
    """Raises ValueError unless `start` is before `end` and both have time zones."""
    if start.tzinfo is None or end.tzinfo is None or start.timestamp() >= end.timestamp():
        raise ValueError("start must be before end, and both need a time zone.")


class Legend(NamedTuple):
    """An entry of the legend: `symbol` is markup in a box of 20 × 12 user units."""

    label: str
    symbol: str


@frozen
class Scale:
    """Maps the interval from `low` to `high` to the one from `start` to `end`, which may descend."""

    low: float
    high: float
    start: float
    end: float
    _factor: float = attrs.field(init=False, eq=False, repr=False)

    @_factor.default
    def _slope(self) -> float:
        return (self.end - self.start) / (self.high - self.low)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * self._factor

    def positions(self, values: Iterable[float]) -> list[float]:
        """All `values`, faster than by single calls."""
        start, low, factor = self.start, self.low, self._factor
        return [start + (value - low) * factor for value in values]


@frozen
class NumberAxis:
    """An axis of numbers from `low` to `high`."""

    unit: Unit
    low: float
    high: float


@frozen
class TimeAxis:
    """
    An axis of times from `start` to `end`, `start` < `end`; ticks follow the time zone of `start`.

    Labels stand in the middle of intervals of `interval` seconds, where bars are.
    """

    start: datetime
    end: datetime
    interval: float = 0


class Label(NamedTuple):
    """A label above the plot that belongs to a vertical line at `at`."""

    at: float
    text: str


@frozen
class Frame:
    """The plot area with its scales, in user units, and the markup around it."""

    left: float
    top: float
    right: float
    bottom: float
    height: float
    x: Scale
    y: Scale
    before: str
    """Gridlines, which marks cover."""
    after: str
    """Labels, titles and legend."""
    labels: tuple[tuple[Place, float], ...]
    """Places of the labels above the plot, with their baselines."""


def padded(low: float, high: float, smallest: float, *, from_zero: bool = False) -> tuple[float, float]:
    """An interval with both bounds, and zero if wanted; never empty, and not below zero for positive values."""
    if from_zero:
        low, high = min(low, 0), max(high, 0)
    if low == high:
        margin = max(abs(low) * 0.1, smallest)
        return (max(low - margin, 0) if low >= 0 else low - margin), high + margin
    # Differences that double-precision numbers cannot divide into ticks are noise.
    least = max(abs(low), abs(high), 1e-3) * 1e-9
    return (low, high) if high - low > least else (low - least, high + least)


def open_frame(
    size: Size,
    words: Words,
    formats: ChartFormats,
    x_axis: NumberAxis | TimeAxis,
    y_axis: NumberAxis,
    *,
    legend: Sequence[Legend] = (),
    labels: Sequence[Label] = (),
) -> Frame:
    """Lay out a chart: the y axis is extended to its outer ticks, the x axis is not."""
    y_ticks = number_ticks(y_axis.low, y_axis.high, size.y_ticks, formats.smallest_step(y_axis.unit), cover=True)
    y_labels = [formats.number(value, y_axis.unit, y_ticks.step) for value in y_ticks.values]
    left = min(max(map(text_width, y_labels)) + _GAP, size.width / 3)
    right = size.width - _RIGHT
    if isinstance(x_axis, TimeAxis):
        x = Scale(x_axis.start.timestamp(), x_axis.end.timestamp(), left, right)
    else:
        x = Scale(x_axis.low, x_axis.high, left, right)
    x_ticks = _fitting_ticks(formats, x_axis, x)

    parts = [text_element(0, FONT_SIZE, shorten(words.y_title, size.width), name="chart-title")]
    baseline = _draw_legend(parts, legend, size, FONT_SIZE + _LINE) if legend else FONT_SIZE
    places = place_labels([(x(label.at), _BOLD * text_width(label.text)) for label in labels], 0, size.width)
    label_places = tuple((place, baseline + 4 + (place.row + 1) * _LINE) for place in places)
    top = max((height for _, height in label_places), default=baseline) + 14
    bottom = top + size.height - 4 * _LINE
    y = Scale(y_ticks.values[0], y_ticks.values[-1], bottom, top)

    grid: list[str] = []
    for value, label in zip(y_ticks.values, y_labels, strict=True):
        height = y(value)
        # Values below zero need the axis where it is.
        name = "chart-axis" if value == 0 or (height == bottom and y_ticks.values[0] > 0) else "chart-grid"
        grid.append(line_element(left, height, right, height, name))
        parts.append(text_element(left - _GAP, height + 4, label, "end"))
    for at, label in x_ticks:
        grid.append(line_element(at, bottom, at, bottom + 4, "chart-axis"))
        parts.append(text_element(at, bottom + _LINE, label, "middle"))
    parts.append(
        text_element(
            (left + right) / 2, bottom + 2 * _LINE, shorten(words.x_title, size.width), "middle", "chart-title"
        )
    )
    return Frame(left, top, right, bottom, bottom + 2 * _LINE + 6, x, y, "".join(grid), "".join(parts), label_places)


def _fitting_ticks(formats: ChartFormats, axis: NumberAxis | TimeAxis, x: Scale) -> list[tuple[float, str]]:
    """Positions and labels of as many ticks as fit, of at most ten."""
    most = min(10, max(2, int((x.end - x.start) / 45)))
    found = _labelled_ticks(formats, axis, x, most)
    while most > 2 and not _fit(found):
        most -= 1
        found = _labelled_ticks(formats, axis, x, most)
    if not _fit(found):
        found = found[:1]
    # Labels are centred on their ticks, and may leave the plot only as far as the image reaches.
    return [
        (at, label)
        for at, label in found
        if text_width(label) / 2 <= at and at + text_width(label) / 2 <= x.end + _RIGHT
    ]


def _fit(ticks: Sequence[tuple[float, str]]) -> bool:
    """Whether neighbouring labels do not touch each other."""
    ends = [(at - text_width(label) / 2, at + text_width(label) / 2) for at, label in ticks]
    return all(end + _GAP <= begin for (_, end), (begin, _) in pairwise(ends))


def _labelled_ticks(formats: ChartFormats, axis: NumberAxis | TimeAxis, x: Scale, most: int) -> list[tuple[float, str]]:
    if isinstance(axis, TimeAxis):
        times: tuple[TimeTick, ...] = time_ticks(axis.start, axis.end, most)
        return [(x(at.timestamp() + axis.interval / 2), formats.time(at, precision)) for at, precision in times]
    ticks: NumberTicks = number_ticks(axis.low, axis.high, most, formats.smallest_step(axis.unit), cover=False)
    return [(x(value), formats.number(value, axis.unit, ticks.step)) for value in ticks.values]


def _draw_legend(parts: list[str], legend: Sequence[Legend], size: Size, baseline: float) -> float:
    """Append the entries, in lines from `baseline` on; return the baseline of the last line."""
    x = 0.0
    for label, symbol in legend:
        text = shorten(label, size.width - _SYMBOL)
        width = _SYMBOL + text_width(text)
        if x and x + width > size.width:
            x, baseline = 0.0, baseline + _LINE
        parts.append(f'<g transform="translate({coordinate(x)} {coordinate(baseline - 10)})">{symbol}</g>')
        parts.append(text_element(x + _SYMBOL, baseline, text))
        x += width + 2 * _GAP
    return baseline


def columns(frame: Frame, positions: Sequence[float]) -> Iterator[str]:
    """Invisible columns over the whole plot, each nearer to its position than to the others."""
    middles = [(one + other) / 2 for one, other in pairwise(positions)]
    top, height = coordinate(frame.top), coordinate(frame.bottom - frame.top)
    for begin, end in pairwise([frame.left, *middles, frame.right]):
        yield f'<rect class="chart-column" x="{begin:.4g}" y="{top}" width="{end - begin:.4g}" height="{height}"/>'


def close_frame(size: Size, words: Words, frame: Frame, marks: str) -> str:
    """The `svg` element of one size."""
    return svg_element(size, words, frame.height, f"{frame.before}{marks}{frame.after}")


def svg_element(size: Size, words: Words, height: float, content: str) -> str:
    """An image of `content` with the chart's title and description."""
    name = f"{words.chart_id}-{size.name}"
    return (
        f'<svg class="chart-image chart-{size.name}" viewBox="0 0 {coordinate(size.width)} {coordinate(height)}" '
        f'role="img" direction="ltr" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(words.title)}</title>'
        f'<desc id="{name}-description">{escape(words.description)}</desc>{content}</svg>'
    )


def both_sizes(draw: Callable[[Size], str]) -> Html:
    """The chart in both sizes, of which `charts.css` shows one."""
    return Html(f'<div class="chart">{draw(WIDE)}{draw(NARROW)}</div>')


def empty_chart(words: Words) -> Html:
    """A note instead of a chart without figures."""
    return Html(f'<div class="chart chart-empty"><p>{escape(words.empty)}</p></div>')
