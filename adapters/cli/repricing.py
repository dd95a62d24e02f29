"""`reprice`: run pricing policies, and roll runs back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, MAX_INTEGER, DataOption, JsonOption
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.audit import OPERATOR
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import CategoryId, PolicyId, RunId
from scalecommerce_core.domain.money import unit_text
from scalecommerce_core.pricing.decisions import Decision
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import Run, RunStatus, StoredDecision
from scalecommerce_core.queries import PageRequest, Queries
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.progress import Progress
from scalecommerce_core.services.repricing import Selection

SHOWN = 50
PAGE = 1_000
REFUSED = "REFUSED"
PROBLEMS = {REFUSED, RunStatus.FAILED.value}

ON_INTERRUPT = "Written prices stay. Run the command again to continue the run, or let the workers finish it."
ON_INTERRUPTED_DRY_RUN = "A dry run changes nothing."
ON_INTERRUPTED_ROLLBACK = "Restored prices stay. Run the command again to continue the rollback."

app = typer.Typer(invoke_without_command=True)


@app.callback()
def reprice(
    ctx: typer.Context,
    *,
    policy: Annotated[
        int | None, typer.Option(min=1, max=MAX_BIGINT, help="Run only this policy.", show_default=False)
    ] = None,
    category: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_INTEGER, help="Decide only products of this category.", show_default=False),
    ] = None,
    seller: Annotated[str | None, seller_option("Run only this seller's policies.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MAX_BIGINT, help="Decide at most N products of each policy.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and explain, but store nothing.", show_default=False)
    ] = False,
    shadow: Annotated[
        bool,
        typer.Option(
            "--shadow",
            help="Decide and record, but change no price and do not update the policy state.",
            show_default=False,
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the active pricing policies: change prices, and explain each change.

    Each product is decided once in an epoch of its policy. When all products of a policy have been decided, a dry run
    shows the decisions of its next epoch. All decisions are made before the first price is changed, and the circuit
    breaker reduces the changes of a run that would change too much of a catalog at once. Ctrl-C keeps completed ranges.
    Exits with 1 if a policy was refused or failed.
    """
    if ctx.invoked_subcommand is not None:
        return
    runtime: Runtime = ctx.obj
    if dry_run and shadow:
        raise CommandFailed(
            "Use either --dry-run (stores nothing) or --shadow (records decisions), not both.", ExitCode.USAGE
        )
    only = Selection(None if category is None else CategoryId(category), limit)
    documents: list[dict[str, Any]] = []
    with (
        runtime.open(data) as opened,
        progress_bars(ON_INTERRUPTED_DRY_RUN if dry_run else ON_INTERRUPT, quiet=as_json) as progress,
    ):
        market = opened.market
        if category is not None and category not in {known.id for known in market.queries.categories()}:
            raise NotFound("category", category)
        for chosen in _selected_policies(market, policy, seller):
            try:
                work = _preview if dry_run else _run
                documents.append(work(market, chosen, only, shadow=shadow, progress=progress))
            except MarketError as error:
                documents.append({"policy": chosen.id, "name": chosen.name, "status": REFUSED, "note": str(error)})
        experiments = market.queries.latest_experiments([PolicyId(document["policy"]) for document in documents])
    for document in documents:
        if (experiment := experiments.get(document["policy"])) is not None:
            document |= {"experiment": {"id": experiment.id, "sentence": experiment.sentence}}
    if as_json:
        print_json(documents)
    else:
        _print(documents)
    if any(document["status"] in PROBLEMS for document in documents):
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def rollback(
    ctx: typer.Context,
    run: Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the run.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore the prices that a run replaced, except prices that changed since.

    Exits with 1 if all of them had changed.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, progress_bars(ON_INTERRUPTED_ROLLBACK, quiet=as_json) as progress:
        undone = opened.market.repricing.rollback(RunId(run), progress)
    if as_json:
        print_json(run_document(undone))
    else:
        print_line(_rolled_back(undone))
    if undone.written and not undone.undone:
        raise typer.Exit(ExitCode.PROBLEM)


def _rolled_back(run: Run) -> str:
    if not run.written:
        return f"Run {run.id} had changed no price; it was ended."
    if not run.undone:
        return f"Run {run.id}: no price was restored. All {run.written:,} had changed since and were kept."
    stayed = run.written - run.undone
    kept = "one had changed since and was" if stayed == 1 else f"{stayed:,} had changed since and were"
    rest = f" The other {kept} kept." if stayed else ""
    return f"Run {run.id}: {run.undone:,} of {run.written:,} prices are back in force.{rest}"


def _selected_policies(market: Market, policy: int | None, seller: str | None) -> Sequence[PricingPolicy]:
    queries = market.queries
    if policy is not None:
        found = queries.policy(PolicyId(policy))
        if found is None:
            raise NotFound("policy", policy)
        return [found]
    owner = None if seller is None else find_account(market, seller)
    chosen: list[PricingPolicy] = []
    page = queries.policies(owner, PageRequest(PAGE))
    while True:
        chosen += [each for each in page.rows if each.is_active]
        if page.next is None:
            return chosen
        page = queries.policies(owner, PageRequest(PAGE, after=page.next))


def _preview(
    market: Market, policy: PricingPolicy, only: Selection, *, shadow: bool, progress: Progress
) -> dict[str, Any]:
    del shadow
    until = market.repricing.waits_until(policy.id)
    preview = market.repricing.preview(policy.id, only=only, progress=progress)
    if not preview.looked_at:
        epoch = _why_nothing_is_due(only, preview.products, until)
    elif until is not None:
        epoch = (
            "The current epoch is finished; the dry run decides as in the next one, which begins at"
            f" {format_time(until)}."
        )
    else:
        epoch = ""
    moves = [_move(decision) for decision in preview.decisions(moves_only=True)]
    return {
        "policy": policy.id, "name": policy.name, "run": None, "status": "DRY RUN", "looked_at": preview.looked_at,
        "moves": moves, "written": 0, "move_factor": preview.breaker.factor, "caps_moves": preview.breaker.caps,
        "note": preview.sentence, "next_epoch_at": until, "epoch_note": epoch,
    }  # fmt: skip


def _run(market: Market, policy: PricingPolicy, only: Selection, *, shadow: bool, progress: Progress) -> dict[str, Any]:
    run = market.repricing.run(policy.id, shadow=shadow, only=only, progress=progress, by=OPERATOR)
    moves = [_move(stored.decision) | {"outcome": stored.outcome.value} for stored in _moves(market.queries, run)]
    until = market.repricing.waits_until(policy.id)
    is_idle = run.status is RunStatus.DONE and not run.tally.decided
    epoch = _why_nothing_is_due(only, run.products, until) if is_idle else ""
    return {
        "policy": policy.id, "name": policy.name, **run_document(run), "next_epoch_at": until, "epoch_note": epoch,
        "moves": moves,
    }  # fmt: skip


def _why_nothing_is_due(only: Selection, products: int, until: datetime | None) -> str:
    """Explain why a run over `products` products had none to decide. `until`: the start of the next epoch, or None."""
    if not products and only.is_all:
        return "No product is due: none follows this policy."
    if not products and only.limit is None:
        return f"No product is due: none of category {only.category_id} follows this policy."
    if until is not None and (products or only.category_id is None):
        return f"No product is due: the current epoch is finished; the next one begins at {format_time(until)}."
    return "No product is due: all selected products were decided in this epoch, or none of them follows this policy."


def _moves(queries: Queries, run: Run) -> Sequence[StoredDecision]:
    found: list[StoredDecision] = []
    page = queries.decisions(run.id, PageRequest(PAGE), moves_only=True)
    while True:
        found += page.rows
        if page.next is None:
            return found
        page = queries.decisions(run.id, PageRequest(PAGE, after=page.next), moves_only=True)


def run_document(run: Run) -> dict[str, Any]:
    return {
        "run": run.id, "policy": run.policy_id, "epoch": run.epoch, "status": run.status.value,
        "shadow": run.is_shadow, "started_at": run.started_at, "finished_at": run.finished_at,
        "looked_at": run.tally.decided, "would_move": run.tally.moves, "written": run.written, "undone": run.undone,
        "unpriced": run.tally.unpriced, "move_factor": run.move_factor, "caps_moves": run.caps_moves,
        "approval_until": run.approval_until, "reviewed_by": run.reviewed_by, "reviewed_at": run.reviewed_at,
        "repetitions": run.repetitions, "repeated_since": run.repeated_since,
        "note": run.note,
    }  # fmt: skip


def _move(decision: Decision) -> dict[str, Any]:
    return {
        "product": decision.product_id,
        "old": unit_text(decision.old, decision.minor_per_unit),
        "new": unit_text(decision.new, decision.minor_per_unit),
        "change": decision.new / decision.old - 1,
        "guardrails": list(decision.guardrails),
        "sentence": decision.sentence,
        "reason": decision.reason,
    }


def _print(documents: Sequence[dict[str, Any]]) -> None:
    if not documents:
        print_line("There is no active policy; no price was changed.")
    for document in documents:
        moves = document.get("moves", [])
        if moves:
            print_table(
                columns(
                    "product", "old", "new", "change", "why",
                    numbers=("product", "old", "new", "change"), prose=["why"],
                ),
                [
                    [move["product"], move["old"], move["new"], f"{move['change']:+.1%}", move["reason"]]
                    for move in sorted(moves, key=lambda move: -abs(move["change"]))[:SHOWN]
                ],
                title=f"Policy {document['policy']}: {document['name']}",
            )  # fmt: skip
        print_line(_summary(document, len(moves)))
        if len(moves) > SHOWN:
            print_line(f"The {SHOWN} largest changes are shown; --json prints all.")
        if (experiment := document.get("experiment")) is not None:
            print_line(f"Experiment {experiment['id']}: {experiment['sentence']}")


def _summary(document: dict[str, Any], moves: int) -> str:
    number = "" if document.get("run") is None else f", run {document['run']}"
    head = f"Policy {document['policy']} ({document['name']}){number}: {document['status']}"
    if document.get("looked_at") == 0 and document["epoch_note"]:
        return f"{head}. {document['epoch_note']}"
    if "looked_at" in document and document["status"] != RunStatus.FAILED:
        head += f", {moves:,} of {document['looked_at']:,} prices would change, {document['written']:,} written"
    return " ".join(filter(None, (f"{head}.", document["note"], document.get("epoch_note"))))
