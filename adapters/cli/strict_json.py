"""The one writer of JSON in the command line: strict JSON (RFC 8259), which has neither NaN nor infinity."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON: numbers that are not finite become null, and what JSON does not have becomes its text."""
    return json.dumps(_strict(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _strict(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return value
