"""Exit codes, and conversion of errors into messages."""

import os
import sys
from enum import IntEnum
from typing import NoReturn

import typer
from attrs import frozen
from rich.console import Console

from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.errors import Invalid, LastStaffAccount, MarketError, SchemaMismatch, Unavailable
from scalecommerce_core.domain.text import printable
from scalecommerce_core.services.product_files.csv_text import UnreadableFile


class ExitCode(IntEnum):
    """Exit codes of all commands."""

    OK = 0
    PROBLEM = 1
    """A problem was found or occurred, for example an id that does not exist."""
    USAGE = 2
    """The command line is invalid."""
    NOT_REACHABLE = 3
    """A required server does not respond, or is not configured."""
    INTERRUPTED = 130


@frozen
class Failure:
    sentence: str
    code: ExitCode = ExitCode.PROBLEM


class CommandFailed(Exception):
    """A command failed; the message states the reason and the remedy."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.PROBLEM) -> None:
        super().__init__(sentence)
        self.failure = Failure(sentence, code)


class Interrupted(Exception):
    """Interruption by Ctrl-C; the message states which results stay."""


def failure_of(error: Exception) -> Failure | None:
    """The failure to report for an expected error; None for unexpected errors."""
    match error:
        case CommandFailed():
            return error.failure
        case Invalid():
            return Failure("\n".join(f"{field}: {' '.join(said)}" for field, said in error.errors.items()))
        case SchemaMismatch() | UnreadableFile():
            return Failure(str(error))
        case Unavailable():
            return Failure(str(error), ExitCode.NOT_REACHABLE)
        case LastStaffAccount():
            return Failure(f"{str(error).removesuffix('.')} with scalecommerce createsuperuser.")
        case MarketError():
            return Failure(str(error))
        case OSError(filename=str() as name, strerror=str() as reason):
            return Failure(f"{name}: {reason}.")
        case _:
            return None


def end_command(failure: Failure, *, as_json: bool) -> NoReturn:
    """Print the failure to standard error, with `--json` as an object, and exit."""
    if as_json:
        sys.stderr.write(json_text({"error": failure.sentence, "code": failure.code}) + "\n")
        raise typer.Exit(failure.code)
    screen = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in failure.sentence.splitlines():
        screen.print(printable(line), style="red" if failure.code is not ExitCode.INTERRUPTED else "yellow")
    raise typer.Exit(failure.code)


def end_at_broken_pipe() -> NoReturn:
    """Exit after the reader of standard output, such as `head`, closed the pipe.

    Standard output is redirected to the null device, because Python would report the error again at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(ExitCode.PROBLEM)
