"""All kinds of charts: geometry, escaping, gaps, extremes, accessibility, content security policy."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.curve import (
    CurveChart,
    CurvePoint,
    LineKind,
    Observation,
    VerticalLine,
    curve_table,
    render_curve,
)
from adapters.web.charts.formats import Precision, Unit
from adapters.web.charts.frame import Words
from adapters.web.charts.label_rows import Box
from adapters.web.charts.markup import text_width
from adapters.web.charts.price_path import (
    MARKERS,
    PriceLevel,
    PriceMove,
    PricePathChart,
    PromotionSpan,
    price_path_table,
    render_price_path,
)
from adapters.web.charts.ranking import MOST_BARS, RankedBar, RankingChart, ranking_table, render_ranking
from adapters.web.charts.sparkline import Sparkline, render_sparkline
from adapters.web.charts.table import MOST_ROWS, ChartTable
from adapters.web.charts.time_series import (
    Point,
    Series,
    Shape,
    TimeSeriesChart,
    render_time_series,
    time_series_table,
)
from scalecommerce_core.domain.product import PriceCause
from tests.unit.support.svg_images import images, mark_positions, path_positions, plot_area, texts, tooltips, with_class

FORMATS: Final = BabelFormats(Locale.parse("en"), "EUR")
START: Final = datetime(2026, 5, 11, tzinfo=UTC)
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MARKUP: Final = "</text><script>alert('x')</script>&amp;\"\u202e מק"
CAUSES: Final = {cause: cause.value for cause in PriceCause}
STYLES: Final = Path("adapters/web/static/charts.css")


def words(text: str = "") -> Words:
    return Words("revenue", "Revenue" + text, "By hour" + text, "No data yet." + text, "Time" + text, "Money" + text)


def time_series(
    values: list[float | None], *, shape: Shape = Shape.LINE, step: timedelta = HOUR, text: str = ""
) -> TimeSeriesChart:
    points = tuple(Point(START + step * index, value) for index, value in enumerate(values))
    end = START + step * max(len(values), 1)
    return TimeSeriesChart(words(text), Unit.MONEY, START, end, Series("This week" + text, points), shape=shape)


def compared(
    values: list[float | None], before: list[float | None], *, shape: Shape, text: str = ""
) -> TimeSeriesChart:
    chart = time_series(values, shape=shape, text=text)
    shift = chart.end - chart.start
    points = tuple(Point(START - shift + HOUR * index, value) for index, value in enumerate(before))
    return TimeSeriesChart(
        chart.words, chart.unit, chart.start, chart.end, chart.series, Series("Before" + text, points), shift, shape
    )


def price_path(prices: list[float], *, text: str = "", levels: tuple[PriceLevel, ...] = ()) -> PricePathChart:
    causes = list(PriceCause)
    moves = tuple(
        PriceMove(START + HOUR * (7 * index - 9), price, causes[index % len(causes)], "Reason" + text)
        for index, price in enumerate(prices)
    )
    return PricePathChart(
        words(text),
        START,
        START + HOUR * max(7 * len(prices), 1),
        moves,
        {cause: word + text for cause, word in CAUSES.items()},
        "Price" + text,
        "Cause" + text,
        (PromotionSpan(START - DAY, START + HOUR, "Sale" + text), PromotionSpan(START + DAY, START + 2 * DAY, "Sale")),
        "Promotion" + text,
        levels,
    )


def curve(heights: list[float], *, text: str = "", lines: tuple[VerticalLine, ...] = ()) -> CurveChart:
    return CurveChart(
        words(text),
        Unit.MONEY,
        Unit.MONEY,
        tuple(CurvePoint(8 + index / 2, height - 3, height, height + 2.5) for index, height in enumerate(heights)),
        "Expected" + text,
        "80 %" + text,
        lines,
        tuple(Observation(8.25 + index / 2, height * 1.1, index * 10) for index, height in enumerate(heights[:40])),
        "Observed" + text,
        "Views" + text,
    )


def ranking(values: list[float], text: str = "") -> RankingChart:
    bars = tuple(RankedBar(f"Product {index}{text}", value) for index, value in enumerate(values))
    return RankingChart(words(text), Unit.MONEY, bars)


@cache
def rendered(text: str = "") -> dict[str, str]:
    """One chart of each kind, with `text` in all words."""
    values: list[float | None] = [3, None, 5, 1.5, None, None, 4, 4]
    lines = tuple(VerticalLine(9 + index / 3, kind.value + text, kind) for index, kind in enumerate(LineKind))
    levels = (PriceLevel(8, "Floor" + text), PriceLevel(9e6, "Ceiling" + text))
    prices = [12.0, 11, 13, 10.5, 9, 14, 12, 12, 11, 10]
    return {
        "lines": render_time_series(compared(values, [*values[::-1]], shape=Shape.LINE, text=text), FORMATS),
        "steps": render_time_series(time_series(values, shape=Shape.STEP, text=text), FORMATS),
        "bars": render_time_series(compared(values, [*values[::-1]], shape=Shape.BARS, text=text), FORMATS),
        "price path": render_price_path(price_path(prices, text=text, levels=levels), FORMATS),
        "curve": render_curve(curve([1, 4, 6, 7, 6, 3, 1], text=text, lines=lines), FORMATS),
        "ranking": render_ranking(ranking([9, 4, 0], text), FORMATS),
        "sparkline": render_sparkline(Sparkline("Orders" + text, (1, 4, None, 2), "None" + text)),
        "empty": render_time_series(time_series([], text=text), FORMATS),
    }


def assert_marks_lie_in_the_plot(image: Element) -> None:
    left, top, right, bottom = plot_area(image)
    positions = mark_positions(image)
    assert positions
    # Coordinates have four digits.
    assert [(x, y) for x, y in positions if not (left - 0.2 <= x <= right + 0.2)] == []
    assert [(x, y) for x, y in positions if not (top - 0.2 <= y <= bottom + 0.2)] == []


figures = st.floats(-1e15, 1e15) | st.integers(-100, 100).map(float) | st.floats(-1, 1)
gappy = st.lists(st.none() | figures, min_size=1, max_size=60).filter(lambda values: set(values) != {None})


@given(gappy, st.sampled_from(Shape), st.booleans())
def test_time_series_stay_in_the_plot(values: list[float | None], shape: Shape, compare: bool) -> None:
    chart = compared(values, values[::-1], shape=shape) if compare else time_series(values, shape=shape)
    found = images(render_time_series(chart, FORMATS))
    assert set(found) == {"wide", "narrow"}
    for image in found.values():
        assert_marks_lie_in_the_plot(image)


@given(st.lists(st.floats(0.01, 1e9), min_size=1, max_size=60), st.lists(st.floats(0.01, 1e9), max_size=2))
def test_price_paths_stay_in_the_plot(prices: list[float], levels: list[float]) -> None:
    chart = price_path(prices, levels=tuple(PriceLevel(price, "Level") for price in levels))
    for image in images(render_price_path(chart, FORMATS)).values():
        assert_marks_lie_in_the_plot(image)


@given(
    st.lists(figures.filter(lambda y: abs(y) < 1e14), min_size=1, max_size=60), st.lists(st.floats(1, 1e6), max_size=5)
)
def test_curves_and_observations_stay_in_the_plot(heights: list[float], prices: list[float]) -> None:
    lines = tuple(VerticalLine(price, "Line", kind) for price, kind in zip(prices, LineKind, strict=False))
    for image in images(render_curve(curve(heights, lines=lines), FORMATS)).values():
        assert_marks_lie_in_the_plot(image)
        left, _, right, _ = plot_area(image)
        assert all(left <= float(line.attrib["x1"]) <= right for line in with_class(image, "chart-vertical"))


@given(st.lists(figures, min_size=1, max_size=20))
def test_bars_of_rankings_begin_at_zero_and_stay_in_the_image(values: list[float]) -> None:
    for image in images(render_ranking(ranking(values), FORMATS)).values():
        width = float(image.attrib["viewBox"].split()[2])
        zero = next(with_class(image, "chart-axis")).attrib["x1"]
        for bar, value in zip(with_class(image, "chart-bar"), values, strict=True):
            begin, length = float(bar.attrib["x"]), float(bar.attrib["width"])
            assert 0 <= begin <= begin + length <= width + 1.2
            assert begin + (length if value < 0 else 0) == pytest.approx(float(zero), abs=0.11)


@given(gappy)
def test_sparklines_stay_in_their_box(values: list[float | None]) -> None:
    (image,) = images(render_sparkline(Sparkline("Orders", tuple(values), "-"))).values()
    assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in mark_positions(image))


@pytest.mark.parametrize("kind", rendered())
def test_texts_with_markup_are_text(kind: str) -> None:
    markup = rendered(MARKUP)[kind]
    assert "<script" not in markup
    assert "&lt;script&gt;" in markup
    for image in images(markup).values():
        assert not list(image.iter("script"))


@pytest.mark.parametrize("kind", rendered())
def test_charts_need_no_inline_styles_or_scripts(kind: str) -> None:
    markup = rendered()[kind]
    assert re.findall(r"\s(style|on\w+|href|xlink:href)\s*=|<(style|script|image|use|foreignObject)\b", markup) == []


@pytest.mark.parametrize("kind", rendered())
def test_each_class_has_a_style(kind: str) -> None:
    styled = set(re.findall(r"\.(chart[\w-]*)", STYLES.read_text()))
    # These keep the style of the class beside them, or are groups, which are styled by what they contain.
    unstyled = {"chart-move-policy", "chart-text-floor", "chart-text-ceiling", "chart-span", "chart-hit-bar"}
    used = {name for names in re.findall(r'class="([^"]*)"', rendered()[kind]) for name in names.split()}
    assert used - styled <= unstyled


def test_the_style_sheet_loads_nothing() -> None:
    assert re.findall(r"url\(|@import", STYLES.read_text()) == []


@pytest.mark.parametrize("kind", sorted(rendered().keys() - {"sparkline", "empty"}))
def test_images_have_a_title_and_a_description_with_unique_ids(kind: str) -> None:
    ids: list[str] = []
    for image in images(rendered()[kind]).values():
        assert image.attrib["role"] == "img"
        title, description = image.attrib["aria-labelledby"].split()
        by_id = {element.attrib["id"]: element for element in image.iter() if "id" in element.attrib}
        assert (by_id[title].text, by_id[description].text) == ("Revenue", "By hour")
        # Assistive technology treats what is in an image as a whole, so nothing in it may take the focus.
        assert not [element for element in image.iter() if "tabindex" in element.attrib]
        ids += by_id
    assert len(ids) == len(set(ids)) == 4


def test_sparklines_have_a_label() -> None:
    (image,) = images(rendered()["sparkline"]).values()
    assert (image.attrib["role"], image.attrib["aria-label"]) == ("img", "Orders")


@pytest.mark.parametrize(
    "render",
    [
        lambda: render_time_series(time_series([]), FORMATS),
        lambda: render_time_series(time_series([None, None]), FORMATS),
        lambda: render_price_path(price_path([]), FORMATS),
        lambda: render_curve(curve([]), FORMATS),
        lambda: render_ranking(ranking([]), FORMATS),
    ],
)
def test_charts_without_figures_say_so(render: Callable[[], str]) -> None:
    assert render() == '<div class="chart chart-empty"><p>No data yet.</p></div>'
    assert "no orders" in render_sparkline(Sparkline("Orders", (None,), "no orders"))


def test_gaps_interrupt_lines_and_single_points_become_dots() -> None:
    image = images(render_time_series(time_series([1, 2, None, 3, None, 4, 5]), FORMATS))["wide"]
    assert len(list(with_class(image, "chart-line"))) == 2
    assert len([child for child in image if child.tag == "circle"]) == 1


def test_an_unfinished_interval_ends_a_dotted_line() -> None:
    chart = evolve(time_series([1, 2, 3, 1]), unfinished=START + 3 * HOUR)
    for image in images(render_time_series(chart, FORMATS)).values():
        whole, dotted = (path_positions(line.attrib["d"]) for line in with_class(image, "chart-line"))
        assert (len(whole), len(dotted)) == (3, 2)
        assert whole[-1] == dotted[0]
    only = evolve(time_series([1]), unfinished=START)
    assert "chart-line" not in render_time_series(only, FORMATS)


def test_steps_last_until_the_next_point() -> None:
    image = images(render_time_series(time_series([1, 3], shape=Shape.STEP), FORMATS))["wide"]
    (line,) = with_class(image, "chart-line")
    assert re.fullmatch(r"M[\d.]+ [\d.]+H[\d.]+V[\d.]+", line.attrib["d"])


def test_the_comparison_is_dashed_and_stands_at_the_same_clock_times() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # Clocks change on 29 March.
    start = datetime(2026, 3, 30, tzinfo=berlin)
    now = tuple(Point(start + HOUR * hour, 1.0) for hour in range(24))
    before = tuple(Point(start - 7 * DAY + HOUR * hour, 2.0) for hour in range(24))
    chart = TimeSeriesChart(
        words(), Unit.MONEY, start, start + DAY, Series("Now", now), Series("Before", before), 7 * DAY
    )
    image = images(render_time_series(chart, FORMATS))["wide"]
    assert len(list(with_class(image, "chart-before"))) == 2  # in the legend and in the plot
    noon = [text for text in tooltips(image) if "12:00\u202fPM" in text]
    assert noon == ["Mar 30, 2026 12:00\u202fPM: €1.00\nMar 23, 2026 12:00\u202fPM: €2.00"]


def test_hours_that_clocks_repeat_are_two_points() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 25, tzinfo=berlin)
    points = tuple(Point((start.astimezone(UTC) + HOUR * hour).astimezone(berlin), float(hour)) for hour in range(25))
    chart = TimeSeriesChart(words(), Unit.COUNT, start, start + DAY, Series("Orders", points))
    assert len(time_series_table(chart, FORMATS).rows) == 25


def test_figures_next_to_zero_are_drawn_as_zero() -> None:
    tiny = 5e-324
    (line,) = images(render_sparkline(Sparkline("Orders", (0, tiny), "-"))).values()
    assert all(0 <= y <= 28 for _, y in mark_positions(line))
    bar = next(with_class(images(render_ranking(ranking([tiny]), FORMATS))["wide"], "chart-bar"))
    assert float(bar.attrib["width"]) == 1
    for image in images(render_time_series(time_series([0, tiny]), FORMATS)).values():
        assert_marks_lie_in_the_plot(image)


@pytest.mark.parametrize("value", [5.0, 0.0, -7.25, 1e15, 1e-9])
def test_equal_values_make_a_level_line(value: float) -> None:
    for image in images(render_time_series(time_series([value] * 9, shape=Shape.STEP), FORMATS)).values():
        assert_marks_lie_in_the_plot(image)
        (line,) = with_class(image, "chart-line")
        assert "V" not in line.attrib["d"]


def test_two_thousand_points_keep_their_extremes_in_a_bounded_size() -> None:
    values: list[float | None] = [float(index % 83) for index in range(2000)]
    values[777], values[1501] = 1000.0, -500.0
    markup = render_time_series(time_series(values), FORMATS)
    assert len(markup) < 60_000
    for image in images(markup).values():
        _, top, _, bottom = plot_area(image)
        heights = [y for _, y in mark_positions(image)]
        # The axis reaches from -500 to 1000.
        assert (min(heights), max(heights)) == (top, bottom)
        assert [text for text in tooltips(image) if text.endswith(": €1,000.00")]
        assert len(tooltips(image)) <= 84


def test_long_price_paths_stay_small() -> None:
    moves = tuple(
        PriceMove(START + HOUR * index, 10 + index % 7, PriceCause.POLICY, "more profit") for index in range(2000)
    )
    chart = PricePathChart(words(), START, START + 2000 * HOUR, moves, CAUSES, "Price", "Cause")
    markup = render_price_path(chart, FORMATS)
    assert len(markup) < 120_000
    assert len(price_path_table(chart, FORMATS).rows) <= MOST_ROWS


def test_narrow_images_have_fewer_ticks_that_do_not_touch() -> None:
    found = images(render_time_series(time_series([float(index) for index in range(24 * 7)]), FORMATS))

    def days(image: Element) -> list[float]:
        return [float(text.attrib["x"]) for text in image.iter("text") if (text.text or "").startswith("May ")]

    assert len(days(found["narrow"])) < len(days(found["wide"])) == 7
    assert all(other - one > 40 for one, other in pairwise(days(found["narrow"])))


def test_labels_of_ticks_carry_units() -> None:
    image = images(render_time_series(time_series([0, 250_000, 1_000_000]), FORMATS))["wide"]
    assert [text for text in texts(image) if text.startswith("€")] == ["€0", "€200K", "€400K", "€600K", "€800K", "€1M"]
    assert {"Time", "Money"} <= set(texts(image))


def test_bars_shorter_than_two_units_become_a_line() -> None:
    days: list[float | None] = [1.0 * (index % 9) for index in range(400)]
    found = images(render_time_series(time_series(days, shape=Shape.BARS, step=DAY), FORMATS))
    assert not list(with_class(found["narrow"], "chart-bar"))
    assert list(with_class(found["narrow"], "chart-line"))


def test_negative_bars_hang_from_zero() -> None:
    image = images(render_time_series(time_series([4, -4], shape=Shape.BARS), FORMATS))["wide"]
    up, down = (element for element in with_class(image, "chart-bar"))
    assert float(up.attrib["y"]) + float(up.attrib["height"]) == pytest.approx(float(down.attrib["y"]), abs=0.11)


def test_rare_causes_keep_their_markers_among_many_others() -> None:
    moves = tuple(
        PriceMove(START + HOUR * index, 10 + index % 7, PriceCause.MANUAL if index == 999 else PriceCause.POLICY)
        for index in range(2000)
    )
    chart = PricePathChart(words(), START, START + 2000 * HOUR, moves, CAUSES, "Price", "Cause")
    for image in images(render_price_path(chart, FORMATS)).values():
        assert len(list(with_class(image, "chart-move-manual"))) == 2  # in the legend and in the plot


def test_each_cause_has_its_own_shape() -> None:
    assert set(MARKERS) == set(PriceCause)
    assert len(set(MARKERS.values())) == len(PriceCause)


def test_the_price_before_the_period_begins_the_path() -> None:
    chart = price_path([12, 13, 14])
    image = images(render_price_path(chart, FORMATS))["wide"]
    path = next(element for element in image if element.get("class") == "chart-line")
    left = plot_area(image)[0]
    assert float(path.attrib["d"][1:].split(" ")[0]) == pytest.approx(left, abs=0.11)
    # It has no marker, because the move is not in the period; the legend names the other causes only.
    assert len(list(with_class(image, "chart-mark"))) == 1
    assert PriceCause.LISTED.value not in texts(image)


def test_levels_far_from_all_prices_are_named_with_an_arrow() -> None:
    levels = (PriceLevel(0.5, "Floor"), PriceLevel(13, "Target"), PriceLevel(99, "Ceiling"))
    image = images(render_price_path(price_path([12, 12.5], levels=levels), FORMATS))["wide"]
    assert [text for text in texts(image) if text.split()[-2:][0] in {"Floor", "Target", "Ceiling"}] == [
        "↑ Ceiling €99.00", "Target €13.00", "↓ Floor €0.50",
    ]  # fmt: skip
    assert len(list(with_class(image, "chart-level"))) == 1


def test_promotions_are_named_where_no_column_covers_them() -> None:
    image = images(render_price_path(price_path([12, 13, 12, 13, 12, 13, 12, 13]), FORMATS))["wide"]
    elements = [element for element in image.iter() if element.tag == "rect"]
    names = [element.attrib["class"] for element in elements]
    assert names.index("chart-promotion-strip") > max(i for i, name in enumerate(names) if name == "chart-column")
    # The first one began before the period.
    assert "Sale\nMay 10, 2026 12:00\u202fAM – May 11, 2026 1:00\u202fAM" in tooltips(image)
    (left, _), *_ = [(float(e.attrib["x"]), 0) for e in with_class(image, "chart-promotion") if e.attrib["x"] != "2"]
    assert left == pytest.approx(plot_area(image)[0], abs=0.11)


def test_tooltips_of_moves_give_time_price_cause_and_reason() -> None:
    image = images(render_price_path(price_path([12, 13]), FORMATS))["wide"]
    assert "May 10, 2026 10:00\u202fPM: €13.00\nmanual\nReason" in tooltips(image)


def test_areas_of_observations_are_proportional_to_weights() -> None:
    chart = CurveChart(
        words(),
        Unit.MONEY,
        Unit.NUMBER,
        (),
        "",
        "",
        (),
        (Observation(9, 1, 100), Observation(10, 2, 400)),
        "Units",
        "Views",
    )
    image = images(render_curve(chart, FORMATS))["wide"]
    large, small = (
        float(circle.attrib["r"])
        for circle in with_class(image, "chart-observed")
        if "cx" in circle.attrib and circle.attrib["cx"] != "10"
    )
    assert (large / small) ** 2 == pytest.approx(4)
    assert "€10.00\nUnits: 2.00\nViews: 400" in tooltips(image)


def test_vertical_lines_are_labelled_with_their_figures() -> None:
    lines = (VerticalLine(9, "Current", LineKind.CURRENT), VerticalLine(9.1, "Best", LineKind.BEST))
    image = images(render_curve(curve([1, 2, 3, 4], lines=lines), FORMATS))["narrow"]
    assert {"Current €9.00", "Best €9.10"} <= set(texts(image))


def test_lines_of_one_figure_share_a_label() -> None:
    lines = (
        VerticalLine(9, "Current", LineKind.CURRENT),
        VerticalLine(9.001, "Proposed", LineKind.PROPOSED),
        VerticalLine(9.1, "Best", LineKind.BEST),
    )
    for image in images(render_curve(curve([1, 2, 3, 4], lines=lines), FORMATS)).values():
        assert [text for text in texts(image) if "9." in text and " €" in text] == [
            "Current, proposed €9.00", "Best €9.10",
        ]  # fmt: skip
        assert len(list(with_class(image, "chart-vertical"))) == 2


def test_labels_of_lines_are_drawn_above_all_lines() -> None:
    lines = tuple(VerticalLine(9 + index / 9, "Нижняя граница", kind) for index, kind in enumerate(LineKind))
    for image in images(render_curve(curve([1, 2, 3, 4], lines=lines), FORMATS)).values():
        names = [element.get("class", "").split() for element in image.iter()]
        last_line = max(index for index, name in enumerate(names) if "chart-vertical" in name)
        assert min(index for index, name in enumerate(names) if "chart-label" in name) > last_line


def test_points_for_the_table_do_not_set_the_scale() -> None:
    def chart(*listed: Observation) -> CurveChart:
        shown = (Observation(9, 0.1, 500), Observation(10, 0.2, 400))
        return CurveChart(words(), Unit.MONEY, Unit.SHARE, (), "", "", (), shown, "Rate", "Views", listed)

    sudden = chart(Observation(9.5, 6, 1))
    assert render_curve(sudden, FORMATS) == render_curve(chart(), FORMATS)
    assert [row[0] for row in curve_table(sudden, FORMATS).rows] == ["€9.00", "€9.50", "€10.00"]
    assert "600.00%" in [row[3] for row in curve_table(sudden, FORMATS).rows]


def test_labels_of_levels_keep_clear_of_the_path() -> None:
    # The price stays next to the level, which is where its label would be at the right end.
    moves = tuple(
        PriceMove(START + HOUR * hour, price, PriceCause.POLICY)
        for hour, price in enumerate((36, 30, 24, 20, 18.3, 18.2, 18.4, 18.3, 18.2))
    )
    chart = PricePathChart(
        words(), START, START + 24 * HOUR, moves, CAUSES, "Price", "Cause", levels=(PriceLevel(18.1, "Best"),)
    )
    for image in images(render_price_path(chart, FORMATS)).values():
        label = next(element for element in image.iter("text") if element.text == "Best €18.10")
        right, baseline = float(label.attrib["x"]), float(label.attrib["y"])
        box = Box(right - text_width("Best €18.10"), baseline - 10, right, baseline + 3)
        (path,) = [element for element in image if element.get("class") == "chart-line"]
        positions = path_positions(path.attrib["d"])
        segments = [
            Box(min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y))
            for (x, y), (other_x, other_y) in pairwise(positions)
        ]
        assert [segment for segment in segments if segment.overlap(box)] == []


def test_long_names_are_shortened_in_images_but_not_in_tooltips() -> None:
    name = "Enamel kettle with whistle " * 4
    chart = RankingChart(words(), Unit.MONEY, (RankedBar(name, 9.5),))
    for image in images(render_ranking(chart, FORMATS)).values():
        assert [text for text in texts(image) if text.startswith("Enamel") and text.endswith("…")]
        assert tooltips(image) == [f"{name}: €9.50"]


def test_right_to_left_names_do_not_reorder_figures() -> None:
    chart = RankingChart(words(), Unit.MONEY, (RankedBar("מקומקום", 9.5),))
    image = images(render_ranking(chart, FORMATS))["wide"]
    assert image.attrib["direction"] == "ltr"
    assert tooltips(image) == ["\u2068מקומקום\u2069: €9.50"]


def test_tables_have_the_figures_of_the_charts() -> None:
    chart = compared([1, None], [3, 4], shape=Shape.LINE)
    assert time_series_table(chart, FORMATS) == ChartTable(
        "Revenue",
        ("Time", "This week", "Before"),
        (
            ("May 11, 2026 12:00\u202fAM", "€1.00", "€3.00"),
            ("May 11, 2026 1:00\u202fAM", "–", "€4.00"),
        ),
    )
    assert ranking_table(ranking([2]), FORMATS).rows == (("Product 0", "€2.00"),)
    assert price_path_table(price_path([12]), FORMATS).rows == (
        ("May 10, 2026 3:00\u202fPM", "€12.00", "listed Reason"),
    )
    lines = (VerticalLine(8, "Current", LineKind.CURRENT),)
    assert curve_table(curve([5], lines=lines), FORMATS) == ChartTable(
        "Revenue",
        ("Time", "Expected", "80 %", "Observed", "Views"),
        (
            ("Current €8.00", "–", "–", "–", "–"),
            ("€8.00", "€5.00", "€2.00 – €7.50", "–", "–"),
            ("€8.25", "–", "–", "€5.50", "0"),
        ),
    )


@given(gappy)
def test_rows_of_tables_are_as_long_as_their_headers(values: list[float | None]) -> None:
    table = time_series_table(time_series(values * 9), FORMATS)
    assert len(table.rows) <= MOST_ROWS
    assert {len(row) for row in table.rows} == {len(table.headers)}


def test_days_are_written_without_times() -> None:
    chart = TimeSeriesChart(
        words(), Unit.COUNT, START, START + DAY, Series("Orders", (Point(START, 3),)), precision=Precision.DATE
    )
    assert time_series_table(chart, FORMATS).rows == (("May 11, 2026", "3"),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: time_series([float("nan")]), "points must be finite"),
        (lambda: time_series([1e16]), "points must be finite"),
        (lambda: Series("x", (Point(START, 1), Point(START, 2))), "points must be in ascending order"),
        (lambda: Series("x", (Point(datetime(2026, 5, 1), 1),)), "points must have times with time zones"),  # noqa: DTZ001 - without a zone on purpose
        (lambda: TimeSeriesChart(words(), Unit.COUNT, START, START, Series("x", ())), "start must be before end"),
        (lambda: price_path([float("inf")]), "moves must be finite"),
        (
            lambda: PricePathChart(words(), START, START + DAY, (PriceMove(START, 1, PriceCause.MANUAL),), {}, "", ""),
            "causes needs a word for manual",
        ),
        (
            lambda: CurveChart(words(), Unit.MONEY, Unit.MONEY, (CurvePoint(1, 3, 2, 4),), "", ""),
            "curve must have low <= expected <= high",
        ),
        (
            lambda: CurveChart(words(), Unit.MONEY, Unit.MONEY, (CurvePoint(1, 1, 2, 4),) * 2, "", ""),
            "curve must be in ascending order",
        ),
        (
            lambda: CurveChart(words(), Unit.MONEY, Unit.MONEY, (), "", "", observed=(Observation(1, 1, -1),)),
            "observed must have weights of at least 0",
        ),
        (lambda: ranking([1] * (MOST_BARS + 1)), "bars must have at most 50 bars, not 51"),
        (lambda: Words("a b", "", "", "", "", ""), "The id of a chart must be"),
    ],
)
def test_invalid_figures_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
