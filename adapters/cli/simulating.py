"""`simulate`: pricing strategies in simulated markets with known demand."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode, Interrupted
from adapters.cli.options import JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars, stderr_console
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.errors import Invalid

ON_INTERRUPT = "Results so far are shown; they are not compared with targets."
MOST = 1_000_000
"""Largest number of worlds and of epochs: a world needs about a hundred bytes, an epoch a few milliseconds."""
MOST_SEEDS = 10_000
_EVERY = 50
"""Epochs between two updates of the progress bar."""


def simulate(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    market: Annotated[
        str,
        typer.Argument(
            help="Market to simulate: zip-recruiter, linear, logit, marketplace, moody-marketplace, limited-stock,"
            " price-list-stock, substitutes, buy-box, forged-signals, base, competent-seller, thin-margins,"
            " unknown-costs, zipf-traffic, stock-outs, promotions, returns, bots, bulk-orders, shocks, all-frictions,"
            " or all."
        ),
    ] = "marketplace",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:JSON]",
            help="Strategy to simulate, with parameters that differ from its defaults:"
            " 'elasticity_learning:{\"caution\": 0}'; static means fixed prices. May be repeated. Default: the"
            " strategies of the market.",
            show_default=False,
        ),
    ] = None,
    load: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE",
            help="Load your own strategies from a module (my_shop.policies), a class in it (my_shop.policies:Markup) or"
            " a file (markup.py). The working directory is searched too. May be repeated.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random numbers, which are the same for all strategies.")
    ] = 1,
    worlds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Number of products or worlds; with fewer than published, no target applies.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Number of epochs; with fewer than published, no target applies.", show_default=False
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SEEDS,
            help="Number of seeds, from --seed on: figures are means, with 95 % intervals, and fixed prices are"
            " simulated too. With fewer than published, no target applies.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Draw cumulative profit and price paths to this .png or .svg file.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate pricing strategies in markets with known demand.

    All strategies sell in the same simulated worlds. Results are percentages of the highest possible expected profit,
    in forged-signals of the profit without the attack; an "uplift over fixed prices" is a percentage of the profit at
    fixed prices in the same worlds. Exits with 1 if a target is missed or a strategy fails; other strategies are still
    simulated. Ctrl-C shows the results so far.
    """
    # Imported here, because numpy slows the start of other commands.
    from scalecommerce_core.simulation.scenario import FailedStrategy, Size, StrategyResult
    from scalecommerce_core.simulation.scenarios import SCENARIOS

    scenarios = list(SCENARIOS.values()) if market == "all" else [SCENARIOS[market]] if market in SCENARIOS else []
    if not scenarios:
        raise CommandFailed(
            f"There is no market {market!r}. Choose one of {', '.join(SCENARIOS)}, or all.", ExitCode.USAGE
        )
    draw = _drawing(plot)
    runtime: Runtime = ctx.obj
    runtime.load_policies(load or [])
    strategies = [_strategy(text) for text in policy] if policy else None
    names = ["static" if each is None else each.name for each in strategies or []]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CommandFailed(
            f"{', '.join(repeated)} is given more than once, and results are by name: compare parameters in separate"
            " commands with the same seeds.",
            ExitCode.USAGE,
        )
    if strategies is not None and None not in strategies and any((seeds or each.seeds) > 1 for each in scenarios):
        strategies.insert(0, None)
    outcomes: dict[str, list[StrategyResult]] = {scenario.name: [] for scenario in scenarios}
    failed: list[FailedStrategy] = []
    size, interrupted = Size(seed, worlds, epochs, seeds), False
    try:
        with progress_bars(ON_INTERRUPT, quiet=as_json) as progress:

            def report(step: str, done: int, total: int) -> None:
                if done % _EVERY == 0 or done == total:
                    progress(step, done, total)

            for scenario in scenarios:
                for outcome in scenario.run(size, strategies, report):
                    if isinstance(outcome, FailedStrategy):
                        failed.append(outcome)
                        continue
                    outcomes[scenario.name].append(outcome)
                    interrupted |= outcome.track.interrupted
                if interrupted:
                    break
    except Interrupted:
        interrupted = True
    done = [(scenario, outcomes[scenario.name]) for scenario in scenarios if outcomes[scenario.name]]
    figures = {scenario.name: scenario.figures(its, size) for scenario, its in done}
    every = [outcome for _, its in done for outcome in its]
    if as_json:
        print_json({
            "seed": seed,
            "complete": not interrupted,
            "figures": [asdict(f) | {"passed": f.passed} for its in figures.values() for f in its],
            "failed": [asdict(each) for each in failed],
            "unpriced": [
                {
                    "market": each.market, "place": each.place, "policy": each.track.policy, "seed": each.seed,
                    "decided": each.track.decided, "unpriced": each.track.unpriced,
                }
                for each in every
                if each.track.unpriced
            ],
        })  # fmt: skip
    else:
        for name, its in figures.items():
            _show(name, its, seed)
        for sentence in _sentences(failed, every):
            stderr_console().print(sentence, style="red" if failed else "yellow")
    if draw is not None and plot is not None and every:
        draw(every, plot)
        if not as_json:
            print_line(f"The plot was written to {plot}.")
    if interrupted:
        raise Interrupted(ON_INTERRUPT)
    if failed or any(figure.passed is False for its in figures.values() for figure in its):
        raise typer.Exit(ExitCode.PROBLEM)


def _sentences(failed: Iterable[Any], outcomes: Iterable[Any]) -> list[str]:
    """Sentences about strategies that failed, each once, and about strategies that proposed no usable price."""
    from scalecommerce_core.pricing.strategy_calls import unpriced_sentence

    said = dict.fromkeys(each.problem for each in failed)
    totals: dict[str, tuple[int, int]] = {}
    for track in (outcome.track for outcome in outcomes):
        unpriced, decided = totals.get(track.policy, (0, 0))
        totals[track.policy] = unpriced + track.unpriced, decided + track.decided
    return [*said, *filter(None, (unpriced_sentence(name, *counts) for name, counts in totals.items()))]


def _show(market: str, figures: Sequence[Any], seed: int) -> None:
    from scalecommerce_core.simulation.scenarios import SCENARIOS

    numbers: dict[str, Callable[[Any], float | None]] = {
        "published result": lambda figure: figure.reference,
        "target of this release": lambda figure: figure.bar,
        "this run": lambda figure: figure.ours,
        "± 95%": lambda figure: figure.half_width,
    }
    seeds = max(figure.seeds for figure in figures)
    which = f"seed {seed}" if seeds == 1 else f"seeds {seed} to {seed + seeds - 1}"
    shown = [name for name, value in numbers.items() if any(value(figure) is not None for figure in figures)]
    # A title of the table would be wrapped to the width of the table.
    print_line(f"{market}, {which}: percentages of {SCENARIOS[market].whole}", style="bold")
    print_table(
        columns("policy", "measure", *shown, numbers=shown, prose=["measure"]),
        [[f.policy, f.measure, *(_number(numbers[name](f)) for name in shown)] for f in figures],
        styles=[{True: "green", False: "red", None: ""}[f.passed] for f in figures],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _strategy(text: str) -> Any:
    """The strategy of one `--policy NAME[:JSON]`; None for `static`."""
    from scalecommerce_core.pricing.built_in import strategy_named
    from scalecommerce_core.pricing.interface import current_name

    name, _, parameters = text.partition(":")
    if name == "static":
        return None
    if current_name(name) != name:
        stderr_console().print(f"Warning: {name} is now {current_name(name)}; the old name will be removed.")
    try:
        values = json.loads(parameters) if parameters else {}
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise CommandFailed(f"{parameters!r} is not a JSON object of parameters.", ExitCode.USAGE)
    try:
        return strategy_named(name, values)
    except Invalid as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error


def _drawing(plot: Path | None) -> Any:
    """The drawing function. Raise `CommandFailed` before the simulation if the plot cannot be written."""
    if plot is None:
        return None
    if plot.suffix not in {".png", ".svg"}:
        raise CommandFailed(f"{plot}: the name must end in .png or .svg.", ExitCode.USAGE)
    if not plot.parent.is_dir():
        raise CommandFailed(f"{plot} cannot be written: there is no directory {plot.parent}.", ExitCode.USAGE)
    if not os.access(plot if plot.exists() else plot.parent, os.W_OK):
        raise CommandFailed(f"{plot} cannot be written: permission denied.", ExitCode.USAGE)
    try:
        from adapters.cli.drawing import draw
    except ImportError:
        raise CommandFailed("Plots need matplotlib: pip install 'scalecommerce[plot]'.", ExitCode.USAGE) from None
    return draw
