"""The figures of `pricing explain`: bounds, the price path, sales at each price, and the learnt demand curve."""

from typing import Any, Final

from adapters.cli.screen import print_line
from adapters.cli.tables import Cell, columns, print_facts, print_table
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.pricing.messages import joined_text
from scalecommerce_core.pricing.price_explanation import CurvePoint, Estimate
from scalecommerce_core.services.price_explanation import FiguresAtPrice, PriceExplanation, PriceMove

SHOWN_MOVES: Final = 20
CURVE_STEP: Final = 6
"""Every so many points of the curve are printed, and the best and the present one."""


def print_explanation(found: PriceExplanation) -> None:
    currency, learnt = found.product.price.currency, found.learnt
    bounds: dict[str, int | None] = _marked_prices(found)
    print_facts([(name, decimal_text(minor, currency)) for name, minor in bounds.items() if minor is not None])
    print_table(
        columns("from", "price", "why", numbers=("price",), prose=("why",)),
        [
            [move.step.valid_from, move.step.price.text, joined_text(move.reasons, "; ")]
            for move in reversed(found.path[-SHOWN_MOVES:])
        ],
        title="Prices of the last 90 days, the newest first",
    )
    numbers = "price", "days", "views", "units", "conversion", "profit"
    print_table(
        columns(*numbers, numbers=numbers),
        [_figure_cells(each, currency) for each in found.by_price],
        title="Sales at each price",
    )
    if learnt.curve is not None:
        marked = {learnt.curve.best, found.product.price.minor}
        points = learnt.curve.points
        shown = [point for row, point in enumerate(points) if row % CURVE_STEP == 0 or point.price in marked]
        headings = "price", "units a week", "80 % of units", "profit a week", "80 % of profit"
        print_table(
            columns(*headings, numbers=headings),
            [_point_cells(point, currency) for point in shown],
            title=f"Learnt demand with {learnt.curve.views:,.0f} views a week",
        )
    if learnt.note is not None:
        print_line(learnt.note.text)


def _marked_prices(found: PriceExplanation) -> dict[str, int | None]:
    learnt = found.learnt
    return {
        "price": found.product.price.minor,
        "proposed": None if found.last is None else found.last.decision.wanted,
        "best estimate": None if learnt.curve is None else learnt.curve.best,
        "floor": learnt.floor,
        "ceiling": learnt.ceiling,
        "seller's price": learnt.own_price,
    }


def _figure_cells(each: FiguresAtPrice, currency: str) -> list[Cell]:
    sold = each.sales
    return [
        each.price.text, f"{each.days:,.1f}", f"{sold.views:,}", f"{sold.units:,}", f"{sold.conversion_rate:.1%}",
        "unknown" if each.profit is None else decimal_text(each.profit, currency),
    ]  # fmt: skip


def _point_cells(point: CurvePoint, currency: str) -> list[Cell]:
    units, profit = point.units, point.profit
    return [
        decimal_text(point.price, currency),
        f"{units.expected:,.1f}",
        f"{units.low:,.1f} to {units.high:,.1f}",
        "unknown" if profit is None else decimal_text(round(profit.expected), currency),
        ""
        if profit is None
        else f"{decimal_text(round(profit.low), currency)} to {decimal_text(round(profit.high), currency)}",
    ]


def explanation_document(found: PriceExplanation) -> dict[str, Any]:
    currency, learnt = found.product.price.currency, found.learnt
    curve = learnt.curve
    return {
        "product": found.product.id,
        "currency": currency,
        "prices": {
            name: None if minor is None else decimal_text(minor, currency)
            for name, minor in _marked_prices(found).items()
        },
        "from": found.since,
        "to": found.until,
        "path": [_move_document(move) for move in found.path],
        "by_price": [_figures_document(each, currency) for each in found.by_price],
        "views_a_week": None if curve is None else curve.views,
        "curve": None if curve is None else [_point_document(point, currency) for point in curve.points],
        "note": None if learnt.note is None else learnt.note.text,
    }


def _move_document(move: PriceMove) -> dict[str, Any]:
    step = move.step
    return {
        "price": step.price.text, "from": step.valid_from, "to": step.valid_to, "cause": step.cause.value,
        "run": None if step.decision is None else step.decision.run_id,
        "reasons": [reason.text for reason in move.reasons],
    }  # fmt: skip


def _figures_document(each: FiguresAtPrice, currency: str) -> dict[str, Any]:
    return {
        "price": each.price.text, "days": each.days, "views": each.sales.views, "units": each.sales.units,
        "conversion_rate": each.sales.conversion_rate,
        "profit": None if each.profit is None else decimal_text(each.profit, currency),
    }  # fmt: skip


def _point_document(point: CurvePoint, currency: str) -> dict[str, Any]:
    def bounds(estimate: Estimate) -> tuple[float, float, float]:
        return estimate.expected, estimate.low, estimate.high

    names = "expected", "low", "high"
    profit = point.profit
    return {
        "price": decimal_text(point.price, currency),
        "units_a_week": dict(zip(names, bounds(point.units), strict=True)),
        "profit_a_week": None
        if profit is None
        else {name: decimal_text(round(minor), currency) for name, minor in zip(names, bounds(profit), strict=True)},
    }
