"""All JSON of the command line is strict JSON."""

import ast
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters import cli
from adapters.cli.strict_json import json_text


def test_numbers_that_are_not_finite_become_null_at_any_depth() -> None:
    text = json_text({"a": math.inf, "b": [math.nan, 1.5, (-math.inf,)], "c": {"d": math.nan}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5, [None]], "c": {"d": None}}


def test_what_json_does_not_have_becomes_its_text() -> None:
    assert json_text({"at": datetime(2026, 1, 2, tzinfo=UTC), "name": "é"}) == (
        '{"at": "2026-01-02 00:00:00+00:00", "name": "é"}'
    )


def test_every_command_writes_json_through_the_one_writer() -> None:
    folder = Path(cli.__path__[0])
    for module in sorted(folder.rglob("*.py")):
        if module.name == "strict_json.py":
            continue
        calls = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)
        }
        assert not calls & {"json.dumps", "json.dump", "dumps"}, module
