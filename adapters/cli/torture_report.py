"""What `torture` is asked, what it tells while it runs, and what it has found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen
from rich.text import Text

from adapters.cli.tables import Cell, columns, print_table


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


def show_tables(report: TortureReport) -> None:
    """Print what was done, which processes were killed, and what became of each invariant."""
    done = columns("what was done", "count", numbers=["count"])
    print_table(done, _counts(report.done), title=f"Seed {report.options.seed}, {report.seconds:.0f} s")
    kills = columns("killed", "times", numbers=["times"])
    print_table(kills, _counts(report.kills), title=f"{sum(report.kills.values())} kills")
    print_table(
        columns(
            "invariant", "compared", "verdict", "broken by", numbers=["compared"], prose=("invariant", "broken by")
        ),
        [
            [each.invariant, f"{each.compared:,}", _verdict(each), "\n".join(each.examples)]
            for each in report.invariants
        ],
    )


def _verdict(checked: Checked) -> Text:
    return Text("ok", style="green") if checked.holds else Text(f"{checked.broken:,} broken", style="red")


def _counts(counts: Mapping[str, int]) -> list[list[Cell]]:
    return [[name, f"{count:,}"] for name, count in counts.items()]


def settling_sentence(settling: Settling) -> str:
    after = f" (after: {settling.longest_after})" if settling.longest_after else ""
    return (
        f"Settled {settling.times:,} times: median {settling.median:.1f} s, longest {settling.longest:.1f} s{after};"
        f" at the end {settling.at_the_end:.1f} s."
    )


def seams_sentence(report: TortureReport) -> str:
    unmet = f"; no process came by {', '.join(report.seams_unmet)}" if report.seams_unmet else ""
    return f"Processes died at {report.seams_met} different fail-points{unmet}."
