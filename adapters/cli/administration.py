"""`migrate`, `settings` and `createsuperuser`."""

import logging
import sys
from typing import Annotated

import typer
from rich.text import Text

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import MigrationProgress, Runtime
from adapters.cli.screen import interactive, print_json, print_line, progress_bars, stderr_console
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.services.accounts import SignUp, has_doubtful_profile
from scalecommerce_core.services.results import unwrap_single

logger = logging.getLogger(__name__)


def migrate(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Migrate the database to this release.

    Safe to start from several machines at once: one migrates, the others wait. Does nothing if the database is up to
    date. All missing migrations run in one transaction: if one fails, or on Ctrl-C, the database is unchanged.
    Progress is shown on a terminal, and else logged to standard error. `scalecommerce up` migrates by itself.
    """
    runtime: Runtime = ctx.obj
    with progress_bars("The database is unchanged.", quiet=as_json) as bars:

        def report(migration: MigrationProgress) -> None:
            bars(f"Migration {migration.name}", int(migration.seconds is not None), 1)
            if not stderr_console().is_terminal:
                logger.info(migration.sentence)

        revision = runtime.migrate(data, report)
    if as_json:
        print_json({"revision": revision})
    else:
        print_line(f"The database is up to date (revision {revision}).")


def settings(
    ctx: typer.Context,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table, as in the documentation.", show_default=False)
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
        print_table(
            columns("variable", "default", "meaning", prose=("default", "meaning")),
            [[row.variable, row.default or Text("none", style="dim"), row.meaning] for row in rows],
        )


def createsuperuser(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    email: Annotated[
        str, typer.Option("--email", help="E-mail address; prompted for if missing.", show_default=False)
    ] = "",
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin", help="Read the password from standard input, for scripts.", show_default=False
        ),
    ] = False,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Make an existing account staff without confirmation. It gets a new password.",
            show_default=False,
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a staff account, which can view and edit every user's data.

    Prompts for missing values. An existing account can be made staff too. Because anybody may have opened it, it gets a
    new password, and its sessions and API keys end. Unless its e-mail address was verified, its webhook endpoints are
    disabled and its profile is emptied.
    """
    runtime: Runtime = ctx.obj
    if not interactive() and not (email and password_stdin):
        raise CommandFailed("There is no terminal for prompts: pass --email and --password-stdin.", ExitCode.USAGE)
    with runtime.open(data) as opened:
        accounts = opened.market.accounts
        address = normal_email(email or typer.prompt("E-mail address", err=True))
        with opened.market.store.begin() as tx:
            known = tx.accounts.by_email([address]).get(address)
        if known is not None:
            if not promote and not known.is_staff:
                _confirm_promotion(known)
            password = None
            if password_stdin:
                password = _password_of_stdin()
            elif not known.is_staff:
                password = _password_asked()
            account = accounts.appoint_staff(address, password)
        elif promote:
            raise CommandFailed(f"{address} has no account. Run this command without --promote to create one.")
        else:
            password = _password_of_stdin() if password_stdin else _password_asked()
            account = unwrap_single(accounts.sign_up([SignUp(address, password, is_staff=True)]))
    if as_json:
        print_json(
            {
                "id": account.id,
                "email": account.email,
                "is_staff": account.is_staff,
                "is_new": known is None,
                "password_changed": known is not None and password is not None,
                "sessions_revoked": known is not None and password is not None,
                "profile_emptied": known is not None and has_doubtful_profile(known),
                "webhooks_disabled": known is not None and has_doubtful_profile(known),
            }
        )
    elif known is not None and password is None:
        print_line(f"{account.email} (account {account.id}) is already staff; nothing was changed.")
    else:
        print_line(f"{account.email} (account {account.id}) is staff.")
        if known is not None:
            print_line("Its password was replaced, its sessions and API keys were ended: log in again.")
        if known is not None and has_doubtful_profile(known):
            print_line(
                "Anybody may have opened this account before: its names and biography were emptied, and its webhook"
                " endpoints disabled. Check its products, pricing policies and orders."
            )


def _password_of_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _password_asked() -> str:
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _confirm_promotion(known: Account) -> None:
    if not interactive():
        raise CommandFailed(f"{known.email} already has an account. Add --promote to make it staff.")
    stderr_console().print(f"{known.email} already has an account.")
    more = ", its webhook endpoints are disabled, and its profile is emptied" if has_doubtful_profile(known) else ""
    if not typer.confirm(f"Make it staff? It gets a new password, its sessions and API keys end{more}.", err=True):
        raise CommandFailed("Nothing was changed.")
