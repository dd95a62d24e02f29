"""Values of fields: what a form sends to the API, and what an API document shows in a form."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from adapters.web.framework.forms import Form

INITIAL: Final = "initial_"
"""Prefix of the hidden fields with the values that a form began with."""


def read_fields(
    form: Form, names: Collection[str], numbers: Collection[str], moments: Collection[str]
) -> dict[str, object]:
    """The values of fields as the API reads them; None for an empty field."""
    return {name: _read(form, name, numbers, moments) for name in names}


def changed_fields(
    form: Form,
    names: Collection[str],
    numbers: Collection[str],
    moments: Collection[str],
    *,
    never_null: Collection[str],
) -> dict[str, object]:
    """The fields whose values differ from the initial ones. An empty text among `never_null` stays an empty text."""
    changes = {}
    for name in names:
        if name in form and _lines(form.text(name)) != _lines(form.text(f"{INITIAL}{name}")):
            value = _read(form, name, numbers, moments)
            changes[name] = "" if value is None and name in never_null else value
    return changes


def with_initial_values(values: Mapping[str, object]) -> Form:
    """A form with these values, and with hidden copies of them for `changed_fields`."""
    return Form.of({**values, **{f"{INITIAL}{name}": value for name, value in values.items()}})


def utc_field(moment: str | None) -> str:
    """The value of a field of the type `datetime-local` for an RFC 3339 time, in UTC."""
    return "" if moment is None else datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def utc_moment(text: str) -> str | None:
    """The RFC 3339 time of a field of the type `datetime-local`, which is UTC; None for an empty field.

    Other text is returned as it is, so that the API refuses it.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is not None else f"{moment.isoformat()}Z"


def day_bound(text: str, name: str) -> str:
    """The beginning of a date in UTC; for the bound `to`, its end. Other text is for the API to refuse."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return (day + timedelta(days=name == "to")).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return text


def decimal_number(text: str) -> float | str | None:
    """A number of a field; None if it is empty. Other text is returned as it is, so that the API refuses it."""
    if not text:
        return None
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return text
    # JSON has no infinity, and would say null instead.
    return number if isfinite(number) else text


def _read(form: Form, name: str, numbers: Collection[str], moments: Collection[str]) -> object:
    if name in numbers:
        return form.integer(name)
    if name in moments:
        return utc_moment(form.text(name))
    return form.optional(name)


def _lines(text: str) -> str:
    """Text with line feeds: browsers send carriage returns as well."""
    return text.replace("\r\n", "\n")
