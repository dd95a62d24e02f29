"""Horizontal bars, such as the products with the highest revenue."""

from typing import Final, NamedTuple

import attrs
from attrs import field, frozen

from adapters.web.charts.formats import ChartFormats, Unit
from adapters.web.charts.frame import NARROW, Scale, Size, Words, both_sizes, check_figures, empty_chart, svg_element
from adapters.web.charts.markup import (
    FONT_SIZE,
    Html,
    isolate,
    line_element,
    rect_element,
    shorten,
    text_element,
    text_width,
    tooltip_element,
    with_tooltip,
)
from adapters.web.charts.table import ChartTable

MOST_BARS: Final = 50
_GAP: Final = 8.0
_BAR: Final = 16.0


class RankedBar(NamedTuple):
    """One row: a name and its figure."""

    label: str
    value: float


def _check_bars(
    instance: object, attribute: "attrs.Attribute[tuple[RankedBar, ...]]", bars: tuple[RankedBar, ...]
) -> None:
    check_figures(instance, attribute, (bar.value for bar in bars))
    if len(bars) > MOST_BARS:
        raise ValueError(f"{attribute.name} must have at most {MOST_BARS} bars, not {len(bars)}.")


@frozen
class RankingChart:
    """Bars from top to bottom in the given order, with their figures beside them; at most `MOST_BARS`."""

    words: Words
    unit: Unit
    bars: tuple[RankedBar, ...] = field(validator=_check_bars)


def render_ranking(chart: RankingChart, formats: ChartFormats) -> Html:
    """The chart in both sizes, or its note for empty data."""
    if not chart.bars:
        return empty_chart(chart.words)
    figures = [formats.number(bar.value, chart.unit) for bar in chart.bars]
    return both_sizes(lambda size: _draw(chart, figures, size))


def _draw(chart: RankingChart, figures: list[str], size: Size) -> str:
    # On narrow screens, names stand above their bars.
    is_stacked = size is NARROW
    room = size.width * (0.95 if is_stacked else 0.35)
    left = 0.0 if is_stacked else min(max(text_width(bar.label) for bar in chart.bars), room) + _GAP
    row = _BAR + (FONT_SIZE + 10 if is_stacked else 10)
    widest = min(max(map(text_width, figures)), size.width / 3)
    low, high = min(0, *(bar.value for bar in chart.bars)), max(0, *(bar.value for bar in chart.bars))
    # Figures of negative bars stand at their left ends.
    begin = left + (widest + _GAP if low < 0 else 0)
    # Figures that are all zero, or as good as zero, need a scale, too.
    x = Scale(low, high if high - low > 1e-9 else low + 1, begin, size.width - widest - _GAP)
    zero = x(0)
    top = FONT_SIZE + 12
    parts = [text_element(0, FONT_SIZE, shorten(chart.words.x_title, size.width), name="chart-title")]
    for index, (bar, figure) in enumerate(zip(chart.bars, figures, strict=True)):
        y = top + index * row + (FONT_SIZE + 4 if is_stacked else 0)
        end = x(bar.value)
        if is_stacked:
            label = text_element(0, y - 4, shorten(bar.label, room))
        else:
            label = text_element(left - _GAP, y + 12, shorten(bar.label, room), "end")
        marks = rect_element(0, y - (row - _BAR) / 2, size.width, row, "chart-column")
        # A figure other than zero stays visible.
        length = max(abs(end - zero), 1 if bar.value else 0)
        marks += rect_element(zero - (length if bar.value < 0 else 0), y, length, _BAR, "chart-bar")
        marks += (
            text_element(end - 6, y + 12, figure, "end") if bar.value < 0 else text_element(end + 6, y + 12, figure)
        )
        if is_stacked:
            # A line from top to bottom would cross the names.
            marks += line_element(zero, y, zero, y + _BAR, "chart-axis")
        parts.append(
            with_tooltip(marks + label, tooltip_element([f"{isolate(bar.label)}: {figure}"]), "chart-hit chart-hit-bar")
        )
    bottom = top + len(chart.bars) * row
    if not is_stacked:
        parts.append(line_element(zero, top - 4, zero, bottom - 4, "chart-axis"))
    return svg_element(size, chart.words, bottom, "".join(parts))


def ranking_table(chart: RankingChart, formats: ChartFormats) -> ChartTable:
    """One row per bar."""
    return ChartTable(
        chart.words.title,
        (chart.words.y_title, chart.words.x_title),
        tuple((bar.label, formats.number(bar.value, chart.unit)) for bar in chart.bars),
    )
