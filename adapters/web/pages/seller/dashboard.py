"""The seller's dashboard: sales over time, compared with the time before, top products, and stock that runs out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.formats import Precision, Unit
from adapters.web.charts.frame import Words
from adapters.web.charts.ranking import RankedBar, RankingChart
from adapters.web.charts.table import NO_FIGURE
from adapters.web.charts.time_series import Point, Series, Shape, TimeSeriesChart
from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import Form, FormErrors
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.seller.fields import day_bound
from adapters.web.pages.seller.figures import Figure, draw, moment_of
from adapters.web.pages.seller.price_messages import duration
from adapters.web.pages.seller.products import PRODUCTS

HOUR: Final = timedelta(hours=1)
RANGES: Final[Mapping[str, tuple[str, timedelta]]] = {
    "day": ("hour", timedelta(days=1)),
    "week": ("day", timedelta(days=7)),
    "month": ("day", timedelta(days=30)),
    "quarter": ("day", timedelta(days=90)),
}
"""Interval and length of each range that ends now."""
DEFAULT: Final = "week"
SHOWN_STOCK: Final = 10
Value = Callable[[Mapping[str, Any]], float]


@frozen
class Headline:
    """A figure of the range, with its relative change since the range before (None: that was zero)."""

    label: str
    value: str
    before: str
    change: float | None


class DashboardPages:
    """The start page of sellers."""

    @PageSpec(method="GET", path="/seller/", access=Access.ACCOUNT)
    async def show_dashboard(self, call: PageCall) -> Response:
        query, errors = self._range(call), FormErrors()
        try:
            report = await call.api.get(f"{PRODUCTS}sales-report/", query)
        except ApiProblem as problem:
            if not problem.errors:
                raise
            errors, query = FormErrors.of(problem), _last(*RANGES[DEFAULT])
            report = await call.api.get(f"{PRODUCTS}sales-report/", query)
        before = await call.api.get(
            f"{PRODUCTS}sales-report/",
            {"interval": report["interval"], "from": report["previous_starts_at"], "to": report["starts_at"]},
        )
        outlook = await call.api.get(f"{PRODUCTS}stock-outlook/", {"page_size": SHOWN_STOCK})
        view = SalesView(call, report, before)
        return await call.render(
            "seller/dashboard.html",
            status=400 if errors else 200,
            errors=errors,
            report=report,
            headlines=view.headlines(),
            figures=view.figures(),
            top=view.top(),
            outlook=[(each, duration(each["days_left"], call.language)) for each in outlook["results"]],
            shown="" if call.query.get("from") else self._chosen(call),
            ranges=[
                ("day", call.gettext("24 hours")),
                ("week", call.gettext("7 days")),
                ("month", call.gettext("30 days")),
                ("quarter", call.gettext("90 days")),
            ],
            form=Form.of({"interval": report["interval"], **call.query_values("from", "to", "interval")}),
        )

    def _chosen(self, call: PageCall) -> str:
        chosen = call.query.get("range", DEFAULT)
        return chosen if chosen in RANGES else DEFAULT

    def _range(self, call: PageCall) -> dict[str, object]:
        """The parameters of the report: a range of days that the reader chose, or one that ends now."""
        given = call.query_values("from", "to", "interval")
        if "from" not in given:
            return _last(*RANGES[self._chosen(call)])
        moments: dict[str, object] = {name: day_bound(given[name], name) for name in ("from", "to") if name in given}
        return {"interval": given.get("interval", "day"), **moments}


class SalesView:
    """A report and the one of the range before it, in the reader's language."""

    def __init__(self, call: PageCall, report: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        self._call = call
        self._report = report
        self._before = before
        self._formats = BabelFormats(call.language.locale, report["currency"])

    def headlines(self) -> list[Headline]:
        _, language = self._call.gettext, self._call.language
        now, before, currency = self._report["total"], self._report["previous"], self._report["currency"]

        def money(figures: Mapping[str, Any]) -> str:
            return language.money(f"{net_revenue(figures):.2f}", currency)

        def count(name: str) -> Callable[[Mapping[str, Any]], str]:
            return lambda figures: language.number(figures[name])

        def conversion(figures: Mapping[str, Any]) -> str:
            return language.percent(figures["conversion_rate"], 2) if figures["views"] else NO_FIGURE

        return [
            Headline(_("Revenue after refunds"), money(now), money(before), change(net_revenue, now, before)),
            *(
                Headline(label, count(name)(now), count(name)(before), change(_value(name), now, before))
                for label, name in ((_("Orders"), "orders"), (_("Units"), "units"), (_("Views"), "views"))
            ),
            Headline(
                _("Conversion"),
                conversion(now),
                conversion(before),
                change(_value("conversion_rate"), now, before),
            ),
        ]

    def figures(self) -> list[Figure]:
        _ = self._call.gettext
        empty = _("Nothing was sold in this time.")
        note = _("The dotted line leads to the last point, whose period is not over yet.")
        more = "" if self._unfinished() is None else f" {note}"
        charts = [
            ("revenue", _("Revenue"), _("Paid orders less refunds. Dashed: the time before."), Unit.MONEY, net_revenue),
            ("orders", _("Orders"), _("Orders that were paid. Dashed: the time before."), Unit.COUNT, _value("orders")),
            ("views", _("Views"), _("Views of your products by people who may buy."), Unit.COUNT, _value("views")),
            (
                "conversion",
                _("Conversion"),
                _("Orders per view; a gap where nobody viewed a product."),
                Unit.SHARE,
                _value("conversion_rate"),
            ),
        ]
        return [
            draw(
                self._chart(Words(name, title, text + more, empty, _("Time (UTC)"), title), unit, value), self._formats
            )
            for name, title, text, unit, value in charts
        ]

    def top(self) -> Figure:
        _ = self._call.gettext
        words = Words(
            "top",
            _("Top products"),
            _("The products with the highest revenue after refunds."),
            _("Nothing was sold in this time."),
            _("Revenue"),
            _("Product"),
        )
        bars = tuple(RankedBar(each["name"], net_revenue(each)) for each in self._report["top_products"])
        return draw(RankingChart(words, Unit.MONEY, bars), self._formats)

    def _step(self) -> timedelta:
        return HOUR if self._report["interval"] == "hour" else timedelta(days=1)

    def _unfinished(self) -> datetime | None:
        """The start of the hour or day of the report that is not over yet."""
        start, end = (moment_of(self._report[name]).astimezone(UTC) for name in ("starts_at", "ends_at"))
        now, step = datetime.now(UTC), self._step()
        return start + (now - start) // step * step if start <= now < end else None

    def _chart(self, words: Words, unit: Unit, value: Value) -> TimeSeriesChart:
        _, report = self._call.gettext, self._report
        start, end = (moment_of(report[name]).astimezone(UTC) for name in ("starts_at", "ends_at"))
        previous = moment_of(report["previous_starts_at"]).astimezone(UTC)
        by_hours = report["interval"] == "hour"
        step = self._step()
        # Points without any event are left out of the series: nothing was sold then, and no view to convert.
        gap = None if unit is Unit.SHARE else 0.0
        return TimeSeriesChart(
            words,
            unit,
            start,
            end,
            Series(
                _("This time"),
                points(report["series"], intervals(start, min(end, datetime.now(UTC)), step), value, gap),
            ),
            comparison=Series(
                _("The time before"), points(self._before["series"], intervals(previous, start, step), value, gap)
            ),
            shift=start - previous,
            shape=Shape.LINE,
            precision=Precision.MOMENT if by_hours else Precision.DATE,
            unfinished=self._unfinished(),
        )


def net_revenue(figures: Mapping[str, Any]) -> float:
    """Revenue after refunds, in whole units of the currency."""
    return round(float(figures["revenue"]) - float(figures["refunded_amount"]), 4)


def change(value: Value, now: Mapping[str, Any], before: Mapping[str, Any]) -> float | None:
    """The relative change; None if the figure was zero or less before."""
    earlier = value(before)
    return value(now) / earlier - 1 if earlier > 0 else None


def points(
    series: Sequence[Mapping[str, Any]], times: Sequence[datetime], value: Value, gap: float | None
) -> tuple[Point, ...]:
    """One point for each time; `gap` is the figure where there was no event, or no view to divide by."""
    known = {
        moment_of(point["start"]).astimezone(UTC): gap if gap is None and not point["views"] else float(value(point))
        for point in series
    }
    return tuple(Point(at, known.get(at, gap)) for at in times)


def intervals(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """The starts of the intervals from `start` that begin before `end`."""
    return [start + row * step for row in range(max(0, -((start - end) // step)))]


def _value(name: str) -> Value:
    return lambda figures: figures[name]


def _last(interval: str, length: timedelta) -> dict[str, object]:
    """The parameters of a range of whole hours or days with the present one as its last."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    end = hour + HOUR if interval == "hour" else hour.replace(hour=0) + timedelta(days=1)
    bounds = {"from": end - length, "to": end}
    return {"interval": interval, **{name: at.isoformat().replace("+00:00", "Z") for name, at in bounds.items()}}
