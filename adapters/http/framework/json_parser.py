"""A strict JSON parser (RFC 8259): exact numbers, unique names, no extensions such as NaN."""

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32
"""Levels of nesting. The deepest valid request has three."""

MAX_DIGITS: Final = 40
"""Longer numbers fit no field, and converting a long integer takes quadratic time."""


class InvalidJson(ValueError):
    """The body is not valid JSON; the message contains the reason and the position."""


def parse_json(body: bytes) -> Any:
    """Parse JSON to dict, list, str, int, bool, None, and Decimal for numbers with a fraction or exponent.

    Raise `InvalidJson`.
    """
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
    # The number of brackets is an upper bound of the depth.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(document, MAX_DEPTH):
        raise InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return document


def decimals_to_numbers(value: Any) -> Any:
    """Convert the Decimals in a parsed value: integral ones to int, others to float.

    For fields without a declared type; `parse_json` returns their numbers as exact Decimals.
    """
    match value:
        case Decimal():
            # `abs` is not used, since it fails for very large exponents. Numbers outside the range of float become
            # infinite or 0, which every bound rejects.
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
"""Floats represent all integers below this limit exactly."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Counted in one pass, since a body may contain 100,000 names.
        duplicate = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        # Parsers disagree on which duplicate applies, which can be used to bypass checks (RFC 8259, section 4).
        raise InvalidJson(f"The name {duplicate[:100]!r} appears twice in one object.")
    return found


def _parse_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= MAX_DIGITS else Decimal(text)


def _parse_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # The exponent is out of the range of Decimal.
        raise InvalidJson("The body contains a number that is out of range.") from None


def _reject_constant(text: str) -> NoReturn:
    raise InvalidJson(f"The body is not JSON: {text} is not a number.")


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
