"""Fail-points: a place to die between each two effects, without a trace of it in the code that dies.

All effects go through ports, so a crash between two effects is a crash before or after the call of a port. `Seams`
wraps ports so that each such moment, a *seam*, is announced by name to a `FailPoints`, which may end everything there:

    stock.lock:before    the call has not been made
    stock.lock:after     it has, and the caller has not heard of it
    begin:before         a transaction is about to begin
    commit:before        all of the transaction's work is done, and nothing of it lasts
    commit:after         it lasts, and the caller has not heard of it
    notifier.orders_placed:before, broker.send_task:after, …   likewise for the ports around the store

In a simulation, dying is an exception, `Crash`, that no `except Exception` swallows. In a real process, it is SIGKILL
to itself: `parse_failpoints` makes such fail-points of the setting `FAILPOINTS`, comma-separated parts of three kinds:

    7:0.001              die at each seam with this probability, decided by the seed and the process's name ("api",
                         "worker", …); the first `SPARED` seams of a process are passed, or it might never get anywhere
    commit:after@3       die when this process reaches the seam for the third time; `orders.*:before@1` with wildcards
    arm=/some/directory  die at a seam when a file of its name is there. The first process that comes by takes the
                         file (renames it to `<seam>.struck`) before it dies, so each file kills one process once.
                         This is the way to visit each of `seams()` in a running engine: make the file, wait for it

Empty, the default, wraps nothing and costs nothing. Who dies says so on standard error:
`fail-point commit:after in worker: killed`. A worker's new child, like any new process, counts from the beginning. Not
all processes reach all seams.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
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
"""So many seams a process passes before chance may end it: about one batch of each kind."""
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
}
"""The ports around the store that have effects, by the name that their seams begin with."""
BROKER: Final = ("send_task",)
"""What publishing a message is called: of the adapter's client, since the core only knows wake-ups."""


CALLS: Final = {name: frozenset(_calls(port)) for name, port in REPOSITORIES.items()}
BEGIN: Final = "begin:before"


class Crash(BaseException):
    """The process died here. Not an `Exception`: a dying process handles no errors."""


def seams() -> list[str]:
    """Every seam that there is, in the order of the ports."""
    calls = [f"{name}.{call}" for name, port in {**REPOSITORIES, **PORTS}.items() for call in _calls(port)]
    calls += ["commit", *(f"broker.{call}" for call in BROKER)]
    return [BEGIN, *(f"{call}:{when}" for call in calls for when in ("before", "after"))]


class FailPoints:
    """Asks `strikes(seam)` at each seam whether to die there, and calls `die(seam)`, which does not return."""

    def __init__(self, strikes: Callable[[str], bool], die: Callable[[str], object]) -> None:
        self._strikes = strikes
        self._die = die

    def reach(self, seam: str) -> None:
        if self._strikes(seam):
            self._die(seam)


def crash(seam: str) -> None:
    """Die within a simulation."""
    raise Crash(seam)


class Seams:
    """Wraps ports so that `points` hears of each of their calls."""

    def __init__(self, points: FailPoints) -> None:
        self._points = points

    def store(self, inner: Store) -> Store:
        return _SeamedStore(inner, self._points)

    def port(self, name: str, inner: T) -> T:
        """`inner` as a port of `PORTS`; what else it can do is left as it is."""
        return cast(T, _Seamed(inner, name, _calls(PORTS[name]), self._points))

    def broker(self, inner: T) -> T:
        """The client that publishes messages."""
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
    """Announces the named `calls` of `inner`; all else is left as it is."""

    def __init__(self, inner: object, name: str, calls: Collection[str], points: FailPoints) -> None:
        self._inner = inner
        self._name = name
        self._calls = calls
        self._points = points

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name in self._calls:
            value = _announced(f"{self._name}.{name}", value, self._points)
            setattr(self, name, value)
        return value


def _announced(name: str, call: Callable[..., Any], points: FailPoints) -> Callable[..., Any]:
    before, after, reach = f"{name}:before", f"{name}:after", points.reach

    def announced(*args: Any, **kwargs: Any) -> Any:
        reach(before)
        result = call(*args, **kwargs)
        reach(after)
        return result

    return announced


# --- in real processes


def parse_failpoints(text: str, process: str) -> Seams:
    """What the setting asks for, in the process of this name; raise `ValueError` when it is not understood."""
    plans = [_plan(part.strip(), process) for part in text.split(",") if part.strip()]
    lock = threading.Lock()

    def strikes(seam: str) -> bool:
        with lock:
            # All are asked each time: what one plan does must not depend on the others.
            struck = [plan(seam) for plan in plans]
        return any(struck)

    return Seams(FailPoints(strikes, lambda seam: _kill(seam, process)))


def _kill(seam: str, process: str) -> None:
    os.write(2, f"fail-point {seam} in {process}: killed\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _plan(part: str, process: str) -> Callable[[str], bool]:
    if part.startswith("arm="):
        return _armed(Path(part.removeprefix("arm=")))
    pattern, at, count = part.rpartition("@")
    if at:
        return _counted(pattern, count)
    seed, colon, probability = part.partition(":")
    try:
        if colon:
            return _random(parse_integer(seed), parse_float(probability), process)
    except ValueError:
        pass
    raise ValueError(f"{part!r} is none of seed:probability, seam@count, arm=directory")


def _random(seed: int, probability: float, process: str) -> Callable[[str], bool]:
    if not 0 < probability < 1:
        raise ValueError(f"a probability lies between 0 and 1, not at {probability}")
    random = Random(f"{seed} {process}")  # noqa: S311 - it has to be repeatable
    reached = 0

    def strikes(_seam: str) -> bool:
        nonlocal reached
        reached += 1
        return reached > GRACE_SEAMS and random.random() < probability

    return strikes


def _counted(pattern: str, count: str) -> Callable[[str], bool]:
    if not (count.isascii() and count.isdecimal()) or int(count) < 1:
        raise ValueError(f"a fail-point is reached once or more often, not {count!r} times")
    if not any(fnmatchcase(seam, pattern) for seam in seams()):
        raise ValueError(f"there is no seam {pattern!r}")
    reached: Counter[str] = Counter()

    def strikes(seam: str) -> bool:
        reached[seam] += 1
        return reached[seam] == int(count) and fnmatchcase(seam, pattern)

    return strikes


def _armed(directory: Path) -> Callable[[str], bool]:
    if not directory.is_absolute():
        raise ValueError(f"the directory {str(directory)!r} is not absolute")

    def strikes(seam: str) -> bool:
        try:
            (directory / seam).rename(directory / f"{seam}.struck")
        except FileNotFoundError:
            return False
        return True

    return strikes
