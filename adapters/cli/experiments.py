"""`pricing experiment`: start, show, list and end experiments about what policies earn."""

from typing import Annotated, Any, Final

import typer

from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption
from adapters.cli.options import limit as limit_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line
from adapters.cli.tables import Cell, columns, print_facts, print_table
from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId
from scalecommerce_core.pricing.experiments.experiment import (
    MAX_PERIOD_EPOCHS,
    MAX_SEED,
    MAX_SHARE,
    MAX_WEEKS,
    MIN_SHARE,
    MIN_WEEKS,
    ExperimentKind,
    PricingExperiment,
)
from scalecommerce_core.pricing.experiments.results import ExperimentResult
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.experiments import EndExperiment, StartExperiment
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single

OPERATOR: Final = AccountId(0)
"""Commands act as staff. No account has this id."""

app = typer.Typer(
    no_args_is_help=True, help="Prove what a pricing policy earns, compared with the seller's own prices."
)

PolicyArgument = Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the policy.", show_default=False)]
ExperimentArgument = Annotated[
    int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the experiment.", show_default=False)
]


@app.callback()
def experiment() -> None:
    """Prove what a pricing policy earns, compared with the seller's own prices."""


@app.command()
def start(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    policy: PolicyArgument,
    kind: Annotated[
        ExperimentKind,
        typer.Option(help="Keep some products at the seller's own prices, or all products in some periods."),
    ] = ExperimentKind.HOLD_OUT,
    share: Annotated[
        float,
        typer.Option(min=MIN_SHARE, max=MAX_SHARE, help="Share of the products that keep the seller's own prices."),
    ] = 0.2,
    weeks: Annotated[int, typer.Option(min=MIN_WEEKS, max=MAX_WEEKS, help="Planned duration.")] = 26,
    period_epochs: Annotated[
        int, typer.Option(min=1, max=MAX_PERIOD_EPOCHS, help="Epochs in a period of a switchback.")
    ] = 4,
    burn_in_epochs: Annotated[
        int, typer.Option(min=0, max=MAX_PERIOD_EPOCHS, help="Epochs that are not measured while prices move.")
    ] = 1,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_SEED, help="Seed of the assignment.", show_default="the experiment's number"),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start an experiment about a policy. Its products are assigned at random, and the plan cannot be changed later.

    From its next run on, the policy keeps the held-out products at the seller's own prices, within its guardrails.
    """
    runtime: Runtime = ctx.obj
    plan = {
        "kind": kind.value,
        "share": share,
        "weeks": weeks,
        "period_epochs": period_epochs,
        "burn_in_epochs": burn_in_epochs,
    } | ({} if seed is None else {"seed": seed})
    with runtime.open(data) as opened:
        command = StartExperiment(PolicyId(policy), OPERATOR, plan, as_staff=True)
        started = unwrap_single(opened.market.experiments.start([command]))
        _print(opened.market, started, as_json=as_json, headline=f"Experiment {started.id} has started.")


@app.command()
def show(
    ctx: typer.Context, experiment: ExperimentArgument, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Measure an experiment now, and show its result with its interval."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        _print(opened.market, opened.market.experiments.measure(ExperimentId(experiment)), as_json=as_json)


@app.command("list")
def list_experiments(
    ctx: typer.Context,
    policy: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_BIGINT, help="Only experiments about this policy.", show_default=False),
    ] = None,
    limit: Annotated[int, limit_option()] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List experiments with their results when they were last measured, newest first."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        about = None if policy is None else PolicyId(policy)
        found = opened.market.queries.experiments(None, PageRequest(limit), policy_id=about).rows
        now = opened.market.clock.now()
    if as_json:
        print_json([_document(each, each.status(now).value) for each in found])
        return
    print_table(
        columns(
            "experiment", "policy", "kind", "status", "planned end", "result",
            numbers=("experiment", "policy"), prose=["result"],
        ),
        [
            [each.id, each.policy_id, each.kind.value, each.status(now).value, each.planned_end, each.sentence]
            for each in found
        ],
        nothing="There are no experiments.",
    )  # fmt: skip


@app.command()
def end(
    ctx: typer.Context, experiment: ExperimentArgument, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """End an experiment before its planned end, and show its final result."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        experiments = opened.market.experiments
        ended = unwrap_single(experiments.end([EndExperiment(ExperimentId(experiment), OPERATOR, as_staff=True)]))
        _print(opened.market, experiments.measure(ended.id), as_json=as_json)


def _print(market: Market, shown: PricingExperiment, *, as_json: bool, headline: str | None = None) -> None:
    status = shown.status(market.clock.now()).value
    if as_json:
        print_json(_document(shown, status))
        return
    print_line(headline or shown.sentence, style="bold")
    kind = f"hold-out of {shown.share:.0%}" if shown.kind is ExperimentKind.HOLD_OUT else "switchback"
    facts: list[tuple[str, Cell]] = [
        ("experiment", f"{shown.id}, {kind}, about policy {shown.policy_id}"),
        ("status", f"{status}: {shown.note}" if shown.note else status),
        ("time", f"{format_time(shown.started_at)} to {format_time(shown.planned_end)}, {shown.weeks} weeks"),
    ]
    if shown.kind is ExperimentKind.SWITCHBACK:
        facts.append(("periods", f"{shown.periods} of {shown.period_epochs} epochs"))
    if shown.result is not None:
        facts += _result_facts(shown.result)
    print_facts(facts)


def _result_facts(result: ExperimentResult) -> list[tuple[str, Cell]]:
    facts: list[tuple[str, Cell]] = [
        ("measured", f"{result.products:,} products, {result.held_out:,} of them at your own prices"),
        ("elapsed", f"{result.elapsed:.0%} of the planned time"),
    ]
    if result.lift is not None and result.low is not None and result.high is not None:
        at_any_look = f"95% interval {result.low:+.1%} to {result.high:+.1%}, however often you look"
        facts.append((str(result.measure), f"{result.lift:+.1%}, {at_any_look}"))
    if result.fixed_low is not None and result.fixed_high is not None:
        facts.append(("", f"{result.fixed_low:+.1%} to {result.fixed_high:+.1%} for a single look at the planned end"))
    return facts + [("note", note) for note in result.notes]


def _document(shown: PricingExperiment, status: str) -> dict[str, Any]:
    return {
        "experiment": shown.id, "policy": shown.policy_id, "status": status, **shown.plan(),
        "started_at": shown.started_at, "planned_end": shown.planned_end, "ended_at": shown.ended_at,
        "note": shown.note, "sentence": shown.sentence, "measured_at": shown.measured_at,
        "result": None if shown.result is None else shown.result.document(),
    }  # fmt: skip
