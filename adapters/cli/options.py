"""Options that several commands share."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

MAX_INTEGER: Final = 2**31 - 1
"""Largest PostgreSQL `integer`, the type of category ids."""
MAX_BIGINT: Final = 2**63 - 1
"""Largest PostgreSQL `bigint`, the type of all other ids."""


def limit(most: int = 1_000) -> Any:
    """`--limit` of a command that lists rows: 1 to `most`."""
    return typer.Option("--limit", min=1, max=most, help="Show at most N, newest first.")


_NUMBER: Final = re.compile("[1-9][0-9]{0,18}")


def _check_seller_form(text: str | None) -> str | None:
    """Check the syntax only: `account_of` checks later that the account exists."""
    if text is not None and "@" not in text and not (_NUMBER.fullmatch(text) and int(text) <= MAX_BIGINT):
        raise typer.BadParameter(f"{text!r} is neither an e-mail address nor an account number.")
    return text


def seller(meaning: str) -> Any:
    """`--seller`: an account by its e-mail address or its number; `adapters.cli.sellers.account_of` finds it."""
    return typer.Option("--seller", metavar="EMAIL|ID", callback=_check_seller_form, help=meaning, show_default=False)


def buyer(meaning: str) -> Any:
    """`--buyer`: as `seller`."""
    return typer.Option("--buyer", metavar="EMAIL|ID", callback=_check_seller_form, help=meaning, show_default=False)


def account(meaning: str) -> Any:
    """`--account`: as `seller`."""
    return typer.Option("--account", metavar="EMAIL|ID", callback=_check_seller_form, help=meaning, show_default=False)


def _moment(text: str) -> datetime:
    """ISO 8601, as commands print it; UTC where no zone is given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def moment(name: str, meaning: str) -> Any:
    """An option that takes a time; the command receives it with a time zone."""
    return typer.Option(name, metavar="TIME", parser=_moment, help=meaning, show_default=False)


DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        file_okay=False,
        help="Use the engine that `scalecommerce up` runs in this directory. Default: the database of DATABASE_URL if"
        " it is set, else the engine in .scalecommerce.",
        show_default=False,
    ),
]

ReasonOption: TypeAlias = Annotated[str, typer.Option("--reason", help="Kept in the audit log.", show_default=False)]

JsonOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print results and errors as JSON, without progress bars.", show_default=False),
]
