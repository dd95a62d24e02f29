"""All JSON of the command line is strict JSON."""

import ast
import json
import math
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from adapters import cli
from adapters.cli.failures import ExitCode
from adapters.cli.strict_json import json_text


def test_numbers_that_are_not_finite_become_null_at_any_depth() -> None:
    text = json_text({"a": math.inf, "b": [math.nan, 1.5, (-math.inf,)], "c": {"d": math.nan}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5, [None]], "c": {"d": None}}


def test_json_has_no_infinity_and_no_number_as_text() -> None:
    values = [float("inf"), float("-inf"), float("nan"), np.float64("nan"), np.float64(1.5), np.int64(7), 1, 1.5, True]
    assert json.loads(json_text(values), parse_constant=pytest.fail) == [
        None, None, None, None, 1.5, 7, 1, 1.5, True,
    ]  # fmt: skip


def test_json_of_other_values_is_what_readers_expect() -> None:
    values = (
        Decimal("1.50"), UUID(int=1), Path("a/b"), date(2026, 1, 31), timedelta(minutes=2), ExitCode.USAGE, {"k": ()},
    )  # fmt: skip
    assert json.loads(json_text(values)) == [
        "1.50", "00000000-0000-0000-0000-000000000001", "a/b", "2026-01-31", 120.0, 2, {"k": []},
    ]  # fmt: skip


def test_json_of_an_unknown_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="object has no JSON representation"):
        json_text([object()])


def test_every_command_writes_json_with_json_text() -> None:
    folder = Path(cli.__path__[0])
    for module in sorted(folder.rglob("*.py")):
        if module.name == "strict_json.py":
            continue
        calls = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)
        }
        assert not calls & {"json.dumps", "json.dump", "dumps"}, module
