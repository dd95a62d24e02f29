"""Commands that show, approve, limit and correct pricing: `pricing explain`, `runs`, `approve` and others."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, MAX_INTEGER, DataOption, JsonOption
from adapters.cli.options import limit as limit_option
from adapters.cli.price_figures import explanation_document, print_explanation
from adapters.cli.repricing import run_document
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import Cell, columns, print_facts, print_table
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import Invalid, NotFound
from scalecommerce_core.domain.identifiers import CategoryId, ProductId, RunId
from scalecommerce_core.domain.money import Money, decimal_text, price_units, unit_text
from scalecommerce_core.pricing.breaker import LARGE_PERCENT
from scalecommerce_core.pricing.explaining import GUARDRAIL_MESSAGES, describe_outcome, explain_inputs
from scalecommerce_core.pricing.replay import input_values
from scalecommerce_core.pricing.runs import Run, RunStatus, StoredDecision
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.catalog import WithdrawPrice
from scalecommerce_core.services.price_explanation import explain_price
from scalecommerce_core.services.pricing import SetMinHold
from scalecommerce_core.services.results import unwrap_single

ProductArgument = Annotated[
    int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the product.", show_default=False)
]
LimitOption = Annotated[int, limit_option()]


def explain(
    ctx: typer.Context,
    product: ProductArgument,
    limit: LimitOption = 5,
    *,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures",
            help="Also show the prices of 90 days with their sales, and the demand that the policy has learnt.",
            show_default=False,
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain the price of a product: the last decisions about it, with their inputs."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        queries, number = opened.market.queries, ProductId(product)
        found = queries.product_decisions(number, PageRequest(limit)).rows
        views = queries.products([number]) if figures or not found else {}
        if (figures or not found) and not views:
            raise NotFound("product", product)
        explanation = explain_price(queries, views[number], opened.market.clock.now()) if figures else None
    if as_json:
        decisions = [_document(stored) for stored in found]
        print_json(decisions if explanation is None else explanation_document(explanation) | {"decisions": decisions})
        return
    if not found:
        print_line(f"There are no decisions about product {product}: none was made, or they were deleted.")
    for stored in found:
        _print(stored)
    if explanation is not None:
        print_explanation(explanation)


def _print(stored: StoredDecision) -> None:
    decision = stored.decision
    print_line(decision.sentence, style="bold")
    print_line(f"  {format_time(stored.decided_at)}, run {stored.run_id}: {describe_outcome(stored).text}")
    facts: list[tuple[str, Cell]] = list(explain_inputs(stored.inputs).items())
    proposed = "no price" if decision.wanted is None else unit_text(decision.wanted, decision.minor_per_unit)
    facts.append(("proposed", proposed))
    acted = [f"{rail}: {GUARDRAIL_MESSAGES.message(rail).text}" for rail in decision.guardrails] or ["none acted"]
    facts += [("" if number else "guardrails", said) for number, said in enumerate(acted)]
    print_facts(facts)


def runs(
    ctx: typer.Context,
    limit: LimitOption = 20,
    *,
    awaiting_approval: Annotated[
        bool, typer.Option("--awaiting-approval", help="Only runs that await approval.", show_default=False)
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of pricing policies, newest first, with the numbers of decided, changed and restored prices.

    A run that changed no price replaces the runs before it with the same result; `repeats` counts them. `breaker` is
    the share of the decided changes that the circuit breaker left.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        status = RunStatus.AWAITING_APPROVAL if awaiting_approval else None
        found = opened.market.queries.runs(None, PageRequest(limit), status=status).rows
    if as_json:
        print_json([run_document(run) for run in found])
        return
    headings = (
        "run", "policy", "epoch", "began", "status", "decided", "changes", "written", "restored", "repeats", "breaker",
    )  # fmt: skip
    print_table(
        columns(*headings, numbers=(*headings[:3], *headings[5:-1])),
        [
            [
                run.id, run.policy_id, run.epoch, run.started_at, run.status.value,
                f"{run.tally.decided:,}", f"{run.tally.moves:,}", f"{run.written:,}", f"{run.undone:,}",
                f"{run.repetitions:,}", _format_limit(run),
            ]
            for run in found
        ],
        nothing="There are no runs.",
    )  # fmt: skip


def _format_limit(run: Run) -> str:
    """How the circuit breaker limited the changes of a run: `50%`, `at most 4%`, or both; empty if it did not."""
    capped = [f"at most {LARGE_PERCENT}%"] if run.caps_moves else []
    scaled = [f"{run.move_factor:.0%}"] if run.move_factor < 1 else []
    return ", ".join(capped + scaled)


def policies(
    ctx: typer.Context, limit: LimitOption = 100, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List pricing policies with their strategy, scope and epoch, and the results of experiments about them."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.policies(None, PageRequest(limit)).rows
        experiments = opened.market.queries.latest_experiments([each.id for each in found])
    sentences = {policy: experiment.sentence for policy, experiment in experiments.items()}
    if as_json:
        print_json(
            [
                {"id": each.id, "seller": each.seller_id, **each.document(), "experiment": sentences.get(each.id)}
                for each in found
            ]
        )
        return
    print_table(
        columns("policy", "seller", "name", "strategy", "scope", "epoch", "active", numbers=("policy", "seller")),
        [
            [
                each.id, each.seller_id, each.name, each.policy,
                "assigned" if each.assigned_only else (each.category_id and f"category {each.category_id}") or "all",
                _format_epoch(each.epoch),
                "shadow" if each.is_active and each.is_shadow else "yes" if each.is_active else "no",
            ]
            for each in found
        ],
        nothing="There are no policies.",
    )  # fmt: skip
    for each in found:
        if each.id in sentences:
            print_line(f"Policy {each.id}, experiment {experiments[each.id].id}: {sentences[each.id]}")


def _format_epoch(span: timedelta) -> str:
    """Format the length of an epoch: `7 days`."""
    return str(span).removesuffix(", 0:00:00")


def stop(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stop the pricing of all sellers: policies change no price until `pricing resume`."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        opened.market.pricing.stop()
    if as_json:
        print_json({"stopped": True})
    else:
        print_line(
            "Pricing is stopped. Runs in progress end at their next step. `pricing resume` starts pricing again."
        )


def resume(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Start pricing again after `pricing stop`; policies that are due run at once."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        opened.market.pricing.resume()
    if as_json:
        print_json({"stopped": False})
    else:
        print_line("Pricing is resumed. Policies run when their epochs end.")


ReviewerOption = Annotated[
    str,
    typer.Option("--by", help="The member of staff who decides: e-mail address or number.", show_default=False),
]
RunArgument = Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the run.", show_default=False)]


def approve(
    ctx: typer.Context, run: RunArgument, by: ReviewerOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Approve a run that awaits approval, and change its prices.

    The member of staff must not be the one who edited or activated the policy last.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        market.repricing.approve(RunId(run), Actor(find_account(market, by)))
        done = market.repricing.finish(RunId(run))
    _print_reviewed(done, as_json=as_json)


def decline(
    ctx: typer.Context,
    run: RunArgument,
    by: ReviewerOption,
    *,
    reason: Annotated[str, typer.Option(help="Reason for the note of the run.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decline a run that awaits approval: all prices stay, and the policy learns from the run.

    The member of staff must not be the one who edited or activated the policy last.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        market.repricing.decline(RunId(run), reason, Actor(find_account(market, by)))
        done = market.repricing.finish(RunId(run))
    _print_reviewed(done, as_json=as_json)


def _print_reviewed(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(run_document(run))
    else:
        print_line(f"Run {run.id}: {run.status.value}, {run.written:,} prices written. {run.note}")


def min_hold(
    ctx: typer.Context,
    category: Annotated[
        int | None, typer.Argument(min=1, max=MAX_INTEGER, help="Number of the category.", show_default=False)
    ] = None,
    days: Annotated[
        float | None, typer.Argument(help="Days for which prices are kept; 0: no hold.", show_default=False)
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the minimum hold of prices by category, or set that of one category.

    Pricing policies of all sellers keep each price of the category for at least this time. Sellers may still change
    prices by hand.
    """
    if category is not None and days is None:
        raise CommandFailed("Give the category and the days, such as: pricing min-hold 3 7", ExitCode.USAGE)
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        if category is not None and days is not None:
            command = SetMinHold(CategoryId(category), days)
            found = [unwrap_single(opened.market.pricing.set_min_holds([command]))]
        else:
            found = list(opened.market.queries.categories())
    if as_json:
        print_json([{"category": each.id, "name": each.name, "min_hold_days": each.min_hold_days} for each in found])
        return
    print_table(
        columns("category", "name", "minimum hold", numbers=("category",)),
        [[each.id, each.name, f"{each.min_hold_days:g} days" if each.min_hold else "none"] for each in found],
        nothing="There are no categories.",
    )


def withdraw_price(
    ctx: typer.Context,
    product: ProductArgument,
    price: Annotated[str, typer.Argument(help="The mistaken price, such as 0.01.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Reason for the price history.", show_default=False)],
    new_price: Annotated[
        str | None, typer.Option(help="The new price; without it, the last other price.", show_default=False)
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a mistaken price, in force now or in the last 24 hours: orders cannot use it any more.

    Undecided orders at the price are rejected. Reserved and paid orders keep it.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.products([ProductId(product)]).get(ProductId(product))
        if found is None:
            raise NotFound("product", product)
        currency = found.price.currency
        command = WithdrawPrice(
            found.id,
            None,
            _parse_price("price", price, currency),
            reason,
            None if new_price is None else _parse_price("new_price", new_price, currency),
        )
        changed = unwrap_single(opened.market.catalog.withdraw_prices([command]))
    if as_json:
        print_json({"product": product, "withdrawn": command.price.text, "price": changed.price.text})
    else:
        print_line(f"The price {command.price} of product {product} is withdrawn. The price is {changed.price} now.")


def _parse_price(name: str, text: str, currency: str) -> Money:
    try:
        return Money(price_units(text, currency), currency)
    except ValueError as error:
        raise Invalid.field(name, str(error)) from None


def _document(stored: StoredDecision) -> dict[str, Any]:
    decision = stored.decision
    return {
        "run": stored.run_id, "decided_at": stored.decided_at, "outcome": stored.outcome.value,
        "in_force_from": stored.in_force_from, "in_force_until": stored.in_force_until,
        "old": decimal_text(decision.old, stored.currency), "new": decimal_text(decision.new, stored.currency),
        "currency": stored.currency,
        "guardrails": list(decision.guardrails), "sentence": decision.sentence,
        "explained": explain_inputs(stored.inputs),
        "inputs": input_values(stored.inputs),
    }  # fmt: skip
