"""Decoding JSON bodies and query strings to Structs, strictly; all errors are reported in one response."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request

from adapters.http.framework.json_parser import InvalidJson, parse_json
from adapters.http.framework.problems import Problem, invalid_fields
from adapters.http.framework.query_names import UNKNOWN, unknown_parameter_message
from adapters.http.framework.validation import FieldErrors, convert_struct, convert_valid, is_list_field, struct_fields

S = TypeVar("S", bound=msgspec.Struct)

MAX_PARAMETERS: Final = 200
MAX_SUGGESTIONS: Final = 10
"""Limit on suggestions for unknown parameters, since finding one costs more than decoding the parameter."""
MAX_NAME_LENGTH_SHOWN: Final = 100
"""Characters of an unknown parameter's name that the response repeats."""

# Bodies that msgspec alone would not validate as `convert_struct` does: escapes may contain NUL or lone surrogates, and
# numbers may be long or have a fraction.
_ODD_NUMBER: Final = re.compile(rb"[0-9](?:[0-9]{18}|[.eE])")


async def read_body(request: Request, struct: type[S]) -> S:
    """Decode the JSON object in the request body; raise a 400 or 415 `Problem`."""
    check_media_type(request.headers)
    return decode_body(await request.body(), struct)


def decode_body(body: bytes, struct: type[S]) -> S:
    """Decode a JSON object; raise a 400 `Problem` that names all invalid fields.

    Unknown fields are ignored, as in version 1.
    """
    if not body.strip():
        raise Problem(400, "The request body is empty; it must be a JSON object.", code="malformed")
    try:
        document = parse_json(body)
    except InvalidJson as error:
        raise Problem(400, str(error), code="malformed") from None
    if not isinstance(document, dict):
        raise Problem(400, "The request body must be a JSON object.", code="malformed")
    is_plain = b"\\u" not in body and not _ODD_NUMBER.search(body)
    if is_plain and (plain := convert_valid(document, struct)) is not None:
        return plain
    field_errors = FieldErrors()
    result = convert_struct(document, struct, field_errors)
    if field_errors.errors or result is None:
        raise invalid_fields(field_errors.errors)
    return result


def decode_query(query_string: bytes, struct: type[S] | None) -> S | None:
    """Decode the query parameters; None for an operation that declares none (`struct` is None).

    Raise a 400 `Problem` that names all unknown parameters and all invalid values. Only a parameter of a list type may
    be repeated.
    """
    if struct is None and not query_string:
        return None
    known = {} if struct is None else struct_fields(struct)
    field_errors = FieldErrors()
    values: dict[str, Any] = {}
    for name, given in _parse_parameters(query_string).items():
        field = known.get(name)
        if field is None:
            message = unknown_parameter_message(name, known) if field_errors.count < MAX_SUGGESTIONS else UNKNOWN
            field_errors.add(
                name if len(name) <= MAX_NAME_LENGTH_SHOWN else f"{name[:MAX_NAME_LENGTH_SHOWN]}…", message
            )
        elif is_list_field(field):
            values[name] = given
        elif len(given) > 1:
            field_errors.add(name, "This parameter must not be repeated.")
        else:
            values[name] = given[0]
    result = None if struct is None else convert_struct(values, struct, field_errors, from_text=True)
    if field_errors.errors:
        raise invalid_fields(field_errors.errors)
    return result


def _parse_parameters(query_string: bytes) -> Mapping[str, list[str]]:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise Problem(400, "The query string is not percent-encoded UTF-8.", code="malformed") from None
    except ValueError:
        raise Problem(400, f"At most {MAX_PARAMETERS} query parameters are allowed.", code="malformed") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def check_media_type(headers: Headers) -> None:
    """Raise a 415 `Problem` unless the body is uncompressed application/json in UTF-8."""
    given = headers.get("content-type", "")
    media_type, _, parameters = given.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise Problem(
            415,
            f"The Content-Type must be application/json in UTF-8, not {given[:100] or 'missing'}.",
            headers={"Accept": "application/json"},
        )
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "The body must not be compressed.", headers={"Accept-Encoding": "identity"})
