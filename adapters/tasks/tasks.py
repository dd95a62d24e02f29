"""What the tasks do, without Celery: plain methods over the engine, so that a simulation can run them as they are."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from attrs import define, field, frozen

from scalecommerce_core.domain.errors import Conflict, NotFound, Unavailable
from scalecommerce_core.domain.identifiers import PolicyId, RunId
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.pricing.runs import Run, RunStatus, Trigger
from scalecommerce_core.pricing.strategy_calls import unpriced_sentence
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.repricing import RunStep, StrategyUnknown

logger = logging.getLogger(__name__)

BATCH: Final = 500
EVENTS: Final = 2_000
"""They are small, and numbering them is one statement."""
KEYS: Final = 2_000
"""They are small as well, and as many as the orders of a day."""
WORDS: Final = 20_000
"""They are smaller than events."""
PLACES: Final = 50_000
"""To find them costs more than to place them."""
BREATH: Final = 0.02
"""Seconds from one batch of decisions to the next, unless that is full already: orders that come in meanwhile share
its statements and its commit, which cost more than a few orders do."""
REPRICING: Final = timedelta(seconds=2)
"""No further range of products is begun after so long, so that orders find the worker free."""
GATEWAY_BATCH: Final = 10
GATEWAY_TIME: Final = timedelta(seconds=5)
"""A job that waits for a payment gateway ends after so long: a slow one must not keep the workers from orders."""
BATCHES: Final = 200
"""A job ends after so many, so that a shutdown need not wait for a whole backlog; the sweep goes on with it."""
DELIVERING: Final = timedelta(seconds=5)
"""No further batch of webhooks is begun after so long; the one in hand takes some 10 s at most."""


UNKNOWN_POLICIES_INTERVAL: Final = timedelta(minutes=1)
"""How often a process searches for active policies whose strategy is not installed."""


def _mine() -> AbstractContextManager[bool]:
    return nullcontext(True)


@define
class UnknownPolicies:
    """The policies with unknown rules that this process has logged, so that each is logged once."""

    due_at: datetime | None = None
    logged: frozenset[tuple[PolicyId, str]] = frozenset()


@frozen
class Jobs:
    """Each may run at any time, twice, or beside itself: a message is only a reason to look for work.

    `answer_wakeup` lets the next order wake somebody up again; `pause` waits for so many seconds. `turn_to_deliver`
    says whether this process may spend its time waiting for the receivers of webhooks: one of each worker may, so
    that orders always find another.
    """

    market: Market
    views: ViewCounter
    answer_wakeup: Callable[[], None]
    turn_to_deliver: Callable[[], AbstractContextManager[bool]] = field(default=_mine)
    turn_to_reprice: Callable[[], AbstractContextManager[bool]] = field(default=_mine)
    pause: Callable[[float], None] = time.sleep
    unknown_policies: UnknownPolicies = field(factory=UnknownPolicies)

    def decide_orders(self) -> None:
        # Forgotten first: an order that comes in from now on wakes somebody up again.
        self.answer_wakeup()
        if _repeat(self._decide_some):
            # So that whoever waits for an event need not wait for the next tick as well.
            self.number_events()

    def _decide_some(self) -> int:
        decided = self.market.ordering.decide(BATCH).total
        if 0 < decided < BATCH:
            self.pause(BREATH)
        return decided

    def expire_reservations(self) -> None:
        _repeat(lambda: self.market.ordering.expire(BATCH))

    def reconcile_payments(self) -> None:
        self._with_gateway(self.market.payments.reconcile)

    def send_refunds(self) -> None:
        self._with_gateway(self.market.payments.send_refunds)

    def flush_views(self) -> None:
        # What somebody left who died, or could not write it; and what came since.
        _repeat(self._flush_batch, at_most=2)

    def _flush_batch(self) -> int:
        batch = self.views.next_batch()
        if batch is None:
            return 0
        self.market.catalog.record_views(batch)
        self.views.acknowledge(batch.id)
        return len(batch.counts)

    def fold_statistics(self) -> None:
        # As with numbering: a batch that is not full was the last.
        _repeat(lambda: self.market.statistics.fold(EVENTS).is_full(EVENTS))

    def learn_words(self) -> None:
        _repeat(lambda: self.market.search_index.update_vocabulary(WORDS) // WORDS)

    def move_prices(self) -> None:
        _repeat(self.market.search_index.sync_price_index)

    def place_products(self) -> None:
        _repeat(lambda: self.market.search_index.refresh_popularity(PLACES) // PLACES)

    def forget_idempotency_keys(self) -> None:
        _repeat(lambda: self.market.ordering.purge_idempotency_keys(KEYS))

    def number_events(self) -> None:
        # A batch that is not full was the last: another would find the few that came in meanwhile, again and again.
        _repeat(lambda: self.market.relay.assign_sequence(EVENTS) // EVENTS)

    def deliver_webhooks(self) -> None:
        _repeat(lambda: self.market.webhooks.fan_out(BATCH).events // BATCH)
        with self.turn_to_deliver() as mine:
            if mine:
                ends = self.market.clock.now() + DELIVERING
                _repeat(lambda: self.market.webhooks.deliver().total if self.market.clock.now() < ends else 0)

    def reprice(self) -> None:
        """Begin the runs that are due, and work on those that are not finished: range by range, for a while.

        Every worker does so at every tick, so that ranges are shared between workers, one process of each.
        """
        with self.turn_to_reprice() as mine:
            if mine:
                _repeat(self._log_unknown)
                _repeat(self._begin_runs)
                ends = self.market.clock.now() + REPRICING
                for run_id in self.market.repricing.unfinished():
                    _repeat(partial(self._work_on, run_id, ends))

    def _begin_runs(self) -> int:
        for policy_id in self.market.repricing.due():
            try:
                run = self.market.repricing.begin(policy_id, trigger=Trigger.SCHEDULE)
            except (Conflict, NotFound):
                # Somebody was faster, or has switched it off.
                continue
            if run.status is RunStatus.FAILED:
                _log(run)
        return 0

    def _log_unknown(self) -> int:
        """Log each active policy whose strategy is not installed in this process, once; other processes may run it."""
        now, seen = self.market.clock.now(), self.unknown_policies
        if seen.due_at is None or now >= seen.due_at:
            found = frozenset((each.id, each.policy) for each in self.market.repricing.active_with_unknown_strategy())
            for policy_id, strategy in sorted(found - seen.logged):
                logger.error("policy skipped: %s", StrategyUnknown(policy_id, strategy))
            seen.due_at, seen.logged = now + UNKNOWN_POLICIES_INTERVAL, found
        return 0

    def _work_on(self, run_id: RunId, ends: datetime) -> int:
        if self.market.clock.now() >= ends:
            return 0
        step = self.market.repricing.step(run_id)
        if step is RunStep.FINISHED:
            with suppress(NotFound):
                _log(self.market.repricing.get_run(run_id))
        return int(step is RunStep.WORKED)

    def forget_decisions(self) -> None:
        _repeat(self.market.repricing.purge)

    def forget_webhooks(self) -> None:
        _repeat(lambda: self.market.webhooks.purge(BATCH))

    def forget_events(self) -> None:
        _repeat(lambda: self.market.relay.purge(EVENTS))

    def _with_gateway(self, sweep: Callable[[int], int]) -> None:
        clock = self.market.clock
        until = clock.now() + GATEWAY_TIME
        _repeat(lambda: sweep(GATEWAY_BATCH) if clock.now() < until else 0)


def _log(run: Run) -> None:
    """Runs that their operators should look at."""
    rules = run.document["policy"]
    if run.status is RunStatus.FAILED:
        logger.error("run %s of policy %s (%s) failed: %s", run.id, run.policy_id, rules, run.note)
    elif run.tally.unpriced and run.status in {RunStatus.DONE, RunStatus.STOPPED}:
        logger.warning(
            "run %s of policy %s: %s",
            run.id,
            run.policy_id,
            unpriced_sentence(rules, run.tally.unpriced, run.tally.decided),
        )


def _repeat(batch: Callable[[], int], at_most: int = BATCHES) -> int:
    """Run a batch until one finds nothing to do; return how many found something."""
    for done in range(at_most):
        try:
            if batch() == 0:
                return done
        except Unavailable as error:
            # The schedule tries again; a traceback per second would only hide the sentence.
            logger.warning("background work waits: %s", error)
            return done
    return at_most
