"""Categories of the catalog."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, FormErrors
from adapters.web.framework.page import Access, PageCall, PageSpec

CATEGORIES: Final = "/products/api/v1/categories/"
MAX_DIGITS: Final = 18
"""A longer number may be infinite as a float, which JSON cannot say."""


class CategoryPages:
    @PageSpec(method="GET", path="/admin/categories/", access=Access.STAFF)
    async def list_categories(self, call: PageCall) -> Response:
        return await _render(call)

    @PageSpec(method="POST", path="/admin/categories/", access=Access.STAFF)
    async def add_category(self, call: PageCall) -> Response:
        form = call.form
        try:
            await call.api.post(
                CATEGORIES, {"name": form.text("name")}, idempotency_key=form.text("submission") or None
            )
        except ApiProblem as problem:
            return await _render(call, problem)
        return call.redirect("/admin/categories/", call.gettext("The category is added."))

    @PageSpec(method="POST", path="/admin/categories/{id:int}/", access=Access.STAFF)
    async def set_min_hold(self, call: PageCall) -> Response:
        try:
            await call.api.patch(f"{CATEGORIES}{call.id}/", {"min_hold_days": _days(call.form.text("min_hold_days"))})
        except ApiProblem as problem:
            return call.refuse("/admin/categories/", problem)
        return call.redirect("/admin/categories/", call.gettext("The minimum hold of the category is set."))

    @PageSpec(method="POST", path="/admin/categories/{id:int}/rename/", access=Access.STAFF)
    async def rename(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{CATEGORIES}{call.id}/rename/", {"name": call.form.text("name")})
        except ApiProblem as problem:
            return call.refuse("/admin/categories/", problem)
        return call.redirect("/admin/categories/", call.gettext("The category is renamed."))


def _days(text: str) -> float | str:
    """A number with a point or a comma; other text as it is, so that the API refuses it."""
    number = text.replace(",", ".")
    is_number = number.isascii() and number.replace(".", "", 1).isdecimal() and len(number) <= MAX_DIGITS
    return float(number) if is_number else text


async def _render(call: PageCall, problem: ApiProblem | None = None) -> Response:
    found = await call.api.get(CATEGORIES)
    return await call.render(
        "admin/categories.html",
        status=200 if problem is None else problem.status,
        errors=NO_ERRORS if problem is None else FormErrors.of(problem),
        categories=found["results"],
    )
