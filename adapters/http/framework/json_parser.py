"""JSON as RFC 8259 means it, into builtins: numbers exact, names unique, nothing that Python alone would take."""

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32
"""Our deepest request has three levels."""

MAX_DIGITS: Final = 40
"""A number that is longer fits no field; longer whole numbers would also take quadratic time to convert."""


class InvalidJson(ValueError):
    """The message says where and why."""


def parse_json(body: bytes) -> Any:
    """dict, list, str, int, Decimal (for numbers with a fraction or exponent), bool, None; raise `NotJson`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start}.") from None
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.") from None
    # Without so many brackets, nothing can be so deep.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(document, MAX_DEPTH):
        raise InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return document


def decimals_to_numbers(value: Any) -> Any:
    """The value with its decimals as JSON numbers: whole ones as int, others as float.

    For values without a declared type, which `parse` keeps as exact decimals.
    """
    match value:
        case Decimal():
            # Without `abs`, which rounds: exponents may be larger than arithmetic takes.
            # `float` of what is too large or too small for one is infinite or 0, which all bounds refuse.
            return (
                int(value)
                if value == value.to_integral_value() and -_EXACT_FLOAT_LIMIT < value < _EXACT_FLOAT_LIMIT
                else float(value)
            )
        case dict():
            return {name: decimals_to_numbers(each) for name, each in value.items()}
        case list():
            return [decimals_to_numbers(each) for each in value]
        case _:
            return value


_EXACT_FLOAT_LIMIT: Final = 2**53
"""Whole numbers below it are exact as floats, too."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # One pass: a body may hold a hundred thousand names.
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        # Readers disagree on which one counts, which has let requests past checks (RFC 8259, section 4).
        raise InvalidJson(f"The name {twice[:100]!r} appears twice in one object.")
    return found


def _parse_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= MAX_DIGITS else Decimal(text)


def _parse_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # An exponent beyond even Decimal's.
        raise InvalidJson("The body holds a number of absurd size.") from None


def _reject_constant(text: str) -> NoReturn:
    raise InvalidJson(f"The body is not JSON: {text} is no number.")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in items)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_decimal,
    parse_constant=_reject_constant,
)
