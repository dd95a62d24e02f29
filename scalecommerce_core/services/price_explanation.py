"""The explanation of a product's price: its path with the causes, sales at each price, and what a policy has learnt."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.pricing.messages import Message, Templates
from scalecommerce_core.pricing.price_explanation import LearntDemand, learnt_demand
from scalecommerce_core.pricing.runs import StoredDecision
from scalecommerce_core.queries import PageRequest, PriceStep, ProductView, Queries, SalesFigures

DECISIONS: Final = 4
"""The decisions whose epochs tell how often a product is viewed."""
CLOCK_DIFFERENCE: Final = timedelta(minutes=1)
"""By default, a price that another machine has just set is shown even if its clock is so much ahead."""
DEFAULT_RANGE: Final = timedelta(days=90)
CAUSE_MESSAGES: Final = Templates(
    "cause",
    {
        "listed": "the product was listed at this price",
        "manual": "the seller set this price",
        "policy": "a pricing policy set this price; its decision is not kept any more",
        "import": "an import set this price",
        "rollback": "the pricing run that had changed the price was rolled back",
        "withdrawal": "this price replaces one that was withdrawn as a mistake",
        "promotion": "the price of an announced promotion",
        "promotion_end": "the promotion ended",
    },
)
"""Why a price changed, for changes without a decision; by `PriceCause`."""


@frozen
class PriceMove:
    """A step of the price, and the reasons for it, the main one first."""

    step: PriceStep
    reasons: tuple[Message, ...]


@frozen
class FiguresAtPrice:
    """Sales at one price, over all times in the range at which it was in force.

    `days` is the time in the range; the sales are those of the whole intervals, which may begin before the range.
    `profit`, in minor units, is revenue less refunds less the present cost per unit; None without a cost.
    """

    price: Money
    days: float
    sales: SalesFigures
    profit: int | None


@frozen
class PriceExplanation:
    """The price of a product in words and figures.

    `path` is the prices in the range, oldest first, and `by_price` their sales by rising price. `last` is the last
    decision about the product, None if no policy has decided about it.
    """

    product: ProductView
    since: datetime
    until: datetime
    path: tuple[PriceMove, ...]
    by_price: tuple[FiguresAtPrice, ...]
    learnt: LearntDemand
    last: StoredDecision | None


def explain_price(
    queries: Queries, product: ProductView, now: datetime, since: datetime | None = None, until: datetime | None = None
) -> PriceExplanation:
    """Explain the price of a product; by default, with its path over the last `DEFAULT_RANGE`.

    Raise `Invalid`, which names `from`, if the range is reversed.
    """
    end = now if until is None else until
    try:
        begin = end - DEFAULT_RANGE if since is None else since
    except OverflowError:
        raise Invalid.field("from", "The time must be within the years 1 to 9999.") from None
    check_ranges(("from", begin, "now" if until is None else "to", end))
    path = queries.price_path(product.id, begin, end + CLOCK_DIFFERENCE if until is None else end)
    decisions = queries.product_decisions(product.id, PageRequest(DECISIONS)).rows
    return PriceExplanation(
        product,
        begin,
        end,
        tuple(PriceMove(step, _reasons(step)) for step in path),
        tuple(_by_price(path, product.cost, begin, min(end, now))),
        learnt_demand([each.inputs for each in decisions]),
        decisions[0] if decisions else None,
    )


def _reasons(step: PriceStep) -> tuple[Message, ...]:
    if step.decision is not None:
        return step.decision.decision.causes
    return (CAUSE_MESSAGES.message(step.cause.value),)


def _by_price(path: Sequence[PriceStep], cost: Money | None, begin: datetime, end: datetime) -> list[FiguresAtPrice]:
    steps: dict[Money, list[PriceStep]] = {}
    for step in path:
        steps.setdefault(step.price, []).append(step)
    return [
        _figures(price, steps[price], cost, begin, end)
        for price in sorted(steps, key=lambda price: (price.currency, price.minor))
    ]


def _figures(
    price: Money, steps: Sequence[PriceStep], cost: Money | None, begin: datetime, end: datetime
) -> FiguresAtPrice:
    sold = SalesFigures.sum(step.sales for step in steps)
    zero = timedelta()
    lasted = sum((max(min(step.valid_to or end, end) - max(step.valid_from, begin), zero) for step in steps), zero)
    profit = None
    if cost is not None and cost.currency == price.currency:
        profit = sold.net_revenue - (sold.units - sold.refunded_units) * cost.minor
    return FiguresAtPrice(price, lasted / timedelta(days=1), sold, profit)
