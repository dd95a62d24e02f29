"""Reasons not to estimate elasticities from a panel: each with its figures and what to do."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.evaluation.effects import Slope
from scalecommerce_core.pricing.evaluation.elasticities import Elasticities
from scalecommerce_core.pricing.evaluation.price_changes import PriceChanges
from scalecommerce_core.pricing.evaluation.quantity_discounts import QuantityDiscounts

LEAST_ROWS: Final = 100
LEAST_PERIODS: Final = 10
MOST_FLAT: Final = 0.8
"""Largest permitted share of cells with a flat price."""
LEAST_NEGATIVE: Final = 0.9
"""Least share of negative elasticities."""
STEEPEST: Final = -6.0
"""Steepest plausible elasticity over all cells: more than twice the mean of 1,851 published ones (-2.62; Bijmolt, van
Heerde and Pieters 2005)."""
STEEPEST_CELL: Final = -8.0
"""Steepest plausible elasticity of a single cell."""
MOST_STEEP: Final = 0.05
"""Largest share of cells that may be steeper than `STEEPEST_CELL`."""
FLATTEST: Final = -0.2
MOST_MIXED: Final = 0.05
"""Largest permitted share of cells' days with several prices, among those with several sales, if prices fall with the
quantity."""
MOST_MEANS: Final = 0.3
"""Largest permitted share of rows with a mean of several prices, if prices fall with the quantity."""
MOST_EXCESS: Final = 0.1
"""Logarithm of the factor by which more is sold at prices between list prices, from which these count as means."""
MOST_BETWEEN: Final = 0.05
"""Largest permitted share of rows with a price between list prices, if sales exceed `MOST_EXCESS` there."""
MOST_OF_ORDER_SIZE: Final = 0.5
"""Largest permitted share of the effect of prices on units that is an effect on units per order."""
LEAST_VARIATION: Final = -0.15
"""Exponent with which short-term price changes shrink as sales grow: 0 for list prices, -1/2 for means of orders.
Prices count as means if it is below this value, and `HIGHLY_SIGNIFICANT`."""
MOST_REPEATED: Final = 0.7
"""Share of rows with a price that occurs again, above which prices come from a list."""
MOST_UNCONFIRMED: Final = 0.45
"""Largest part of the effect of shared price changes that the cells' own changes need not confirm. In Dominick's data,
where promotions of a brand are advertised, the part is 0.4."""
MOST_UNCONFIRMED_IN_ALL: Final = 1 / 3
"""The same for changes that all categories share, to which the promotions of one category contribute little."""
LEAST_SHARED: Final = 0.05
"""Share of the variance of prices below which shared changes do not matter."""
MOST_SHARED: Final = 0.95
"""Share of the variance of prices above which price changes count as shared, if the others determine no elasticity."""
UNDETERMINED: Final = 0.75
"""Standard error of an elasticity above which it is not determined."""
MOST_LEAD: Final = 1 / 3
"""Largest permitted ratio of the effect of the next price to that of the present one, if both have the same sign."""
MOST_OPPOSITE_LEAD: Final = 0.15
"""The same for opposite signs, as price cuts of a single busy period cause them."""
SIGNIFICANT: Final = 3.0
"""Standard errors from 0 beyond which an estimate is significant, and, where several are tested, highly significant."""
HIGHLY_SIGNIFICANT: Final = 4.0
IMPROVED: Final = 1.96
"""Standard errors by which prices must improve predictions, in one of two comparisons: 5 % error probability in all."""


class Reason(StrEnum):
    """Names of objections in JSON; docs/pricing.md explains each."""

    TOO_FEW = "too_few"
    QUANTITY_DISCOUNTS = "quantity_discounts"
    FLAT_PRICES = "flat_prices"
    BUSY_PERIODS = "busy_periods"
    MOVE_TOGETHER = "move_together"
    PRICES_FOLLOW_SALES = "prices_follow_sales"
    CUT_WHEN_BUSY = "cut_when_busy"
    TOO_STEEP = "too_steep"
    TOO_FLAT = "too_flat"
    NOT_NEGATIVE = "not_negative"
    NO_INFORMATION = "no_information"
    NO_IMPROVEMENT = "no_improvement"


@frozen
class Objection:
    """`message` states the figures; `remedy` says what to do."""

    reason: Reason
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


def find_objections(
    *,
    rows: int,
    periods: int,
    flat_share: float,
    negative_share: float | None,
    trained: Elasticities,
    price_changes: PriceChanges,
    quantity_discounts: QuantityDiscounts,
    gains: Sequence[Slope],
) -> tuple[Objection, ...]:
    """All objections, the most specific ones first.

    `gains` are those of the demand filter, empty if it was not run; one of them must be significant.
    """
    enough = rows >= LEAST_ROWS and periods >= LEAST_PERIODS
    if not enough:
        few = Objection(
            Reason.TOO_FEW,
            f"Rows: {rows}, periods: {periods}; at least {LEAST_ROWS} rows and {LEAST_PERIODS} periods are needed.",
            "Evaluate a longer time, or more products.",
        )
        return (few, *_discounts(quantity_discounts))
    if flat_share > MOST_FLAT:
        flat = Objection(
            Reason.FLAT_PRICES,
            f"The prices of {flat_share:.0%} of the cells hardly change, so the effect of other prices is unknown.",
            "Let a policy vary prices a little, and evaluate again after some weeks.",
        )
        return (*_discounts(quantity_discounts), flat)
    found = [
        *_discounts(quantity_discounts), *_shared(price_changes), *_following(price_changes),
        *_implausible(trained, negative_share),
    ]  # fmt: skip
    if negative_share is None:
        found.append(
            Objection(
                Reason.NO_INFORMATION,
                "Prices vary too little compared with sales: no elasticity can be distinguished from random variation.",
                "Evaluate a longer time, or products that sell more.",
            )
        )
    if gains and not any(gain.value > IMPROVED * gain.error for gain in gains):
        gain = max(gains, key=lambda each: each.t)
        found.append(
            Objection(
                Reason.NO_IMPROVEMENT,
                f"Prices do not improve predictions of later sales: the demand filter's squared errors fall by"
                f" {gain.value:.1%} ± {IMPROVED * gain.error:.1%} if it knows the prices.",
                "Evaluate a longer time, or more products whose prices change.",
            )
        )
    return tuple(found)


def _discounts(found: QuantityDiscounts) -> Iterator[Objection]:
    remedy = (
        "Evaluate list prices instead of prices paid, or only orders of usual size; and do not let a strategy learn"
        " from these prices."
    )
    if found.mixed_share > MOST_MIXED and found.line_slope.t < -SIGNIFICANT:
        yield Objection(
            Reason.QUANTITY_DISCOUNTS,
            f"Prices depend on the quantity bought: {found.mixed_share:.0%} of a product's days with several sales have"
            " several prices, and larger orders pay less. Such a price is an effect of demand, not its cause.",
            remedy,
        )
        return
    share = found.order_size_share
    if share is not None and share > MOST_OF_ORDER_SIZE and found.order_size.t < -SIGNIFICANT:
        yield Objection(
            Reason.QUANTITY_DISCOUNTS,
            f"Prices depend on the quantity bought: {min(share, 1.0):.0%} of the effect of prices on units is an effect"
            " on the units of an order, and little on the number of orders. These are quantity discounts, summed up.",
            remedy,
        )
        return
    if found.unit_slope.t > -SIGNIFICANT:
        return
    if found.mean_share > MOST_MEANS:
        yield Objection(
            Reason.QUANTITY_DISCOUNTS,
            f"Prices depend on the quantity bought: {found.mean_share:.0%} of the rows have the mean of several prices"
            " (revenue is a whole number of cents, the price is not), and mean prices are lower when more units are"
            " sold. These are quantity discounts, summed up.",
            remedy,
        )
    elif (
        found.between_share > MOST_BETWEEN
        and found.between_units.value > MOST_EXCESS
        and found.between_units.t > HIGHLY_SIGNIFICANT
    ):
        yield Objection(
            Reason.QUANTITY_DISCOUNTS,
            f"Prices depend on the quantity bought: {found.between_share:.0%} of the rows have a price that never"
            f" occurs again and lies between two list prices, and sell {np.expm1(found.between_units.value):.0%} more"
            " than expected. These prices are means of several, lower for large orders: quantity discounts, summed up.",
            remedy,
        )
    elif (
        found.variation.value < LEAST_VARIATION
        and found.variation.t < -HIGHLY_SIGNIFICANT
        and found.repeated_share < MOST_REPEATED
    ):
        yield Objection(
            Reason.QUANTITY_DISCOUNTS,
            "Prices seem to depend on the quantity bought: they vary less in cells that sell more, by sales to the"
            f" power of {found.variation.value:.2f} ± {found.variation.error:.2f} (0 for list prices, -0.5 for means of"
            " orders), and are lower when more units are sold. These are quantity discounts, summed up.",
            remedy,
        )


def _shared(changes: PriceChanges) -> Iterator[Objection]:
    pairs = (
        ("all products", changes.in_all, MOST_UNCONFIRMED_IN_ALL),
        ("the products of a category", changes.in_category, MOST_UNCONFIRMED),
    )
    for whose, found, most in pairs:
        if found is None or found.share < LEAST_SHARED:
            continue
        if found.unconfirmed > most and found.excess.t < -SIGNIFICANT:
            yield Objection(
                Reason.BUSY_PERIODS,
                f"Prices are low in busy periods: price changes that {whose} share in a period go with an elasticity of"
                f" {found.shared.value:.1f}, their other changes with {found.own.value:.1f} ±"
                f" {2 * found.own.error:.1f}. So {found.unconfirmed:.0%} of the apparent effect is demand that was high"
                " anyway (reverse causality), such as holidays or advertising.",
                "Leave out the periods of common sales, or change prices of single products at times of your choice.",
            )
            return
        if found.share > MOST_SHARED and found.own.error > UNDETERMINED:
            yield Objection(
                Reason.MOVE_TOGETHER,
                f"Prices move together: {found.share:.0%} of the price changes are shared by {whose} in the same"
                " period. Their effect cannot be told from what made these periods busy or quiet, such as holidays or"
                " advertising (reverse causality).",
                "Change prices of single products at different times, and evaluate again.",
            )
            return


def _following(changes: PriceChanges) -> Iterator[Objection]:
    ahead, now, lasting = changes.following, changes.present, changes.lasting
    if abs(ahead.t) <= HIGHLY_SIGNIFICANT:
        return
    if now.value < 0 < ahead.value and ahead.value <= MOST_LEAD * -now.value:
        if ahead.value > MOST_OPPOSITE_LEAD * -now.value:
            yield Objection(
                Reason.CUT_WHEN_BUSY,
                f"Products are cut when they are busy: price changes of a single period go with an elasticity of"
                f" {now.value:.1f}, lasting ones with {lasting.value:.1f} ± {2 * lasting.error:.1f}. The difference is"
                " demand that was high anyway (reverse causality).",
                "Leave out prices that were set because of sales, or change prices at times of your choice.",
            )
    elif abs(ahead.value) > MOST_LEAD * abs(now.value):
        moved = "cut after they were busy" if ahead.value < 0 else "raised after they were busy"
        yield Objection(
            Reason.PRICES_FOLLOW_SALES,
            f'Prices follow sales: products are {moved}. The next price "predicts" present sales with a slope of'
            f" {ahead.value:.1f} ± {2 * ahead.error:.1f}, against {now.value:.1f} for the present price; it would be 0"
            " if prices did not depend on demand (reverse causality).",
            "Leave out prices that were set because of sales, or change prices at times of your choice.",
        )


def _implausible(trained: Elasticities, negative_share: float | None) -> Iterator[Objection]:
    if negative_share is None:
        return
    use = trained.known & trained.informed
    steep = use & (trained.alone + SIGNIFICANT * trained.error < STEEPEST_CELL)
    share = float(steep.sum()) / max(int(use.sum()), 1)
    if trained.pooled < STEEPEST:
        yield Objection(
            Reason.TOO_STEEP,
            f"The elasticities are implausible: {trained.pooled:.1f} over all cells, where {STEEPEST:g} is the steepest"
            " plausible value. Prices probably were low because sales were high: discounts in busy periods"
            " (reverse causality), or for large quantities.",
            "Find out why prices changed, and leave out the changes that followed demand.",
        )
    elif share > MOST_STEEP and steep.sum() >= 3:
        yield Objection(
            Reason.TOO_STEEP,
            f"The elasticities of {int(steep.sum())} of {int(use.sum())} cells are implausible: below"
            f" {STEEPEST_CELL:g}, with a median of {np.median(trained.alone[steep]):.1f}. The prices of these cells"
            " probably were low because sales were high: cut when busy (reverse causality), or for large quantities.",
            "Find out why these prices changed, and leave out the changes that followed demand.",
        )
    if negative_share < LEAST_NEGATIVE:
        yield Objection(
            Reason.NOT_NEGATIVE,
            f"Only {negative_share:.0%} of the elasticities are negative: something else changes together with prices,"
            " for example prices raised in busy periods.",
            "Find out why prices changed, and leave out the changes that followed demand.",
        )
    elif trained.pooled > FLATTEST:
        yield Objection(
            Reason.TOO_FLAT,
            f"The elasticities are implausible: {trained.pooled:.2f} over all cells, as if a higher price lost no"
            " sales.",
            "Find out why prices changed, for example whether they were raised in busy periods.",
        )
