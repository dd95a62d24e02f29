"""Runs `scalecommerce torture`, from start to report."""

import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from adapters.cli.failures import Interrupted
from adapters.cli.torture_report import Checked, Settling, TortureOptions, TortureProgress, TortureReport
from adapters.db.migrate import upgrade
from entrypoints import settings
from entrypoints.processes.data_directory import DataDirectory
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.readiness_probe import api_answers
from entrypoints.processes.shutdown_signals import StopRequested, raise_on_stop_signal
from entrypoints.torture.chaos import MAX_SETTLE_WAIT, Kill, ProcessKiller, plan
from entrypoints.torture.client_log import ClientLog
from entrypoints.torture.engine_under_test import EngineUnderTest
from entrypoints.torture.invariants import Invariants, check_load_ran, check_recorded
from entrypoints.torture.messages import FaultyMessages
from entrypoints.torture.monitor import Monitor, connect, settle
from entrypoints.torture.policies import create_pricing_policies, pricing_invariants, stop_pricing_policies
from entrypoints.torture.receiver import WebhookReceiver
from entrypoints.torture.shoppers import Buyer, LoadContext, ProductsOnSale, Seller, Shopper
from scalecommerce_core.testing.failpoints import seams

SELLERS: Final = 3
SUPERVISE_SECONDS: Final = 0.05
START_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 300.0
FAULT_INTERVAL_SECONDS: Final = 0.3

ProgressCallback = Callable[[TortureProgress], None]


def torture(options: TortureOptions, report_progress: ProgressCallback) -> TortureReport:
    """Run the self-test and return its report.

    Raises CannotRun, SettingsError or EmbeddedServerError; Interrupted if it is stopped before the load has begun.
    """
    with _directory(options.data) as directory:
        try:
            return _Run(options, report_progress, directory).run()
        except StopRequested:
            raise Interrupted("All processes have been stopped.") from None


class _Directory:
    """The data directory of the test; with `keep` it is not deleted at the end."""

    def __init__(self, path: Path, keep: bool) -> None:
        self.path = path
        self.keep = keep


@contextmanager
def _directory(path: Path | None) -> Iterator[_Directory]:
    if path is not None:
        if path.exists() and any(path.iterdir()):
            raise CannotRun(f"{path} is not empty. Choose a new directory: the self-test creates its own data.")
        yield _Directory(path, keep=True)
        return
    directory = _Directory(Path(tempfile.mkdtemp(prefix="scalecommerce-torture-")), keep=False)
    try:
        yield directory
    except Interrupted:
        raise
    except Exception as error:
        directory.keep = True
        error.add_note(f"Data and logs: {directory.path}")
        raise
    finally:
        if not directory.keep:
            shutil.rmtree(directory.path, ignore_errors=True)


class _Run:
    def __init__(self, options: TortureOptions, report_progress: ProgressCallback, directory: _Directory) -> None:
        self._options = options
        self._report_progress = report_progress
        self._directory = directory
        self._log = ClientLog()
        self._on_sale = ProductsOnSale()
        self._stop = threading.Event()
        self._stop_watching = threading.Event()
        self._phase = "Starting PostgreSQL, Redis, API, worker and beat"
        self._begun = time.monotonic()
        self._reported_at = 0.0
        self._killed: Counter[str] = Counter()
        self._engine: EngineUnderTest | None = None
        self._interrupted = False

    def run(self) -> TortureReport:
        check_settings()
        data = DataDirectory(self._directory.path)
        with raise_on_stop_signal(self._abort), ExitStack() as stack:
            stack.enter_context(data.lock_exclusively())
            self._engine = engine = EngineUnderTest(data, stack)
            shoppers, monitor, messages = self._open(engine, stack)
            self._killer = ProcessKiller(engine, self._options.seed)
            self._killed = self._killer.killed
            try:
                self._run_load(self._killer, monitor, messages)
            except StopRequested:
                self._interrupted = True
            try:
                return self._report(engine, shoppers, monitor, messages)
            except StopRequested:  # a late signal: the test is ending already
                self._interrupted = True
                return self._report(engine, shoppers, monitor, messages)

    def _abort(self) -> None:
        """End everything at once, at the second signal."""
        self._stop.set()
        self._stop_watching.set()
        if self._engine is not None:
            for child in self._engine.children:
                child.send_sigkill()
        raise KeyboardInterrupt

    def _open(self, engine: EngineUnderTest, stack: ExitStack) -> tuple[list[Shopper], Monitor, FaultyMessages]:
        """Start the engine, sign up buyers and sellers, and list the products."""
        self._show()
        engine.start()
        upgrade(engine.servers.database_url)
        engine.begin()
        self._wait(lambda: engine.all_run and all(api_answers(a.reachable, a.port) for a in engine.addresses))
        context = LoadContext(engine.addresses, self._on_sale, self._log, self._stop, self._options.seed)
        sellers = [Seller(context, number) for number in range(1, SELLERS + 1)]
        buyers = [Buyer(context, number) for number in range(1, self._options.buyers + 1)]
        shoppers: list[Shopper] = [*sellers, *buyers]
        self._phase = "Opening the market"
        with ThreadPoolExecutor(4) as pool:
            self._finish([pool.submit(_sign_up, shopper) for shopper in shoppers])
            if self._options.webhooks and engine.settings.webhooks_allow_loopback:
                receiver = WebhookReceiver()
                stack.callback(receiver.close)
                self._log.received = receiver.received
                self._finish([pool.submit(seller.subscribe, receiver.url) for seller in sellers])
            share, rest = divmod(self._options.products, SELLERS)
            # Sequentially, so that the same seed lists the same products.
            for number, seller in enumerate(sellers):
                self._finish([pool.submit(seller.create_products, share + (number < rest))])
            self._finish([pool.submit(create_pricing_policies, engine.settings, [each.account for each in sellers])])
        # The stack runs these before it stops the children.
        stack.callback(self._stop_watching.set)
        stack.callback(self._stop.set)
        monitor = Monitor(engine, self._stop_watching)
        monitor.start()
        for shopper in shoppers:
            shopper.start()
        messages = FaultyMessages(engine.servers.redis_url, random.Random(f"{self._options.seed} messages"))  # noqa: S311
        stack.callback(messages.close)
        return shoppers, monitor, messages

    def _run_load(self, killer: ProcessKiller, monitor: Monitor, messages: FaultyMessages) -> None:
        self._phase = "Load and kills"
        begun = time.monotonic()
        # In a thread, because sending to a killed broker blocks for a while.
        message_sender = threading.Thread(target=_send_faulty_messages, args=[messages, self._stop], daemon=True)
        message_sender.start()
        try:
            for kill in plan(self._options.seed, seams()):
                self._wait_for(kill, monitor, begun)
                if self._over(begun):
                    break
                if killer.kill(kill.victim):
                    monitor.killed(str(kill.victim))
        finally:
            self._stop.set()
            killer.disarm()

    def _over(self, begun: float) -> bool:
        return self._killed.total() >= self._options.kills or time.monotonic() - begun >= self._options.seconds

    def _wait_for(self, kill: Kill, monitor: Monitor, begun: float) -> None:
        waited = time.monotonic()
        # A short test limits the waits too.
        patience = min(MAX_SETTLE_WAIT, self._options.seconds / 6)
        while kill.after_settling and not monitor.is_settled and time.monotonic() - waited < patience:
            self._supervise()
            self._record_fail_points(monitor)
            if self._over(begun):
                return
        pause = time.monotonic()
        while time.monotonic() - pause < kill.pause and not self._over(begun):
            self._supervise()
            self._record_fail_points(monitor)

    def _record_fail_points(self, monitor: Monitor) -> None:
        for seam in self._killer.take_reached():
            monitor.killed(seam)

    def _report(
        self, engine: EngineUnderTest, shoppers: Sequence[Shopper], monitor: Monitor, messages: FaultyMessages
    ) -> TortureReport:
        self._phase = "Waiting for the last answers"
        self._record_fail_points(monitor)
        while any(shopper.is_alive() for shopper in shoppers):
            self._supervise()
        for shopper in shoppers:
            if shopper.failure is not None:
                raise shopper.failure
        self._phase = "Settling"
        # Otherwise prices would change during the checks.
        waited = time.monotonic()
        while not stop_pricing_policies(engine.settings) and time.monotonic() - waited < SETTLE_SECONDS:
            self._supervise()
        at_the_end = settle(engine, self._supervise, SETTLE_SECONDS)
        waited = time.monotonic()
        while not monitor.is_settled and time.monotonic() - waited < MAX_SETTLE_WAIT:
            self._supervise()
        self._stop_watching.set()
        monitor.join()
        self._phase = "Checking the invariants"
        self._show()
        invariants = self._invariants(engine, monitor, settled=at_the_end is not None)
        seconds = time.monotonic() - self._begun
        longest = max(monitor.seen.settled, key=lambda settled: settled.seconds, default=None)
        report = TortureReport(
            options=self._options,
            seconds=seconds,
            done=dict(sorted({**self._log.done, **messages.sent}.items())),
            kills=dict(sorted(self._killed.items())),
            fail_points_reached=len(self._killer.reached_fail_points),
            fail_points_not_reached=sorted(self._killer.armed - self._killer.reached_fail_points),
            settling=Settling(
                times=len(monitor.seen.settled),
                median=statistics.median(settled.seconds for settled in monitor.seen.settled) if longest else 0.0,
                longest=longest.seconds if longest else 0.0,
                longest_after=", ".join(longest.victims) if longest else "",
                at_the_end=SETTLE_SECONDS if at_the_end is None else at_the_end,
            ),
            invariants=invariants,
            interrupted=self._interrupted,
            kept=None,
        )
        self._directory.keep = self._directory.keep or not report.holds
        return report if not self._directory.keep else evolve(report, kept=self._directory.path)

    def _invariants(self, engine: EngineUnderTest, monitor: Monitor, *, settled: bool) -> list[Checked]:
        deadlocks = [
            line for line in engine.postgres.log.read_text(errors="replace").splitlines() if "deadlock detected" in line
        ]
        with connect(engine) as connection:
            invariants = Invariants(connection, self._log, engine.settings.price_promise_seconds)
            return [
                *invariants.check_all(),
                *pricing_invariants(connection, engine.settings),
                check_load_ran(self._log, interrupted=self._interrupted),
                Checked(
                    "everything ran again and settled",
                    len(engine.children),
                    0 if settled else 1,
                    [] if settled else [f"not within {SETTLE_SECONDS:.0f} s after the last kill"],
                ),
                *check_recorded(self._log, monitor.seen.violations, monitor.seen.samples, deadlocks),
            ]

    def _finish(self, futures: Sequence[Future[Any]]) -> None:
        self._wait(lambda: all(future.done() for future in futures))
        for future in futures:
            future.result()

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not done():
            self._supervise()
            if time.monotonic() > deadline:
                raise CannotRun(f"The engine did not start. Its logs are in {self._directory.path}/logs.")

    def _supervise(self) -> None:
        """Restart processes that have ended, report progress, and sleep for a moment."""
        if self._engine is not None:
            self._engine.supervise()
        if time.monotonic() - self._reported_at > 0.2:
            self._show()
        time.sleep(SUPERVISE_SECONDS)

    def _show(self) -> None:
        self._reported_at = time.monotonic()
        self._report_progress(
            TortureProgress(self._phase, self._reported_at - self._begun, len(self._log.orders), self._killed.total())
        )


def check_settings() -> None:
    """Check the settings of the environment as the processes will load them; raises SettingsError."""
    theirs = {name: text for name, text in os.environ.items() if text and name not in {"DATABASE_URL", "REDIS_URL"}}
    unknown = {
        "DATABASE_URL": "postgresql://own",
        "REDIS_URL": "redis://own",
        "JWT_SECRET": "*" * settings.MIN_SECRET_BYTES,
    }
    settings.load({**unknown, **theirs})


def _sign_up(shopper: Shopper) -> None:
    shopper.account = shopper.client.sign_up()


def _send_faulty_messages(messages: FaultyMessages, stop: threading.Event) -> None:
    while not stop.wait(FAULT_INTERVAL_SECONDS):
        messages.send_random()
