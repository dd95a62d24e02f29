"""The work of each Celery task, as plain methods that a simulation can call without Celery."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from attrs import define, field, frozen

from adapters.tasks.job_runner import InlineRunner, JobRunner
from adapters.tasks.repeated_warnings import RepeatedWarnings
from scalecommerce_core.domain.errors import Conflict, NotFound, Unavailable
from scalecommerce_core.domain.identifiers import PolicyId, RunId
from scalecommerce_core.ports import Tracing, ViewCounter
from scalecommerce_core.pricing.runs import Run, RunStatus, Trigger
from scalecommerce_core.pricing.strategy_calls import unpriced_sentence
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.repricing import RunStep, StrategyUnknown

logger = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(logger)

BATCH_SIZE: Final = 500
"""Rows per transaction, for tasks that define no other size."""
EVENT_BATCH_SIZE: Final = 2_000
"""Events are small, and one statement numbers a whole batch."""
KEY_BATCH_SIZE: Final = 2_000
"""Idempotency keys are small, and each order leaves one to purge."""
VOCABULARY_BATCH_SIZE: Final = 20_000
"""Vocabulary rows are smaller than events."""
POPULARITY_BATCH_SIZE: Final = 50_000
"""Finding the products whose tier changed costs more than updating them, so batches are large."""
BATCH_DELAY: Final = 0.02
"""Seconds between two batches of decisions, unless the first was full. Orders that arrive in this time share the next
batch; the statements and the commit of a batch cost more than a few orders in it."""
REPRICING_TIME_LIMIT: Final = timedelta(seconds=2)
"""After this time the task starts no further range of products, so that the worker process can decide orders."""
REPRICING_TURN: Final = timedelta(seconds=0.1)
"""After this time the task continues with the next seller; a range that was started is finished first."""
MEASURING_TIME_LIMIT: Final = timedelta(seconds=2)
"""After this time the task measures no further experiment, so that the worker process can decide orders."""
RUNS_PER_SELLER: Final = 2
"""Scheduled runs of a seller that are in progress at once."""
SELLERS_PER_ROUND: Final = 1_000
GATEWAY_BATCH_SIZE: Final = 10
GATEWAY_TIME_LIMIT: Final = timedelta(seconds=5)
"""After this time a task starts no further batch of gateway requests: a slow gateway must not occupy the workers."""
ARCHIVE_BATCH_SIZE: Final = 200
"""Orders per transaction. Each has several rows in six tables."""
ARCHIVING_TIME_LIMIT: Final = timedelta(seconds=5)
"""After this time the task, which runs once a minute, archives no further batch, so that the process can run others."""
EMAIL_BATCH_SIZE: Final = 10
EMAIL_TIME_LIMIT: Final = timedelta(seconds=5)
"""After this time the task starts no further batch of e-mails."""
MAX_CLAIMS: Final = 10_000
"""Claims of webhooks per task run; `DELIVERY_TIME_LIMIT` ends it earlier."""
MAX_BATCHES: Final = 200
"""Batches per task run. A shutdown waits for one task run at most; the next message continues with the backlog."""
DELIVERY_TIME_LIMIT: Final = timedelta(seconds=5)
"""After this time the task starts no further webhooks, so that the worker process can take other tasks. Those under way
are finished in their threads."""
DELIVERY_BATCH_SIZE: Final = 50
"""Webhooks per claim. Each claim limits an owner to a share of the free slots, so several small claims are fairer."""
DELIVERY_POLL_SECONDS: Final = 0.1
"""Most seconds between two claims while receivers are answering."""
DELIVERY_GAP: Final = 0.01
"""Least seconds between two claims, which cost more than the webhooks that end in this time."""


UNKNOWN_POLICIES_INTERVAL: Final = timedelta(minutes=1)
"""How often a process checks for active policies whose strategy is not installed in it."""


def _no_lock() -> AbstractContextManager[bool]:
    return nullcontext(True)


@define
class UnknownPolicies:
    """The policies with unknown strategies that this process has logged, so that it logs each of them once."""

    due_at: datetime | None = None
    logged: frozenset[tuple[PolicyId, str]] = frozenset()


@define
class RepricingTurn:
    """The run on which this process worked last; the next round continues behind it."""

    run_id: int = 0


@frozen
class BackgroundTasks:
    """One method per task. All are idempotent: any number of processes may run any of them at the same time.

    `acknowledge_notification` lets the next order send a message to the workers again. The locks yield
    whether this process acquired them. At most one process of a worker holds each lock, so that slow webhook receivers,
    slow mail servers and repricing leave other processes free to decide orders. `delivery_runner` sends webhooks.
    `sleep` takes seconds. `has_redis` returns whether Redis serves this installation; views in a Redis of another one
    belong to other products.
    """

    market: Market
    views: ViewCounter
    acknowledge_notification: Callable[[], None]
    delivery_lock: Callable[[], AbstractContextManager[bool]] = field(default=_no_lock)
    repricing_lock: Callable[[], AbstractContextManager[bool]] = field(default=_no_lock)
    email_lock: Callable[[], AbstractContextManager[bool]] = field(default=_no_lock)
    delivery_runner: JobRunner = field(factory=InlineRunner)
    sleep: Callable[[float], None] = time.sleep
    tracing: Tracing | None = None
    unknown_policies: UnknownPolicies = field(factory=UnknownPolicies)
    repricing_turn: RepricingTurn = field(factory=RepricingTurn)
    has_redis: Callable[[], bool] = lambda: True

    def decide_orders(self) -> None:
        # Before the query for orders: an order that commits after the query sends a message of its own.
        self.acknowledge_notification()
        self.sweep_orders()

    def sweep_orders(self) -> None:
        """As `decide_orders`, without Redis."""
        if _repeat(self._decide_batch):
            # Events of the decisions get their numbers now instead of at beat's next tick.
            self.number_events()

    def _decide_batch(self) -> int:
        with nullcontext() if self.tracing is None else self.tracing.decision():
            decided = self.market.ordering.decide(BATCH_SIZE).total
        if 0 < decided < BATCH_SIZE:
            self.sleep(BATCH_DELAY)
        return decided

    def expire_reservations(self) -> None:
        _repeat(lambda: self.market.ordering.expire(BATCH_SIZE))

    def reconcile_payments(self) -> None:
        self._call_gateway(self.market.payments.reconcile)

    def send_refunds(self) -> None:
        self._call_gateway(self.market.payments.send_refunds)

    def flush_views(self) -> None:
        # Two batches: one that a failed task left in Redis, and the views that were collected since.
        _repeat(self._flush_batch, max_batches=2)

    def _flush_batch(self) -> int:
        if not self.has_redis():
            return 0
        batch = self.views.next_batch()
        if batch is None:
            return 0
        self.market.catalog.record_views(batch)
        self.views.acknowledge(batch.id)
        return len(batch.counts)

    def fold_statistics(self) -> None:
        # Ends after a batch that is not full, as `number_events` does.
        _repeat(lambda: self.market.statistics.fold(EVENT_BATCH_SIZE).is_full(EVENT_BATCH_SIZE))

    def update_vocabulary(self) -> None:
        size = VOCABULARY_BATCH_SIZE
        _repeat(lambda: self.market.search_index.update_vocabulary(size) // size)

    def sweep_promotions(self) -> None:
        _repeat(lambda: self.market.promotions.sweep(BATCH_SIZE))

    def sync_price_index(self) -> None:
        _repeat(self.market.search_index.sync_price_index)

    def refresh_popularity(self) -> None:
        size = POPULARITY_BATCH_SIZE
        _repeat(lambda: self.market.search_index.refresh_popularity(size) // size)

    def purge_idempotency_keys(self) -> None:
        _repeat(lambda: self.market.ordering.purge_idempotency_keys(KEY_BATCH_SIZE))

    def purge_sessions(self) -> None:
        _repeat(lambda: self.market.sessions.purge(EVENT_BATCH_SIZE))

    def number_events(self) -> None:
        # Ends after a batch that is not full: under load, each further batch would find only a few new events.
        _repeat(lambda: self.market.relay.assign_sequence(EVENT_BATCH_SIZE) // EVENT_BATCH_SIZE)

    def deliver_webhooks(self) -> None:
        _repeat(lambda: self.market.webhooks.fan_out(BATCH_SIZE).events // BATCH_SIZE)
        with self.delivery_lock() as acquired:
            if acquired:
                ends = self.market.clock.now() + DELIVERY_TIME_LIMIT
                _repeat(lambda: self._start_deliveries(ends), max_batches=MAX_CLAIMS)

    def _start_deliveries(self, ends: datetime) -> bool:
        """Start to send due webhooks; return whether the task shall go on.

        The webhooks of each endpoint are a job of their own, so a slow receiver delays no other.
        """
        if self.market.clock.now() >= ends:
            return False
        webhooks = self.market.webhooks
        claimed = webhooks.claim(DELIVERY_BATCH_SIZE).by_endpoint()
        for of_endpoint in claimed:
            self.delivery_runner.start(partial(webhooks.send, of_endpoint))
        are_running = self.delivery_runner.wait(DELIVERY_POLL_SECONDS)
        if are_running:
            self.sleep(DELIVERY_GAP)
        return are_running or bool(claimed)

    def send_emails(self) -> None:
        """Send due e-mails for about `EMAIL_TIME_LIMIT`, then delete expired tokens."""
        with self.email_lock() as acquired:
            if acquired:
                clock, emails = self.market.clock, self.market.emails
                ends = clock.now() + EMAIL_TIME_LIMIT
                # Ends after a batch with a failure: the server would probably delay the next one as well.
                _repeat(lambda: emails.deliver(EMAIL_BATCH_SIZE).sent if clock.now() < ends else 0)
                _repeat(lambda: emails.purge(BATCH_SIZE))

    def reprice(self) -> None:
        """Start runs that are due and work on unfinished ones, for `REPRICING_TIME_LIMIT`; sellers take turns.

        Every worker runs this task at every tick, with one process each, so that workers share the ranges of a run.
        """
        with self.repricing_lock() as acquired:
            if acquired:
                _repeat(self._log_unknown_policies)
                ends = self.market.clock.now() + REPRICING_TIME_LIMIT
                started = set[PolicyId]()
                _repeat(lambda: self._reprice_round(started, ends))

    def measure_experiments(self) -> None:
        """Measure pricing experiments that are due, for about `MEASURING_TIME_LIMIT`."""
        ends = self.market.clock.now() + MEASURING_TIME_LIMIT
        _repeat(lambda: self.market.experiments.measure_due(1) if self.market.clock.now() < ends else 0)

    def _reprice_round(self, started: set[PolicyId], ends: datetime) -> int:
        """Start due runs, at most `RUNS_PER_SELLER` of each seller, then give each seller's oldest run a turn.

        Return 0 if there was nothing to do or the time is over. `started` are the policies of earlier rounds.
        """
        worked = 0
        for policy_id in self.market.repricing.due(SELLERS_PER_ROUND, per_seller=RUNS_PER_SELLER):
            if self.market.clock.now() >= ends:
                return 0
            if policy_id not in started:
                started.add(policy_id)
                worked += self._begin_run(policy_id)
        runs = self.market.repricing.unfinished(SELLERS_PER_ROUND, per_seller=1)
        last = self.repricing_turn.run_id
        for run_id in (*(each for each in runs if each > last), *(each for each in runs if each <= last)):
            if self.market.clock.now() >= ends:
                return 0
            self.repricing_turn.run_id = run_id
            worked += self._work_on_run(run_id, min(ends, self.market.clock.now() + REPRICING_TURN))
        return worked

    def _begin_run(self, policy_id: PolicyId) -> int:
        try:
            run = self.market.repricing.begin(policy_id, trigger=Trigger.SCHEDULE)
        except (Conflict, NotFound):
            # Another worker started the run, or the policy was switched off or deleted.
            return 0
        if run.status is RunStatus.FAILED:
            _log_run(run)
        return 1

    def _log_unknown_policies(self) -> int:
        """Log each active policy whose strategy is not installed in this process, once; other processes may run it."""
        now, seen = self.market.clock.now(), self.unknown_policies
        if seen.due_at is None or now >= seen.due_at:
            found = frozenset((each.id, each.policy) for each in self.market.repricing.active_with_unknown_strategy())
            for policy_id, strategy in sorted(found - seen.logged):
                logger.error("policy skipped: %s", StrategyUnknown(policy_id, strategy))
            seen.due_at, seen.logged = now + UNKNOWN_POLICIES_INTERVAL, found
        return 0

    def _work_on_run(self, run_id: RunId, ends: datetime) -> int:
        """Work on a run until `ends`; return how many steps did something."""
        steps = 0
        while self.market.clock.now() < ends:
            step = self.market.repricing.step(run_id)
            if step is RunStep.WAITING:
                break
            steps += 1
            if step is RunStep.FINISHED:
                with suppress(NotFound):
                    _log_run(self.market.repricing.get_run(run_id))
                break
        return steps

    def purge_decisions(self) -> None:
        _repeat(self.market.repricing.purge)

    def purge_webhooks(self) -> None:
        _repeat(lambda: self.market.webhooks.purge(BATCH_SIZE))

    def archive_orders(self) -> None:
        """Archive settled orders for about `ARCHIVING_TIME_LIMIT`."""
        clock = self.market.clock
        ends = clock.now() + ARCHIVING_TIME_LIMIT
        _repeat(lambda: self.market.archiving.archive(ARCHIVE_BATCH_SIZE) if clock.now() < ends else 0)

    def purge_audit_log(self) -> None:
        _repeat(lambda: self.market.audit_log.purge(EVENT_BATCH_SIZE))

    def purge_events(self) -> None:
        _repeat(lambda: self.market.relay.purge(EVENT_BATCH_SIZE))

    def _call_gateway(self, sweep: Callable[[int], int]) -> None:
        clock = self.market.clock
        ends = clock.now() + GATEWAY_TIME_LIMIT
        _repeat(lambda: sweep(GATEWAY_BATCH_SIZE) if clock.now() < ends else 0)


def _log_run(run: Run) -> None:
    """Log a failed run as an error, and a run that left products without a price as a warning."""
    strategy = run.document["policy"]
    if run.status is RunStatus.FAILED:
        logger.error("run %s of policy %s (%s) failed: %s", run.id, run.policy_id, strategy, run.note)
    elif run.status is RunStatus.AWAITING_APPROVAL:
        logger.warning("run %s of policy %s awaits approval until %s", run.id, run.policy_id, run.approval_until)
    elif run.tally.unpriced and run.status is RunStatus.DONE:
        logger.warning(
            "run %s of policy %s: %s",
            run.id,
            run.policy_id,
            unpriced_sentence(strategy, run.tally.unpriced, run.tally.decided),
        )


def _repeat(batch: Callable[[], int], max_batches: int = MAX_BATCHES) -> int:
    """Call `batch` until it returns 0; return how many calls returned something else."""
    for done in range(max_batches):
        try:
            if batch() == 0:
                return done
        except Unavailable as error:
            # The next message tries again.
            _warnings.warn(f"background work is delayed: {error}")
            return done
    return max_batches
