"""Observation: signals are the running totals of the marketplace minus their values at the previous run.

The time between two runs may therefore have any length, and late events count once, in the next run. If a price
changed between two runs, its counts start at 0: sales at two prices are never attributed to one of them.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.pricing.anomalies import BASELINE_COLUMNS, Baseline, filter_anomalies
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.decisions import Decisions, decide
from scalecommerce_core.pricing.guardrails import USUAL_EPOCH_DAYS
from scalecommerce_core.pricing.interface import PricingStrategy, State
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import REFUNDED_TOTAL, PolicyState
from scalecommerce_core.pricing.policy_state import STATE_FACTS as MEMORY_FACTS
from scalecommerce_core.pricing.replay import Inputs, pack_inputs
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_start, call_update

DAY: Final = 86_400_000_000
"""Microseconds."""
MEDIAN_DAYS: Final = 90
MONTH_DAYS: Final = 30
_TICK: Final = timedelta(microseconds=1)
_HOUR: Final = DAY // 24
_RESTART: Final = 0.2
"""If the seller sets a price farther from the reference price than this share, the product starts anew."""

CategoryParameters = Mapping[CategoryId, Mapping[str, float]]
"""Parameters that a strategy has estimated for each category, by name."""


@frozen(eq=False)
class Facts:
    """One row per product, sorted by id. Amounts are minor units, -1 for unknown.

    Times are microseconds since 1970, durations microseconds. `views` (weighted), `units` (net of refunds), `refunded`
    and `out_of_stock` are the running totals of `ports.ProductCounters`.
    """

    product: Whole
    category: Whole
    price: Whole
    priced_at: Whole
    created_at: Whole
    cost: Whole
    min_price: Whole
    max_price: Whole
    stock: Whole
    views_ever: Whole
    views: Whole
    units: Whole
    refunded: Whole
    out_of_stock: Whole
    minor_per_unit: Whole
    """Minor units in one whole unit of the currency."""

    def __len__(self) -> int:
        return len(self.product)

    def rows(self, chosen: Flags | Whole | slice) -> "Facts":
        return Facts(*(getattr(self, name)[chosen] for name in FACTS))


FACTS: Final = tuple(attribute.name for attribute in fields(Facts))


@frozen(eq=False)
class PastPrices:
    """Price changes within a window, and the last one before it, sorted by product and time.

    Only products whose price changed within the window have rows. `is_manual` marks changes that were not made by a
    policy; the first price of a product does not count as one.
    """

    product: Whole
    valid_from: Whole
    price: Whole
    is_manual: Flags
    is_withdrawn: Flags
    """Whether the seller withdrew the price: it was a mistake, and is no observation."""


@frozen(eq=False)
class RangeResult:
    """Result of `decide_range`. `policy_state` and `category_parameters` are stored when the range is written."""

    decisions: Decisions
    inputs: Inputs
    priced_at: Whole
    """Times at which the old prices began, in microseconds since 1970."""
    policy_state: PolicyState
    category_parameters: CategoryParameters
    signals: Signals = field(repr=False)
    state: State = field(repr=False)


def price_window_days(policy: PricingPolicy) -> float:
    """Days of past prices that signals depend on: `MEDIAN_DAYS` for an epoch of a week, scaled with the epoch."""
    return MEDIAN_DAYS * policy.epoch_days / USUAL_EPOCH_DAYS


def decide_range(
    policy: PricingPolicy,
    strategy: PricingStrategy,
    *,
    policy_state: PolicyState,
    category_parameters: CategoryParameters,
    facts: Facts,
    past: PastPrices,
    epoch: int,
    now: int,
) -> RangeResult:
    """Compute the signals of a range of products, update the policy state, and decide.

    Products that were already decided in this epoch are left out. `now` is in microseconds since 1970. A pure function
    of its arguments. Raise `StrategyFailed` if the strategy fails.
    """
    if not policy_state.fits(strategy.columns):
        policy_state = PolicyState.empty(strategy.columns)
    at = _find_rows(policy_state.product, facts.product)
    # Products without a stored state get row -1 of another product; `known` masks these values.
    old = (policy_state if len(policy_state) else _blank_row(strategy)).rows(at)
    due = (at < 0) | (old.epoch < epoch)
    facts, old, known = facts.rows(due), old.rows(due), (at >= 0)[due]

    last_manual = _last_manual_change(facts, past)
    known &= (last_manual <= old.seen_at) | (np.abs(facts.price - old.reference) <= _RESTART * old.reference)
    # What was learned at a price that the seller withdrew is discarded.
    known &= ~_was_withdrawn(facts, past, old.priced_at)
    same_price = known & (facts.priced_at == old.priced_at)
    # The totals of a new product count in full if its price never changed.
    whole_life = ~known & (facts.priced_at == facts.created_at)

    def change(total: Whole, before: Whole | Floats) -> Floats:
        return np.where(same_price, total - before, np.where(whole_life, total, 0)).astype(np.float64)

    def since(name: str) -> Floats:
        return np.maximum(change(getattr(facts, name), getattr(old, name)), 0.0)

    counted_from = np.where(same_price, old.seen_at, np.where(whole_life, facts.created_at, now))
    on_sale = np.maximum(now - counted_from - since("out_of_stock"), 0.0)
    categories, group = _number_categories(facts.category, category_parameters)
    reference = np.where(known, old.reference, facts.price)
    scale = policy.epoch_days / USUAL_EPOCH_DAYS
    ranges = _price_ranges(facts, past, now, scale)
    signals = Signals.of(
        product=facts.product,
        group=group,
        price=facts.price,
        reference=reference,
        minor_per_unit=facts.minor_per_unit,
        cost=facts.cost,
        min_price=facts.min_price,
        max_price=facts.max_price,
        **ranges,
        views=since("views"),
        # Negative if more units were refunded than sold.
        units=change(facts.units, old.units),
        refunded=np.maximum(np.nan_to_num(change(facts.refunded, old.baseline_column(REFUNDED_TOTAL))), 0.0),
        days=on_sale / DAY,
        epoch_days=policy.epoch_days,
        views_ever=facts.views_ever,
        history_days=np.maximum(now - facts.created_at, 0) / DAY,
        since_change=_round_up_to_epoch(np.maximum(now - facts.priced_at, 0), policy.epoch // _TICK) / DAY,
        since_edit=np.where(last_manual < 0, np.inf, np.maximum(now - last_manual, 0) / DAY),
        stock=facts.stock,
        fee=round(policy.fee * 10_000),
        days_left=np.inf if policy.stock_days is None else policy.stock_days,
    )
    baseline = Baseline.of_columns(
        {name: old.baseline_column(name) for name in BASELINE_COLUMNS},
        # States of earlier releases lack some columns; `traffic` is NaN before the first epoch with views.
        known & ~np.isnan(old.baseline_column("exposure")),
    )
    baseline, signals = filter_anomalies(baseline, signals, most_holds=policy.guardrails.anomaly_epochs)
    state = _update_state(strategy, signals, known=known, old=old, categories=categories, groups=category_parameters)
    decisions = decide(policy, state, signals, epoch, strategy=strategy)
    updated = PolicyState(
        product=facts.product,
        category=facts.category,
        reference=reference,
        price=facts.price,
        priced_at=facts.priced_at,
        seen_at=np.full(len(facts), now, dtype=np.int64),
        epoch=np.full(len(facts), epoch, dtype=np.int64),
        views=facts.views,
        units=facts.units,
        out_of_stock=facts.out_of_stock,
        state=dict(state.products),
        baseline=baseline.columns() | {REFUNDED_TOTAL: facts.refunded.astype(np.float64)},
    )
    inputs = pack_inputs(policy, state, signals, epoch)
    parameters = _by_category(categories, state.groups)
    return RangeResult(
        decisions, inputs, facts.priced_at, policy_state.updated_with(updated), parameters, signals, state
    )


def pool_state(
    strategy: PricingStrategy, policy_state: PolicyState, groups: CategoryParameters
) -> tuple[PolicyState, CategoryParameters]:
    """Call `pool` of the strategy with all products of a policy.

    The signals hold only product, group, price and reference price.
    """
    if not len(policy_state) or not policy_state.fits(strategy.columns):
        return policy_state, groups
    categories, group = _number_categories(policy_state.category, groups)
    known = len(groups)
    if known < len(categories):
        # Products in a category without parameters are left out: they have no estimates to combine.
        policy_state = policy_state.rows(group < known)
        categories, group = categories[:known], group[group < known]
    signals = Signals.of(
        product=policy_state.product, group=group, price=policy_state.price, reference=policy_state.reference
    )
    state = call_pool(strategy, State(policy_state.state, _group_arrays(categories, groups)), signals)
    return evolve(policy_state, state=dict(state.products)), _by_category(categories, state.groups)


def _update_state(
    strategy: PricingStrategy,
    signals: Signals,
    *,
    known: Flags,
    old: PolicyState,
    categories: Sequence[CategoryId],
    groups: CategoryParameters,
) -> State:
    first = _group_arrays(categories[: len(groups)], groups)
    # Products that moved to a category without parameters are included, so that `start` initializes the category.
    starting = ~known | (signals.group >= len(groups))
    begun = (
        call_start(strategy, signals.rows(starting), first) if starting.any() or not known.any() else State({}, first)
    )
    learned = (
        call_update(strategy, State(old.rows(known).state, begun.groups), signals.rows(known)) if known.any() else begun
    )
    if not known.any() or known.all():
        return State(learned.products, begun.groups)
    products: dict[str, Floats] = {}
    for name, values in learned.products.items():
        both = products[name] = np.empty((len(signals), *values.shape[1:]))
        both[~known] = begun.products[name][~known[starting]]
        both[known] = values
    return State(products, begun.groups)


def _round_up_to_epoch(times: Whole, epoch: int) -> Whole:
    """Round times up to a whole number of epochs if less than an hour (a quarter of a short epoch) is missing.

    A price begins shortly after its run has computed the signals, so at the next run its age is slightly less than an
    epoch. Without rounding, a cooldown of one epoch would last two.
    """
    missing = -times % epoch
    # One microsecond more, because a scaled cooldown may exceed the epoch by rounding.
    return np.where(missing <= min(epoch // 4, _HOUR), times + missing + 1, times)


def _blank_row(strategy: PricingStrategy) -> PolicyState:
    zero = np.zeros(1, dtype=np.int64)
    state = {name: np.zeros((1, width) if width > 1 else 1) for name, width in strategy.columns.items()}
    return PolicyState(*(zero for _ in MEMORY_FACTS), state=state)


def _find_rows(known: Whole, wanted: Whole) -> Whole:
    """Index of each of `wanted` in `known` (both sorted), or -1."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)


def _number_categories(category: Whole, groups: CategoryParameters) -> tuple[list[CategoryId], Whole]:
    """Number the categories as groups, those with parameters first; return them and each product's group number."""
    known = sorted(groups)
    new = np.setdiff1d(category, np.array(known, dtype=np.int64))
    categories = [*known, *(CategoryId(int(each)) for each in new)]
    order = np.argsort(np.array(categories, dtype=np.int64), kind="stable")
    group = order[np.searchsorted(np.array(categories, dtype=np.int64)[order], category)]
    return categories, group.astype(np.int64)


def _group_arrays(categories: Sequence[CategoryId], groups: CategoryParameters) -> dict[str, Floats]:
    names = list(groups[categories[0]]) if categories else []
    return {name: np.array([groups[category][name] for category in categories]) for name in names}


def _by_category(categories: Sequence[CategoryId], arrays: Mapping[str, Floats]) -> CategoryParameters:
    """Inverse of `_group_arrays`; empty if the strategy has no parameters per group."""
    if not arrays:
        return {}
    return {
        category: {name: float(values[number]) for name, values in arrays.items()}
        for number, category in enumerate(categories)
    }


# --- past prices


def _last_manual_change(facts: Facts, past: PastPrices) -> Whole:
    """Time of each product's last manual price change within the window; -1 if there is none."""
    last = np.full(len(facts), -1, dtype=np.int64)
    at = _find_rows(facts.product, past.product[past.is_manual])
    np.maximum.at(last, at[at >= 0], past.valid_from[past.is_manual][at >= 0])
    return last


def _was_withdrawn(facts: Facts, past: PastPrices, priced_at: Whole) -> Flags:
    """Whether the price of each product that began at `priced_at` was withdrawn."""
    found = np.zeros(len(facts), dtype=np.bool_)
    product, valid_from = past.product[past.is_withdrawn], past.valid_from[past.is_withdrawn]
    at = _find_rows(facts.product, product)
    mine = at >= 0
    found[at[mine][priced_at[at[mine]] == valid_from[mine]]] = True
    return found


def _price_ranges(facts: Facts, past: PastPrices, now: int, scale: float) -> dict[str, NDArray[np.int64]]:
    """Median price of 90 days, and lowest and highest price of 1 and 30 days, including the current price.

    The durations are multiplied by `scale`; the median is weighted by time. In the time of a withdrawn price, the price
    before it counts.
    """
    size = len(facts)
    found = {"median_90d": facts.price.copy()}
    at = _find_rows(facts.product, past.product)
    mine = (at >= 0) & ~past.is_withdrawn
    at, begins, price = at[mine], past.valid_from[mine], past.price[mine]
    if not len(at):
        found |= {f"{end}_{days}d": facts.price for end in ("lowest", "highest") for days in (1, MONTH_DAYS)}
        return found
    last = np.append(at[1:] != at[:-1], True)
    ends = np.where(last, max(now, int(begins.max()) + 1), np.append(begins[1:], 0))
    for days in (1, MONTH_DAYS):
        inside = ends > now - days * scale * DAY
        low, high = facts.price.copy(), facts.price.copy()
        np.minimum.at(low, at[inside], price[inside])
        np.maximum.at(high, at[inside], price[inside])
        found |= {f"lowest_{days}d": low, f"highest_{days}d": high}
    weight = np.maximum(ends - np.maximum(begins, int(now - MEDIAN_DAYS * scale * DAY)), 0)
    order = np.lexsort((price, at))
    at, price, weight = at[order], price[order], weight[order]
    total = np.bincount(at, weights=weight, minlength=size)
    running = np.cumsum(weight)
    before = np.append(0, np.cumsum(np.bincount(at, weights=weight, minlength=size)))[:-1]
    enough = (running - before[at]) * 2 >= total[at]
    rows = np.flatnonzero(enough)
    changed, places = np.unique(at[rows], return_index=True)
    found["median_90d"][changed] = price[rows[places]]
    return found
