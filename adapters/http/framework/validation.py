"""Conversion of builtins to Structs, with all errors by path, such as `order_item[0].quantity`.

msgspec stops at the first error, but a form should show all of them. Therefore msgspec converts only the leaves, and
this module traverses the Structs and lists above them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from math import copysign
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
from attrs import define, field, frozen

from adapters.http.framework.money_fields import Amount
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.numbers import NotNumber, parse_integer

S = TypeVar("S", bound=msgspec.Struct)

MAX_REPORTED_FIELDS: Final = 100
"""Limit on reported fields in one response."""

REQUIRED: Final = "This field is required."
OUT_OF_RANGE: Final = "This number is out of range."

MAX_MAGNITUDE: Final = 300
"""Decimal exponent of the largest number that is converted: a double can represent it, and no field allows more."""

LEAST_DOUBLE: Final = 5e-324
"""The smallest positive double."""


@define
class FieldErrors:
    """Messages by path, of at most `MAX_REPORTED_FIELDS` fields; `count` counts all messages."""

    errors: dict[str, list[str]] = field(factory=dict)
    count: int = 0

    def add(self, path: str, message: str) -> None:
        """Add a message, once per path."""
        self.count += 1
        if path in self.errors:
            if message not in self.errors[path]:
                self.errors[path].append(message)
        elif len(self.errors) < MAX_REPORTED_FIELDS:
            self.errors[path] = [message]

    @property
    def is_full(self) -> bool:
        """Whether further fields would not be reported, so that validation may stop."""
        return len(self.errors) >= MAX_REPORTED_FIELDS

    def extend(self, found: Iterable[tuple[str, str]]) -> None:
        """Add pairs of path and message."""
        for path, message in found:
            self.add(path, message)


@frozen
class FieldType:
    """A type as annotated and as described by msgspec; `items` is the type of the items of a list."""

    annotation: Any
    info: msgspec.inspect.Type
    items: "FieldType | None"


@frozen
class StructField:
    """A field of a Struct: `name` in requests, `attribute` in Python."""

    name: str
    attribute: str
    type: FieldType
    required: bool


@cache
def struct_fields(struct: type[msgspec.Struct]) -> Mapping[str, StructField]:
    """The fields of a Struct by their names in requests."""
    described = msgspec.inspect.type_info(struct)
    assert isinstance(described, msgspec.inspect.StructType)  # noqa: S101 - narrows for the type checker
    return {
        info.encode_name: StructField(info.encode_name, info.name, _field_type(plain.type, info.type), info.required)
        for plain, info in zip(msgspec.structs.fields(struct), described.fields, strict=True)
    }


def _field_type(annotation: Any, info: msgspec.inspect.Type) -> FieldType:
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    items = None
    if isinstance(info, msgspec.inspect.ListType):
        item = _item_annotation(annotation)
        items = _field_type(item, msgspec.inspect.type_info(item))
    return FieldType(annotation, info, items)


def _item_annotation(annotation: Any) -> Any:
    """`X` of `list[X]`, also inside `Annotated` and unions; None for other types."""
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    return next((item for part in get_args(annotation) if (item := _item_annotation(part)) is not None), None)


def nested_types(*types: Any) -> Iterator[msgspec.inspect.Type]:
    """The types and all nested types, as described by `msgspec.inspect`; each Struct once."""
    seen: set[type] = set()
    pending: list[object] = list(msgspec.inspect.multi_type_info(types))
    while pending:
        info = pending.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
        if isinstance(info, msgspec.inspect.Type):
            yield info
        if isinstance(info, tuple):
            pending.extend(info)
        elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
            pending.extend(getattr(info, name) for name in info.__struct_fields__)


@cache
def has_untyped_fields(struct: type[msgspec.Struct]) -> bool:
    """Whether the Struct or a nested one has a field of type `Any`."""
    return any(isinstance(each, msgspec.inspect.AnyType) for each in nested_types(struct))


def is_list_field(wanted: StructField) -> bool:
    return wanted.type.items is not None


def convert_valid(given: Mapping[str, Any], struct: type[S]) -> S | None:
    """Convert a valid object in one step, as most are; None for an invalid one, whose errors `convert_struct` finds."""
    try:
        return msgspec.convert(given, struct, dec_hook=_decode_amount)
    except (msgspec.ValidationError, Invalid):
        return None


def convert_struct(
    given: Mapping[str, Any], struct: type[S], found: FieldErrors, *, path: str = "", from_text: bool = False
) -> S | None:
    """Convert an object; None if it is invalid, after adding its errors to `found` under `path`.

    `from_text` parses numbers and booleans from strings. `__post_init__` of the Struct may raise `Invalid` to reject a
    combination of fields.
    """
    values: dict[str, Any] = {}
    before = found.count
    for name, wanted in struct_fields(struct).items():
        here = f"{path}.{name}" if path else name
        if name in given:
            values[wanted.attribute] = _convert(given[name], wanted.type, here, found, from_text=from_text)
        elif wanted.required:
            found.add(here, REQUIRED)
    if found.count > before:
        return None
    try:
        return struct(**values)
    except Invalid as error:
        found.extend(
            (f"{path}.{name}" if path else name, text) for name, messages in error.errors.items() for text in messages
        )
        return None


def _convert(value: Any, wanted: FieldType, path: str, found: FieldErrors, *, from_text: bool) -> Any:
    if isinstance(wanted.info, msgspec.inspect.StructType) and isinstance(value, dict):
        return convert_struct(value, wanted.info.cls, found, path=path, from_text=from_text)
    if isinstance(wanted.info, msgspec.inspect.ListType) and wanted.items is not None and isinstance(value, list):
        return _convert_list(value, wanted.info, wanted.items, path, found, from_text=from_text)
    return _convert_leaf(value, wanted, path, found, from_text=from_text)


def _convert_list(
    value: list[Any],
    info: msgspec.inspect.ListType,
    items: FieldType,
    path: str,
    found: FieldErrors,
    *,
    from_text: bool,
) -> list[Any]:
    if info.min_length is not None and len(value) < info.min_length:
        found.add(path, f"At least {info.min_length} {'is' if info.min_length == 1 else 'are'} required.")
    if info.max_length is not None and len(value) > info.max_length:
        # The items, of which there may be very many, are not validated.
        found.add(path, f"At most {info.max_length} are allowed, not {len(value)}.")
        return []
    converted = []
    for index, item in enumerate(value):
        if found.is_full:
            break
        converted.append(_convert(item, items, path if from_text else f"{path}[{index}]", found, from_text=from_text))
    return converted


def _convert_leaf(value: Any, wanted: FieldType, path: str, found: FieldErrors, *, from_text: bool) -> Any:
    if isinstance(value, str) and (problem := _find_text_error(value)):
        found.add(path, problem)
        return None
    if isinstance(value, Decimal) and not _find_type(wanted.info, msgspec.inspect.CustomType):
        if value.adjusted() > MAX_MAGNITUDE:
            found.add(path, OUT_OF_RANGE)
            return None
        # A number closer to zero than a double can be is rounded, as JSON parsers do, but not to an integer.
        value = copysign(LEAST_DOUBLE, value) if value.adjusted() < -MAX_MAGNITUDE else _to_number(value)
    if from_text and isinstance(value, str) and _find_type(wanted.info, msgspec.inspect.IntType):
        try:
            # msgspec in lenient mode would also accept 5.0 and 1e1.
            value = parse_integer(value)
        except NotNumber as error:
            found.add(path, str(error))
            return None
    try:
        # In lenient mode the text "2020" would be a time, as seconds since 1970.
        lenient = from_text and not _find_type(wanted.info, msgspec.inspect.DateTimeType)
        annotation = _without_none(wanted.annotation) if from_text else wanted.annotation
        result = msgspec.convert(value, annotation, strict=not lenient, dec_hook=_decode_amount)
    except msgspec.ValidationError as error:
        message, inner = _describe_error(error)
        if enum := _find_type(wanted.info, msgspec.inspect.EnumType):
            message = f"This must be one of {', '.join(str(member.value) for member in enum.cls)}."
        elif _find_type(wanted.info, msgspec.inspect.DateTimeType):
            message = "This must be a time with its zone, such as 2026-01-31T09:30:00Z."
        found.add(path + inner, message)
        return None
    if isinstance(result, int) and not -(2**63) <= result < 2**63:
        found.add(path, OUT_OF_RANGE)
        return None
    return result


@cache
def _without_none(annotation: Any) -> Any:
    """`X` of `X | None`: a query parameter is never null, even if its text is `null`."""
    if get_origin(annotation) is Annotated:
        return Annotated[_without_none(annotation.__origin__), *annotation.__metadata__]
    options = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else ()
    if NoneType not in options:
        return annotation
    return Union[tuple(option for option in options if option is not NoneType)]  # noqa: UP007 - made of a tuple


K = TypeVar("K", bound=msgspec.inspect.Type)


def _find_type(info: msgspec.inspect.Type, kind: type[K]) -> K | None:
    """The type, or the member of a union, that is an instance of `kind`; None if there is none."""
    if isinstance(info, msgspec.inspect.Metadata):
        return _find_type(info.type, kind)
    if isinstance(info, msgspec.inspect.UnionType):
        return next((found for member in info.types if (found := _find_type(member, kind)) is not None), None)
    return info if isinstance(info, kind) else None


def _to_number(value: Decimal) -> int | float:
    """Convert to int or float; JSON does not distinguish 2.0 from 2."""
    return int(value) if value == value.to_integral_value() else float(value)


def _decode_amount(wanted: type, value: Any) -> Any:
    if issubclass(wanted, Amount):
        return wanted.parse(value)
    raise NotImplementedError(f"There is no decoder for {wanted.__name__}.")


_PATH: Final = re.compile(r"(?P<message>.*?)(?: - at `(?:key in )?\$?(?P<path>[^`]*)`)?", re.DOTALL)
_LENGTH: Final = re.compile(r"Expected `str` of length (?P<relation><=|>=) (?P<length>\d+)")
_TYPE_NAMES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _describe_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """The message for the client, and the path inside the leaf, such as the key of a dict."""
    match = _PATH.fullmatch(str(error))
    message, path = (match["message"], match["path"] or "") if match else (str(error), "")
    if length := _LENGTH.fullmatch(message):
        limit = int(length["length"])
        if length["relation"] == "<=":
            return f"At most {limit} characters are allowed.", path
        return "This must not be blank." if limit == 1 else f"At least {limit} characters are required.", path
    if kinds := re.fullmatch(r"Expected `([a-z |]+)`, got `(\w+)`", message):
        wanted = " or ".join(_TYPE_NAMES.get(kind, kind) for kind in kinds[1].split(" | "))
        return f"This must be {wanted}, not {_TYPE_NAMES.get(kinds[2], kinds[2])}.", path
    if bound := re.fullmatch(r"Expected `(?:int|float)` ([<>]=?) (\S+)", message):
        limit_text = bound[2]
        said = {
            ">=": f"This must be at least {limit_text}.",
            "<=": f"This must be at most {limit_text}.",
            ">": f"This must be more than {limit_text}.",
            "<": f"This must be less than {limit_text}.",
        }[bound[1]]
        return said, path
    return (message if message.endswith(".") else f"{message}."), path


def _find_text_error(value: str) -> str | None:
    """The message for text with characters that the database cannot store; None for valid text."""
    if "\x00" in value:
        return "NUL characters are not allowed."
    # Only JSON escapes and percent-encoding can produce lone surrogates.
    if not value.isascii() and _SURROGATE.search(value):
        return "Lone surrogates are not allowed."
    return None


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
