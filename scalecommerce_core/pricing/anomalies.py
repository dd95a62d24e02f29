"""Anomaly filter: makes views and sales robust against forged ones before a strategy learns from them.

Anybody can forge views, and purchases that are refunded later. Each epoch is compared with a running baseline of the
product itself: its views per day, and its units per view. A count that is farther from the baseline than some robust
standard deviations is an anomaly (a Hampel identifier; Hampel 1974, Davies and Gather 1993).

- *Evidence*: a baseline is an estimate. Its variance, from the time on sale and the views that it contains, widens the
  limits. A baseline of less than half an epoch has no anomalies, and a later epoch changes it the more, the less it
  contains.
- *Views*: an anomaly is replaced by the views of the baseline, unless sales rose or fell with the views. If it lasts,
  the new level becomes the baseline, and later views are divided by the ratio of both levels. The conversion rate that
  a strategy sees thus continues: a lasting jump of views that sales do not follow says nothing about the price. The
  division ends as soon as the units of one or several epochs are those of the undivided views (a sequential test).
- *Units*: an epoch whose units are an anomaly counts as an epoch without data; a lasting one becomes the baseline. A
  change of the price since the baseline explains units up to a demand of elasticity `LARGEST_ELASTICITY`.
- *Refunds*: an epoch with an unusual number of refunds counts as one without data, because they concern earlier sales.
  If it has many sales too, these are reduced by the share of the previous epoch's sales that was refunded, and have
  less weight.

`Signals.weight` is below 1 for an epoch with an anomaly, and `Signals.is_held` asks the guardrail `anomaly_hold` to
keep the price. Holds are limited, so that repeated anomalies cannot keep a price for long.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from attrs import evolve, fields, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.signals import UNKNOWN, Signals

DEVIATIONS: Final = 3.0
"""Views are an anomaly beyond this number of standard deviations, both of `Baseline.spread` and of a Poisson count."""
LEAST_SPREAD: Final = 0.3
MOST_SPREAD: Final = 0.4
"""Bounds of `Baseline.spread`. The upper one matters because an attacker can raise the spread slowly."""
SALES_DEVIATIONS: Final = 4.0
SALES_RATIO: Final = 4.0
"""Units are an anomaly beyond `SALES_DEVIATIONS` of a Poisson count and beyond this ratio to the expected number."""
LASTING_EPOCHS: Final = 4
"""Consecutive epochs with an anomaly in one direction after which the new level is the baseline."""
TRAFFIC_GAIN: Final = 0.2
"""Weight of an epoch in a long running baseline of views per day."""
CONFIRMED_GAIN: Final = 0.5
"""The same for an epoch whose views would be an anomaly, had not sales followed them."""
SALES_GAIN: Final = 0.3
"""Weight of an epoch with many sales in a long running baseline of units per view."""
LARGEST_STEP: Final = 0.5
"""Winsorisation: largest deviation of one epoch, as a logarithm, that enters a long running baseline."""
FEW_SALES: Final = 10.0
"""Expected units below which sales do not change the baseline much."""
LEAST_EXPOSURE: Final = 0.5
"""Epochs on sale that a baseline must contain before a count is compared with it."""
LEAST_LENGTH: Final = 1 / 7
"""Epochs on sale that an observation must last: shorter ones, after a price that was set by hand between two runs,
differ from the baseline by the time of the day."""
LARGEST_ELASTICITY: Final = 4.0
"""Percent of units that a price 1 % lower sells more, at most."""
FOLLOWING_BOUND: Final = 4.0
"""Logarithm of the likelihood ratio beyond which units follow the views."""
REFUND_DEVIATIONS: Final = 3.0
REFUNDED_SHARE: Final = 0.3
"""Refunds are unusual beyond both: `REFUND_DEVIATIONS` of a Poisson count, and this share of the units sold."""
RETURNED_DEVIATIONS: Final = 1.0
"""Units in an epoch with unusual refunds are too many beyond this number of deviations of a Poisson count."""
REFUND_SHARE_GAIN: Final = 0.1
"""Weight of an epoch with many sales in the usual share of refunds."""
REFUND_GAIN: Final = 0.5
"""Weight of an epoch in `Baseline.return_share`."""
REFUND_WEIGHT: Final = 0.25
"""Weight of such units as evidence."""
HOLD_RECOVERY: Final = 1 / 8
"""Holds that become available again in each epoch."""
_MOST_EXPOSURE: Final = 1 / TRAFFIC_GAIN
_ASSUMED_VIEWS: Final = 25.0
"""Weight of an initial conversion rate of 2 %, in views; no evidence of the product."""


@frozen(eq=False)
class Baseline:
    """What the filter stores about products: a float for each. `traffic` is NaN for products without a baseline."""

    traffic: Floats
    """Logarithm of views per day."""
    exposure: Floats
    """Epochs on sale that `traffic` contains; older ones count less."""
    spread: Floats
    """Standard deviation of the logarithm of views per epoch, in addition to counting noise."""
    accepted: Floats
    """Sum of the jumps of `traffic` that lasted; views are divided by its exponential."""
    conversion: Floats
    """Logarithm of units per view, after that division."""
    evidence: Floats
    """Views that `conversion` contains; older ones count less."""
    price: Floats
    """Mean logarithm of the price at these views."""
    following: Floats
    """Logarithm of the likelihood ratio, at least 0, of units that follow all counted views to units that do not: a
    cumulative sum over epochs with an anomaly of views or with divided ones."""
    traffic_run: Floats
    """Consecutive epochs with an anomaly of views; negative: too few views."""
    traffic_jump: Floats
    """Sum of the deviations of `traffic_run`."""
    sales_run: Floats
    """Consecutive epochs with an anomaly of units; negative: too few units."""
    sales_jump: Floats
    last_sold: Floats
    """Units sold in the last epoch, before refunds."""
    return_share: Floats
    """Share of an epoch's units that is refunded in the next one, in a run of epochs with anomalies of both; else NaN.
    """
    refund_share: Floats
    """Usual share of refunds in the units sold."""
    holds: Floats
    """Holds of the price that were used and are not available again yet."""

    @classmethod
    def unknown(cls, size: int) -> "Baseline":
        """The baseline of `size` products about which nothing is known."""
        zero, nothing = np.zeros(size), np.full(size, np.nan)
        return cls(
            traffic=nothing, exposure=zero, spread=np.full(size, LEAST_SPREAD), accepted=zero, conversion=nothing,
            evidence=zero, price=zero, following=zero, traffic_run=zero, traffic_jump=zero, sales_run=zero,
            sales_jump=zero, last_sold=zero, return_share=nothing, refund_share=zero, holds=zero,
        )  # fmt: skip

    @classmethod
    def of_columns(cls, columns: Mapping[str, Floats], known: Flags) -> "Baseline":
        """The baseline in these columns; unknown where `known` is false."""
        nothing = cls.unknown(len(known))
        return cls(**{name: np.where(known, columns[name], getattr(nothing, name)) for name in BASELINE_COLUMNS})

    def columns(self) -> dict[str, Floats]:
        return {name: getattr(self, name) for name in BASELINE_COLUMNS}


BASELINE_COLUMNS: Final = tuple(attribute.name for attribute in fields(Baseline))


def filter_anomalies(baseline: Baseline, seen: Signals, *, most_holds: int) -> tuple[Baseline, Signals]:
    """Update the baseline with an epoch, and replace anomalies in its signals.

    `seen.units` may be negative: net of refunds of earlier sales. The result has none of these. `most_holds` is the
    number of consecutive epochs for which a price is held. A product without a baseline gets one from its first epoch
    with views; that epoch, and epochs without a day on sale, have no anomalies.
    """
    known = ~np.isnan(baseline.traffic)
    active = known & (seen.days > 0)
    sales = _judge_refunds(baseline, seen, active)
    epoch = _epoch(seen)
    first = _begin(baseline, seen, sales, epoch)
    judged = active & (first.exposure >= LEAST_EXPOSURE) & (epoch.length >= LEAST_LENGTH)
    explainable = _explained(first, epoch)
    views = _judge_views(first, seen, sales.sold, epoch, explainable, active=active, judged=judged)
    units = _judge_units(first, seen, sales, views, explainable, judged)

    # The replaced number of views is uncertain by `spread`, which adds to the Poisson variance of the units.
    weight = np.where(views.odd, 1.0 / (1.0 + first.spread**2 * units.expected), 1.0)
    weight = np.where(units.returned, np.minimum(weight, REFUND_WEIGHT), weight)
    odd = views.odd | units.returned | units.odd
    available = np.maximum(first.holds - HOLD_RECOVERY, 0.0)
    held = odd & (available + 1.0 <= most_holds)

    updated = _update(first, sales, epoch, views, units, odd=odd, holds=available + held)
    begins = ~known & (seen.days > 0) & (seen.views > 0)
    kept = {
        name: np.where(active, column, np.where(begins, getattr(first, name), getattr(baseline, name)))
        for name, column in updated.columns().items()
    }
    net = np.maximum(sales.gross * (1.0 - units.returns), 0.0)
    changed = active & (odd | sales.unusual | (views.accepted != 0.0))
    return Baseline(**kept), seen.with_columns(
        views=np.where(units.odd, 0.0, views.shown),
        units=np.where(units.odd, 0.0, np.where(units.returned, net, sales.sold)),
        days=np.where(units.odd, 0.0, seen.days),
        weight=np.where(units.odd, 0.0, weight) * seen.weight,
        is_held=held,
        counted_views=np.where(changed, seen.views, UNKNOWN),
        counted_units=np.where(changed, seen.units, UNKNOWN),
    )


@frozen(eq=False)
class _Sales:
    """Units of an epoch. `unusual`: the number of refunds is an anomaly."""

    gross: Floats
    """Units sold, before refunds."""
    refunded: Floats
    usual_refunds: Floats
    unusual: Flags
    sold: Floats
    """Units of which a strategy learns: net of refunds, of usual ones if the number is an anomaly."""


def _judge_refunds(baseline: Baseline, seen: Signals, active: Flags) -> _Sales:
    gross = np.maximum(seen.units + seen.refunded, 0.0)
    usual = gross * baseline.refund_share
    unusual = active & (seen.refunded > REFUNDED_SHARE * gross)
    unusual &= _poisson_deviations(seen.refunded, usual) > REFUND_DEVIATIONS
    sold = np.where(unusual, gross - usual, np.maximum(seen.units, 0.0))
    return _Sales(gross, np.minimum(seen.refunded, gross), usual, unusual, sold)


@frozen(eq=False)
class _Epoch:
    days: Floats
    """Days on sale; 1 for an epoch without them."""
    length: Floats
    """The same in epochs."""
    traffic: Floats
    """Logarithm of views per day."""
    price: Floats
    """Logarithm of the price."""


def _epoch(seen: Signals) -> _Epoch:
    days = np.where(seen.days > 0, seen.days, 1.0)
    return _Epoch(days, days / seen.epoch_days, np.log(np.maximum(seen.views, 0.5) / days), np.log(seen.price))


def _begin(baseline: Baseline, seen: Signals, sales: _Sales, epoch: _Epoch) -> Baseline:
    """The baseline, with one from this epoch for products that have none."""
    known = ~np.isnan(baseline.traffic)
    conversion = np.log((sales.sold + 0.02 * _ASSUMED_VIEWS) / (seen.views + _ASSUMED_VIEWS))
    return evolve(
        baseline,
        traffic=np.where(known, baseline.traffic, epoch.traffic),
        exposure=np.where(known, baseline.exposure, np.minimum(epoch.length, _MOST_EXPOSURE)),
        conversion=np.where(known, baseline.conversion, conversion),
        evidence=np.where(known, baseline.evidence, seen.views),
        price=np.where(known, baseline.price, epoch.price),
        refund_share=np.where(known, baseline.refund_share, sales.refunded / (sales.gross + FEW_SALES)),
    )


@frozen(eq=False)
class _Explained:
    """The factors by which a change of the price since the baseline multiplies sales, at most and at least."""

    most: Floats
    least: Floats


def _explained(first: Baseline, epoch: _Epoch) -> _Explained:
    cheaper = LARGEST_ELASTICITY * (first.price - epoch.price)
    return _Explained(np.exp(np.maximum(cheaper, 0.0)), np.exp(np.minimum(cheaper, 0.0)))


@frozen(eq=False)
class _Views:
    """Views of an epoch. `odd`: their number is an anomaly, which sales do not explain."""

    odd: Flags
    shown: Floats
    """The views of which a strategy learns."""
    deviation: Floats
    """Distance of the views from the baseline, as a logarithm."""
    traffic: Floats
    exposure: Floats
    spread: Floats
    accepted: Floats
    following: Floats
    """These five are columns of the new `Baseline`; a jump that lasted is not added yet."""


def _judge_views(
    first: Baseline,
    seen: Signals,
    sold: Floats,
    epoch: _Epoch,
    explainable: _Explained,
    *,
    active: Flags,
    judged: Flags,
) -> _Views:
    """Compare the views of an epoch with the baseline; only those where `judged` is true can be an anomaly."""
    usual_views = np.exp(first.traffic) * epoch.days
    deviation = epoch.traffic - first.traffic
    # The variance of a long baseline is part of the thresholds; that of a shorter one exceeds it and widens them.
    young = np.maximum(1.0 / first.exposure - TRAFFIC_GAIN, 0.0)
    far = judged & (np.abs(deviation) > DEVIATIONS * first.spread * np.sqrt(1.0 + young))
    far &= np.abs(_poisson_deviations(seen.views, usual_views)) > DEVIATIONS * np.sqrt(1.0 + epoch.length * young)
    by_views = seen.views * np.exp(first.conversion)
    by_baseline = np.where(far, usual_views, seen.views) * np.exp(first.conversion - first.accepted)
    ratio = _likelihood_ratio(sold, by_baseline, by_views, explainable)
    # The fewer views the conversion rate is based on, the less the ratio says.
    following = np.maximum(first.following + ratio / (1.0 + seen.views / (first.evidence + 1.0)), 0.0)
    following = np.where(far | (active & (first.accepted != 0.0)), following, 0.0)
    follows = following > FOLLOWING_BOUND
    odd = far & ~follows
    accepted = np.where(follows, 0.0, first.accepted)

    exposure = first.exposure * (1.0 - TRAFFIC_GAIN) ** epoch.length + epoch.length
    gain = epoch.length / exposure
    largest = np.where(judged, LARGEST_STEP * np.maximum(gain / TRAFFIC_GAIN, 1.0), np.inf)
    step = np.where(far, np.maximum(gain, CONFIRMED_GAIN) * deviation, gain * np.clip(deviation, -largest, largest))
    # 1.25 times the mean absolute deviation is the standard deviation of a normal distribution.
    spread = first.spread + TRAFFIC_GAIN * (np.where(judged, 1.25 * np.abs(deviation), 0.0) - first.spread)
    # Normal views stay whole numbers, which are stored in fewer bytes.
    reduced = np.where(active, np.exp(-accepted), 1.0)
    shown = reduced * np.where(odd, usual_views, seen.views)
    return _Views(
        odd=odd,
        shown=np.maximum(shown, np.minimum(seen.views, sold)),
        deviation=deviation,
        traffic=first.traffic + np.where(odd, 0.0, step),
        exposure=np.where(odd, first.exposure, np.minimum(exposure, _MOST_EXPOSURE)),
        spread=np.clip(np.where(odd, first.spread, spread), LEAST_SPREAD, MOST_SPREAD),
        accepted=accepted,
        following=np.where(follows, 0.0, following),
    )


@frozen(eq=False)
class _Units:
    """Units of an epoch, compared with its views. `odd`: the epoch counts as one without data."""

    expected: Floats
    ratio: Floats
    """Logarithm of sold by expected units."""
    odd: Flags
    jumped: Flags
    """The number of units is an anomaly, and that of refunds is not."""
    returned: Flags
    """Unusual refunds, with many sales: `returns` is the share of these that will probably be refunded too."""
    returns: Floats


def _judge_units(  # noqa: PLR0917 - arrays of one epoch
    first: Baseline, seen: Signals, sales: _Sales, views: _Views, explainable: _Explained, judged: Flags
) -> _Units:
    """Compare the units of an epoch with the baseline; only those where `judged` is true can be an anomaly."""
    expected = views.shown * np.exp(first.conversion)
    ratio = np.log((sales.sold + 0.5) / (expected + 0.5))
    deviations = _poisson_deviations(sales.sold, expected)
    most, least = expected * explainable.most, expected * explainable.least
    # The variance of the baseline's own conversion rate, beyond that of a long baseline.
    uncertain = np.maximum(views.shown / np.maximum(first.evidence, 1.0) - SALES_GAIN, 0.0)
    limit = SALES_DEVIATIONS * np.sqrt(1.0 + uncertain)
    many = np.log((sales.sold + 0.5) / (most + 0.5)) > np.log(SALES_RATIO)
    many &= _poisson_deviations(sales.sold, most) > limit
    few = np.log((sales.sold + 0.5) / (least + 0.5)) < -np.log(SALES_RATIO)
    few &= _poisson_deviations(sales.sold, least) < -limit
    odd = judged & (many | few)
    returned = sales.unusual & (deviations > RETURNED_DEVIATIONS)
    returns = np.clip(seen.refunded / np.maximum(first.last_sold, 1.0), 0.0, 1.0)
    returns = np.where(
        np.isnan(first.return_share), returns, first.return_share + REFUND_GAIN * (returns - first.return_share)
    )
    return _Units(expected, ratio, (odd | sales.unusual) & ~returned, odd & ~sales.unusual, returned, returns)


def _update(
    first: Baseline, sales: _Sales, epoch: _Epoch, views: _Views, units: _Units, *, odd: Flags, holds: Floats
) -> Baseline:
    """The baseline after the epoch; `odd`: the epoch has an anomaly."""
    run, jump = _extend_run(first.traffic_run, first.traffic_jump, views.odd, views.deviation)
    sales_run, sales_jump = _extend_run(first.sales_run, first.sales_jump, units.jumped, units.ratio)
    lasts, sales_last = np.abs(run) >= LASTING_EPOCHS, np.abs(sales_run) >= LASTING_EPOCHS
    moved = np.where(lasts, jump / LASTING_EPOCHS, 0.0)
    # While units may follow the undivided views, they do not change the conversion rate of the divided ones.
    teaches = ~odd & ~((views.accepted != 0.0) & (views.following > 0.0))
    forgotten = SALES_GAIN * units.expected / (units.expected + FEW_SALES)
    evidence = first.evidence * (1.0 - forgotten) + views.shown
    gain = np.where(teaches, views.shown / np.maximum(evidence, 1e-9), 0.0)
    largest = LARGEST_STEP * np.maximum(views.shown / np.maximum(first.evidence, 1.0), 1.0)
    refund_step = REFUND_SHARE_GAIN * (sales.refunded - sales.usual_refunds) / (sales.gross + FEW_SALES)
    return Baseline(
        traffic=views.traffic + moved,
        exposure=views.exposure,
        spread=views.spread,
        accepted=views.accepted + moved,
        conversion=first.conversion
        + gain * np.clip(units.ratio, -largest, largest)
        + np.where(sales_last, sales_jump / LASTING_EPOCHS, 0.0),
        evidence=np.where(sales_last, LASTING_EPOCHS * views.shown, np.where(teaches, evidence, first.evidence)),
        price=np.where(sales_last, epoch.price, first.price + gain * (epoch.price - first.price)),
        following=views.following,
        traffic_run=np.where(lasts, 0.0, run),
        traffic_jump=np.where(lasts, 0.0, jump),
        sales_run=np.where(sales_last, 0.0, sales_run),
        sales_jump=np.where(sales_last, 0.0, sales_jump),
        last_sold=sales.gross,
        return_share=np.where(units.returned, units.returns, np.nan),
        refund_share=first.refund_share + np.where(units.returned | units.jumped, 0.0, refund_step),
        holds=holds,
    )


def _poisson_deviations(count: Floats, expected: Floats) -> Floats:
    """Distance of a count from its expectation, in standard deviations of a Poisson count (Anscombe 1948)."""
    distance: Floats = 2.0 * (np.sqrt(count + 0.375) - np.sqrt(expected + 0.375))
    return distance


def _likelihood_ratio(sold: Floats, by_baseline: Floats, by_views: Floats, explainable: _Explained) -> Floats:
    """Logarithm of the likelihood of a Poisson count with the mean `by_views`, divided by one with `by_baseline`.

    A change of the price multiplies both means; of the possible factors, the one with the smallest ratio counts.
    """
    factor = np.where(by_views > by_baseline, explainable.most, explainable.least)
    ratio: Floats = sold * np.log((by_views + 1e-9) / (by_baseline + 1e-9)) - factor * (by_views - by_baseline)
    return ratio


def _extend_run(run: Floats, jump: Floats, odd: Flags, deviation: Floats) -> tuple[Floats, Floats]:
    """Extend runs of anomalies in one direction, begin new ones, and end the others; with the sum of deviations."""
    direction = np.sign(deviation)
    continues = np.sign(run) == direction
    return (
        np.where(odd, np.where(continues, run, 0.0) + direction, 0.0),
        np.where(odd, np.where(continues, jump, 0.0) + deviation, 0.0),
    )
