"""`simulate`: pricing policies in markets whose demand is known."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode, Interrupted
from adapters.cli.options import JsonOption
from adapters.cli.screen import long_work, print_json
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.errors import Invalid

KEPT = "What was done is shown; it is held against no bar."
_EVERY = 50
"""Epochs between two strokes of the progress bar."""


def simulate(  # noqa: PLR0917 - Typer's options have names
    market: Annotated[
        str, typer.Argument(help="zip-recruiter, linear, marketplace, moody-marketplace, limited-stock, or all.")
    ] = "marketplace",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:JSON]",
            help="A policy that sells, with parameters if they differ: 'learning:{\"caution\": 0}'; static is none."
            " May be repeated. Without it: the market's own line-up.",
            show_default=False,
        ),
    ] = None,
    load: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Import a module that registers policies of yours.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the worlds, which are the same for all policies.")] = 1,
    worlds: Annotated[
        int | None,
        typer.Option(min=1, help="Products or worlds; fewer meet no bar.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How long; shorter meets no bar.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, help="Draw revenue and a price path, as .png or .svg.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let pricing policies compete in markets whose demand is known, before they touch a price of yours.

    All policies sell in the same worlds. Results are percent of the profit that somebody would expect who knows the
    demand; bars are what this release promises. Exits with 1 if a bar is missed. Ctrl-C shows what was done.
    """
    # numpy and the markets are for those who simulate.
    from scalecommerce_core.pricing.simulation.program import PROGRAMS, Figure, Outcome, Size

    programs = list(PROGRAMS.values()) if market == "all" else [PROGRAMS[market]] if market in PROGRAMS else []
    if not programs:
        raise CommandFailed(f"There is no market {market!r}; there are {', '.join(PROGRAMS)}, and all.", ExitCode.USAGE)
    draw = _drawing(plot)
    for module in load or ():
        _load(module)
    entrants = [_entrant(told) for told in policy] if policy else None
    outcomes: dict[str, list[Outcome]] = {program.name: [] for program in programs}
    size, interrupted = Size(seed, worlds, epochs), False
    try:
        with long_work(KEPT, quiet=as_json) as progress:

            def told(step: str, done: int, total: int) -> None:
                if done % _EVERY == 0 or done == total:
                    progress(step, done, total)

            for program in programs:
                for outcome in program.outcomes(size, entrants, told):
                    outcomes[program.name].append(outcome)
                    interrupted |= outcome.track.interrupted
                if interrupted:
                    break
    except Interrupted:
        interrupted = True
    done = [(program, outcomes[program.name]) for program in programs if outcomes[program.name]]
    figures: list[Figure] = [figure for program, its in done for figure in program.figures(its, size)]
    if as_json:
        print_json(
            {"seed": seed, "complete": not interrupted, "figures": [asdict(f) | {"passed": f.passed} for f in figures]}
        )
    else:
        _show(figures, seed)
    if draw is not None and plot is not None and done:
        draw([outcome for _, its in done for outcome in its], plot)
    if interrupted:
        raise Interrupted(KEPT)
    if any(figure.passed is False for figure in figures):
        raise typer.Exit(ExitCode.PROBLEM)


def _show(figures: Sequence[Any], seed: int) -> None:
    print_table(
        columns(
            "market", "policy", "measure", "reference", "bar", "ours",
            numbers=("reference", "bar", "ours"), prose=["measure"],
        ),
        [[f.market, f.policy, f.measure, _number(f.reference), _number(f.bar), _number(f.ours)] for f in figures],
        styles=[{True: "green", False: "red", None: ""}[f.passed] for f in figures],
        title=f"% of the best expected profit, seed {seed}",
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _entrant(told: str) -> Any:
    from scalecommerce_core.pricing.built_in import policy_named

    name, _, parameters = told.partition(":")
    if name == "static":
        return None
    try:
        values = json.loads(parameters) if parameters else {}
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise CommandFailed(f"{parameters!r} is no JSON object of parameters.", ExitCode.USAGE)
    try:
        return policy_named(name, values)
    except Invalid as wrong:
        raise CommandFailed(str(wrong), ExitCode.USAGE) from wrong


def _load(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise CommandFailed(f"{module} cannot be imported: {error}", ExitCode.USAGE) from error


def _drawing(plot: Path | None) -> Any:
    """The function that draws, found before hours of simulation and not after."""
    if plot is None:
        return None
    if plot.suffix not in {".png", ".svg"}:
        raise CommandFailed(f"{plot} should end in .png or .svg.", ExitCode.USAGE)
    try:
        from adapters.cli.drawing import draw
    except ImportError:
        raise CommandFailed("Drawing needs matplotlib: pip install 'scalecommerce[plot]'.", ExitCode.USAGE) from None
    return draw
