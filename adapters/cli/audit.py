"""`audit`: the log of what staff and operators did with things that are not their own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption, limit, moment
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.audit import AuditAction, AuditRecord, TargetKind
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import AuditFilter, PageRequest

PAGE = 100

app = typer.Typer(no_args_is_help=True, help="The log of what staff and operators did with things of others.")


@app.command(name="list")
def list_entries(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    actor: Annotated[
        str | None,
        typer.Option(metavar="EMAIL|ID", help="Show only what this account did.", show_default=False),
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Show only what operators did on the command line.", show_default=False)
    ] = False,
    action: Annotated[
        AuditAction | None,
        typer.Option(metavar="ACTION", help="Show only this action, such as product.edited.", show_default=False),
    ] = None,
    kind: Annotated[
        TargetKind | None,
        typer.Option(help="Show only actions on this kind of thing.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Show only actions on the thing with this id. Requires --kind.", show_default=False
        ),
    ] = None,
    since: Annotated[datetime | None, moment("--since", "Show only actions at or after this time.")] = None,
    until: Annotated[datetime | None, moment("--until", "Show only actions before this time.")] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Show only actions with all these words in the reason.", show_default=False),
    ] = None,
    most: Annotated[int, limit(10_000)] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what staff and operators did with accounts, products, orders, policies and webhooks of others.

    Times are in UTC. `--json` also prints the network of the client.
    """
    if actor is not None and operator:
        raise CommandFailed("Pass either --actor or --operator: an operator has no account.", ExitCode.USAGE)
    if target is not None and kind is None:
        raise CommandFailed("--target requires --kind: ids are numbered for each kind of thing.", ExitCode.USAGE)
    try:
        check_ranges(("--since", since, "--until", until))
    except Invalid as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        queries = opened.market.queries
        criteria = AuditFilter(
            actor_id=None if actor is None else find_account(opened.market, actor),
            by_operator=True if operator else None,
            action=action,
            target_kind=kind,
            target_id=target,
            since=since,
            until=until,
            text=reason,
        )
        page = queries.audit_entries(PageRequest(min(PAGE, most)), criteria)
        found = list(page.rows)
        while len(found) < most and page.next is not None:
            page = queries.audit_entries(PageRequest(min(PAGE, most - len(found)), after=page.next), criteria)
            found += page.rows
    if as_json:
        print_json([_document(record) for record in found])
        return
    print_table(
        columns("time", "by", "action", "on", "change", "reason", prose=("change", "reason")),
        [
            [
                record.entry.occurred_at,
                "operator" if record.entry.actor_id is None else f"account {record.entry.actor_id}",
                record.entry.action.value,
                record.entry.target_id,
                _format_change(record.entry.before, record.entry.after),
                record.entry.reason,
            ]
            for record in found
        ],
        nothing="There are no such entries.",
    )


def _format_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """`price: 6.21 USD -> 5.00 USD, stock: 3`."""
    parts = []
    for name in [*before, *(name for name in after if name not in before)]:
        values = [_format_value(document[name]) for document in (before, after) if name in document]
        parts.append(f"{name}: {' -> '.join(values)}")
    return ", ".join(parts)


def _format_value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _document(record: AuditRecord) -> Mapping[str, Any]:
    entry = record.entry
    return {
        "id": record.id,
        "at": entry.occurred_at,
        "actor": entry.actor_id,
        "network": entry.network,
        "action": entry.action.value,
        "kind": entry.action.target_kind.value,
        "target": entry.target_id,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
    }
