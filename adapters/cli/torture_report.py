"""What `torture` is asked, what it tells while it runs, and what it has found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen
from rich.table import Table
from rich.text import Text


@frozen
class TortureOptions:
    """`seconds` and `kills` bound the load, whichever is reached first; `data` None: a temporary directory.

    `webhooks`: whether sellers have events sent to a server of theirs, on this machine. What a killed worker was
    sending goes out again a minute or two later, and is waited for.
    """

    seed: int
    kills: int
    seconds: float
    buyers: int
    products: int
    webhooks: bool = True
    data: Path | None = None


@frozen
class TortureProgress:
    phase: str
    seconds: float
    orders: int
    kills: int


@frozen
class Checked:
    """An invariant, how many things were compared for it, and the first that broke it."""

    invariant: str
    compared: int
    broken: int
    examples: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return self.broken == 0


@frozen
class Settling:
    """Seconds from a kill (the last one, where several came at once or one into the recovery from another) until
    everything ran again and all that was accepted before then was decided; `times` is how often that was seen.
    """

    times: int
    median: float
    longest: float
    longest_after: str
    at_the_end: float


@frozen
class TortureReport:
    """`kept` is where data and logs are when they were kept."""

    options: TortureOptions
    seconds: float
    done: Mapping[str, int]
    kills: Mapping[str, int]
    seams_met: int
    """Fail-points at which some process has died."""
    seams_unmet: Sequence[str]
    """Fail-points that were armed, and no process came by."""
    settling: Settling
    invariants: Sequence[Checked]
    interrupted: bool
    kept: Path | None

    @property
    def holds(self) -> bool:
        return all(checked.holds for checked in self.invariants)


def as_json(report: TortureReport) -> dict[str, object]:
    return {"holds": report.holds, **asdict(report)}


def tables(report: TortureReport) -> list[Table]:
    done = Table("what was done", "count", title=f"Seed {report.options.seed}, {report.seconds:.0f} s")
    _fill(done, report.done)
    kills = Table("killed", "times", title=f"{sum(report.kills.values())} kills")
    _fill(kills, report.kills)
    invariants = Table("invariant", "compared", "", "broken by")
    invariants.columns[1].justify = "right"
    for checked in report.invariants:
        verdict = Text("ok", style="green") if checked.holds else Text(f"{checked.broken:,} broken", style="red")
        invariants.add_row(checked.invariant, f"{checked.compared:,}", verdict, "\n".join(checked.examples))
    return [done, kills, invariants]


def settling_sentence(settling: Settling) -> str:
    after = f" (after: {settling.longest_after})" if settling.longest_after else ""
    return (
        f"Settled {settling.times:,} times: median {settling.median:.1f} s, longest {settling.longest:.1f} s{after};"
        f" at the end {settling.at_the_end:.1f} s."
    )


def seams_sentence(report: TortureReport) -> str:
    unmet = f"; no process came by {', '.join(report.seams_unmet)}" if report.seams_unmet else ""
    return f"Processes died at {report.seams_met} different fail-points{unmet}."


def _fill(table: Table, counts: Mapping[str, int]) -> None:
    table.columns[1].justify = "right"
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
