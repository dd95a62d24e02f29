"""Matches returns with purchases, which the file does not link."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import define, field, frozen

from adapters.cli.online_retail.lines import GUEST, Line, Refusal


@define
class Purchase:
    """An invoice of one customer: its lines, and the returns that were matched with it."""

    invoice: str
    customer: str
    placed_at: datetime
    lines: list[Line] = field(factory=list)
    returned: "list[Returned]" = field(factory=list)


@frozen
class Returned:
    """`quantity` units that `line` returned, of the purchase's lines of `code` at `price`."""

    line: Line
    code: str
    price: int
    quantity: int


@frozen
class Matched:
    """Result of one return: `units` matched a purchase; `why_not` is the reason for the others."""

    line: Line
    units: int
    refunded: int
    """Minor units, at the prices that were paid."""
    why_not: Refusal | None


@define
class _Sold:
    """Units of one code at one price in one purchase that are not returned yet."""

    purchase: Purchase
    price: int
    left: int


def match_returns(purchases: Iterable[Purchase], returns: Iterable[Line]) -> list[Matched]:
    """Match each return with earlier purchases of the same code by the same customer; each unit is returned once.

    Purchases at the price of the return are preferred over those at other prices (the refund uses the price paid), and
    recent ones over earlier ones. Returns are matched in order of time. A return without a customer matches nothing,
    because guests are not a single customer.
    """
    sold: defaultdict[tuple[str, str], list[_Sold]] = defaultdict(list)
    for purchase in sorted(purchases, key=lambda purchase: purchase.placed_at):
        if purchase.customer != GUEST:
            for (code, price), units in _units(purchase.lines).items():
                sold[purchase.customer, code].append(_Sold(purchase, price, units))
    return [_match(line, sold) for line in sorted(returns, key=lambda line: (line.at, line.number))]


def _match(line: Line, sold: defaultdict[tuple[str, str], list[_Sold]]) -> Matched:
    if line.customer == GUEST:
        return Matched(line, 0, 0, Refusal.NO_CUSTOMER)
    earlier = [s for s in sold.get((line.customer, line.code), ()) if s.purchase.placed_at <= line.at and s.left]
    # Sorting is stable: within the same price, and within the others, the most recent first.
    earlier.reverse()
    by_preference = sorted(earlier, key=lambda s: s.price != line.price)
    units = refunded = 0
    for candidate in by_preference:
        taken = min(line.quantity - units, candidate.left)
        if not taken:
            break
        candidate.left -= taken
        units += taken
        refunded += taken * candidate.price
        candidate.purchase.returned.append(Returned(line, line.code, candidate.price, taken))
    return Matched(line, units, refunded, None if units == line.quantity else Refusal.NO_PURCHASE)


def _units(lines: Sequence[Line]) -> dict[tuple[str, int], int]:
    units: dict[tuple[str, int], int] = {}
    for line in lines:
        units[line.code, line.price] = units.get((line.code, line.price), 0) + line.quantity
    return units
