"""The interface of an attack, and what a run of it measures."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar, Final

from attrs import Factory, define, frozen

from tests.attacks.target import Target

READ_P99_MS: Final = 50.0
ORDER_P99_MS: Final = 250.0


@define
class AttackFigures:
    """What the attacker saw: requests sent, answers by status or kind of failure, and further figures by name."""

    requests: int = 0
    answers: Counter[str] = Factory(Counter)
    notes: dict[str, float | str] = Factory(dict)


@frozen
class Latency:
    """Requests of one kind that honest clients sent in a phase; milliseconds from the planned moment to the answer."""

    count: int
    p50: float
    p99: float
    slowest: float
    failed: Mapping[str, int]
    """By status or kind of failure."""


@frozen
class Usage:
    """Use of the API processes in a phase."""

    seconds: float
    cpu_seconds: float
    rss: int
    """Bytes at the end of the phase."""
    peak_rss: int
    sockets: int
    """Open sockets at the end of the phase."""
    peak_sockets: int


@frozen
class Phase:
    honest: Mapping[str, Latency]
    """By kind of request: `read`, `newcomer`, `order`, `log_in`."""
    usage: Usage


@frozen
class AttackReport:
    name: str
    topic: str
    figures: AttackFigures
    before: Phase
    during: Phase
    after: Phase


class Attack(ABC):
    """An attack that speaks only HTTP and TCP to a running engine, so that it also runs against other versions."""

    name: ClassVar[str]
    has_latency_bars: ClassVar[bool] = False
    """Whether honest reads and orders have to stay fast while the attack runs (`missed_bars`)."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Environment variables of the engine that this attack needs, in addition to the defaults."""

    @property
    def topic(self) -> str:
        """The name of the module: what is attacked."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def run(self, target: Target) -> AttackFigures:
        """Attack for `target.seconds`. It runs in a separate process of low priority."""

    def check(self, report: AttackReport) -> list[str]:  # noqa: ARG002 - for subclasses
        """Return a sentence for each thing that must hold and does not; independent of time."""
        return []


def missed_bars(report: AttackReport) -> list[str]:
    """Return a sentence for each bar of the honest clients' latency that was missed during the attack, and for each
    kind of honest request that failed.
    """
    missed = []
    for kind, bar in (("read", READ_P99_MS), ("newcomer", READ_P99_MS), ("order", ORDER_P99_MS)):
        latency = report.during.honest.get(kind)
        if latency is not None and latency.p99 > bar:
            missed.append(f"{kind}: p99 of {latency.p99:.0f} ms, must be <= {bar:.0f} ms")
    return [*missed, *unanswered(report)]


def unanswered(report: AttackReport) -> list[str]:
    """Return a sentence for each kind of honest request that failed during or after the attack."""
    return [
        f"{kind}: {sum(latency.failed.values())} of {latency.count} honest requests failed {when} the attack: "
        f"{dict(latency.failed)}"
        for when, phase in (("during", report.during), ("after", report.after))
        for kind, latency in phase.honest.items()
        if latency.failed
    ]
