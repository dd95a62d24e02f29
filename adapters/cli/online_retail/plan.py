"""Computes the records of a file before anything is written; a pure function of the file."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import define, field, frozen

from adapters.cli.online_retail.categories import category_of
from adapters.cli.online_retail.lines import CURRENCY, GUEST, Line, Refusal, RefusedLine
from adapters.cli.online_retail.prices import daily_modes, price_history
from adapters.cli.online_retail.returns import Matched, Purchase, match_returns
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import LINE_ID_SPAN
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.domain.text import NAME_LENGTH, normal_line, text_errors

LONGEST_INVOICE: Final = LINE_ID_SPAN - 1


class CannotPlan(Exception):
    """The file is valid, but a product's sales exceed the largest possible stock; the message names it."""


@frozen
class PlannedProduct:
    """A stock code that was sold, with its price history and the opening stock that its sales need."""

    code: str
    name: str
    category: str
    prices: Sequence[tuple[datetime, Money]]
    opening_stock: int


@frozen
class ReplayPlan:
    """Records of a file. `purchases` are in order of time; `refused` holds line numbers by reason."""

    lines_read: int
    codes_read: int
    products: Sequence[PlannedProduct]
    customers: Sequence[str]
    purchases: Sequence[Purchase]
    returns: Sequence[Matched]
    refused: Mapping[Refusal, Sequence[int]]
    countries: int
    off_list_lines: int
    """Lines whose price differs from the list price of their day."""

    @property
    def lines(self) -> int:
        return sum(len(purchase.lines) for purchase in self.purchases)

    @property
    def revenue(self) -> int:
        return sum(line.quantity * line.price for purchase in self.purchases for line in purchase.lines)


def build_plan(read_lines: Iterable[Line | RefusedLine]) -> ReplayPlan:
    """Build the plan. Raise `CannotPlan` if a product's opening stock exceeds `MAX_STOCK`."""
    sorted_out = _SortedOut()
    for read in read_lines:
        sorted_out.take(read)
    purchases = sorted(sorted_out.purchases.values(), key=lambda purchase: (purchase.placed_at, purchase.invoice))
    returns = match_returns(purchases, sorted_out.returns)
    for purchase in purchases:
        purchase.returned.sort(key=lambda returned: (returned.line.at, returned.line.number))
    for matched in returns:
        if matched.why_not is not None and not matched.units:
            sorted_out.refuse(matched.line.number, matched.why_not)

    dated = [(purchase.placed_at.date(), purchase.lines) for purchase in purchases]
    modes = daily_modes((line.code, day, line.price) for day, lines in dated for line in lines)
    opening = opening_stock(purchases)
    return ReplayPlan(
        lines_read=sorted_out.lines_read,
        codes_read=len(sorted_out.codes),
        products=[
            PlannedProduct(
                code, name, category_of(code, name), price_history(modes[code], CURRENCY), opening[code]
            )
            for code, name in _names(purchases).items()
        ],
        customers=sorted({purchase.customer for purchase in purchases} - {GUEST}),
        purchases=purchases,
        returns=returns,
        refused={why: sorted(sorted_out.refused[why]) for why in Refusal if why in sorted_out.refused},
        countries=len({line.country for purchase in purchases for line in purchase.lines}),
        off_list_lines=sum(line.price != modes[line.code][day] for day, lines in dated for line in lines),
    )  # fmt: skip


@define
class _SortedOut:
    lines_read: int = 0
    codes: set[str] = field(factory=set)
    purchases: dict[str, Purchase] = field(factory=dict)
    returns: list[Line] = field(factory=list)
    refused: defaultdict[Refusal, list[int]] = field(factory=lambda: defaultdict(list))

    def take(self, line: Line | RefusedLine) -> None:
        self.lines_read += 1
        if line.code:
            self.codes.add(line.code)
        if isinstance(line, RefusedLine):
            self.refuse(line.number, line.why)
            return
        if line.is_return:
            self.returns.append(line)
            return
        purchase = self.purchases.get(line.invoice)
        if purchase is None:
            purchase = self.purchases[line.invoice] = Purchase(line.invoice, line.customer, line.at)
        if purchase.customer != line.customer:
            self.refuse(line.number, Refusal.OTHER_CUSTOMER)
        elif len(purchase.lines) == LONGEST_INVOICE:
            self.refuse(line.number, Refusal.INVOICE_TOO_LONG)
        else:
            purchase.lines.append(line)
            # Lines of some invoices differ by a minute or two; the first one is the time of the order.
            purchase.placed_at = min(purchase.placed_at, line.at)

    def refuse(self, number: int, why: Refusal) -> None:
        self.refused[why].append(number)


def opening_stock(purchases: Sequence[Purchase]) -> dict[str, int]:
    """Opening stock per code: the largest sum of sales minus returns up to any time.

    `purchases` are in order of time. Replay records the returns of a purchase together with the purchase, earlier than
    they happened, so this stock suffices for the replay too.
    """
    moves = [
        (purchase.placed_at, 0, line.code, line.quantity) for purchase in purchases for line in purchase.lines
    ] + [
        (returned.line.at, 1, returned.code, -returned.quantity)
        for purchase in purchases
        for returned in purchase.returned
    ]  # fmt: skip
    moves.sort()
    missing: Counter[str] = Counter()
    most: dict[str, int] = {}
    for _at, _sales_first, code, units in moves:
        missing[code] += units
        if missing[code] > most.get(code, 0):
            most[code] = missing[code]
    for code, units in most.items():
        if units > MAX_STOCK:
            raise CannotPlan(f"Stock code {code} needs an opening stock of {units} units; the maximum is {MAX_STOCK}.")
    return most


def _names(purchases: Iterable[Purchase]) -> dict[str, str]:
    """Name per code: its most frequent description (the first of equally frequent ones), else the code."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for purchase in purchases:
        for line in purchase.lines:
            counted[line.code][line.description] += 1
    return {code: _name(code, descriptions) for code, descriptions in sorted(counted.items())}


def _name(code: str, descriptions: Counter[str]) -> str:
    for description, _lines in descriptions.most_common():
        name = normal_line(normal_line(description)[:NAME_LENGTH])
        if not text_errors(name, at_most=NAME_LENGTH, at_least=1):
            return name
    return code
