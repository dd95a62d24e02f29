"""Sending a form to the API, and showing it again with the errors."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import FormErrors
from adapters.web.framework.page import PageCall

ME = "/users/api/v1/me/"


async def submit(call: PageCall, request: Awaitable[Any], template: str, **context: Any) -> Response | None:
    """Await a call of the API. If it is refused, return the form with the errors; otherwise None."""
    try:
        await request
    except ApiProblem as problem:
        return await show_again(call, problem, template, **context)
    return None


async def show_again(call: PageCall, problem: ApiProblem, template: str, **context: Any) -> Response:
    """The form with the errors of a problem; raise the problem if the session has ended."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        raise problem
    return await call.render(template, status=problem.status, errors=FormErrors.of(problem), **context)
