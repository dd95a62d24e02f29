"""Fail-points: places between two effects where a test kills the process, or lets a call fail, without changes to the
tested code.

All effects go through ports, so a crash between two effects is a crash before or after the call of a port. `Seams`
wraps ports so that at each such moment, a *seam*, a `FailPoints` is called with its name and may end the process:

    stock.lock:before    the call has not been made
    stock.lock:after     the call has returned, and its caller has not continued
    begin:before         a transaction will begin
    commit:before        all work of the transaction is done, and nothing is committed
    commit:after         the transaction is committed, and its caller has not continued
    notifier.orders_placed:before, broker.send_task:after, …   likewise for the ports around the store

In a simulation, a process dies by the exception `Crash`, which `except Exception` does not catch. A real process sends
itself SIGKILL: `parse_failpoints` reads the setting `FAILPOINTS`, which has comma-separated parts of four kinds:

    7:0.001              die at each seam with this probability; seed and process name ("api", "worker", …) determine
                         the outcome. The first `GRACE_SEAMS` seams of a process are passed, so that it can do some work
    commit:after@3       die when this process reaches the seam for the third time; `orders.*:before@1` with wildcards
    arm=/some/directory  die at a seam if the directory has a file of its name. The first process to reach the seam
                         renames the file to `<seam>.struck` before it dies, so each file kills one process once.
                         To test each of `seams()` in a running engine: create the file, wait until it is renamed
    fail=/some/directory do not die: raise `InjectedFailure` at a seam as long as the directory has a file of its name,
                         in every process. The text of the file is the message, the cause that staff read

Empty, the default: nothing is wrapped. A process that dies writes to standard error:
`fail-point commit:after in worker: killed`. A new process counts from the beginning, also a worker's new child. Not
every process reaches every seam.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar, cast, get_type_hints

from scalecommerce_core import ports
from scalecommerce_core.domain.numbers import parse_float, parse_integer
from scalecommerce_core.ports import Store, Transaction

T = TypeVar("T")


def _calls(port: type) -> list[str]:
    return [name for name, value in vars(port).items() if callable(value) and not name.startswith("_")]


GRACE_SEAMS: Final = 100
"""A process passes this many seams, about one batch of each kind, before a random fail-point may kill it."""
REPOSITORIES: Final[dict[str, type]] = {
    name: get_type_hints(getter.fget)["return"]
    for name, getter in vars(Transaction).items()
    if isinstance(getter, property)
}
PORTS: Final[dict[str, type]] = {
    "notifier": ports.WorkNotifier,
    "views": ports.ViewCounter,
    "gateway": ports.PaymentGateway,
    "webhook_sender": ports.WebhookSender,
    "email_sender": ports.EmailSender,
}
"""The ports around the store with effects, by the name that their seams begin with."""
BROKER: Final = ("send_task",)
"""Methods of the broker's client that publish a message; the core only has the port `WorkNotifier`."""


CALLS: Final = {name: frozenset(_calls(port)) for name, port in REPOSITORIES.items()}
BEGIN: Final = "begin:before"


class Crash(BaseException):
    """The process died here. It is not an `Exception`, because a dying process handles no errors."""


def seams() -> list[str]:
    """The names of all seams, in the order of the ports."""
    calls = [f"{name}.{call}" for name, port in {**REPOSITORIES, **PORTS}.items() for call in _calls(port)]
    calls += ["commit", *(f"broker.{call}" for call in BROKER)]
    return [BEGIN, *(f"{call}:{when}" for call in calls for when in ("before", "after"))]


class InjectedFailure(ValueError):
    """The call of a port failed here, and its process goes on. A `ValueError`, as if a call could not use its data."""


def _no_failure(_seam: str) -> None:
    return None


class FailPoints:
    """Calls `strikes(seam)` at each seam; if it returns True, calls `die(seam)`, which does not return. Otherwise
    raises `failure(seam)` unless that is None.
    """

    def __init__(
        self,
        strikes: Callable[[str], bool],
        die: Callable[[str], object],
        failure: Callable[[str], Exception | None] = _no_failure,
    ) -> None:
        self._strikes = strikes
        self._die = die
        self._failure = failure

    def reach(self, seam: str) -> None:
        """Called at a seam."""
        if self._strikes(seam):
            self._die(seam)
        failure = self._failure(seam)
        if failure is not None:
            raise failure


def crash(seam: str) -> None:
    """Die in a simulation."""
    raise Crash(seam)


class Seams:
    """Wraps ports so that `points` is called before and after each of their calls."""

    def __init__(self, points: FailPoints) -> None:
        self._points = points

    def store(self, inner: Store) -> Store:
        """The store with seams at its transactions and repositories."""
        return _SeamedStore(inner, self._points)

    def port(self, name: str, inner: T) -> T:
        """`inner` as a port of `PORTS`, with seams at the calls of the port."""
        return cast(T, _Seamed(inner, name, _calls(PORTS[name]), self._points))

    def broker(self, inner: T) -> T:
        """The client of the message broker with seams at its publishing calls."""
        return cast(T, _Seamed(inner, "broker", BROKER, self._points))


class _SeamedStore:
    def __init__(self, inner: Store, points: FailPoints) -> None:
        self._inner = inner
        self._points = points

    def begin(self) -> AbstractContextManager[Transaction]:
        return self._seamed(self._inner.begin)

    def bulk(self) -> AbstractContextManager[Transaction]:
        return self._seamed(self._inner.bulk)

    @contextmanager
    def _seamed(self, begin: Callable[[], AbstractContextManager[Transaction]]) -> Iterator[Transaction]:
        self._points.reach(BEGIN)
        with begin() as tx:
            yield cast(Transaction, _SeamedTransaction(tx, self._points))
            self._points.reach("commit:before")
        self._points.reach("commit:after")


class _SeamedTransaction:
    def __init__(self, inner: Transaction, points: FailPoints) -> None:
        self._inner = inner
        self._points = points

    def __getattr__(self, name: str) -> Any:
        repository = getattr(self._inner, name)
        if name in REPOSITORIES:
            repository = _Seamed(repository, name, CALLS[name], self._points)
        setattr(self, name, repository)
        return repository


class _Seamed:
    """Adds seams to the named `calls` of `inner`; other attributes are passed through."""

    def __init__(self, inner: object, name: str, calls: Collection[str], points: FailPoints) -> None:
        self._inner = inner
        self._name = name
        self._calls = calls
        self._points = points

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name in self._calls:
            value = _with_seams(f"{self._name}.{name}", value, self._points)
            setattr(self, name, value)
        return value


def _with_seams(name: str, call: Callable[..., Any], points: FailPoints) -> Callable[..., Any]:
    before, after, reach = f"{name}:before", f"{name}:after", points.reach

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach(before)
        result = call(*args, **kwargs)
        reach(after)
        return result

    return wrapped


# --- in real processes


def parse_failpoints(text: str, process: str) -> Seams:
    """The fail-points of the setting, in the process of this name; raise `ValueError` for an invalid setting."""
    given = [part.strip() for part in text.split(",") if part.strip()]
    failing = [_directory(part.removeprefix("fail=")) for part in given if part.startswith("fail=")]
    parts = [_parse_part(part, process) for part in given if not part.startswith("fail=")]
    lock = threading.Lock()

    def strikes(seam: str) -> bool:
        with lock:
            # All are evaluated each time, because the count of one must not depend on another.
            struck = [matches(seam) for matches in parts]
        return any(struck)

    def failure(seam: str) -> InjectedFailure | None:
        for directory in failing:
            with suppress(FileNotFoundError):
                return InjectedFailure((directory / seam).read_text().strip() or f"fail-point {seam}")
        return None

    return Seams(FailPoints(strikes, lambda seam: _kill(seam, process), failure if failing else _no_failure))


def _kill(seam: str, process: str) -> None:
    os.write(2, f"fail-point {seam} in {process}: killed\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _parse_part(part: str, process: str) -> Callable[[str], bool]:
    if part.startswith("arm="):
        return _armed(_directory(part.removeprefix("arm=")))
    pattern, at, count = part.rpartition("@")
    if at:
        return _counted(pattern, count)
    seed, colon, probability = part.partition(":")
    try:
        if colon:
            return _random(parse_integer(seed), parse_float(probability), process)
    except ValueError:
        pass
    raise ValueError(f"{part!r} is not one of seed:probability, seam@count, arm=directory, fail=directory")


def _random(seed: int, probability: float, process: str) -> Callable[[str], bool]:
    if not 0 < probability < 1:
        raise ValueError(f"a probability must be between 0 and 1, not {probability}")
    random = Random(f"{seed} {process}")  # noqa: S311 - must be repeatable
    reached = 0

    def strikes(_seam: str) -> bool:
        nonlocal reached
        reached += 1
        return reached > GRACE_SEAMS and random.random() < probability

    return strikes


def _counted(pattern: str, count: str) -> Callable[[str], bool]:
    if not (count.isascii() and count.isdecimal()) or int(count) < 1:
        raise ValueError(f"the count of a fail-point must be 1 or more, not {count!r}")
    if not any(fnmatchcase(seam, pattern) for seam in seams()):
        raise ValueError(f"there is no seam {pattern!r}")
    reached: Counter[str] = Counter()

    def strikes(seam: str) -> bool:
        reached[seam] += 1
        return reached[seam] == int(count) and fnmatchcase(seam, pattern)

    return strikes


def _directory(text: str) -> Path:
    directory = Path(text)
    if not directory.is_absolute():
        raise ValueError(f"the directory {text!r} is not absolute")
    return directory


def _armed(directory: Path) -> Callable[[str], bool]:
    def strikes(seam: str) -> bool:
        try:
            (directory / seam).rename(directory / f"{seam}.struck")
        except FileNotFoundError:
            return False
        return True

    return strikes
