"""How commands end: the exit codes, and the one place that turns errors into a sentence."""

import os
import sys
from enum import IntEnum
from typing import Any

import typer
from attrs import frozen
from rich.console import Console
from typer.core import TyperGroup

from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.errors import Invalid, MarketError, Unavailable


class ExitCode(IntEnum):
    """What scripts can trust."""

    OK = 0
    PROBLEM = 1
    """The work found or met a problem."""
    USAGE = 2
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


class Commands(TyperGroup):
    """The group of all commands: whatever they raise ends here."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        _name_no_type_of_flags(self)

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            _end(Failure("Interrupted.", ExitCode.INTERRUPTED), as_json=as_json)
        except Interrupted as error:
            _end(Failure(f"Interrupted. {error}", ExitCode.INTERRUPTED), as_json=as_json)
        except BrokenPipeError:
            # Whoever read our output has seen enough, as `| head` does. Python would complain again at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.PROBLEM) from None
        except Exception as error:
            failure = _explained(error) or ctx.obj.explain(error)
            if failure is None:
                raise
            _end(failure, as_json=as_json)


def _name_no_type_of_flags(command: Any) -> None:
    """Help would call each flag's value <bool>, though a flag takes none."""
    for option in (*command.params, command.get_help_option(command.context_class(command))):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for each in getattr(command, "commands", {}).values():
        _name_no_type_of_flags(each)


def _explained(error: Exception) -> Failure | None:
    match error:
        case CommandFailed():
            return error.failure
        case Invalid():
            return Failure("\n".join(f"{field}: {' '.join(said)}" for field, said in error.errors.items()))
        case Unavailable():
            return Failure(str(error), ExitCode.NOT_REACHABLE)
        case MarketError():
            return Failure(str(error))
        case OSError(filename=str() as name, strerror=str() as reason):
            return Failure(f"{name}: {reason}.")
        case _:
            return None


def _end(failure: Failure, *, as_json: bool) -> None:
    """For scripts (`--json`) an object on standard error, where it spoils no result that was begun."""
    if as_json:
        sys.stderr.write(json_text({"error": failure.sentence, "code": failure.code}) + "\n")
        raise typer.Exit(failure.code)
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in failure.sentence.splitlines():
        screen.print(line, style="red" if failure.code is not ExitCode.INTERRUPTED else "yellow", markup=False)
    raise typer.Exit(failure.code)
