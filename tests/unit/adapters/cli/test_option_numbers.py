"""Every command reads numbers by the same rule as files and HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.adapters.cli.conftest import Cli
from tests.unit.support.command_tree import command_tree


def numbers(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every numeric parameter, with the words of its command."""
    for name, each in getattr(command, "commands", {}).items():
        yield from numbers(each, (*path, name))
    for parameter in command.params:
        if parameter.type_descriptor.annotation in {int, float}:
            yield path, parameter


NUMBERS = list(numbers(command_tree()))


@pytest.mark.parametrize(("path", "parameter"), NUMBERS, ids=[f"{'-'.join(p)}-{n.name}" for p, n in NUMBERS])
def test_every_number_of_every_command_is_parsed_strictly(cli: Cli, path: tuple[str, ...], parameter: Any) -> None:
    others = [
        "1" if other.type_descriptor.annotation in {int, float} else "word"
        for known, other in NUMBERS
        if known == path and other is not parameter and other.param_type_name == "argument"
    ]
    for loose in ("1_0", "٣", "+5", " 5", "0x10", "1,290", ""):
        given = [loose] if parameter.param_type_name == "argument" else [f"{parameter.opts[0]}={loose}"]
        ended = cli(*path, *given, *others)
        assert ended.code == 2, ended
        assert "write digits" in " ".join(ended.err.split()), ended.err


def test_commands_have_number_options() -> None:
    assert len(NUMBERS) > 20
