"""Filtered lists of the back office."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import Any, Final

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, Form, FormErrors
from adapters.web.framework.page import CursorLinks, PageCall

PAGE_SIZE: Final = 50
NOTHING: Final[Mapping[str, object]] = {"next": None, "previous": None, "results": []}


async def read_list(call: PageCall, path: str, query: Mapping[str, object]) -> tuple[CursorLinks, FormErrors]:
    """A page of an API list, empty if the API refuses a filter; then the errors say why."""
    try:
        document = await call.api.get(path, {"page_size": PAGE_SIZE, **call.query_values("cursor"), **query})
    except ApiProblem as problem:
        if problem.status != HTTPStatus.BAD_REQUEST:
            raise
        return CursorLinks(NOTHING), FormErrors.of(problem)
    return CursorLinks(document), NO_ERRORS


async def account_filters(call: PageCall, *names: str) -> tuple[dict[str, str], FormErrors]:
    """The filters with these names, as numbers of accounts; readers may enter e-mail addresses instead."""
    found: dict[str, str] = {}
    errors: dict[str, list[str]] = {}
    for name, text in call.query_values(*names).items():
        if text.isascii() and text.isdecimal():
            found[name] = text
            continue
        accounts = await _accounts_of(call, text) if "@" in text else ()
        if accounts:
            found[name] = str(accounts[0]["id"])
        elif "@" in text:
            errors[name] = [call.gettext("No account has this e-mail address.")]
        else:
            errors[name] = [call.gettext("Enter the e-mail address of an account, or its number.")]
    return found, FormErrors((), errors) if errors else NO_ERRORS


async def read_account_list(
    call: PageCall, path: str, query: Mapping[str, object], *names: str
) -> tuple[CursorLinks, FormErrors]:
    """As `read_list`, with filters of accounts that have these names."""
    accounts, errors = await account_filters(call, *names)
    return (CursorLinks(NOTHING), errors) if errors else await read_list(call, path, {**query, **accounts})


async def _accounts_of(call: PageCall, email: str) -> Any:
    try:
        return (await call.api.get("/users/api/v1/", {"email": email, "active": "any"}))["results"]
    except ApiProblem as problem:
        if problem.status != HTTPStatus.BAD_REQUEST:
            raise
        return ()


def filter_form(call: PageCall) -> Form:
    """The filters of this page as the fields of a form."""
    return Form.of(dict(call.query.items()))


def start_of(day: str) -> str:
    """The first moment of a day in UTC, for the API. Text that is no day is returned as it is: the API refuses it."""
    return _moment(day, 0)


def end_of(day: str) -> str:
    """The first moment after a day in UTC; other text is returned as it is, as by `start_of`."""
    return _moment(day, 1)


def _moment(day: str, days: int) -> str:
    try:
        first = datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=days)
    except (ValueError, OverflowError):
        return day
    return first.isoformat().replace("+00:00", "Z")
