"""`users`: list accounts, decide who has access, and export and delete the data of a person."""

import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption, ReasonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import interactive, print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.audit import OPERATOR, Actor
from scalecommerce_core.domain.errors import Invalid, NotFound
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId
from scalecommerce_core.domain.text import printable
from scalecommerce_core.queries import AccountDetails, AccountFilter, PageRequest
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.market import Market

app = typer.Typer(no_args_is_help=True, help="List accounts, decide who has access, export and delete data.")

MOST_COUNTED: Final = 1_000
"""Rows up to which the question before a deletion counts."""

AccountArgument = Annotated[
    str, typer.Argument(metavar="EMAIL|ID", help="The account, by its e-mail address or number.", show_default=False)
]


@app.command("list")
def list_users(  # noqa: PLR0917 - options
    ctx: typer.Context,
    inactive: Annotated[
        bool, typer.Option("--inactive", help="List deactivated accounts.", show_default=False)
    ] = False,
    staff: Annotated[bool, typer.Option("--staff", help="List staff accounts only.", show_default=False)] = False,
    email: Annotated[
        str | None, typer.Option("--email", help="List the account with this address.", show_default=False)
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", help="List accounts with this in their name or address.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most N.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts by their numbers; active ones unless --inactive is given."""
    runtime: Runtime = ctx.obj
    try:
        criteria = AccountFilter(
            is_active=not inactive,
            is_staff=True if staff else None,
            email=None if email is None else normal_email(email),
            search=search,
        )
    except Invalid as error:
        raise CommandFailed(f"--search: {' '.join(error.errors['search'])}", ExitCode.USAGE) from None
    with runtime.open(data) as opened:
        rows = opened.market.queries.accounts(PageRequest(limit), criteria).rows
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        columns("id", "e-mail", "first name", "last name", numbers=("id",), prose=("first name", "last name")),
        [[row.id, row.email, row.first_name, row.last_name] for row in rows],
        nothing="There are no such accounts.",
    )


@app.command()
def show(ctx: typer.Context, account: AccountArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show an account with its history: who deactivated or reactivated it, gave or took staff rights, and why."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        details = _details(opened.market, account)
        actors = _actors(opened.market, details)
    if as_json:
        print_json(_document(details, actors))
        return
    print_line(f"{_name(details)} is {_state(details)}.")
    if not details.is_deleted:
        verified = details.email_verified_at
        print_line(
            "The e-mail address is not verified."
            if verified is None
            else f"The e-mail address was verified at {verified:%Y-%m-%d %H:%M} UTC."
        )
        print_line(f"Log-ins need {'a' if details.has_second_factor else 'no'} second factor.")
    print_table(
        columns("time", "action", "by", "reason", prose=("reason",)),
        [
            [each.occurred_at, each.action.verb, actors.get(each.actor_id, "operator"), each.reason]
            for each in details.actions
        ],
        nothing="It has no history.",
    )


@app.command()
def sessions(
    ctx: typer.Context, account: AccountArgument, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List the open sessions of an account: when they were opened and used last, and by which client."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.sessions.list_open(find_account(opened.market, account))
    if as_json:
        print_json([{"id": each.number, **asdict(each, filter=lambda field, _: field.name != "id")} for each in found])
        return
    print_table(
        columns("id", "opened", "used", "ends", "network", "client", numbers=("id",), prose=("client",)),
        [
            [each.number, each.created_at, each.used_at, each.expires_at, each.network, each.user_agent]
            for each in found
        ],
        nothing="There are no open sessions.",
    )


@app.command("revoke-session")
def revoke_session(  # noqa: PLR0917 - arguments and options
    ctx: typer.Context,
    account: AccountArgument,
    session: Annotated[
        int, typer.Argument(metavar="SESSION", min=1, max=MAX_BIGINT, help="The id of the session (users sessions).")
    ],
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End one session of an account: within a second no API process accepts its tokens. It may log in again."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        owner = find_account(market, account)
        market.account_administration.revoke_session(owner, session, reason, OPERATOR)
    if as_json:
        print_json({"account": owner, "session": session})
    else:
        print_line(f"Session {session} of account {owner} is ended.")


@app.command("api-keys")
def api_keys(
    ctx: typer.Context, account: AccountArgument, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List the valid API keys of an account with their scopes and the times of their last use."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.api_keys.list_valid(find_account(opened.market, account))
    if as_json:
        print_json([_key_document(each) for each in found])
        return
    print_table(
        columns(
            "id",
            "name",
            "prefix",
            "scopes",
            "created",
            "expires",
            "last used",
            numbers=("id",),
            prose=("name", "scopes"),
        ),
        [
            [
                each.id,
                each.name,
                each.prefix,
                ", ".join(sorted(each.scopes)),
                each.created_at,
                each.expires_at or "never",
                each.used_at or "never",
            ]
            for each in found
        ],
        nothing="There are no valid API keys.",
    )


@app.command("revoke-api-key")
def revoke_api_key(
    ctx: typer.Context,
    account: AccountArgument,
    key: Annotated[int, typer.Argument(metavar="KEY", min=1, max=MAX_BIGINT, help="The id of the key.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key of an account: within a second no API process accepts it."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        revoked = opened.market.api_keys.revoke(find_account(opened.market, account), ApiKeyId(key), OPERATOR)
    if as_json:
        print_json(_key_document(revoked))
    else:
        print_line(f"The key {revoked.prefix} ({revoked.name}) is revoked.")


@app.command()
def deactivate(
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End all access of an account within a second, and stop the sale of its products.

    Its webhooks and pricing policies pause; open orders continue. `users reactivate` undoes it.
    """
    _act(ctx, account, reason, data, as_json, AccountAdministration.deactivate, "was already deactivated")


@app.command()
def reactivate(
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a deactivated account log in again; its products, webhooks and pricing policies continue."""
    _act(ctx, account, reason, data, as_json, AccountAdministration.reactivate, "was already active")


@app.command("dismiss-staff")
def dismiss_staff(
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw the staff rights of an account and end its sessions. `createsuperuser` appoints staff."""
    _act(ctx, account, reason, data, as_json, AccountAdministration.dismiss_staff, "was already without staff rights")


@app.command("revoke-sessions")
def revoke_sessions(
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End all sessions of an account, which may log in again."""
    _act(ctx, account, reason, data, as_json, AccountAdministration.revoke_sessions, "")


@app.command("reset-second-factor")
def reset_second_factor(
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the second factor of an account whose owner lost the app and the recovery codes, and end its sessions."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.second_factors.reset(find_account(opened.market, account), reason)
    if as_json:
        print_json({"id": found.id, "email": found.email})
    else:
        print_line(f"{found.email} (account {found.id}) has no second factor any more. Its sessions were ended.")


@app.command()
def export(ctx: typer.Context, account: AccountArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Print everything that is stored about an account as one JSON document, on request of its owner."""
    del as_json  # The output is always JSON.
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        personal_data = opened.market.personal_data
        for part in personal_data.export(find_account(opened.market, account), OPERATOR):
            sys.stdout.write(part)


@app.command()
def delete(  # noqa: PLR0917 - the options of a command
    ctx: typer.Context,
    account: AccountArgument,
    reason: ReasonOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.", show_default=False)] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the personal data of an account for good, on request of its owner, after a confirmation.

    Its products are withdrawn; its sessions, pricing policies and webhooks end. Orders keep their lines and amounts.
    Refused while orders are open, or payments and refunds in progress.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        details = _details(opened.market, account)
        id_ = details.account.id
        if not yes and not details.is_deleted:
            _confirm_deletion(opened.market, details, as_json=as_json)
        opened.market.personal_data.delete_for(id_, reason, OPERATOR)
    if as_json:
        print_json({"id": id_})
    else:
        print_line(f"Account {id_} is deleted.")


def _confirm_deletion(market: Market, details: AccountDetails, *, as_json: bool) -> None:
    if as_json or not interactive():
        raise CommandFailed("There is no terminal to confirm the deletion: pass --yes.", ExitCode.USAGE)
    id_, queries = details.account.id, market.queries
    products = _at_most(queries.iter_products(id_), "product")
    orders = _at_most(queries.orders_of_buyer(id_, PageRequest(MOST_COUNTED + 1)).rows, "order")
    sales = _at_most(queries.sales(id_, PageRequest(MOST_COUNTED + 1)).rows, "sale")
    typer.echo(
        f"{printable(_name(details))} has {products}, {orders} and {sales}. A deletion cannot be undone.", err=True
    )
    if not typer.confirm("Delete the account?", err=True):
        raise typer.Exit(ExitCode.PROBLEM)


def _at_most(rows: Iterable[object], noun: str) -> str:
    """The number of rows with a noun; counting stops at `MOST_COUNTED`."""
    count = sum(1 for _ in islice(rows, MOST_COUNTED + 1))
    if count > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,} {noun}s"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _act(  # noqa: PLR0917 - the options of a command
    ctx: typer.Context,
    account: str,
    reason: str,
    data: Path | None,
    as_json: bool,
    act: Callable[[AccountAdministration, AccountId, str, Actor], Account],
    unchanged: str,
) -> None:
    """`unchanged` says of an account that the action left as it was why it did."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        before = _details(opened.market, account)
        act(opened.market.account_administration, find_account(opened.market, account), reason, OPERATOR)
        details = _details(opened.market, account)
        actors = _actors(opened.market, details)
    if as_json:
        print_json(_document(details, actors))
    elif details == before:
        print_line(f"{_name(details)} {unchanged}; nothing changed.")
    else:
        print_line(f"{_name(details)} is {_state(details)}.")


def _details(market: Market, account: str) -> AccountDetails:
    id_ = find_account(market, account)
    details = market.queries.account_details(id_)
    if details is None:
        raise NotFound("account", id_)
    return details


def _name(details: AccountDetails) -> str:
    return f"{details.account.email} (account {details.account.id})"


def _state(details: AccountDetails) -> str:
    if details.is_deleted:
        return "deleted"
    return f"{'active' if details.is_active else 'deactivated'}{' and staff' if details.is_staff else ''}"


def _actors(market: Market, details: AccountDetails) -> Mapping[AccountId | None, str]:
    """The e-mail addresses of the accounts that acted."""
    ids = {each.actor_id for each in details.actions if each.actor_id is not None}
    return {id_: view.email for id_ in ids if (view := market.queries.account(id_)) is not None}


def _key_document(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def _document(details: AccountDetails, actors: Mapping[AccountId | None, str]) -> dict[str, object]:
    return {
        **asdict(details.account),
        "is_staff": details.is_staff,
        "is_active": details.is_active,
        "is_deleted": details.is_deleted,
        "email_verified_at": details.email_verified_at,
        "has_second_factor": details.has_second_factor,
        "created_at": details.created_at,
        "actions": [
            {
                "kind": each.action.verb,
                "reason": each.reason,
                "at": each.occurred_at,
                "actor": each.actor_id,
                "actor_email": actors.get(each.actor_id),
            }
            for each in details.actions
        ],
    }
