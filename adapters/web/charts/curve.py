"""A learnt curve with its uncertainty: expected profit or units at each price, and what was observed."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from math import sqrt
from typing import Any, Final, NamedTuple

import attrs
from attrs import field, frozen

from adapters.web.charts.formats import ChartFormats, Unit
from adapters.web.charts.frame import (
    WIDE,
    Frame,
    Label,
    Legend,
    NumberAxis,
    Size,
    Words,
    both_sizes,
    check_figures,
    close_frame,
    columns,
    empty_chart,
    open_frame,
    padded,
)
from adapters.web.charts.lines import line_path
from adapters.web.charts.markup import (
    Html,
    coordinate,
    dot_element,
    line_element,
    rect_element,
    shorten,
    text_element,
    tooltip_element,
    with_tooltip,
)
from adapters.web.charts.table import MOST_ROWS, NO_FIGURE, ChartTable
from adapters.web.charts.thinning import pick

_LARGEST_RADIUS: Final = 11.0
_SMALLEST_RADIUS: Final = 2.5
_MOST_OBSERVATIONS: Final = 200
_WIDEST_LABEL: Final = 0.75
"""Share of the image that a label may cover; "Current, proposed $1,234.00" needs this share of the narrow image."""


class CurvePoint(NamedTuple):
    """The expected figure at `x`, and the bounds of its interval."""

    x: float
    low: float
    expected: float
    high: float


class Observation(NamedTuple):
    """A figure observed at `x`; the area of its point is proportional to `weight`, such as views; not negative."""

    x: float
    y: float
    weight: float


class LineKind(StrEnum):
    """What a vertical line marks; `charts.css` draws each in another way."""

    CURRENT = "current"
    PROPOSED = "proposed"
    BEST = "best"
    FLOOR = "floor"
    CEILING = "ceiling"


class VerticalLine(NamedTuple):
    """A line at `x`, such as the current price; its label gets the figure appended."""

    x: float
    label: str
    kind: LineKind


def _check_curve(
    instance: object, attribute: "attrs.Attribute[tuple[CurvePoint, ...]]", points: tuple[CurvePoint, ...]
) -> None:
    check_figures(instance, attribute, (figure for point in points for figure in point))
    if any(one.x >= other.x for one, other in pairwise(points)):
        raise ValueError(f"{attribute.name} must be in ascending order of x, without repetitions.")
    if any(not point.low <= point.expected <= point.high for point in points):
        raise ValueError(f"{attribute.name} must have low <= expected <= high.")


def _check_marks(instance: object, attribute: "attrs.Attribute[Any]", marks: Sequence[Any]) -> None:
    for mark in marks:
        check_figures(instance, attribute, (figure for figure in mark if isinstance(figure, int | float)))
        if isinstance(mark, Observation) and mark.weight < 0:
            raise ValueError(f"{attribute.name} must have weights of at least 0, not {mark.weight}.")


@frozen
class CurveChart:
    """
    Labels name the curve, the band around it, and the observed points with their weights.

    Points of `listed` are in the table only: their figures are too uncertain to be drawn and to set the scale.
    """

    words: Words
    x_unit: Unit
    y_unit: Unit
    curve: tuple[CurvePoint, ...] = field(validator=_check_curve)
    curve_label: str
    band_label: str
    lines: tuple[VerticalLine, ...] = field(default=(), validator=_check_marks)
    observed: tuple[Observation, ...] = field(default=(), validator=_check_marks)
    observed_label: str = ""
    weight_label: str = ""
    listed: tuple[Observation, ...] = field(default=(), validator=_check_marks)


def render_curve(chart: CurveChart, formats: ChartFormats) -> Html:
    """The chart in both sizes, or its note if there is neither a curve nor an observed point."""
    if not chart.curve and not chart.observed:
        return empty_chart(chart.words)
    xs = [x for x, *_ in chart.curve] + [x for x, *_ in chart.observed] + [x for x, *_ in chart.lines]
    ys = [figure for point in chart.curve for figure in (point.low, point.high)]
    ys += [point.y for point in chart.observed]
    x_low, x_high = padded(min(xs), max(xs), formats.smallest_step(chart.x_unit))
    # Space for points and lines at the edges.
    space = (x_high - x_low) * 0.02
    x_axis = NumberAxis(chart.x_unit, x_low - space, x_high + space)
    y_axis = NumberAxis(chart.y_unit, *padded(min(ys), max(ys), formats.smallest_step(chart.y_unit), from_zero=True))

    tooltips = _tooltips(chart, formats)

    lines = _labelled_lines(chart, formats)

    def draw(size: Size) -> str:
        labels = [Label(line.x, shorten(line.label, size.width * _WIDEST_LABEL)) for line in lines]
        frame = open_frame(size, chart.words, formats, x_axis, y_axis, legend=_legend(chart), labels=labels)
        marks = "".join(
            (
                _band_and_curve(chart, frame),
                _columns(size, frame, tooltips),
                _lines(lines, frame),
                _observed(chart, formats, frame),
                _line_labels(lines, frame, labels),
            )
        )
        return close_frame(size, chart.words, frame, marks)

    return both_sizes(draw)


def _legend(chart: CurveChart) -> list[Legend]:
    entries: list[Legend] = []
    if chart.curve:
        entries.append(Legend(chart.curve_label, line_element(0, 6, 20, 6, "chart-line")))
        entries.append(Legend(chart.band_label, rect_element(1, 0, 18, 12, "chart-band")))
    if chart.observed and chart.observed_label:
        entries.append(Legend(chart.observed_label, '<circle class="chart-observed" cx="10" cy="6" r="5"/>'))
    return entries


def _band_and_curve(chart: CurveChart, frame: Frame) -> str:
    kept = pick(chart.curve, [point.expected for point in chart.curve], int(frame.right - frame.left))
    if not kept:
        return ""
    x, y = frame.x, frame.y
    if len(kept) == 1:
        (point,) = kept
        at = x(point.x)
        return line_element(at, y(point.low), at, y(point.high), "chart-bounds") + dot_element(at, y(point.expected))
    outline = [(x(point.x), y(point.high)) for point in kept]
    outline += [(x(point.x), y(point.low)) for point in reversed(kept)]
    curve = [(x(point.x), y(point.expected)) for point in kept]
    return f'<path class="chart-band" d="{line_path(outline)}Z"/><path class="chart-line" d="{line_path(curve)}"/>'


def _tooltips(chart: CurveChart, formats: ChartFormats) -> list[tuple[CurvePoint, str]]:
    """Tooltips for the larger size, of which the smaller one shows a part; half as many, because they are long."""
    found: list[tuple[CurvePoint, str]] = []
    for point in pick(chart.curve, [point.expected for point in chart.curve], WIDE.tooltips // 2):
        low, expected, high = (formats.number(figure, chart.y_unit) for figure in point[1:])
        lines = (
            formats.number(point.x, chart.x_unit),
            f"{chart.curve_label}: {expected}",
            f"{chart.band_label}: {low} – {high}",
        )
        found.append((point, tooltip_element(lines)))
    return found


def _columns(size: Size, frame: Frame, tooltips: Sequence[tuple[CurvePoint, str]]) -> str:
    """Invisible columns, which show the expected figure under the pointer."""
    kept = pick(tooltips, [point.expected for point, _ in tooltips], size.tooltips // 2)
    positions = [frame.x(point.x) for point, _ in kept]
    if not kept:
        return ""
    return "".join(
        with_tooltip(column + dot_element(at, frame.y(point.expected)), tooltip)
        for (point, tooltip), at, column in zip(kept, positions, columns(frame, positions), strict=True)
    )


def _labelled_lines(chart: CurveChart, formats: ChartFormats) -> list[VerticalLine]:
    """The lines with their figures in their labels; lines of one figure share the first one's place and label."""
    words: dict[str, list[VerticalLine]] = {}
    for line in chart.lines:
        words.setdefault(formats.number(line.x, chart.x_unit), []).append(line)
    return [
        VerticalLine(
            first.x, f"{', '.join([first.label, *(line.label.lower() for line in others)])} {figure}", first.kind
        )
        for figure, (first, *others) in words.items()
    ]


def _lines(lines: Sequence[VerticalLine], frame: Frame) -> str:
    return "".join(
        line_element(
            place.line, baseline + 4, place.line, frame.bottom, f"chart-vertical chart-vertical-{line.kind.value}"
        )
        for line, (place, baseline) in zip(lines, frame.labels, strict=True)
    )


def _line_labels(lines: Sequence[VerticalLine], frame: Frame, labels: Sequence[Label]) -> str:
    """The labels, which are drawn above all lines, because a line may pass a label of a narrow chart."""
    parts: list[str] = []
    for line, label, (place, baseline) in zip(lines, labels, frame.labels, strict=True):
        # The middle of the label as estimated, so that errors of the estimate go to both sides.
        middle = (place.begin + place.end) / 2
        name = f"chart-text chart-label chart-text-{line.kind.value}"
        parts.append(text_element(middle, baseline, label.text, "middle", name))
    return "".join(parts)


def _observed(chart: CurveChart, formats: ChartFormats, frame: Frame) -> str:
    """Points of which the area is proportional to the weight; small ones are drawn last, above large ones."""
    heaviest = max((point.weight for point in chart.observed), default=0) or 1
    chosen = sorted(chart.observed, key=lambda point: -point.weight)[:_MOST_OBSERVATIONS]
    parts: list[str] = []
    for point in chosen:
        radius = max(_LARGEST_RADIUS * sqrt(point.weight / heaviest), _SMALLEST_RADIUS)
        circle = (
            f'<circle class="chart-observed" cx="{coordinate(frame.x(point.x))}" '
            f'cy="{coordinate(frame.y(point.y))}" r="{coordinate(radius)}"/>'
        )
        lines = [
            formats.number(point.x, chart.x_unit),
            f"{chart.observed_label}: {formats.number(point.y, chart.y_unit)}",
            f"{chart.weight_label}: {formats.number(point.weight, Unit.COUNT)}",
        ]
        parts.append(with_tooltip(circle, tooltip_element(lines), "chart-mark"))
    return "".join(parts)


def curve_table(chart: CurveChart, formats: ChartFormats) -> ChartTable:
    """The vertical lines, then the curve, then the observed points, thinned out to about `MOST_ROWS`."""

    def money(x: float) -> str:
        return formats.number(x, chart.x_unit)

    def figure(y: float) -> str:
        return formats.number(y, chart.y_unit)

    headers = [chart.words.x_title, chart.curve_label, chart.band_label]
    rows = [[f"{line.label} {money(line.x)}", NO_FIGURE, NO_FIGURE] for line in chart.lines]
    rows += [
        [money(point.x), figure(point.expected), f"{figure(point.low)} – {figure(point.high)}"]
        for point in pick(chart.curve, [point.expected for point in chart.curve], MOST_ROWS // 2)
    ]
    observed = chart.observed + chart.listed
    if observed:
        headers += [chart.observed_label, chart.weight_label]
        rows = [[*row, NO_FIGURE, NO_FIGURE] for row in rows]
        heaviest = sorted(observed, key=lambda point: -point.weight)[: MOST_ROWS // 2]
        rows += [
            [money(point.x), NO_FIGURE, NO_FIGURE, figure(point.y), formats.number(point.weight, Unit.COUNT)]
            for point in sorted(heaviest)
        ]
    return ChartTable(chart.words.title, tuple(headers), tuple(map(tuple, rows)))
