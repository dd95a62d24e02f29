"""Figures over time: lines, steps or bars, compared with the period before."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

import attrs
from attrs import field, frozen

from adapters.web.charts.formats import ChartFormats, Precision, Unit
from adapters.web.charts.frame import (
    WIDE,
    Frame,
    Legend,
    NumberAxis,
    Size,
    TimeAxis,
    Words,
    both_sizes,
    check_figures,
    check_order,
    check_period,
    close_frame,
    columns,
    empty_chart,
    open_frame,
    padded,
)
from adapters.web.charts.lines import line_path, runs, step_path
from adapters.web.charts.markup import Html, dot_element, line_element, rect_element, tooltip_element, with_tooltip
from adapters.web.charts.table import MOST_ROWS, NO_FIGURE, ChartTable
from adapters.web.charts.thinning import pick

_MOST_POINTS: Final = 720
"""Points of a series: one for each unit of the width of the larger size."""
_DENSE: Final = 0.7
"""Points per user unit from which lines are thin, because thick ones would fill the plot."""
_NARROWEST_BAR: Final = 2.0
"""Width in user units of an interval below which lines replace bars."""


class Shape(StrEnum):
    """How the figures are drawn."""

    LINE = "line"
    STEP = "step"
    """A figure lasts until the next one, as prices do."""
    BARS = "bars"


class Point(NamedTuple):
    """The figure at `at`, or of the interval that begins then; None if there is none."""

    at: datetime
    value: float | None


def _check_points(instance: object, attribute: "attrs.Attribute[tuple[Point, ...]]", points: tuple[Point, ...]) -> None:
    check_figures(instance, attribute, (point.value for point in points))
    check_order(instance, attribute, [point.at for point in points])


@frozen
class Series:
    """`points` in ascending order of time."""

    label: str
    points: tuple[Point, ...] = field(validator=_check_points)


@frozen
class TimeSeriesChart:
    """
    Figures from `start` to `end`, `start` < `end`, both with time zone.

    `comparison` is drawn dashed, or as outlined bars, at its times plus `shift` by the clock of their time zone. With
    `from_zero`, the axis begins at zero; bars always do.
    """

    words: Words
    unit: Unit
    start: datetime
    end: datetime
    series: Series
    comparison: Series | None = None
    shift: timedelta = timedelta(0)
    shape: Shape = Shape.LINE
    precision: Precision = Precision.MOMENT
    """How tooltips and the table write times: DATE for days, MOMENT for hours."""
    from_zero: bool = True
    unfinished: datetime | None = None
    """The start of an interval that is not over: lines to its figure, and those after it, are dotted."""

    def __attrs_post_init__(self) -> None:
        check_period(self.start, self.end)


class _Moment(NamedTuple):
    """What the chart shows at a time, in seconds since the epoch: the point of either series, if it has one there."""

    at: float
    point: Point | None
    before: Point | None

    @property
    def value(self) -> float | None:
        """The figure of the series, or else of the comparison."""
        if self.point is not None and self.point.value is not None:
            return self.point.value
        return self.before.value if self.before is not None else None


_Timed = tuple[float, float | None]
"""Seconds since the epoch, and the figure then."""


@frozen
class _Content:
    """The points within the period, and the `values` that decide which moments are extremes."""

    moments: list[_Moment]
    values: list[float | None]
    line: list[_Timed]
    before: list[_Timed]


def _content(chart: TimeSeriesChart) -> _Content:
    merged: dict[float, tuple[Point | None, Point | None]] = {}
    line: list[_Timed] = []
    before: list[_Timed] = []
    for point in _within(chart.series, chart.start, chart.end):
        at = point.at.timestamp()
        line.append((at, point.value))
        merged[at] = (point, None)
    if chart.comparison is not None:
        for point in _within(chart.comparison, chart.start - chart.shift, chart.end - chart.shift):
            # By the clock: noon is compared with noon, even if clocks changed in between.
            at = (point.at + chart.shift).timestamp()
            before.append((at, point.value))
            merged[at] = (merged[at][0] if at in merged else None, point)
    moments = [_Moment(at, *merged[at]) for at in sorted(merged)]
    return _Content(moments, [moment.value for moment in moments], line, before)


def _within(series: Series, start: datetime, end: datetime) -> Sequence[Point]:
    """The points of the period, of which long series keep as many as a line can show."""

    def seconds(point: Point) -> float:
        return point.at.timestamp()

    begin = bisect_left(series.points, start.timestamp(), key=seconds)
    points = series.points[begin : bisect_right(series.points, end.timestamp(), key=seconds)]
    return pick(points, [value for _, value in points], _MOST_POINTS)


def render_time_series(chart: TimeSeriesChart, formats: ChartFormats) -> Html:
    """The chart in both sizes, or its note for empty data."""
    content = _content(chart)
    values = [value for _, value in (*content.line, *content.before) if value is not None]
    if not values:
        return empty_chart(chart.words)
    from_zero = chart.from_zero or chart.shape is Shape.BARS
    low, high = padded(min(values), max(values), formats.smallest_step(chart.unit), from_zero=from_zero)
    interval = _interval(chart, content) if chart.shape is Shape.BARS else 0
    tooltips = _tooltips(chart, formats, content)

    def draw(size: Size) -> str:
        x_axis = TimeAxis(chart.start, chart.end, interval)
        y_axis = NumberAxis(chart.unit, low, high)
        frame = open_frame(size, chart.words, formats, x_axis, y_axis, legend=_legend(chart))
        width = interval * (frame.right - frame.left) / (frame.x.high - frame.x.low)
        if width >= _NARROWEST_BAR:
            marks = _bars(chart, formats, frame, content, width)
        else:
            marks = _lines(chart, frame, content) + _columns(size, frame, tooltips)
        return close_frame(size, chart.words, frame, marks)

    return both_sizes(draw)


def _interval(chart: TimeSeriesChart, content: _Content) -> float:
    """Seconds from one bar to the next: the shortest distance of moments, or what is left for a single bar."""
    times = [moment.at for moment in content.moments]
    if len(times) == 1:
        return chart.end.timestamp() - times[0]
    return min(other - one for one, other in pairwise(times))


def _legend(chart: TimeSeriesChart) -> list[Legend]:
    if chart.comparison is None:
        return []
    if chart.shape is Shape.BARS:
        return [
            Legend(chart.series.label, rect_element(2, 1, 16, 10, "chart-bar")),
            Legend(chart.comparison.label, rect_element(2, 1, 16, 10, "chart-bar-before")),
        ]
    return [
        Legend(chart.series.label, line_element(0, 6, 20, 6, "chart-line")),
        Legend(chart.comparison.label, line_element(0, 6, 20, 6, "chart-line chart-before")),
    ]


def _lines(chart: TimeSeriesChart, frame: Frame, content: _Content) -> str:
    before = _line(chart, frame, content.before, "chart-line chart-before")
    if chart.unfinished is None:
        return before + _line(chart, frame, content.line, "chart-line")
    begin = chart.unfinished.timestamp()
    finished = [point for point in content.line if point[0] < begin]
    # The dotted line begins at the last figure that is complete.
    rest = finished[-1:] + content.line[len(finished) :]
    return (
        before + _line(chart, frame, finished, "chart-line") + _line(chart, frame, rest, "chart-line chart-unfinished")
    )


def _line(chart: TimeSeriesChart, frame: Frame, points: Sequence[_Timed], name: str) -> str:
    # One extreme per unit of width is as fine as screens show.
    kept = pick(points, [value for _, value in points], int(frame.right - frame.left))
    y = frame.y
    times = frame.x.positions([at for at, _ in kept])
    positions = [(at, None if value is None else y(value)) for at, (_, value) in zip(times, kept, strict=True)]
    path = step_path if chart.shape is Shape.STEP else line_path
    if len(positions) > _DENSE * (frame.right - frame.left):
        name = f"{name} chart-dense"
    parts: list[str] = []
    for run in runs(positions):
        if len(run) > 1:
            parts.append(f'<path class="{name}" d="{path(run)}"/>')
        else:
            parts.append(dot_element(*run[0]))
    return "".join(parts)


def _tooltip(chart: TimeSeriesChart, formats: ChartFormats, moment: _Moment) -> list[str]:
    return [
        f"{formats.time(point.at, chart.precision)}: {formats.number(point.value, chart.unit)}"
        for point in (moment.point, moment.before)
        if point is not None and point.value is not None
    ]


class _Tooltip(NamedTuple):
    """The tooltip of a moment, as an element; `value` decides whether the moment is an extreme."""

    moment: _Moment
    value: float | None
    element: str


def _tooltips(chart: TimeSeriesChart, formats: ChartFormats, content: _Content) -> list[_Tooltip]:
    """Tooltips for the larger size, of which the smaller one shows a part."""
    kept = pick(list(zip(content.moments, content.values, strict=True)), content.values, WIDE.tooltips)
    found = [(moment, value, _tooltip(chart, formats, moment)) for moment, value in kept]
    return [_Tooltip(moment, value, tooltip_element(lines)) for moment, value, lines in found if lines]


def _columns(size: Size, frame: Frame, tooltips: Sequence[_Tooltip]) -> str:
    """Invisible columns of the plot, which show a dot and a tooltip under the pointer."""
    shown = pick(tooltips, [tooltip.value for tooltip in tooltips], size.tooltips)
    positions = frame.x.positions([tooltip.moment.at for tooltip in shown])
    parts: list[str] = []
    for (moment, _, tooltip), at, column in zip(shown, positions, columns(frame, positions), strict=True):
        marks = column
        for point, name in ((moment.before, "chart-dot chart-dot-before"), (moment.point, "chart-dot")):
            if point is not None and point.value is not None:
                marks += dot_element(at, frame.y(point.value), name)
        parts.append(with_tooltip(marks, tooltip))
    return "".join(parts)


def _bars(chart: TimeSeriesChart, formats: ChartFormats, frame: Frame, content: _Content, slot: float) -> str:
    """Bars over the intervals of the points; `slot` is the width of an interval."""
    margin = min(slot * 0.1, 3)
    inset = margin if chart.comparison is None else margin + slot * 0.12
    zero = frame.y(0)
    parts: list[str] = []
    for moment in content.moments:
        at = frame.x(moment.at)
        width = min(slot, frame.right - at)
        marks = rect_element(at, frame.top, width, frame.bottom - frame.top, "chart-column")
        for point, name, space in (
            (moment.before, "chart-bar-before", margin),
            (moment.point, "chart-bar", inset),
        ):
            if point is not None and point.value is not None:
                height = frame.y(point.value)
                marks += rect_element(at + space, min(zero, height), width - 2 * space, abs(zero - height), name)
        lines = _tooltip(chart, formats, moment)
        if lines:
            parts.append(with_tooltip(marks, tooltip_element(lines), "chart-hit chart-hit-bar"))
    return "".join(parts)


def time_series_table(chart: TimeSeriesChart, formats: ChartFormats) -> ChartTable:
    """One row per moment, at most `MOST_ROWS`."""
    content = _content(chart)
    headers: tuple[str, ...] = (chart.words.x_title, chart.series.label)
    if chart.comparison is not None:
        headers += (chart.comparison.label,)

    def cell(point: Point | None) -> str:
        return NO_FIGURE if point is None or point.value is None else formats.number(point.value, chart.unit)

    rows: list[tuple[str, ...]] = []
    for moment in pick(content.moments, content.values, MOST_ROWS):
        at = datetime.fromtimestamp(moment.at, chart.start.tzinfo)
        row = (formats.time(at, chart.precision), cell(moment.point), cell(moment.before))
        rows.append(row[: len(headers)])
    return ChartTable(chart.words.title, headers, tuple(rows))
