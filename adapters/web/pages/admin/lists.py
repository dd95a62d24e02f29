"""Filtered lists of the back office."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import Final

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
