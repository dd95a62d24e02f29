"""The price history of a product in words and as a chart."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from attrs import frozen

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.frame import Words
from adapters.web.charts.markup import Html
from adapters.web.charts.price_path import PriceMove, PricePathChart, price_path_table, render_price_path
from adapters.web.charts.table import ChartTable
from adapters.web.framework.languages import Language
from scalecommerce_core.domain.product import PriceCause

SHOWN_MOVES: Final = 6
"""Moves that are described in words; the table below the chart has the others."""
CHART_DAYS: Final = 30


@frozen
class MoveInWords:
    """One change of the price. `change` is a share of the former price; None for the first price."""

    at: str
    price: str
    former: str | None
    change: float | None
    reason: str
    is_withdrawn: bool


@frozen
class PriceHistoryView:
    """What a page shows about the prices of a product; `moves` are newest first."""

    moves: Sequence[MoveInWords]
    count: int
    lowest_30d: str
    reduction: Mapping[str, Any] | None
    in_force_since: datetime
    chart: Html
    table: ChartTable


def describe_prices(history: Mapping[str, Any], now: datetime, language: Language, name: str) -> PriceHistoryView:
    """Describe a price history of the API at `now`; its chart covers `CHART_DAYS`, or less if the product is newer."""
    intervals = history["intervals"]
    causes = cause_words(language)
    first = datetime.fromisoformat(intervals[-1]["valid_from"])
    chart = PricePathChart(
        words=Words(
            chart_id="price-path",
            title=language.gettext("Prices over time"),
            description=language.gettext("The price of %(name)s, with the reason for each change.") % {"name": name},
            empty=language.gettext("No price yet."),
            x_title=language.gettext("Time (UTC)"),
            y_title=history["currency"],
        ),
        start=max(first, now - timedelta(days=CHART_DAYS)),
        end=max(now, first + timedelta(minutes=1)),
        moves=tuple(
            PriceMove(datetime.fromisoformat(each["valid_from"]), float(each["price"]), PriceCause(each["cause"]))
            for each in reversed(intervals)
        ),
        causes=causes,
        price_label=language.gettext("Price"),
        cause_label=language.gettext("Why"),
    )
    formats = BabelFormats(language.locale, history["currency"])
    return PriceHistoryView(
        [_describe(intervals, index, causes) for index in range(min(SHOWN_MOVES, len(intervals)))],
        len(intervals),
        history["lowest_price_30d"],
        history["reduction"],
        datetime.fromisoformat(intervals[0]["valid_from"]),
        render_price_path(chart, formats),
        price_path_table(chart, formats),
    )


def cause_words(language: Language) -> dict[PriceCause, str]:
    """Why a price moved, as far as everybody may know it."""
    return {
        PriceCause.LISTED: language.gettext("Listed at this price"),
        PriceCause.MANUAL: language.gettext("Set by the seller"),
        PriceCause.POLICY: language.gettext("Adapted to demand by the seller's pricing policy"),
        PriceCause.IMPORT: language.gettext("From the seller's price list"),
        PriceCause.ROLLBACK: language.gettext("Restored: a change of prices was undone"),
        PriceCause.WITHDRAWAL: language.gettext("A mistaken price was withdrawn"),
        PriceCause.PROMOTION: language.gettext("A promotion began"),
        PriceCause.PROMOTION_END: language.gettext("A promotion ended"),
    }


def share_of_change(former: str, price: str) -> float | None:
    """The change from `former` to `price` as a share of `former`; None if that is 0."""
    before = Decimal(former)
    return float((Decimal(price) - before) / before) if before else None


def _describe(intervals: Sequence[Mapping[str, Any]], index: int, causes: Mapping[PriceCause, str]) -> MoveInWords:
    each = intervals[index]
    former = intervals[index + 1]["price"] if index + 1 < len(intervals) else None
    return MoveInWords(
        each["valid_from"],
        each["price"],
        former,
        None if former is None else share_of_change(former, each["price"]),
        causes[PriceCause(each["cause"])],
        each["is_withdrawn"],
    )
