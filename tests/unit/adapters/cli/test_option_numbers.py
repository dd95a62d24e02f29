"""Every command reads numbers by the same rule as files and HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.adapters.cli.conftest import Cli
from tests.unit.support.command_tree import command_tree


def numbers(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...], Any]]:
    """Every numeric parameter, with its command and the words of that."""
    for name, each in getattr(command, "commands", {}).items():
        yield from numbers(each, (*path, name))
    for parameter in command.params:
        if is_number(parameter):
            yield command, path, parameter


def is_number(parameter: Any) -> bool:
    return parameter.type_descriptor.annotation in {int, float}


NUMBERS = list(numbers(command_tree()))


@pytest.mark.parametrize(
    ("command", "path", "parameter"), NUMBERS, ids=[f"{'-'.join(path)}-{each.name}" for _, path, each in NUMBERS]
)
def test_every_number_of_every_command_is_parsed_strictly(
    cli: Cli, command: Any, path: tuple[str, ...], parameter: Any
) -> None:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    for loose in ("1_0", "٣", "+5", " 5", "0x10", "1,290", ""):
        given = [loose if each is parameter else "1" if is_number(each) else "word" for each in arguments]
        options = [] if parameter in arguments else [f"{parameter.opts[0]}={loose}"]
        ended = cli(*path, *options, *given)
        assert ended.code == 2, ended
        assert "write digits" in " ".join(ended.err.split()), ended.err


def test_commands_have_number_options() -> None:
    assert len(NUMBERS) > 20
