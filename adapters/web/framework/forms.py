"""Submitted forms: their fields, uploaded files, and errors beside the fields."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from attrs import field, frozen
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.languages import Language
from scalecommerce_core.domain.errors import MarketError

MAX_FIELDS: Final = 1_000
MAX_BYTES: Final = 1024 * 1024
"""The limit of any request's body."""
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
SUBMISSION: Final = "submission"
"""The field with a random value that makes a repeated submission of a form have no second effect."""


class Form:
    """The fields of a form; of a page that was not submitted, the initial values."""

    def __init__(self, fields: Mapping[str, Sequence[str]], files: Mapping[str, bytes] | None = None) -> None:
        self._fields = fields
        self._files = files or {}

    @classmethod
    def of(cls, values: Mapping[str, object]) -> "Form":
        """A form with initial values, such as those of an API document; None becomes an empty field."""
        return cls(
            {
                name: [
                    "" if each is None else str(each).lower() if isinstance(each, bool) else str(each)
                    for each in (value if isinstance(value, list | tuple) else [value])
                ]
                for name, value in values.items()
            }
        )

    def __contains__(self, name: str) -> bool:
        return bool(self._fields.get(name))

    def text(self, name: str, default: str = "") -> str:
        """The value of a field without surrounding white space."""
        values = self._fields.get(name)
        return values[0].strip() if values else default

    def raw(self, name: str) -> str:
        """The value of a field as it was typed, such as a password."""
        values = self._fields.get(name)
        return values[0] if values else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field with several ones, such as a list of checkboxes."""
        return [value.strip() for value in self._fields.get(name, ())]

    def flag(self, name: str) -> bool:
        """Whether a checkbox is checked."""
        return self.text(name) not in {"", "false", "0"}

    def integer(self, name: str) -> int | str | None:
        """A whole number; None for an empty field. Other text is returned as it is, so that the API refuses it."""
        text = self.text(name)
        return whole_number(text) if text else None

    def optional(self, name: str) -> str | None:
        """The value of a field, None if it is empty."""
        return self.text(name) or None

    def file(self, name: str) -> bytes | None:
        """The content of an uploaded file; None if none was chosen."""
        return self._files.get(name)


def whole_number(text: str) -> int | str:
    """The number that a text is, if the API could read it; other text as it is, so that the API refuses it."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else text


@frozen
class FormErrors:
    """The errors of a submitted form: `general` ones and those beside fields."""

    general: Sequence[str] = ()
    fields: Mapping[str, Sequence[str]] = field(factory=dict)

    @classmethod
    def of(cls, problem: ApiProblem) -> "FormErrors":
        """The errors of a problem document. Those of its `errors` belong to the fields of the same names."""
        return cls((), problem.errors) if problem.errors else cls([problem.detail])

    def __bool__(self) -> bool:
        return bool(self.general or self.fields)

    def of_field(self, name: str) -> Sequence[str]:
        return self.fields.get(name, ())

    def others(self, names: Sequence[str], language: Language) -> Sequence[str]:
        """Errors of fields that the form does not have, each with the field's name."""
        return [
            f"{language.field_name(name)}: {text}"
            for name, texts in self.fields.items()
            if name not in names
            for text in texts
        ]


NO_ERRORS: Final = FormErrors()


async def read_form(request: Request) -> Form:
    """Decode the body of a POST request; raise a 413 or 400 `HTTPException`."""
    body = await _read_body(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        # In a thread: a megabyte of escapes takes most of a second.
        return await run_in_threadpool(decode_fields, body)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    received = Request(request.scope, receive)
    fields: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    async with received.form(max_files=5, max_fields=MAX_FIELDS, max_part_size=MAX_BYTES) as data:
        for name, value in data.multi_items():
            if not isinstance(value, UploadFile):
                fields.setdefault(name, []).append(value)
            elif value.filename:
                files[name] = await value.read()
    return Form(fields, files)


def decode_fields(body: bytes) -> Form:
    """The form of a body of the type `application/x-www-form-urlencoded`; raise a 400 `HTTPException`."""
    try:
        return Form(parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(400) from error


async def _read_body(request: Request) -> bytes:
    """The body; raise a 413 `HTTPException` as soon as it is too long: it may come without a Content-Length.

    Raise a 408 `HTTPException` if the server gives it up because it arrives too slowly.
    """
    body = bytearray()
    parts = request.stream()
    while True:
        try:
            part = await anext(parts, None)
        except (ClientDisconnect, MarketError):
            raise
        except Exception as error:  # the server has an exception of its own for it
            raise HTTPException(408) from error
        if part is None:
            return bytes(body)
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413)
