"""A strict JSON parser (RFC 8259): exact numbers, unique names, no extensions such as NaN.

msgspec parses in C. It does not report duplicate names, refuses lone surrogates and names no line in its errors; such
bodies are parsed again by the standard library, which calls Python for each object and number. The number of values is
bounded before both, so that no body takes more than a few milliseconds.
"""

import json
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import msgspec

MAX_DEPTH: Final = 32
"""Levels of nesting. The deepest valid request has three."""

MAX_VALUES: Final = 5_000
"""Values in a body, of all levels. The largest valid request, an order or a refund of 100 lines, has about 400."""

MAX_DIGITS: Final = 40
"""Longer numbers fit no field, and converting a long integer takes quadratic time."""


class InvalidJson(ValueError):
    """The body is not valid JSON; the message contains the reason and the position."""


def parse_json(body: bytes) -> Any:
    """Parse JSON to dict, list, str, int, bool, None, and Decimal for numbers with a fraction or exponent.

    Raise `InvalidJson`, also for more than `MAX_DEPTH` levels or `MAX_VALUES` values.
    """
    if _has_too_many_values(body):
        raise InvalidJson(_TOO_MANY)
    try:
        document = _MSGSPEC.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation):
        document = _parse_in_python(body)
        _count_names(document)
        return document
    # Each name has a colon. More colons are in texts, or belong to names that msgspec has overwritten.
    if _count_names(document) == body.count(b":") and not _LONG_INTEGER.search(body):
        return document
    return _parse_in_python(body)


def _parse_in_python(body: bytes) -> Any:
    try:
        return _PYTHON.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise InvalidJson(_TOO_DEEP) from None


_TOO_DEEP: Final = f"The body is nested more than {MAX_DEPTH} levels deep."
_TOO_MANY: Final = f"The body has more than {MAX_VALUES} values."
# The first character class of a pattern lets `search` skip the positions at which no match can begin.
_LONG_INTEGER: Final = re.compile(rb"[0-9][0-9]{18}")
# A text without an end extends to the end of the body. Otherwise `sub` would try each mark in it as a beginning.
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)


def _has_too_many_values(body: bytes) -> bool:
    """Whether a body certainly has more than `MAX_VALUES` values; counts brackets, commas and quotation marks."""
    if _count_separators(body) <= MAX_VALUES:
        return False
    # Each value has at most one name and one text. The difference is a lower bound of the unescaped marks.
    if body.count(b'"') - body.count(b'\\"') > 4 * MAX_VALUES:
        return True
    return _count_separators(_TEXT.sub(b"", body)) > MAX_VALUES


def _count_separators(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{") + body.count(b",")


def _count_names(document: Any) -> int:
    """The number of names in all objects; raise `InvalidJson` if the document has too many levels or values."""
    names = values = depth = 0
    level = [document]
    while level := [each for each in level if type(each) is dict or type(each) is list]:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidJson(_TOO_DEEP)
        inner: list[Any] = []
        for container in level:
            values += len(container)
            if type(container) is dict:
                names += len(container)
                inner += container.values()
            else:
                inner += container
        if values > MAX_VALUES:
            raise InvalidJson(_TOO_MANY)
        level = inner
    return names


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


_MSGSPEC: Final = msgspec.json.Decoder(float_hook=Decimal)
_PYTHON: Final = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_decimal,
    parse_constant=_reject_constant,
)
