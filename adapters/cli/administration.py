"""`migrate`, `settings`, `createsuperuser`."""

import sys
from typing import Annotated

import typer
from rich.table import Table

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import interactive, notes, output, print_json
from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.services.accounts import Accounts, SignUp
from scalecommerce_core.services.outcomes import one


def migrate(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Bring the database to the tables of this release.

    Safe to start from several machines at once: one migrates, the others wait. Does nothing when nothing is to do.
    `scalecommerce up` does it by itself.
    """
    runtime: Runtime = ctx.obj
    revision = runtime.migrate(data)
    if as_json:
        print_json({"revision": revision})
    else:
        output().print(f"The database is up to date (revision {revision}).")


def settings(
    ctx: typer.Context,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As a Markdown table, as in the documentation.", show_default=False)
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the environment variables that `serve`, `worker`, `beat` and `up` read."""
    runtime: Runtime = ctx.obj
    rows = list(runtime.settings())
    if as_json:
        print_json([{"variable": row.variable, "default": row.default, "meaning": row.meaning} for row in rows])
    elif markdown:
        lines = [f"| `{row.variable}` | {f'`{row.default}`' if row.default else ''} | {row.meaning} |" for row in rows]
        sys.stdout.write("\n".join(["| variable | default | meaning |", "|---|---|---|", *lines]) + "\n")
    else:
        table = Table("variable", "default", "meaning", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for row in rows:
            table.add_row(row.variable, row.default or "[dim]none[/]", row.meaning)
        output().print(table)


def createsuperuser(
    ctx: typer.Context,
    email: Annotated[str, typer.Option("--email", help="Its address; asked for if missing.", show_default=False)] = "",
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin", help="Read the password from standard input, for scripts.", show_default=False
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account that is staff: it sees and mends what others own.

    Asks for what is not given. An address that has an account already can be made staff; its password stays.
    """
    runtime: Runtime = ctx.obj
    if not interactive() and not (email and password_stdin):
        raise CommandFailed("Nobody can be asked here: give --email and --password-stdin.", ExitCode.USAGE)
    with runtime.open(data) as opened:
        accounts = opened.market.accounts
        address = normal_email(email or typer.prompt("E-mail address", err=True))
        with opened.market.store.begin() as tx:
            known = address in tx.accounts.by_email([address])
        account = _promoted(accounts, address) if known else _made(accounts, address, from_stdin=password_stdin)
    if as_json:
        print_json({"id": account.id, "email": account.email, "is_staff": account.is_staff})
    else:
        output().print(f"{account.email} (account {account.id}) is staff.")


def _made(accounts: Accounts, address: str, *, from_stdin: bool) -> Account:
    password = (
        sys.stdin.readline().rstrip("\r\n")
        if from_stdin
        else typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    )
    return one(accounts.sign_up([SignUp(address, password, is_staff=True)]))


def _promoted(accounts: Accounts, address: str) -> Account:
    if not interactive():
        raise CommandFailed(
            f"{address} has an account already. To make that staff, run this again at a terminal, where it asks."
        )
    notes().print(f"{address} has an account already.")
    if not typer.confirm("Make it staff?", err=True):
        raise CommandFailed("Nothing was changed.")
    return accounts.appoint_staff(address)
