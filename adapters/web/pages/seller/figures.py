"""Charts of the seller's pages, each with its table of figures."""

from datetime import datetime

from attrs import frozen

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.curve import CurveChart, curve_table, render_curve
from adapters.web.charts.markup import Html
from adapters.web.charts.price_path import PricePathChart, price_path_table, render_price_path
from adapters.web.charts.ranking import RankingChart, ranking_table, render_ranking
from adapters.web.charts.table import ChartTable
from adapters.web.charts.time_series import TimeSeriesChart, render_time_series, time_series_table

Chart = TimeSeriesChart | PricePathChart | CurveChart | RankingChart


@frozen
class Figure:
    """A drawn chart: its heading, a sentence about how to read it, and its table."""

    chart_id: str
    title: str
    description: str
    image: Html
    table: ChartTable


def draw(chart: Chart, formats: BabelFormats) -> Figure:
    """Draw a chart. The description of its words becomes the sentence below the heading."""
    match chart:
        case TimeSeriesChart():
            image, table = render_time_series(chart, formats), time_series_table(chart, formats)
        case PricePathChart():
            image, table = render_price_path(chart, formats), price_path_table(chart, formats)
        case CurveChart():
            image, table = render_curve(chart, formats), curve_table(chart, formats)
        case _:
            image, table = render_ranking(chart, formats), ranking_table(chart, formats)
    words = chart.words
    return Figure(words.chart_id, words.title, words.description, image, table)


def moment_of(text: str) -> datetime:
    """The time of an RFC 3339 text."""
    return datetime.fromisoformat(text)
