"""Observation: signals are the running totals of the marketplace minus their values at the previous run.

The time between two runs may therefore have any length, and late events count once, in the next run. Totals are kept
for each price interval, so that sales at two prices are never attributed to one of them: the strategy learns from each
price that was in force since the previous run, one after the other. A product without policy state begins with its own
history (`HISTORY_DAYS`).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from attrs import evolve, field, frozen

from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.pricing.anomalies import BASELINE_COLUMNS, Baseline, filter_anomalies, release_waiting
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.decisions import Decisions, decide
from scalecommerce_core.pricing.demand_curve import price_distance
from scalecommerce_core.pricing.evidence import Evidence, LastReadings, Observed, gather_evidence
from scalecommerce_core.pricing.facts import DAY, Facts, PriceIntervals, find_rows, microseconds
from scalecommerce_core.pricing.guardrails import USUAL_EPOCH_DAYS
from scalecommerce_core.pricing.interface import PricingStrategy, State
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import (
    ASSUMED_VIEWS,
    NET_AMOUNT,
    NET_UNITS,
    ORDERS_TOTAL,
    REFUNDED_TOTAL,
    SELLER_PRICE,
    STATE_FACTS,
    PolicyState,
)
from scalecommerce_core.pricing.price_windows import (
    MEDIAN_DAYS,
    ManualChanges,
    is_return,
    last_manual_changes,
    price_ranges,
    was_withdrawn,
)
from scalecommerce_core.pricing.replay import Inputs, pack_inputs
from scalecommerce_core.pricing.signals import UNKNOWN, Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_start, call_update
from scalecommerce_core.pricing.view_following import (
    NO_EFFECTS,
    ViewFollowing,
    ViewHistory,
    estimate_following,
    observe_views,
    view_factors,
)

HISTORY_DAYS: Final = 730
"""Days of price intervals from which a product without policy state begins to learn."""
ASSUMED_CONVERSION: Final = 0.02
"""Conversion rate at which the views of a product are assumed whose views are not counted."""
_TICK: Final = timedelta(microseconds=1)
_HOUR: Final = DAY // 24
_SAME_PRICE: Final = 0.005
"""Largest relative distance of the mean price of late refunds from that of an epoch of which they probably are."""
_NO_TIME: Final = 1e-9
"""Days of an observation by which no time passes."""
_OWN_PRICE: Final = 0.2
"""A price that the seller sets farther from the reference price than this share replaces it as the seller's price."""

CategoryParameters = Mapping[CategoryId, Mapping[str, float]]
"""Parameters that a strategy has estimated for each category, by name, and those of `ViewFollowing`."""


@frozen(eq=False)
class RangeResult:
    """Result of `decide_range`. `policy_state` and `category_parameters`, those of categories that had none or lacked
    some, are stored when the range is written.
    """

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
    past: PriceIntervals,
    epoch: int,
    now: int,
) -> RangeResult:
    """Compute the signals of a range of products, update the policy state, and decide.

    `update` of the strategy is called for each price interval in order of time: those that ended since the last
    reading, then the current one, whose signals also carry the late sales of earlier prices. Products without a stored
    state begin with `start` and the intervals in `past`. Products that were already decided in this epoch are left out.
    `now` is in microseconds since 1970. A pure function of its arguments. Raise `StrategyFailed` if the strategy fails.
    """
    if not policy_state.fits(strategy.columns):
        policy_state = PolicyState.empty(strategy.columns)
    at = find_rows(policy_state.product, facts.product)
    # Products without a stored state get row -1 of another product; `known` masks these values.
    old = (policy_state if len(policy_state) else _blank_row(strategy)).rows(at)
    due = (at < 0) | (old.epoch < epoch)
    known = at >= 0
    if not due.all():
        facts, old, known = facts.rows(due), old.rows(due), known[due]
    if not len(facts):
        past = past.rows(slice(0, 0))

    # What was learned at a price that the seller withdrew is discarded.
    known &= ~was_withdrawn(facts, past, old.priced_at)
    evidence = gather_evidence(facts, past, LastReadings.of_state(old, known), epoch=policy.epoch // _TICK, now=now)
    manual = last_manual_changes(facts, past, int(now - price_window_days(policy) * DAY))
    reference = np.where(known, old.reference, facts.price)
    seller_price = _seller_price(manual, is_return(facts, past, manual), old, known, reference)
    own_parameters = _own_parameters(category_parameters)
    categories, group = _number_categories(facts.category, own_parameters)
    effects = _view_following(category_parameters)[1].effects()
    scale = policy.epoch_days / USUAL_EPOCH_DAYS
    signals = Signals.of(
        product=facts.product,
        group=group,
        price=facts.price,
        reference=reference,
        seller_price=seller_price,
        minor_per_unit=facts.minor_per_unit,
        cost=facts.cost,
        min_price=facts.min_price,
        max_price=facts.max_price,
        **price_ranges(facts, past, now, scale),
        late_units=evidence.late_units,
        late_price=np.where(evidence.late_units != 0.0, evidence.late_price, 0.0),
        view_side_effect=effects[0],
        view_distance_effect=effects[1],
        epoch_days=policy.epoch_days,
        views_ever=facts.views_ever,
        history_days=np.maximum(now - facts.created_at, 0) / DAY,
        since_change=_round_up_to_epoch(np.maximum(now - facts.priced_at, 0), policy.epoch // _TICK) / DAY,
        since_edit=np.where(manual.at < 0, np.inf, np.maximum(now - manual.at, 0) / DAY),
        stock=facts.stock,
        fee=round(policy.fee * 10_000),
        days_left=_days_left(facts, policy, now),
        promoted=(facts.promoted_from >= 0) & (facts.promoted_from <= now) & (now < facts.promoted_until),
        held_out_price=facts.held_out_price,
        competitor=facts.competitor,
        competitor_days=np.where(facts.competitor_at < 0, np.inf, np.maximum(now - facts.competitor_at, 0) / DAY),
        min_hold_days=facts.min_hold / DAY,
        until_promotion=np.where(facts.next_promotion >= 0, (facts.next_promotion - now) / DAY, np.inf),
    )
    baseline = Baseline.of_columns(
        {name: old.baseline_column(name) for name in BASELINE_COLUMNS},
        # States of earlier releases lack some columns; `traffic` is NaN before the first epoch with views.
        known & ~np.isnan(old.baseline_column("exposure")),
    )
    learner = _Learner(
        strategy,
        policy,
        signals,
        baseline=baseline,
        history=ViewHistory.of_columns(old.baseline, known),
        assumed_views=np.where(known, old.baseline_column(ASSUMED_VIEWS), np.nan),
        effects=effects,
    )
    learner.begin(old, known, evidence, categories, own_parameters)
    learner.learn(evidence)
    state, signals = learner.state, learner.signals
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
        baseline=learner.baseline.columns()
        | learner.history._asdict()
        | {
            REFUNDED_TOTAL: facts.refunded.astype(np.float64),
            ORDERS_TOTAL: facts.orders.astype(np.float64),
            NET_UNITS: facts.net_units.astype(np.float64),
            NET_AMOUNT: facts.net_amount.astype(np.float64),
            ASSUMED_VIEWS: learner.assumed_views,
            SELLER_PRICE: np.where(seller_price < 0, np.nan, seller_price),
        },
    )
    inputs = pack_inputs(policy, state, signals, epoch)
    parameters = {
        category: values
        for category, values in _by_category(categories, state.groups).items()
        if values.keys() - category_parameters.get(category, {}).keys()
    }
    return RangeResult(
        decisions, inputs, facts.priced_at, policy_state.updated_with(updated), parameters, signals, state
    )


class _Learner:
    """The state of a strategy while it learns from the observations of one run.

    `signals` are those of the current price, without its counts until the last observation; `effects` are those of
    prices on views.
    """

    def __init__(
        self,
        strategy: PricingStrategy,
        policy: PricingPolicy,
        signals: Signals,
        *,
        baseline: Baseline,
        history: ViewHistory,
        assumed_views: Floats,
        effects: tuple[float, float],
    ) -> None:
        self._strategy = strategy
        self._policy = policy
        self.signals = signals
        self.baseline = baseline
        self.history = history
        self.assumed_views = assumed_views
        self._effects = effects
        self.state = State()

    def begin(
        self,
        old: PolicyState,
        known: Flags,
        evidence: Evidence,
        categories: Sequence[CategoryId],
        groups: CategoryParameters,
    ) -> None:
        """The stored state of known products, and `start` for the others, from the counts of their whole history."""
        first = _group_arrays(categories[: len(groups)], groups)
        # Products that moved to a category without parameters are included, so that `start` initializes the category.
        starting = ~known | (self.signals.group >= len(groups))
        if not starting.any() and known.any():
            self.state = State(dict(old.state), first)
            return
        begun = call_start(self._strategy, self._first_signals(evidence).rows(starting), first)
        if not known.any():
            self.state = begun
            return
        products: dict[str, Floats] = {}
        for name, values in begun.products.items():
            both = products[name] = np.array(old.state[name], dtype=np.float64)
            both[~known] = values[~known[starting]]
        self.state = State(products, begun.groups)

    def _first_signals(self, evidence: Evidence) -> Signals:
        """Signals with the first price of each product and the counts at all of its prices."""
        ended, current = evidence.ended, evidence.current
        price = np.array(self.signals.price)
        size, first = len(price), ended.rows(evidence.rank == 0)
        price[first.row] = first.price

        def total(ended_counts: Floats, counts: Floats) -> Floats:
            return counts + np.bincount(ended.row, weights=ended_counts, minlength=size)

        units = total(ended.units, current.units)
        refunded = total(ended.refunded, current.refunded)
        return self.signals.with_columns(
            price=price,
            views=total(ended.views, current.views),
            units=np.maximum(units - refunded, 0.0),
            refunded=refunded,
            orders=total(ended.orders, current.orders),
            days=total(ended.on_sale, current.on_sale) / DAY,
        )

    def learn(self, evidence: Evidence) -> None:
        """Call `update` for each ended price in order of time, then for the current prices."""
        self._learn_released(evidence)
        ended = evidence.ended
        taken = np.zeros(len(self.signals))
        if len(ended):
            holds = self.baseline.holds
            own = {name: np.array(values) for name, values in self.state.products.items()}
            self.state = State(own, self.state.groups)
            columns = {name: np.array(values) for name, values in self.baseline.columns().items()}
            self.history = ViewHistory(*(np.array(values) for values in self.history))
            order = np.argsort(evidence.rank, kind="stable")
            for rows in np.split(order, np.cumsum(np.bincount(evidence.rank))[:-1]):
                seen = ended.rows(rows)
                self._learn_ended(seen, columns)
                taken[seen.row] += seen.elapsed / DAY
            # Holds of the price are counted once for each run.
            self.baseline = Baseline(**(columns | {"holds": holds}))
        epoch_days = self._policy.epoch_days
        signals = self._observed(self.signals, evidence.current)
        self.baseline, signals = filter_anomalies(
            self.baseline, signals, most_holds=self._policy.guardrails.anomaly_epochs
        )
        signals = signals.with_columns(orders=_kept_orders(evidence.current, signals))
        self.history, signals = self._observe_views(self.history, signals)
        if taken.any():
            # Estimates age by the whole epoch, of which a part has passed with the ended prices.
            rest = np.maximum(epoch_days - taken, evidence.current.elapsed / DAY)
            aged = signals.with_columns(epoch_days=np.minimum(rest, epoch_days))
        else:
            aged = signals
        learned = call_update(self._strategy, self.state, aged)
        self.state, self.signals = State(learned.products, self.state.groups), signals

    def _learn_released(self, evidence: Evidence) -> None:
        """Call `update` for earlier epochs whose refunds had to be awaited."""
        price = self.baseline.waiting_price
        if np.isnan(price).all():
            return
        ended, current, size = evidence.ended, evidence.current, len(self.signals)
        sold = current.units + np.bincount(ended.row, weights=ended.units, minlength=size)
        late = np.maximum(-evidence.late_units, 0.0)
        refunded = current.refunded + np.bincount(ended.row, weights=ended.refunded, minlength=size) + late
        returned = np.where(current.price == price, current.refunded, 0.0)
        returned += np.bincount(ended.row, weights=ended.refunded * (ended.price == price[ended.row]), minlength=size)
        returned += np.where(np.abs(evidence.late_price - price) <= _SAME_PRICE * price, late, 0.0)
        self.baseline, seen = release_waiting(self.baseline, sold=sold, refunded=refunded, returned=returned)
        if not len(seen.row):
            return
        signals = self.signals.rows(seen.row).with_columns(
            price=seen.price,
            views=seen.views,
            units=seen.units,
            orders=seen.orders,
            days=seen.days,
            epoch_days=np.full(len(seen.row), _NO_TIME),
            late_units=np.zeros(len(seen.row)),
            late_price=np.zeros(len(seen.row)),
        )
        history, signals = self._observe_views(self.history.rows(seen.row), signals)
        self.history = ViewHistory(*(np.array(values) for values in self.history))
        self.history.replace_rows(seen.row, history)
        chosen = {name: values[seen.row] for name, values in self.state.products.items()}
        learned = call_update(self._strategy, State(chosen, self.state.groups), signals)
        products = {name: np.array(values) for name, values in self.state.products.items()}
        for name, values in learned.products.items():
            products[name][seen.row] = values
        self.state = State(products, self.state.groups)

    def _learn_ended(self, seen: Observed, columns: dict[str, Floats]) -> None:
        before = Baseline(**{name: values[seen.row] for name, values in columns.items()})
        here = self.signals.rows(seen.row).with_columns(
            price=seen.price, late_units=np.zeros(len(seen)), late_price=np.zeros(len(seen))
        )
        baseline, signals = filter_anomalies(before, self._observed(here, seen), most_holds=0, may_wait=False)
        for name, values in baseline.columns().items():
            columns[name][seen.row] = values
        signals = signals.with_columns(
            orders=_kept_orders(seen, signals), epoch_days=np.maximum(seen.elapsed / DAY, _NO_TIME)
        )
        history, signals = self._observe_views(self.history.rows(seen.row), signals)
        self.history.replace_rows(seen.row, history)
        chosen = {name: values[seen.row] for name, values in self.state.products.items()}
        learned = call_update(self._strategy, State(chosen, self.state.groups), signals)
        for name, values in learned.products.items():
            self.state.products[name][seen.row] = values

    def _observe_views(self, history: ViewHistory, signals: Signals) -> tuple[ViewHistory, Signals]:
        """Add the views of an observation to the history of these products, and remove the price's effect from them."""
        counted = ~signals.views_assumed
        x = price_distance(signals.price, signals.reference)
        history = observe_views(
            history, x=x, views=signals.views, days=signals.days, counts=counted & (signals.weight == 1.0)
        )
        if self._effects == NO_EFFECTS:
            return history, signals
        views = signals.views / np.where(counted, view_factors(self._effects, x), 1.0)
        # Each purchase came with a view.
        views = np.maximum(views, np.minimum(signals.views, signals.units))
        before = np.where(views == signals.views, UNKNOWN, signals.views)
        return history, signals.with_columns(views=views, uncorrected_views=before)

    def _observed(self, signals: Signals, seen: Observed) -> Signals:
        """The signals with these counts. Sales without counted views are compared with a constant number of views per
        day on sale (`ASSUMED_CONVERSION` of the first observation's sales), because time is then all that is known.
        """
        days = seen.on_sale / DAY
        assumed = self.assumed_views[seen.row]
        with np.errstate(divide="ignore", invalid="ignore"):
            first = np.isnan(assumed) & (seen.orders > seen.views) & (days > 0)
            assumed = np.where(first, seen.units / ASSUMED_CONVERSION / days, assumed)
            uncounted = (days > 0) & ((seen.orders > seen.views) | (2.0 * seen.views < assumed * days))
        self.assumed_views[seen.row] = assumed
        views, ever = seen.views, signals.views_ever
        if uncounted.any():
            views = np.where(uncounted, assumed * days, views)
            ever = np.where(uncounted, np.maximum(ever, assumed * signals.history_days), ever)
        return signals.with_columns(
            views=views,
            views_assumed=uncounted,
            # Negative if more units were refunded than sold.
            units=seen.units - seen.refunded,
            refunded=seen.refunded,
            orders=seen.orders,
            days=days,
            weight=seen.is_evidence.astype(np.float64),
            views_ever=ever,
        )


def _kept_orders(seen: Observed, filtered: Signals) -> Floats:
    """Orders, reduced in proportion where the anomaly filter reduced the units."""
    before = np.maximum(seen.units - seen.refunded, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(before > 0, np.minimum(filtered.units / before, 1.0), 1.0)
    return np.where(filtered.weight > 0, seen.orders * kept, 0.0)


def _seller_price(manual: ManualChanges, returned: Flags, old: PolicyState, known: Flags, reference: Whole) -> Whole:
    """Update `Signals.seller_price` with the last change by hand since the last reading.

    A change that returned to a price of the policy, such as at the end of a sale, tells nothing about the seller's own
    price; the price that it ended was a temporary one.
    """
    stored = np.where(known, np.nan_to_num(old.baseline_column(SELLER_PRICE), nan=UNKNOWN), UNKNOWN).astype(np.int64)
    own = np.where(stored >= 0, stored, reference)
    is_set = known & (manual.at > old.seen_at) & (np.abs(manual.price - own) > _OWN_PRICE * own)
    ended = np.where(stored == old.price, UNKNOWN, stored)
    return np.where(is_set, np.where(returned, ended, manual.price), stored)


def _days_left(facts: Facts, policy: PricingPolicy, now: int) -> Floats:
    """Days until the product's own date, or that of the policy, or the rolling `stock_days`; passed dates count as
    unknown.
    """
    usual = np.inf if policy.stock_days is None else policy.stock_days
    if policy.stock_until is not None and (left := microseconds(policy.stock_until) - now) > 0:
        usual = left / DAY
    return np.where(facts.stock_until > now, (facts.stock_until - now) / DAY, usual)


def pool_state(
    strategy: PricingStrategy, policy_state: PolicyState, groups: CategoryParameters
) -> tuple[PolicyState, CategoryParameters]:
    """Estimate how views follow prices, and call `pool` of the strategy, with all products of a policy.

    The signals hold only product, group, price, reference price and the effects of prices on views.
    """
    if not len(policy_state) or not policy_state.fits(strategy.columns):
        return policy_state, groups
    policy_state, following = _pool_views(policy_state, groups)
    own = _own_parameters(groups)
    categories, group = _number_categories(policy_state.category, own)
    known = len(own)
    if known < len(categories):
        # Products in a category without parameters are left out: they have no estimates to combine.
        pooled, group = policy_state.rows(group < known), group[group < known]
        categories = categories[:known]
    else:
        pooled = policy_state
    effects = _view_following(following)[1].effects()
    signals = Signals.of(
        product=pooled.product, group=group, price=pooled.price, reference=pooled.reference,
        view_side_effect=effects[0], view_distance_effect=effects[1],
    )  # fmt: skip
    state = call_pool(strategy, State(pooled.state, _group_arrays(categories, own)), signals)
    pooled = evolve(pooled, state=dict(state.products))
    learned = _by_category(categories, state.groups)
    return (
        pooled if len(pooled) == len(policy_state) else policy_state.updated_with(pooled),
        {category: {**learned.get(category, {}), **values} for category, values in following.items()},
    )


def _pool_views(policy_state: PolicyState, groups: CategoryParameters) -> tuple[PolicyState, CategoryParameters]:
    """Add the views since the last call to the regression of each category, and reset the sums of products."""
    categories, before = _view_following(groups)
    numbered, group = _number_categories(policy_state.category, {category: {} for category in categories})
    longer = (np.append(values, np.zeros(len(numbered) - len(values))) for values in before)
    history = ViewHistory.of_columns(policy_state.baseline, np.ones(len(policy_state), dtype=np.bool_))
    following = estimate_following(ViewFollowing(*longer), history, group)
    baseline = {**policy_state.baseline, **history.beginning()._asdict()}
    return evolve(policy_state, baseline=baseline), _by_category(numbered, following._asdict())


def _view_following(groups: CategoryParameters) -> tuple[list[CategoryId], ViewFollowing]:
    """The categories that have parameters, and the sums of their regressions; zeros before the first call of `pool`."""
    categories = sorted(groups)
    rows = [[groups[category].get(name, 0.0) for category in categories] for name in ViewFollowing._fields]
    return categories, ViewFollowing(*(np.array(values, dtype=np.float64) for values in rows))


def _own_parameters(groups: CategoryParameters) -> CategoryParameters:
    """The parameters of the strategy alone; categories without any are left out."""
    own = {
        category: {name: value for name, value in values.items() if name not in ViewFollowing._fields}
        for category, values in groups.items()
    }
    return {category: values for category, values in own.items() if values}


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
    return PolicyState(*(zero for _ in STATE_FACTS), state=state)


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
