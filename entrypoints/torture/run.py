"""`scalecommerce torture`, from start to report."""

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
from entrypoints.torture.chaos import LONGEST_WAIT, Kill, Killer, plan
from entrypoints.torture.client_log import Heard
from entrypoints.torture.engine_under_test import Site
from entrypoints.torture.invariants import Books, checked_lists, something_happened
from entrypoints.torture.messages import Messages
from entrypoints.torture.monitor import Watcher, connected, settle
from entrypoints.torture.policies import let_policies_move_prices, policies_rest, prices_by_policy
from entrypoints.torture.receiver import Receiver
from entrypoints.torture.shoppers import Buyer, Seller, Shelf, Shop, Shopper
from scalecommerce_core.testing.failpoints import seams

SELLERS: Final = 3
TEND_SECONDS: Final = 0.05
START_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 300.0
DISTURB_SECONDS: Final = 0.3

Tell = Callable[[TortureProgress], None]


def torture(options: TortureOptions, tell: Tell) -> TortureReport:
    """Raise `CannotRun`, `SettingsError`, `EmbeddedServerError`; `Interrupted` before there was anything to check."""
    with _directory(options.data) as directory:
        try:
            return _Run(options, tell, directory).run()
        except StopRequested:
            raise Interrupted("Nothing was left running.") from None


class _Directory:
    """Where everything is; `keep` is set when somebody has to look at it."""

    def __init__(self, path: Path, keep: bool) -> None:
        self.path = path
        self.keep = keep


@contextmanager
def _directory(wanted: Path | None) -> Iterator[_Directory]:
    if wanted is not None:
        if wanted.exists() and any(wanted.iterdir()):
            raise CannotRun(f"{wanted} is not empty: torture works on data of its own. Choose a new directory.")
        yield _Directory(wanted, keep=True)
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
    def __init__(self, options: TortureOptions, tell: Tell, directory: _Directory) -> None:
        self._options = options
        self._tell = tell
        self._directory = directory
        self._heard = Heard()
        self._shelf = Shelf()
        self._stop = threading.Event()
        self._stop_watching = threading.Event()
        self._phase = "Starting PostgreSQL, Redis, API, worker and beat"
        self._begun = time.monotonic()
        self._told_at = 0.0
        self._killed: Counter[str] = Counter()
        self._site: Site | None = None
        self._interrupted = False

    def run(self) -> TortureReport:
        settings_must_be_right()
        data = DataDirectory(self._directory.path)
        with raise_on_stop_signal(self._hurry), ExitStack() as stack:
            stack.enter_context(data.lock_exclusively())
            self._site = site = Site(data, stack)
            people, watcher, messages = self._open(site, stack)
            self._killer = Killer(site, self._options.seed)
            self._killed = self._killer.killed
            try:
                self._torment(self._killer, watcher, messages)
            except StopRequested:
                self._interrupted = True
            try:
                return self._conclude(site, people, watcher, messages)
            except StopRequested:  # a signal that came late: what it asks for is going on already
                self._interrupted = True
                return self._conclude(site, people, watcher, messages)

    def _hurry(self) -> None:
        """The second signal: everything ends at once."""
        self._stop.set()
        self._stop_watching.set()
        if self._site is not None:
            for child in self._site.children:
                child.send_sigkill()
        raise KeyboardInterrupt

    def _open(self, site: Site, stack: ExitStack) -> tuple[list[Shopper], Watcher, Messages]:
        """Everything runs, everybody has an account, products are on sale."""
        self._show()
        site.start()
        upgrade(site.servers.database_url)
        site.begin()
        self._wait(lambda: site.all_run and all(api_answers(a.reachable, a.port) for a in site.addresses))
        shop = Shop(site.addresses, self._shelf, self._heard, self._stop, self._options.seed)
        sellers = [Seller(shop, number) for number in range(1, SELLERS + 1)]
        buyers = [Buyer(shop, number) for number in range(1, self._options.buyers + 1)]
        people: list[Shopper] = [*sellers, *buyers]
        self._phase = "Opening the market"
        with ThreadPoolExecutor(4) as pool:
            self._finish([pool.submit(_join_market, person) for person in people])
            if self._options.webhooks and site.settings.webhooks_allow_loopback:
                receiver = Receiver()
                stack.callback(receiver.close)
                self._heard.received = receiver.received
                self._finish([pool.submit(seller.subscribe, receiver.url) for seller in sellers])
            share, rest = divmod(self._options.products, SELLERS)
            # One after the other, so that the same seed lists the same products.
            for number, seller in enumerate(sellers):
                self._finish([pool.submit(seller.create_products, share + (number < rest))])
            self._finish([pool.submit(let_policies_move_prices, site.settings, [each.account for each in sellers])])
        # Behind the children on the stack: these end first.
        stack.callback(self._stop_watching.set)
        stack.callback(self._stop.set)
        watcher = Watcher(site, self._stop_watching)
        watcher.start()
        for person in people:
            person.start()
        messages = Messages(site.servers.redis_url, random.Random(f"{self._options.seed} messages"))  # noqa: S311
        stack.callback(messages.close)
        return people, watcher, messages

    def _torment(self, killer: Killer, watcher: Watcher, messages: Messages) -> None:
        self._phase = "Load and kills"
        begun = time.monotonic()
        # A thread of its own: sending to a broker that was killed takes a while.
        disturber = threading.Thread(target=_disturb, args=[messages, self._stop], daemon=True)
        disturber.start()
        try:
            for kill in plan(self._options.seed, seams()):
                self._wait_for(kill, watcher, begun)
                if self._over(begun):
                    break
                if killer.kill(kill.victim):
                    watcher.killed(str(kill.victim))
        finally:
            self._stop.set()
            killer.disarm()

    def _over(self, begun: float) -> bool:
        return self._killed.total() >= self._options.kills or time.monotonic() - begun >= self._options.seconds

    def _wait_for(self, kill: Kill, watcher: Watcher, begun: float) -> None:
        waited = time.monotonic()
        # A short form has no time to wait for long.
        patience = min(LONGEST_WAIT, self._options.seconds / 6)
        while kill.after_settling and not watcher.is_settled and time.monotonic() - waited < patience:
            self._tend()
            self._note_the_struck(watcher)
            if self._over(begun):
                return
        pause = time.monotonic()
        while time.monotonic() - pause < kill.pause and not self._over(begun):
            self._tend()
            self._note_the_struck(watcher)

    def _note_the_struck(self, watcher: Watcher) -> None:
        for seam in self._killer.struck():
            watcher.killed(seam)

    def _conclude(self, site: Site, people: Sequence[Shopper], watcher: Watcher, messages: Messages) -> TortureReport:
        self._phase = "Waiting for the last answers"
        self._note_the_struck(watcher)
        while any(person.is_alive() for person in people):
            self._tend()
        for person in people:
            if person.failure is not None:
                raise person.failure
        self._phase = "Settling"
        # Or the books would change while they are read.
        waited = time.monotonic()
        while not policies_rest(site.settings) and time.monotonic() - waited < SETTLE_SECONDS:
            self._tend()
        at_the_end = settle(site, self._tend, SETTLE_SECONDS)
        waited = time.monotonic()
        while not watcher.is_settled and time.monotonic() - waited < LONGEST_WAIT:
            self._tend()
        self._stop_watching.set()
        watcher.join()
        self._phase = "Reading the books"
        self._show()
        invariants = self._invariants(site, watcher, settled=at_the_end is not None)
        seconds = time.monotonic() - self._begun
        longest = max(watcher.seen.settled, key=lambda settled: settled.seconds, default=None)
        report = TortureReport(
            options=self._options,
            seconds=seconds,
            done=dict(sorted({**self._heard.done, **messages.sent}.items())),
            kills=dict(sorted(self._killed.items())),
            seams_met=len(self._killer.struck_seams),
            seams_unmet=sorted(self._killer.armed - self._killer.struck_seams),
            settling=Settling(
                times=len(watcher.seen.settled),
                median=statistics.median(settled.seconds for settled in watcher.seen.settled) if longest else 0.0,
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

    def _invariants(self, site: Site, watcher: Watcher, *, settled: bool) -> list[Checked]:
        deadlocks = [
            line for line in site.postgres.log.read_text(errors="replace").splitlines() if "deadlock detected" in line
        ]
        with connected(site) as connection:
            books = Books(connection, self._heard, site.settings.price_promise_seconds)
            return [
                *books.checked(),
                *prices_by_policy(connection, site.settings),
                something_happened(self._heard, interrupted=self._interrupted),
                Checked(
                    "everything ran again and settled",
                    len(site.children),
                    0 if settled else 1,
                    [] if settled else [f"not within {SETTLE_SECONDS:.0f} s after the last kill"],
                ),
                *checked_lists(self._heard, watcher.seen.violations, watcher.seen.samples, deadlocks),
            ]

    def _finish(self, futures: Sequence[Future[Any]]) -> None:
        self._wait(lambda: all(future.done() for future in futures))
        for future in futures:
            future.result()

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not done():
            self._tend()
            if time.monotonic() > deadline:
                raise CannotRun(f"The engine did not start. Its logs are in {self._directory.path}/logs.")

    def _tend(self) -> None:
        """A moment, in which what has ended is started again."""
        if self._site is not None:
            self._site.tend()
        if time.monotonic() - self._told_at > 0.2:
            self._show()
        time.sleep(TEND_SECONDS)

    def _show(self) -> None:
        self._told_at = time.monotonic()
        self._tell(
            TortureProgress(self._phase, self._told_at - self._begun, len(self._heard.orders), self._killed.total())
        )


def settings_must_be_right() -> None:
    """Of the environment, as the processes will read them; raise `SettingsError`."""
    theirs = {name: text for name, text in os.environ.items() if text and name not in {"DATABASE_URL", "REDIS_URL"}}
    unknown = {
        "DATABASE_URL": "postgresql://own",
        "REDIS_URL": "redis://own",
        "JWT_SECRET": "*" * settings.MIN_SECRET_BYTES,
    }
    settings.load({**unknown, **theirs})


def _join_market(person: Shopper) -> None:
    person.account = person.client.sign_up()


def _disturb(messages: Messages, stop: threading.Event) -> None:
    while not stop.wait(DISTURB_SECONDS):
        messages.disturb()
