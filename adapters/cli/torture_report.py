"""Options, progress and report of `torture`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen
from rich.text import Text

from adapters.cli.tables import Cell, columns, print_table


@frozen
class TortureOptions:
    """`seconds` and `kills` bound the load, whichever is reached first; `data` None: a temporary directory.

    `webhooks`: whether events are sent to a receiver on this machine. Deliveries of a killed worker are repeated after
    one or two minutes, and the test waits for them.
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
    """Result of one invariant: how many items were compared, how many broke it, and the first of these."""

    invariant: str
    compared: int
    broken: int
    examples: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return self.broken == 0


@frozen
class Settling:
    """Recovery times in seconds: from a kill until all processes run and all orders accepted before are decided.

    Of several kills at once, or during a recovery, the last one counts. `times` is the number of recoveries.
    """

    times: int
    median: float
    longest: float
    longest_after: str
    at_the_end: float


@frozen
class TortureReport:
    """Results of `torture`. `kept` is the directory with data and logs; None if it was deleted."""

    options: TortureOptions
    seconds: float
    done: Mapping[str, int]
    kills: Mapping[str, int]
    fail_points_reached: int
    """Number of fail-points at which a process died."""
    fail_points_not_reached: Sequence[str]
    """Armed fail-points that no process reached."""
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
    """Print counts of requests and kills, and the result of each invariant."""
    done = columns("request", "count", numbers=["count"])
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
        f"Recovered {settling.times:,} times: median {settling.median:.1f} s, longest {settling.longest:.1f} s{after};"
        f" at the end {settling.at_the_end:.1f} s."
    )


def fail_points_sentence(report: TortureReport) -> str:
    unmet = (
        f"; no process reached {', '.join(report.fail_points_not_reached)}" if report.fail_points_not_reached else ""
    )
    return f"Processes died at {report.fail_points_reached} different fail-points{unmet}."
