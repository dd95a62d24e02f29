"""The price page of a product: its price over time, what the policy has learnt, and who sets the price."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.curve import CurveChart, CurvePoint, LineKind, Observation, VerticalLine
from adapters.web.charts.formats import Unit
from adapters.web.charts.frame import Words
from adapters.web.charts.price_path import PriceLevel, PriceMove, PricePathChart
from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.seller.figures import Figure, draw, moment_of
from adapters.web.pages.seller.price_messages import format_message, heading, to_sentence
from adapters.web.pages.seller.products import PRODUCT, PRODUCTS, own_product, product_path
from scalecommerce_core.domain.product import PriceCause

PRICING: Final = "/pricing/api/v1/"
RANGES: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "quarter": timedelta(days=90),
}
ENOUGH_MOVES: Final = 8
"""Without a chosen range, the shortest one with so many moves of the price, or with all, is shown."""
LISTED_MOVES: Final = 15
"""The newest moves, which are listed with their reasons."""
MOST_OBSERVED: Final = 200
"""Prices with sales in a chart, those with the most views."""
LEAST_VIEWS: Final = 30
LEAST_SHARE: Final = 0.1
"""
A price is drawn if it has at least `LEAST_VIEWS` views, or at least this share of the views of the most viewed price:
with fewer views, one order more or less changes a rate by several points. By the share, products with few views are
drawn as well.
"""
DRAWN_FACTOR: Final = 1.25
"""Floor and ceiling are drawn if they are within this factor of the prices of the curve."""


@frozen
class Move:
    """A change of the price with its reason in the reader's language."""

    at: str
    price: str
    before: str | None
    cause: str
    reason: str
    run: int | None
    is_withdrawn: bool


class PricePages:
    """What a seller sees and decides about the price of a product."""

    @PageSpec(method="GET", path=PRODUCT, access=Access.ACCOUNT)
    async def show_price(self, call: PageCall) -> Response:
        product = await own_product(call)
        root = f"{PRICING}products/{call.id}/"
        explanation = await call.api.get(f"{root}explanation/")
        assignment = await call.api.get(root)
        policies = (await call.api.get(f"{PRICING}policies/", {"page_size": 100}))["results"]
        words = PriceWords(call, explanation)
        chosen = call.query.get("range", "")
        shown = chosen if chosen in RANGES else shortest_range(explanation)
        decision = explanation["decision"]
        return await call.render(
            "seller/product.html",
            product=product,
            explanation=explanation,
            path_figure=words.path(RANGES[shown]),
            figures=words.figures(),
            moves=words.moves(),
            decision_sentence=words.decision_sentence(),
            decision_note=words.decision_note(),
            newest=words.moves()[0] if explanation["path"] else None,
            decision=decision,
            decision_inputs=words.inputs(),
            guardrails=words.guardrails(),
            note=None if explanation["note"] is None else to_sentence(words.format(explanation["note"])),
            shown=shown,
            ranges=[
                ("hour", call.gettext("1 hour")),
                ("day", call.gettext("24 hours")),
                ("week", call.gettext("7 days")),
                ("quarter", call.gettext("90 days")),
            ],
            assignment=assignment,
            policies=policies,
            policy=_find(policies, None if decision is None else decision["policy"]),
        )

    @PageSpec(method="POST", path=f"{PRODUCT}price/", access=Access.ACCOUNT)
    async def set_price(self, call: PageCall) -> Response:
        try:
            await call.api.patch(f"{PRODUCTS}{call.id}/", {"price": call.form.text("price")})
        except ApiProblem as problem:
            return call.refuse(product_path(call.id), problem)
        return call.redirect(product_path(call.id), call.gettext("The price is set. Policies keep it for a while."))

    @PageSpec(method="POST", path=f"{PRODUCT}policy/", access=Access.ACCOUNT)
    async def assign_policy(self, call: PageCall) -> Response:
        return await self._change_pricing(
            call, {"policy": call.form.integer("policy")}, call.gettext("The policy of the product is changed.")
        )

    @PageSpec(method="POST", path=f"{PRODUCT}exclude/", access=Access.ACCOUNT)
    async def exclude_product(self, call: PageCall) -> Response:
        return await self._change_pricing(
            call, {"is_excluded": True}, call.gettext("No policy changes the price of this product any more.")
        )

    @PageSpec(method="POST", path=f"{PRODUCT}include/", access=Access.ACCOUNT)
    async def include_product(self, call: PageCall) -> Response:
        return await self._change_pricing(
            call, {"is_excluded": False}, call.gettext("Policies may change the price of this product again.")
        )

    async def _change_pricing(self, call: PageCall, changes: dict[str, object], message: str) -> Response:
        try:
            await call.api.patch(f"{PRICING}products/{call.id}/", changes)
        except ApiProblem as problem:
            return call.refuse(product_path(call.id), problem)
        return call.redirect(product_path(call.id), message)


class PriceWords:
    """The explanation of a price in the reader's language: charts, moves, and the last decision."""

    def __init__(self, call: PageCall, explanation: Mapping[str, Any]) -> None:
        self._call = call
        self._found = explanation
        self._formats = BabelFormats(call.language.locale, explanation["currency"])

    def format(self, message: Mapping[str, Any]) -> str:
        return format_message(message, self._call.language, self._found["currency"])

    def causes(self) -> dict[PriceCause, str]:
        _ = self._call.gettext
        return {
            PriceCause.LISTED: _("Listed"),
            PriceCause.MANUAL: _("Set by hand"),
            PriceCause.POLICY: _("Pricing policy"),
            PriceCause.IMPORT: _("Import"),
            PriceCause.ROLLBACK: _("Rollback"),
            PriceCause.WITHDRAWAL: _("Withdrawal"),
            PriceCause.PROMOTION: _("Promotion"),
            PriceCause.PROMOTION_END: _("End of a promotion"),
        }

    def decision_sentence(self) -> str | None:
        """The last decision in one sentence; None if there is none."""
        decision = self._found["decision"]
        return None if decision is None else f"{self.format(decision['change'])}: {self._reasons(decision['causes'])}."

    def decision_note(self) -> str | None:
        """Why the last decision is not the reason for the current price; None if it is, or if there is none."""
        decision, path = self._found["decision"], self._found["path"]
        if decision is None or not path:
            return None
        newest = path[-1]
        changed_at, decided_at = moment_of(newest["valid_from"]), moment_of(decision["decided_at"])
        if changed_at > decided_at and newest["run"] != decision["run"]:
            return self._call.gettext("The last decision was for an earlier price:")
        if decision["change"]["parameters"]["price"]["value"] != self._found["price"]:
            return to_sentence(self.format(decision["outcome_message"]))
        return None

    def guardrails(self) -> list[str]:
        """What the guardrails did, without those whose message is a cause in the sentence of the decision."""
        decision = self._found["decision"]
        if decision is None:
            return []
        said = {cause["template"] for cause in decision["causes"]}
        messages = [each for each in decision["guardrail_messages"] if each["template"] not in said]
        return [to_sentence(self.format(each)) for each in messages]

    def inputs(self) -> list[tuple[str, str]]:
        """Headings of the last decision's inputs with their sentences."""
        decision, language = self._found["decision"], self._call.language
        if decision is None:
            return []
        return [
            (
                heading(each["heading"], language),
                to_sentence(", ".join(self.format(phrase) for phrase in each["phrases"])),
            )
            for each in decision["inputs"]
        ]

    def moves(self) -> list[Move]:
        """The newest moves, the last one first."""
        path, words = self._found["path"], self.causes()
        return [
            Move(
                at=step["valid_from"],
                price=step["price"],
                before=path[row - 1]["price"] if row else None,
                cause=words[PriceCause(step["cause"])],
                reason=to_sentence(self._reasons(step["reasons"])),
                run=step["run"],
                is_withdrawn=step["is_withdrawn"],
            )
            for row, step in reversed(list(enumerate(path)))
        ][:LISTED_MOVES]

    def path(self, length: timedelta) -> Figure:
        """The price over a time of this length until now, or since the product was listed if that is shorter."""
        _, found = self._call.gettext, self._found
        end = moment_of(found["ends_at"]).astimezone(UTC)
        moves = tuple(
            PriceMove(
                moment_of(step["valid_from"]).astimezone(UTC),
                float(step["price"]),
                PriceCause(step["cause"]),
                to_sentence(self._reasons(step["reasons"])),
            )
            for step in found["path"]
        )
        if moves:
            # Another machine's clock may be ahead of this one's.
            end = max(end, moves[-1].at + timedelta(seconds=1))
        levels = [(found["floor"], _("Floor")), (found["ceiling"], _("Ceiling")), (found["best_price"], _("Best"))]
        chart = PricePathChart(
            Words(
                "path",
                _("Price over time"),
                _("Each marker is a change of the price; its shape tells the cause. Times are in UTC."),
                _("The price did not change in this time."),
                _("Time (UTC)"),
                _("Price"),
            ),
            max(end - length, moves[0].at) if moves else end - length,
            end,
            moves,
            causes=self.causes(),
            price_label=_("Price"),
            cause_label=_("Reason"),
            levels=tuple(PriceLevel(float(price), label) for price, label in levels if price is not None),
        )
        return draw(chart, self._formats)

    def figures(self) -> list[Figure]:
        """Demand and profit by price, and conversion by price."""
        return [self._profit(), self._units(), self._conversion()]

    def _profit(self) -> Figure:
        _, points = self._call.gettext, self._points()
        curve = [
            CurvePoint(
                float(each["price"]), *(float(each["profit_a_week"][name]) for name in ("low", "expected", "high"))
            )
            for each in points
            if each["profit_a_week"] is not None
        ]
        views = self._views_a_week()
        observed = self._observed(
            lambda each: None if each["profit"] is None or not views else float(each["profit"]) / each["views"] * views
        )
        words = Words(
            "profit",
            _("Profit per week at each price"),
            _("What the policy expects from the sales so far. Points are what was sold, larger ones had more views."),
            _("Nothing is learnt about the profit yet."),
            _("Price"),
            _("Profit per week"),
        )
        return self._curve(words, Unit.MONEY, curve, observed)

    def _units(self) -> Figure:
        _ = self._call.gettext
        curve = [
            CurvePoint(float(each["price"]), *(each["units_a_week"][name] for name in ("low", "expected", "high")))
            for each in self._points()
        ]
        views = self._views_a_week()
        observed = self._observed(lambda each: each["units"] / each["views"] * views if views else None)
        words = Words(
            "units",
            _("Demand per week at each price"),
            _("Units that the policy expects to sell. Within the band lies the true demand with 80% probability."),
            _("Nothing is learnt about the demand yet."),
            _("Price"),
            _("Units per week"),
        )
        return self._curve(words, Unit.NUMBER, curve, observed)

    def _conversion(self) -> Figure:
        _ = self._call.gettext
        observed = self._observed(lambda each: float(each["conversion_rate"]))
        words = Words(
            "conversion",
            _("Conversion at each price"),
            _(
                "Orders per view at the prices of the last 90 days. Small points had few views and tell little; "
                "prices with too few views are in the table only."
            ),
            _("The product had too few views in the last 90 days."),
            _("Price"),
            _("Orders per view"),
        )
        return self._curve(words, Unit.SHARE, [], observed)

    def _curve(
        self,
        words: Words,
        unit: Unit,
        curve: Sequence[CurvePoint],
        observed: tuple[Sequence[Observation], Sequence[Observation]],
    ) -> Figure:
        """A chart of `curve` and of the points that are `observed`: those to draw, and those for the table only."""
        _ = self._call.gettext
        drawn, listed = (tuple(sorted(points, key=lambda each: each.x)) for points in observed)
        prices = [point.x for point in curve] or [point.x for point in drawn]
        chart = CurveChart(
            words,
            Unit.MONEY,
            unit,
            tuple(curve),
            _("Expected"),
            _("80% probability"),
            lines=tuple(self._lines(prices)),
            observed=drawn,
            observed_label=_("Observed"),
            weight_label=_("Views"),
            listed=listed,
        )
        return draw(chart, self._formats)

    def _lines(self, prices: Sequence[float]) -> list[VerticalLine]:
        """The marked prices. Floor and ceiling far from all others would flatten the curve."""
        _, found = self._call.gettext, self._found
        marks = [
            (found["price"], _("Current"), LineKind.CURRENT),
            (found["proposed_price"], _("Proposed"), LineKind.PROPOSED),
            (found["best_price"], _("Best"), LineKind.BEST),
            (found["floor"], _("Floor"), LineKind.FLOOR),
            (found["ceiling"], _("Ceiling"), LineKind.CEILING),
        ]
        if not prices:
            return []
        low, high = min(prices) / DRAWN_FACTOR, max(prices) * DRAWN_FACTOR
        return [
            VerticalLine(float(price), label, kind)
            for price, label, kind in marks
            if price is not None and (kind is LineKind.CURRENT or low <= float(price) <= high)
        ]

    def _points(self) -> Sequence[Any]:
        curve = self._found["curve"]
        return () if curve is None else curve["points"]

    def _views_a_week(self) -> float:
        curve = self._found["curve"]
        return 0.0 if curve is None else float(curve["views_a_week"])

    def _observed(self, figure: Callable[[Any], float | None]) -> tuple[list[Observation], list[Observation]]:
        """The `figure` of each price, without None: reliable points, and the others."""
        drawn: list[Observation] = []
        listed: list[Observation] = []
        sold = self._sold()
        least = min(LEAST_VIEWS, LEAST_SHARE * max((each["views"] for each in sold), default=0))
        for each in sold:
            y = figure(each)
            if y is not None:
                # More orders than views came from views at another price, just before a change.
                is_reliable = each["views"] >= least and each["conversion_rate"] <= 1
                points = drawn if is_reliable else listed
                points.append(Observation(float(each["price"]), y, each["views"]))
        return drawn, listed

    def _sold(self) -> list[Any]:
        """Figures at the prices that were viewed, those with the most views."""
        viewed = [each for each in self._found["by_price"] if each["views"]]
        return sorted(viewed, key=lambda each: -each["views"])[:MOST_OBSERVED]

    def _reasons(self, messages: Sequence[Mapping[str, Any]]) -> str:
        return "; ".join(self.format(message) for message in messages)


def shortest_range(explanation: Mapping[str, Any]) -> str:
    """The shortest of `RANGES` with `ENOUGH_MOVES` of the price or with its whole path, otherwise the longest."""
    end = moment_of(explanation["ends_at"])
    times = [moment_of(step["valid_from"]) for step in explanation["path"]]
    enough = min(len(times), ENOUGH_MOVES)
    for name, length in RANGES.items():
        if enough and sum(at >= end - length for at in times) >= enough:
            return name
    return list(RANGES)[-1]


def _find(policies: Sequence[Any], number: int | None) -> Any:
    return next((policy for policy in policies if policy["id"] == number), None)
