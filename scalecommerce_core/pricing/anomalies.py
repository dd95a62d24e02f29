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
- *Refunds*: purchases that will be refunded look like real ones until then. An epoch with more units than chance and
  the price explain therefore waits: it counts one epoch later, less the units that were refunded by then. An unusual
  number of refunds makes the product suspect for some time: less is needed for an epoch to wait then, and it waits
  longer.

`Signals.weight` is below 1 for an epoch with an anomaly, and `Signals.is_held` asks the guardrail `anomaly_hold` to
keep the price. Holds are limited, so that repeated anomalies cannot keep a price for long.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from attrs import evolve, fields, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
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
REFUND_DEVIATIONS: Final = 4.0
REFUNDED_SHARE: Final = 0.3
"""Refunds are unusual beyond both: `REFUND_DEVIATIONS` of a Poisson count, and this share of the units sold in this
epoch or the last one, whichever are more."""
REFUND_SHARE_GAIN: Final = 0.1
"""Weight of an epoch with many sales in the usual share of refunds."""
WAITING_DEVIATIONS: Final = 4.0
WAITING_RATIO: Final = 2.0
"""An epoch waits if its units exceed both: `WAITING_DEVIATIONS` of a Poisson count, and this ratio to the expected
number."""
SUSPECT_DEVIATIONS: Final = 1.0
SUSPECT_RATIO: Final = 1.2
"""The same for suspect products."""
SUSPICION_DECAY: Final = 0.95
"""Share of `Baseline.suspicion` that remains after an epoch."""
LEAST_SUSPICION: Final = 0.5
"""Suspicion from which a product is suspect: for 13 epochs after the last unusual refunds."""
LONGEST_WAIT: Final = 4.0
"""Epochs after which an epoch of a suspect product no longer waits for the refunds of its excess."""
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
    refund_share: Floats
    """Usual share of refunds in the units sold."""
    suspicion: Floats
    """1 after an epoch with unusual refunds, then decreasing; NaN: none."""
    waiting_price: Floats
    """Price of the epoch that waits, in minor units; NaN: none waits."""
    waiting_views: Floats
    waiting_units: Floats
    """Its units that were not refunded."""
    waiting_orders: Floats
    waiting_days: Floats
    """Its days on sale."""
    waited: Floats
    """Epochs for which it has waited."""
    holds: Floats
    """Holds of the price that were used and are not available again yet."""

    @classmethod
    def unknown(cls, size: int) -> "Baseline":
        """The baseline of `size` products about which nothing is known."""
        zero, nothing = np.zeros(size), np.full(size, np.nan)
        return cls(
            traffic=nothing, exposure=zero, spread=np.full(size, LEAST_SPREAD), accepted=zero, conversion=nothing,
            evidence=zero, price=zero, following=zero, traffic_run=zero, traffic_jump=zero, sales_run=zero,
            sales_jump=zero, last_sold=zero, refund_share=zero, suspicion=nothing, waiting_price=nothing,
            waiting_views=nothing, waiting_units=nothing, waiting_orders=nothing, waiting_days=nothing,
            waited=nothing, holds=zero,
        )  # fmt: skip

    @classmethod
    def of_columns(cls, columns: Mapping[str, Floats], known: Flags) -> "Baseline":
        """The baseline in these columns; unknown where `known` is false."""
        nothing = cls.unknown(len(known))
        return cls(**{name: np.where(known, columns[name], getattr(nothing, name)) for name in BASELINE_COLUMNS})

    def columns(self) -> dict[str, Floats]:
        return {name: getattr(self, name) for name in BASELINE_COLUMNS}


BASELINE_COLUMNS: Final = tuple(attribute.name for attribute in fields(Baseline))
_WAITING: Final = ("waiting_price", "waiting_views", "waiting_units", "waiting_orders", "waiting_days", "waited")


@frozen(eq=False)
class Released:
    """Epochs that have waited and count now, one row per product; `row` is its index in the baseline."""

    row: Whole
    price: Whole
    views: Floats
    units: Floats
    """Units sold, less those that were refunded."""
    orders: Floats
    """Reduced in the same proportion; -1: unknown."""
    days: Floats


def release_waiting(
    baseline: Baseline, *, sold: Floats, refunded: Floats, returned: Floats
) -> tuple[Baseline, Released]:
    """Reduce the units of epochs that wait by their refunds, and release those that have waited long enough.

    `sold` and `refunded` are the units of the present epoch at all prices of each product, `returned` the refunded ones
    that were sold at the price of the epoch that waits. To be called before `filter_anomalies`. An epoch of a suspect
    product waits while it has too many units, for at most `LONGEST_WAIT` epochs, another one for one epoch. It does not
    count if its units are an anomaly then, or, for a suspect product, more or fewer than the price explains.
    """
    row = np.flatnonzero(~np.isnan(baseline.waiting_price))
    if not len(row):
        return baseline, Released(row, row, *np.empty((4, 0)))
    here = Baseline(**{name: values[row] for name, values in baseline.columns().items()})
    _, usual, unusual = _unusual_refunds(here, sold[row], refunded[row])
    gone = np.where(unusual, np.clip(returned[row] - usual, 0.0, here.waiting_units), 0.0)
    units = here.waiting_units - gone
    # Each purchase came with a view.
    views = np.maximum(here.waiting_views - gone, units)
    kept = np.where(here.waiting_orders > 0.0, units / np.maximum(here.waiting_units, 1e-9), 1.0)
    changed = {
        "waiting_views": views, "waiting_units": units, "waiting_orders": here.waiting_orders * kept,
        "waited": here.waited + 1.0,
    }  # fmt: skip
    price = np.log(here.waiting_price)
    expected = views * np.exp(here.conversion)
    factors = _explained(here, price)
    suspect = unusual | (here.suspicion >= LEAST_SUSPICION)
    excess = _excess(units, expected * factors.most)
    many = (excess.ratio > SUSPECT_RATIO) & (excess.deviations > SUSPECT_DEVIATIONS)
    few = _excess(units, expected * factors.least).deviations < -WAITING_DEVIATIONS
    anomaly = (excess.ratio > SALES_RATIO) & (excess.deviations > SALES_DEVIATIONS)
    waits = suspect & many & (changed["waited"] < LONGEST_WAIT)
    counts = ~waits & ~np.where(suspect, many | few, anomaly)

    rows = {name: np.array(values) for name, values in baseline.columns().items()}
    for name in _WAITING:
        rows[name][row] = np.where(waits, changed.get(name, getattr(here, name)), np.nan)
    ratio = np.log((units + 0.5) / (expected + 0.5))
    for name, values in _teach_conversion(here, views, expected, ratio, price, counts).items():
        rows[name][row] = values
    at = np.flatnonzero(counts)
    return Baseline(**rows), Released(
        row=row[at],
        price=here.waiting_price[at].astype(np.int64),
        views=views[at],
        units=units[at],
        orders=changed["waiting_orders"][at],
        days=here.waiting_days[at],
    )


def filter_anomalies(
    baseline: Baseline, seen: Signals, *, most_holds: int, may_wait: bool = True
) -> tuple[Baseline, Signals]:
    """Update the baseline with an epoch, and replace anomalies in its signals.

    `seen.units` may be negative: net of refunds of earlier sales. The result has none of these. `most_holds` is the
    number of consecutive epochs for which a price is held. A product without a baseline gets one from its first epoch
    with views; that epoch, and epochs without a day on sale, have no anomalies. `may_wait` is false for epochs whose
    refunds are known already.
    """
    known = ~np.isnan(baseline.traffic)
    active = known & (seen.days > 0)
    sales = _judge_refunds(baseline, seen, active)
    epoch = _epoch(seen)
    first = _begin(baseline, seen, sales, epoch)
    judged = active & (first.exposure >= LEAST_EXPOSURE) & (epoch.length >= LEAST_LENGTH)
    explainable = _explained(first, epoch.price)
    views = _judge_views(first, seen, sales.sold, epoch, explainable, active=active, judged=judged)
    units = _judge_units(first, sales, views, explainable, judged, may_wait)

    # The replaced number of views is uncertain by `spread`, which adds to the Poisson variance of the units.
    weight = np.where(views.odd, 1.0 / (1.0 + first.spread**2 * units.expected), 1.0)
    odd = views.odd | units.odd
    unused = units.odd | units.many
    available = np.maximum(first.holds - HOLD_RECOVERY, 0.0)
    held = odd & (available + 1.0 <= most_holds)

    updated = _update(first, seen, sales, epoch, views, units, odd=odd, holds=available + held)
    begins = ~known & (seen.days > 0) & (seen.views > 0)
    kept = {
        name: np.where(active, column, np.where(begins, getattr(first, name), getattr(baseline, name)))
        for name, column in updated.columns().items()
    }
    changed = active & (odd | units.many | sales.unusual | (views.accepted != 0.0))
    return Baseline(**kept), seen.with_columns(
        views=np.where(unused, 0.0, views.shown),
        units=np.where(unused, 0.0, sales.sold),
        days=np.where(unused, 0.0, seen.days),
        weight=np.where(unused, 0.0, weight) * seen.weight,
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
    """Units refunded, of this price and of earlier ones."""
    recent: Floats
    """Units of this epoch or the last one, whichever are more."""
    usual_refunds: Floats
    unusual: Flags
    sold: Floats
    """Units of which a strategy learns: net of refunds, of usual ones if the number is an anomaly."""


def _judge_refunds(baseline: Baseline, seen: Signals, active: Flags) -> _Sales:
    gross = np.maximum(seen.units + seen.refunded, 0.0)
    refunded = seen.refunded + np.maximum(-seen.late_units, 0.0)
    recent, usual, unusual = _unusual_refunds(baseline, gross, refunded)
    unusual &= active
    sold = np.where(unusual, gross - gross * baseline.refund_share, np.maximum(seen.units, 0.0))
    return _Sales(gross, refunded, recent, usual, unusual, sold)


def _unusual_refunds(baseline: Baseline, sold: Floats, refunded: Floats) -> tuple[Floats, Floats, Flags]:
    """Units sold recently, how many of them are usually refunded, and whether `refunded` is unusually many."""
    recent = np.maximum(sold, baseline.last_sold)
    usual = recent * baseline.refund_share
    unusual = refunded > REFUNDED_SHARE * recent
    return recent, usual, unusual & (_poisson_deviations(refunded, usual) > REFUND_DEVIATIONS)


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
        refund_share=np.where(
            known, baseline.refund_share, np.minimum(sales.refunded, sales.gross) / (sales.gross + FEW_SALES)
        ),
    )


@frozen(eq=False)
class _Explained:
    """The factors by which a change of the price since the baseline multiplies sales, at most and at least."""

    most: Floats
    least: Floats


def _explained(first: Baseline, price: Floats) -> _Explained:
    """`price` is a logarithm."""
    cheaper = LARGEST_ELASTICITY * (first.price - price)
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
class _Excess:
    """Distance of units from their expected number."""

    ratio: Floats
    deviations: Floats
    """In standard deviations of a Poisson count."""


def _excess(sold: Floats, expected: Floats) -> _Excess:
    return _Excess((sold + 0.5) / (expected + 0.5), _poisson_deviations(sold, expected))


@frozen(eq=False)
class _Units:
    """Units of an epoch, compared with its views. `odd`: their number is an anomaly."""

    expected: Floats
    ratio: Floats
    """Logarithm of sold by expected units."""
    odd: Flags
    many: Flags
    """There are so many that the epoch does not count before its refunds are known."""
    jumped: Flags
    """The anomaly may be a new level of sales."""


def _judge_units(  # noqa: PLR0917 - arrays of one epoch
    first: Baseline, sales: _Sales, views: _Views, explainable: _Explained, judged: Flags, may_wait: bool
) -> _Units:
    """Compare the units of an epoch with the baseline; only those where `judged` is true can be an anomaly."""
    expected = views.shown * np.exp(first.conversion)
    ratio = np.log((sales.sold + 0.5) / (expected + 0.5))
    # The variance of the baseline's own conversion rate, beyond that of a long baseline.
    uncertain = np.sqrt(1.0 + np.maximum(views.shown / np.maximum(first.evidence, 1.0) - SALES_GAIN, 0.0))
    more, less = _excess(sales.sold, expected * explainable.most), _excess(sales.sold, expected * explainable.least)
    above, below = more.deviations / uncertain, less.deviations / uncertain
    odd = (more.ratio > SALES_RATIO) & (above > SALES_DEVIATIONS)
    odd |= (less.ratio < 1.0 / SALES_RATIO) & (below < -SALES_DEVIATIONS)
    odd &= judged
    if not may_wait:
        return _Units(expected, ratio, odd, np.zeros(len(odd), np.bool_), odd)
    suspect = sales.unusual | (first.suspicion >= LEAST_SUSPICION)
    many = (more.ratio > WAITING_RATIO) & (above > WAITING_DEVIATIONS)
    many |= suspect & (more.ratio > SUSPECT_RATIO) & (above > SUSPECT_DEVIATIONS)
    many &= judged
    return _Units(expected, ratio, odd, many, odd & ~(suspect & many))


def _teach_conversion(  # noqa: PLR0917 - arrays of one epoch
    first: Baseline, views: Floats, expected: Floats, ratio: Floats, price: Floats, teaches: Flags
) -> dict[str, Floats]:
    """Columns of the baseline after an epoch with these views, of which it learns where `teaches` is true.

    `expected` units, `ratio`: logarithm of sold by expected units; `price` is a logarithm.
    """
    forgotten = SALES_GAIN * expected / (expected + FEW_SALES)
    evidence = first.evidence * (1.0 - forgotten) + views
    gain = np.where(teaches, views / np.maximum(evidence, 1e-9), 0.0)
    largest = LARGEST_STEP * np.maximum(views / np.maximum(first.evidence, 1.0), 1.0)
    return {
        "conversion": first.conversion + gain * np.clip(ratio, -largest, largest),
        "evidence": np.where(teaches, evidence, first.evidence),
        "price": first.price + gain * (price - first.price),
    }


def _wait(first: Baseline, seen: Signals, sales: _Sales, views: _Views, units: _Units) -> dict[str, Floats]:
    """Columns of the epoch that waits. Only one epoch of a product can: further ones do not count at all."""
    none = np.isnan(first.waiting_price)
    if not (begins := units.many & none).any():
        return {name: getattr(first, name) for name in _WAITING}
    kept = sales.sold / np.maximum(sales.gross, 1e-9)
    new = {
        "waiting_price": seen.price.astype(np.float64),
        "waiting_views": views.shown,
        "waiting_units": sales.sold,
        "waiting_orders": np.where(seen.orders > 0.0, seen.orders * kept, seen.orders),
        "waiting_days": seen.days,
        "waited": np.zeros(len(none)),
    }
    return {name: np.where(begins, new[name], getattr(first, name)) for name in _WAITING}


def _update(  # noqa: PLR0917 - arrays of one epoch
    first: Baseline,
    seen: Signals,
    sales: _Sales,
    epoch: _Epoch,
    views: _Views,
    units: _Units,
    *,
    odd: Flags,
    holds: Floats,
) -> Baseline:
    """The baseline after the epoch; `odd`: the epoch has an anomaly."""
    run, jump = _extend_run(first.traffic_run, first.traffic_jump, views.odd, views.deviation)
    sales_run, sales_jump = _extend_run(first.sales_run, first.sales_jump, units.jumped, units.ratio)
    lasts, sales_last = np.abs(run) >= LASTING_EPOCHS, np.abs(sales_run) >= LASTING_EPOCHS
    moved = np.where(lasts, jump / LASTING_EPOCHS, 0.0)
    # While units may follow the undivided views, they do not change the conversion rate of the divided ones.
    teaches = ~odd & ~units.many & ~((views.accepted != 0.0) & (views.following > 0.0))
    taught = _teach_conversion(first, views.shown, units.expected, units.ratio, epoch.price, teaches)
    refund_step = REFUND_SHARE_GAIN * (sales.refunded - sales.usual_refunds) / (sales.recent + FEW_SALES)
    return Baseline(
        traffic=views.traffic + moved,
        exposure=views.exposure,
        spread=views.spread,
        accepted=views.accepted + moved,
        conversion=taught["conversion"] + np.where(sales_last, sales_jump / LASTING_EPOCHS, 0.0),
        evidence=np.where(sales_last, LASTING_EPOCHS * views.shown, taught["evidence"]),
        price=np.where(sales_last, epoch.price, taught["price"]),
        following=views.following,
        traffic_run=np.where(lasts, 0.0, run),
        traffic_jump=np.where(lasts, 0.0, jump),
        sales_run=np.where(sales_last, 0.0, sales_run),
        sales_jump=np.where(sales_last, 0.0, sales_jump),
        last_sold=sales.gross,
        refund_share=first.refund_share + np.where(units.odd | units.many | sales.unusual, 0.0, refund_step),
        suspicion=np.where(sales.unusual, 1.0, SUSPICION_DECAY * first.suspicion),
        holds=holds,
        **_wait(first, seen, sales, views, units),
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
