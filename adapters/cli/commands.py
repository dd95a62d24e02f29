"""Behaviour common to all commands: the layout of help, reports of wrong usage, and exit statuses."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from adapters.cli.failures import ExitCode, Failure, Interrupted, end_at_broken_pipe, end_command, failure_of
from adapters.cli.lazy_command import LazyCommand
from scalecommerce_core.domain.numbers import NotNumber, parse_float, parse_integer

logger = logging.getLogger(__name__)

PROCESSES: Final = frozenset({"serve", "worker", "beat"})
"""Long-running commands that log to standard error."""
MAX_BOUND_SHOWN: Final = 1_000_000
"""Greater bounds are only those of database columns; help does not show them."""

REPLACED_COMMANDS: Final[Mapping[str, str]] = {
    "new_categories": "scalecommerce migrate (the 20 categories are installed with the tables)",
    "new_users": "scalecommerce seed users --users N",
    "new_products": "scalecommerce seed products --products N",
    "new_orders": "scalecommerce seed orders --orders N",
    "new_order_item": "scalecommerce seed orders --orders N (creates orders with their items)",
    "makemigrations": "scalecommerce migrate (migrations are part of the release)",
    "runserver": "scalecommerce up (everything on one machine) or scalecommerce serve (the HTTP API alone)",
}
"""Commands of the first release (`manage.py`), and what replaces them."""


class Commands(TyperGroup):
    """The group of all commands; converts exceptions into messages and exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _describe_values(self)
        return super().parse_args(ctx, args)

    def load(self, name: str) -> Any:
        """Return the command or group with this name, imported if it was not used before; None if there is none."""
        command = self.commands.get(name)
        if isinstance(command, LazyCommand):
            self.commands[name] = command = command.load()
            _describe_values(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if (replacement := REPLACED_COMMANDS.get(args[0])) is not None:
            _end_usage(f"`{args[0]}` was a command of the first release. Now: {replacement}", args)
        self.load(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except (KeyboardInterrupt, typer.Abort):
            end_command(Failure("Interrupted.", ExitCode.INTERRUPTED), as_json=as_json)
        except Interrupted as error:
            end_command(Failure(f"Interrupted. {error}".rstrip(), ExitCode.INTERRUPTED), as_json=as_json)
        except BrokenPipeError:
            end_at_broken_pipe()
        except TyperException as error:
            _rephrase(error)
            if as_json and (sentence := error.format_message()):
                end_command(Failure(sentence, ExitCode(error.exit_code)), as_json=True)
            raise
        except Exception as error:
            failure = failure_of(error) or ctx.obj.explain(error)
            if failure is None:
                raise
            if ctx.invoked_subcommand in PROCESSES and not sys.stderr.isatty():
                # Log collectors expect one line per event.
                logger.critical(failure.sentence)
                raise typer.Exit(failure.code) from error
            end_command(failure, as_json=as_json)


class RenamedOptions(TyperCommand):
    """A command with renamed options: an old name still works and prints a warning with the new one."""

    OLD_NAMES: ClassVar[Mapping[str, str]] = {"--count": "--limit"}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end_of_options = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(self._renamed, args[:end_of_options]), *args[end_of_options:]])

    def _renamed(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        new = self.OLD_NAMES.get(name)
        if new is None:
            return argument
        sys.stderr.write(f"Warning: {name} is now {new}; the old name will be removed.\n")
        return new + equals + value


def _describe_values(command: Any) -> None:
    """Show values in help as `N` with the range in words; show no value for flags."""
    for parameter in (*command.params, command.get_help_option(command.context_class(command))):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
            continue
        _read_numbers_strictly(parameter)
        if parameter.param_type_name == "option" and parameter.metavar is None:
            parameter.metavar = {int: "N", float: "NUMBER", str: "TEXT"}.get(parameter.type_descriptor.annotation)
        if parameter.param_type_name == "argument" and not parameter.type_descriptor.is_choice:
            # The name and help of an argument describe it; its Python type does not help users.
            parameter.display_type_rich = _no_type
        if getattr(parameter, "min", None) is not None or getattr(parameter, "max", None) is not None:
            said = _range(parameter.min, parameter.max)
            if said and parameter.help:
                parameter.help = f"{parameter.help.removesuffix('.')} ({said})."
            # `min` and `max` are used in help only: the declared type validates the value.
            parameter.min = parameter.max = None
    for each in getattr(command, "commands", {}).values():
        _describe_values(each)


def _read_numbers_strictly(parameter: Any) -> None:
    """Refuse numbers that the validation library would also accept: `1_000`, `+5`, ` 5`, digits of any script."""
    parse = {int: parse_integer, float: parse_float}.get(parameter.type_descriptor.annotation)
    if parse is None or "process_value" in vars(parameter):
        return
    process_value = parameter.process_value

    def read(ctx: Any, value: Any) -> Any:
        if isinstance(value, str):
            try:
                parse(value)
            except NotNumber as error:
                raise typer.BadParameter(str(error), ctx=ctx, param=parameter) from error
        return process_value(ctx, value)

    parameter.process_value = read


def _no_type(ctx: Any) -> str:
    del ctx
    return ""


def _range(least: float | None, most: float | None) -> str:
    """The range in words, without bounds above `MAX_BOUND_SHOWN`."""
    if most is not None and most > MAX_BOUND_SHOWN:
        most = None
    match least, most:
        case ((None | 0 | 1), None):
            return ""
        case None, _:
            return f"at most {most:,}"
        case _, None:
            return f"at least {least:,}"
        case _:
            return f"{least:,} to {most:,}"


def _rephrase(error: TyperException) -> None:
    """Reword validation errors of Typer's library so that they name the value."""
    problems = getattr(error.__cause__, "errors", None)
    if not callable(problems):
        return
    for problem in problems()[:1]:
        given = problem["input"]
        match problem:
            case {"type": "int_parsing" | "int_parsing_size" | "int_type" | "int_from_float"}:
                error.message = f"{given!r} is not a whole number."
            case {"type": "float_parsing" | "float_type" | "finite_number"}:
                error.message = f"{given!r} is not a number."
            case {"type": "greater_than_equal", "ctx": {"ge": least}}:
                error.message = f"{given} is too small; the minimum is {least}."
            case {"type": "less_than_equal", "ctx": {"le": most}}:
                error.message = f"{given} is too large; the maximum is {most}."
            case {"type": "value_error", "msg": said}:
                error.message = str(said).removeprefix("Value error, ")


def _end_usage(sentence: str, args: Sequence[str]) -> None:
    end_command(Failure(sentence, ExitCode.USAGE), as_json="--json" in args)
