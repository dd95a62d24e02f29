"""Report of an import: counts that account for every line of the file."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from rich.text import Text

from adapters.cli.online_retail.lines import CURRENCY
from adapters.cli.online_retail.plan import ReplayPlan
from adapters.cli.screen import print_line
from adapters.cli.tables import Cell, columns, print_facts, print_table
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.money import Money, decimal_text


@frozen
class ReplayResult:
    """Numbers of new records, and of orders that an earlier import recorded."""

    seller_id: AccountId
    new_accounts: int
    new_products: int
    new_orders: int
    new_lines: int
    known_orders: int


@frozen
class Returns:
    """Returns. Amounts are in minor units.

    `refunded` is the amount at the prices paid, which the engine refunds; `credited` is the amount in the file for the
    same units.
    """

    lines_refunded: int
    lines_refunded_in_part: int
    units_refunded: int
    units_without_purchase: int
    refunded: int
    credited: int


@frozen
class ReplayReport:
    """Amounts in minor units of `currency`."""

    currency: str
    lines_read: int
    lines_imported: int
    revenue: int
    orders: int
    customers: int
    countries: int
    guest_lines: int
    off_list_lines: int
    products: int
    codes_never_sold: int
    price_changes: int
    opening_units: int
    returns: Returns
    refused: Mapping[str, int]
    """Lines by reason."""
    examples: Mapping[str, tuple[int, ...]]
    """The first few line numbers by reason."""
    outcome: ReplayResult
    seconds: float

    @property
    def lines_accounted_for(self) -> int:
        returned = self.returns.lines_refunded + self.returns.lines_refunded_in_part
        return self.lines_imported + returned + sum(self.refused.values())

    @property
    def reconciles(self) -> bool:
        """Whether every line is imported, refunded or refused, and every order is recorded."""
        recorded = self.outcome.new_orders + self.outcome.known_orders
        return self.lines_accounted_for == self.lines_read and recorded == self.orders

    @property
    def lines_per_second(self) -> float:
        return self.lines_read / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """JSON types; amounts are decimal strings."""
        return {
            "currency": self.currency,
            "lines_read": self.lines_read,
            "lines_imported": self.lines_imported,
            "revenue": decimal_text(self.revenue, self.currency),
            "orders": self.orders,
            "customers": self.customers,
            "countries": self.countries,
            "guest_lines": self.guest_lines,
            "off_list_lines": self.off_list_lines,
            "products": self.products,
            "stock_codes_never_sold": self.codes_never_sold,
            "price_changes": self.price_changes,
            "opening_units": self.opening_units,
            "returns": {
                "lines_refunded": self.returns.lines_refunded,
                "lines_refunded_in_part": self.returns.lines_refunded_in_part,
                "units_refunded": self.returns.units_refunded,
                "units_without_purchase": self.returns.units_without_purchase,
                "refunded": decimal_text(self.returns.refunded, self.currency),
                "credited_in_file": decimal_text(self.returns.credited, self.currency),
            },
            "net_revenue": decimal_text(self.revenue - self.returns.refunded, self.currency),
            "refused": {
                reason: {"lines": lines, "first_lines": list(self.examples[reason])}
                for reason, lines in self.refused.items()
            },
            "lines_accounted_for": self.lines_accounted_for,
            "reconciles": self.reconciles,
            "new": {
                "accounts": self.outcome.new_accounts,
                "products": self.outcome.new_products,
                "orders": self.outcome.new_orders,
                "lines": self.outcome.new_lines,
            },
            "known_orders": self.outcome.known_orders,
            "seconds": round(self.seconds, 3),
            "lines_per_second": round(self.lines_per_second),
        }


def build_report(plan: ReplayPlan, outcome: ReplayResult, seconds: float) -> ReplayReport:
    matched = [returned for returned in plan.returns if returned.units]
    return ReplayReport(
        currency=CURRENCY,
        lines_read=plan.lines_read,
        lines_imported=plan.lines,
        revenue=plan.revenue,
        orders=len(plan.purchases),
        customers=len(plan.customers),
        countries=plan.countries,
        guest_lines=sum(len(purchase.lines) for purchase in plan.purchases if not purchase.customer),
        off_list_lines=plan.off_list_lines,
        products=len(plan.products),
        codes_never_sold=plan.codes_read - len(plan.products),
        price_changes=sum(len(product.prices) - 1 for product in plan.products),
        opening_units=sum(product.opening_stock for product in plan.products),
        returns=Returns(
            lines_refunded=sum(returned.why_not is None for returned in matched),
            lines_refunded_in_part=sum(returned.why_not is not None for returned in matched),
            units_refunded=sum(returned.units for returned in matched),
            units_without_purchase=sum(returned.line.quantity - returned.units for returned in plan.returns),
            refunded=sum(returned.refunded for returned in matched),
            credited=sum(returned.units * returned.line.price for returned in matched),
        ),
        refused={why.value: len(numbers) for why, numbers in plan.refused.items()},
        examples={why.value: tuple(numbers[:5]) for why, numbers in plan.refused.items()},
        outcome=outcome,
        seconds=seconds,
    )


def show(report: ReplayReport) -> None:
    """Print the report to standard output."""
    returns = report.returns
    lines: list[list[Cell]] = [
        ["sold", f"{report.lines_imported:,}", _amount(report.revenue)],
        ["returned, refunded", f"{returns.lines_refunded:,}", ""],
        ["returned, refunded in part", f"{returns.lines_refunded_in_part:,}", _amount(-returns.refunded)],
    ]
    for reason, count in report.refused.items():
        first = ", ".join(map(str, report.examples[reason]))
        where = f"(line {first}{' and others' if count > len(report.examples[reason]) else ''})"
        name = Text(f"refused: {reason} ").append(where, style="dim")
        lines.append([name, f"{count:,}", ""])
    print_table(
        columns("line", "count", "amount", numbers=("count", "amount"), prose=["line"]),
        lines,
        title="Lines of the file",
        total=["all lines", f"{report.lines_accounted_for:,}", _amount(report.revenue - returns.refunded)],
    )
    returned = (
        f"{returns.units_refunded:,} units refunded at {_amount(returns.refunded)} {report.currency}, the price paid"
        f" (the file credits {_amount(returns.credited)}); {returns.units_without_purchase:,} units match no purchase"
    )
    new = report.outcome
    added = (
        f"{new.new_orders:,} orders with {new.new_lines:,} lines, {new.new_products:,} products,"
        f" {new.new_accounts:,} accounts are new; {new.known_orders:,} orders were already recorded"
    )
    never = f"{report.codes_never_sold:,} other stock codes were never sold at a price"
    print_facts(
        [
            ("orders", f"{report.orders:,}, placed by {report.customers:,} customers in {report.countries} countries"),
            ("guests", f"{report.guest_lines:,} lines without a customer share one account"),
            ("products", f"{report.products:,} ({never})"),
            ("prices", f"{report.price_changes:,} changes; {report.off_list_lines:,} lines have another price"),
            ("stock", f"{report.opening_units:,} units of opening stock"),
            ("returns", returned),
            ("this run", added),
            ("time", f"{report.seconds:.1f} s, {report.lines_per_second:,.0f} lines/s"),
        ]
    )
    if report.reconciles:
        print_line(f"Reconciles: {report.lines_read:,} lines read, all accounted for.", style="green")
    else:
        print_line(
            f"DOES NOT RECONCILE: {report.lines_read:,} lines read, {report.lines_accounted_for:,} accounted for.",
            style="bold red",
        )


def _amount(minor: int) -> str:
    return f"{Money(minor, CURRENCY).amount:,}"
