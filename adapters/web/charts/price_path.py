"""The price of a product over time: why it moved, promotions, floor and ceiling."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise, product
from types import MappingProxyType
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
    empty_chart,
    open_frame,
    padded,
)
from adapters.web.charts.label_rows import Box, free_box
from adapters.web.charts.lines import step_path
from adapters.web.charts.markup import (
    Html,
    coordinate,
    isolate,
    line_element,
    rect_element,
    shorten,
    text_element,
    text_width,
    tooltip_element,
    with_tooltip,
)
from adapters.web.charts.table import MOST_ROWS, NO_FIGURE, ChartTable
from adapters.web.charts.thinning import pick
from scalecommerce_core.domain.product import PriceCause

_LINE: Final = 14.0
"""Distance of the labels of levels."""
_ASCENT: Final = 10.0
_DESCENT: Final = 3.0
"""Heights of a label above and below its baseline."""
_ABOVE: Final = 4.0
_BELOW: Final = 13.0
"""Distances of the baseline of a label from the line above or below which it stands."""
_MARKER: Final = 5.5
"""Half of the height and of the width of a marker."""
_MOST_LABEL_STEPS: Final = 6
_STRIP: Final = 5.0
"""Height of the strip of a promotion."""
_MARKER_DISTANCE: Final = 9.0
"""Markers of one cause that are nearer to each other than this cover each other."""

_DISC: Final = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z"
_SQUARE: Final = "M-4 -4H4V4H-4Z"
_DIAMOND: Final = "M0 -5.5L5.5 0L0 5.5L-5.5 0Z"
_UP: Final = "M0 -5.5L5.5 4.5H-5.5Z"
_DOWN: Final = "M0 5.5L5.5 -4.5H-5.5Z"
_CROSS: Final = "M-5.5 -3.5L-3.5 -5.5L0 -2L3.5 -5.5L5.5 -3.5L2 0L5.5 3.5L3.5 5.5L0 2L-3.5 5.5L-5.5 3.5L-2 0Z"
_FLAG: Final = "M-4.5 -4.5H4.5L1 0L4.5 4.5H-4.5Z"
_PLUS: Final = "M-1.7 -5.5H1.7V-1.7H5.5V1.7H1.7V5.5H-1.7V1.7H-5.5V-1.7H-1.7Z"

MARKERS: Final = MappingProxyType(
    {
        PriceCause.LISTED: _PLUS,
        PriceCause.MANUAL: _SQUARE,
        PriceCause.POLICY: _DISC,
        PriceCause.IMPORT: _DIAMOND,
        PriceCause.ROLLBACK: _CROSS,
        PriceCause.WITHDRAWAL: _DOWN,
        PriceCause.PROMOTION: _FLAG,
        PriceCause.PROMOTION_END: _UP,
    }
)
"""The shape of each cause, as path data around the origin; `charts.css` adds colours."""


class PriceMove(NamedTuple):
    """The price from `at` on; `reason` is a sentence for the tooltip, such as the policy's, or empty."""

    at: datetime
    price: float
    cause: PriceCause
    reason: str = ""


class PromotionSpan(NamedTuple):
    """A promotion from `start` to `end`."""

    start: datetime
    end: datetime
    label: str


class PriceLevel(NamedTuple):
    """A horizontal line, such as the floor."""

    price: float
    label: str


def _check_moves(
    instance: object, attribute: "attrs.Attribute[tuple[PriceMove, ...]]", moves: tuple[PriceMove, ...]
) -> None:
    check_figures(instance, attribute, (move.price for move in moves))
    check_order(instance, attribute, [move.at for move in moves])


@frozen
class PricePathChart:
    """
    Prices from `start` to `end`, `start` < `end`, both with time zone.

    A move before `start` gives the price at `start`. `causes` has the word for each cause that occurs. Levels far from
    all prices are not drawn, because they would flatten the path; a note with an arrow names them instead.
    """

    words: Words
    start: datetime
    end: datetime
    moves: tuple[PriceMove, ...] = field(validator=_check_moves)
    causes: dict[PriceCause, str]
    price_label: str
    cause_label: str
    promotions: tuple[PromotionSpan, ...] = ()
    promotion_label: str = ""
    levels: tuple[PriceLevel, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_period(self.start, self.end)
        if missing := {move.cause for move in self.moves} - self.causes.keys():
            raise ValueError(f"causes needs a word for {', '.join(sorted(missing))}.")


def _visible_moves(chart: PricePathChart) -> list[PriceMove]:
    """Moves of the period, and the last one before it."""
    moves = [move for move in chart.moves if move.at <= chart.end]
    earlier = [move for move in moves if move.at < chart.start]
    return earlier[-1:] + moves[len(earlier) :]


def render_price_path(chart: PricePathChart, formats: ChartFormats) -> Html:
    """The chart in both sizes, or its note for empty data."""
    moves = _visible_moves(chart)
    if not moves:
        return empty_chart(chart.words)
    prices = [move.price for move in moves]
    low, high = padded(min(prices), max(prices), formats.smallest_step(Unit.MONEY))
    reach = max((high - low) * 1.5, high * 0.25)
    near = [level for level in chart.levels if low - reach <= level.price <= high + reach]
    far = [level for level in chart.levels if level not in near]
    low, high = min(low, *(level.price for level in near), low), max(high, *(level.price for level in near), high)

    shown = pick(moves, prices, WIDE.tooltips)
    tooltips = [(move, _tooltip(chart, formats, move)) for move in shown]

    def draw(size: Size) -> str:
        frame = open_frame(
            size,
            chart.words,
            formats,
            TimeAxis(chart.start, chart.end),
            NumberAxis(Unit.MONEY, low, high),
            legend=_legend(chart, moves),
        )
        shades, strips = _promotions(chart, formats, frame)
        marks = "".join(
            (
                shades,
                _path(chart, size, frame, moves),
                _levels(formats, frame, near, far, _path_boxes(chart, frame, moves)),
                _columns(chart, size, frame, tooltips),
                strips,
                _markers(chart, formats, size, frame, moves),
            )
        )
        return close_frame(size, chart.words, frame, marks)

    return both_sizes(draw)


def _marker(cause: PriceCause, x: float, y: float) -> str:
    return (
        f'<path class="chart-move chart-move-{cause.value.replace("_", "-")}" d="{MARKERS[cause]}" '
        f'transform="translate({coordinate(x)} {coordinate(y)})"/>'
    )


def _legend(chart: PricePathChart, moves: Sequence[PriceMove]) -> list[Legend]:
    present = {move.cause for move in moves if move.at >= chart.start}
    entries = [Legend(chart.causes[cause], _marker(cause, 10, 6)) for cause in PriceCause if cause in present]
    if chart.promotions and chart.promotion_label:
        entries.append(Legend(chart.promotion_label, rect_element(2, 0, 16, 12, "chart-promotion")))
    return entries


def _promotions(chart: PricePathChart, formats: ChartFormats, frame: Frame) -> tuple[str, str]:
    """Shades of the promotions, and strips above them with tooltips, which columns must not cover."""
    shades: list[str] = []
    strips: list[str] = []
    for start, end, label in chart.promotions:
        begin = frame.x(max(start, chart.start).timestamp())
        width = frame.x(min(end, chart.end).timestamp()) - begin
        if width > 0:
            width = max(width, 1)
            shades.append(rect_element(begin, frame.top, width, frame.bottom - frame.top, "chart-promotion"))
            strip = rect_element(begin, frame.top, width, _STRIP, "chart-promotion-strip")
            times = f"{formats.time(start, Precision.MOMENT)} – {formats.time(end, Precision.MOMENT)}"
            strips.append(with_tooltip(strip, tooltip_element([isolate(label), times]), "chart-span"))
    return "".join(shades), "".join(strips)


def _levels(
    formats: ChartFormats, frame: Frame, near: Sequence[PriceLevel], far: Sequence[PriceLevel], path: Sequence[Box]
) -> str:
    """Lines of the levels that are `near`, and labels of all, where neither the `path` nor another line passes."""
    lines: list[str] = []
    heights = [frame.y(level.price) for level in near]
    taken = [*path, *(Box(frame.left, y, frame.right, y) for y in heights)]
    wanted: list[tuple[float, float, str]] = []
    for y, (price, label) in zip(heights, near, strict=True):
        lines.append(line_element(frame.left, y, frame.right, y, "chart-level"))
        wanted.append((y - _ABOVE, y + _BELOW, f"{label} {formats.number(price, Unit.MONEY)}"))
    for price, label in far:
        is_below = price < frame.y.low
        baseline = frame.bottom - _ABOVE if is_below else frame.top + _LINE + _STRIP
        text = f"{'↓' if is_below else '↑'} {label} {formats.number(price, Unit.MONEY)}"
        wanted.append((baseline, baseline, text))
    texts: list[str] = []
    for above, below, text in sorted(wanted):
        shown = shorten(text, frame.right - frame.left)
        box = _label_box(frame, above, below, text_width(shown), taken)
        taken.append(box)
        texts.append(text_element(box.right, box.bottom - _DESCENT, shown, "end", "chart-text chart-label"))
    return "".join(lines + texts)


def _label_box(frame: Frame, above: float, below: float, width: float, taken: Sequence[Box]) -> Box:
    """
    The place of a label whose baseline is `above` or `below` its line: at the right end, in the middle or at the left
    end, otherwise above or below.
    """
    top, bottom = frame.top + _LINE + _STRIP, frame.bottom - _ABOVE

    def place(right: float, baseline: float) -> Box:
        baseline = max(top, min(baseline, bottom))
        return Box(right - width, baseline - _ASCENT, right, baseline + _DESCENT)

    left = frame.left + width + _ABOVE
    rights = [frame.right, *(right for right in ((frame.right + left) / 2, left) if right < frame.right)]
    steps = [above + sign * _LINE * step for step in range(1, _MOST_LABEL_STEPS) for sign in (-1, 1)]
    boxes = [place(right, baseline) for baseline, right in product((above, below), rights)]
    boxes += [place(right, baseline) for baseline, right in product(steps, rights)]
    return free_box(boxes, taken)


def _path_boxes(chart: PricePathChart, frame: Frame, moves: Sequence[PriceMove]) -> list[Box]:
    """What the path and its markers cover."""
    positions = [_position(chart, frame, move) for move in moves]
    boxes: list[Box] = []
    for (begin, y), (end, other) in pairwise([*positions, (frame.right, positions[-1][1])]):
        boxes.append(Box(begin - _MARKER, y - _MARKER, end, y + _MARKER))
        boxes.append(Box(end - 1, min(y, other), end + 1, max(y, other)))
    return boxes


def _position(chart: PricePathChart, frame: Frame, move: PriceMove) -> tuple[float, float]:
    return frame.x(max(move.at, chart.start).timestamp()), frame.y(move.price)


def _path(chart: PricePathChart, size: Size, frame: Frame, moves: Sequence[PriceMove]) -> str:
    kept = pick(moves, [move.price for move in moves], int(size.width))
    positions = [_position(chart, frame, move) for move in kept]
    positions.append((frame.right, positions[-1][1]))
    return f'<path class="chart-line" d="{step_path(positions)}"/>'


def _tooltip(chart: PricePathChart, formats: ChartFormats, move: PriceMove) -> str:
    lines = [
        f"{formats.time(move.at, Precision.MOMENT)}: {formats.number(move.price, Unit.MONEY)}",
        chart.causes[move.cause],
    ]
    return tooltip_element([*lines, move.reason] if move.reason else lines)


def _columns(chart: PricePathChart, size: Size, frame: Frame, tooltips: Sequence[tuple[PriceMove, str]]) -> str:
    """Invisible columns from each move to the next, with its tooltip; long paths show their extremes."""
    kept = pick(tooltips, [move.price for move, _ in tooltips], size.tooltips)
    positions = [*(_position(chart, frame, move) for move, _ in kept), (frame.right, 0.0)]
    parts: list[str] = []
    for (_, tooltip), ((begin, y), (end, _)) in zip(kept, pairwise(positions), strict=True):
        marks = rect_element(begin, frame.top, end - begin, frame.bottom - frame.top, "chart-column")
        marks += line_element(begin, y, end, y, "chart-emphasis")
        parts.append(with_tooltip(marks, tooltip))
    return "".join(parts)


def _markers(chart: PricePathChart, formats: ChartFormats, size: Size, frame: Frame, moves: Sequence[PriceMove]) -> str:
    """
    Markers of the moves in the period. Of many moves with the same cause, those that are extremes get one, and of
    neighbours that would cover each other the first, so that rare causes stay visible.
    """
    parts: list[str] = []
    for cause in PriceCause:
        same = [move for move in moves if move.cause is cause and move.at >= chart.start]
        last: tuple[float, float] | None = None
        for move in pick(same, [move.price for move in same], size.tooltips // 2):
            x, y = _position(chart, frame, move)
            if last and abs(x - last[0]) < _MARKER_DISTANCE and abs(y - last[1]) < _MARKER_DISTANCE:
                continue
            last = x, y
            parts.append(with_tooltip(_marker(cause, x, y), _tooltip(chart, formats, move), "chart-mark"))
    return "".join(parts)


def price_path_table(chart: PricePathChart, formats: ChartFormats) -> ChartTable:
    """One row per move, thinned out to about `MOST_ROWS`."""
    moves = _visible_moves(chart)
    rows = tuple(
        (
            formats.time(move.at, Precision.MOMENT),
            formats.number(move.price, Unit.MONEY),
            " ".join(part for part in (chart.causes[move.cause], move.reason) if part) or NO_FIGURE,
        )
        for move in pick(moves, [move.price for move in moves], MOST_ROWS)
    )
    return ChartTable(chart.words.title, (chart.words.x_title, chart.price_label, chart.cause_label), rows)
