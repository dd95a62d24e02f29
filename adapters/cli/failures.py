"""How commands end: the exit codes, and the one place that turns errors into a sentence."""

import os
import sys
from enum import IntEnum
from typing import NoReturn

import typer
from attrs import frozen
from rich.console import Console

from adapters.cli.formats import printable
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.errors import Invalid, MarketError, SchemaMismatch, Unavailable


class ExitCode(IntEnum):
    """What scripts can trust."""

    OK = 0
    PROBLEM = 1
    """The work found or met a problem."""
    """Also used when a named id or address does not exist."""
    USAGE = 2
    """The command line is wrong, whatever the database holds."""
    NOT_REACHABLE = 3
    """A server that is needed does not answer, or none was named."""
    INTERRUPTED = 130


@frozen
class Failure:
    sentence: str
    code: ExitCode = ExitCode.PROBLEM


class CommandFailed(Exception):
    """A command cannot do its work; the message says why, and what to do about it."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.PROBLEM) -> None:
        super().__init__(sentence)
        self.failure = Failure(sentence, code)


class Interrupted(Exception):
    """Ctrl-C in long work; the message says what was kept."""


def failure_of(error: Exception) -> Failure | None:
    """The failure to report for an expected error of the domain, the system or a command; None: unexpected."""
    match error:
        case CommandFailed():
            return error.failure
        case Invalid():
            return Failure("\n".join(f"{field}: {' '.join(said)}" for field, said in error.errors.items()))
        case SchemaMismatch():
            return Failure(str(error))
        case Unavailable():
            return Failure(str(error), ExitCode.NOT_REACHABLE)
        case MarketError():
            return Failure(str(error))
        case OSError(filename=str() as name, strerror=str() as reason):
            return Failure(f"{name}: {reason}.")
        case _:
            return None


def end_command(failure: Failure, *, as_json: bool) -> NoReturn:
    """End the command; with `--json` as an object on standard error, which keeps standard output intact."""
    if as_json:
        sys.stderr.write(json_text({"error": failure.sentence, "code": failure.code}) + "\n")
        raise typer.Exit(failure.code)
    screen = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in failure.sentence.splitlines():
        screen.print(printable(line), style="red" if failure.code is not ExitCode.INTERRUPTED else "yellow")
    raise typer.Exit(failure.code)


def end_at_broken_pipe() -> NoReturn:
    """The reader of standard output closed the pipe, as `| head` does. Python would report it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(ExitCode.PROBLEM)
