"""One action on many things: a preview, then batches with a result for each, and the progress."""

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.framework.templates import link_to
from adapters.web.pages.admin.attention import FRONT, OPERATIONS
from adapters.web.pages.admin.solutions import SOLUTIONS, Solution, solution_words, solve

PATH: Final = "/admin/bulk/"
MOST: Final = 100
"""Things of one preview. If there are more, the page says how many, and the reader repeats the action."""
BATCH: Final = 20
"""Things that one request changes."""
PRODUCTS: Final = "/products/api/v1/"


@frozen
class Result:
    """The result of the action on one item; `problem` is empty if it succeeded."""

    id: str
    link: str | None
    problem: str


class BulkPages:
    @PageSpec(method="GET", path=PATH, access=Access.STAFF)
    async def preview(self, call: PageCall) -> Response:
        solution = _chosen(call.query.get("solution", ""))
        if solution is None:
            return call.redirect(FRONT)
        items, count = await _read_items(call, solution, call.query.getlist("id"))
        return await call.render(
            "admin/bulk_preview.html",
            solution=solution,
            words=solution_words(call.language)[solution.name],
            items=items,
            count=count,
            back=_back(solution),
        )

    @PageSpec(method="POST", path=PATH, access=Access.STAFF)
    async def do_batch(self, call: PageCall) -> Response:
        """Change the first `BATCH` items, and show the result of each, with a form for the others."""
        form = call.form
        solution = _chosen(form.text("solution"))
        ids = list(dict.fromkeys(id_ for id_ in form.texts("id") if id_))[:MOST]
        if solution is None or not ids:
            return call.redirect(FRONT)
        now, later = ids[:BATCH], ids[BATCH:]
        results = [await _do(call, solution, id_) for id_ in now]
        before_done, before_failed = _count(form.text("done")), _count(form.text("failed"))
        failed = sum(1 for each in results if each.problem)
        return await call.render(
            "admin/bulk_result.html",
            solution=solution,
            words=solution_words(call.language)[solution.name],
            results=results,
            later=later,
            done=before_done + len(results) - failed,
            failed=before_failed + failed,
            back=_back(solution),
            more=link_to(PATH, solution=solution.name) if solution.kind else None,
        )


def _chosen(name: str) -> Solution | None:
    solution = SOLUTIONS.get(name)
    return solution if solution is not None and solution.is_bulk else None


def _back(solution: Solution) -> str:
    return FRONT if solution.kind else "/admin/products/"


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


async def _do(call: PageCall, solution: Solution, id_: str) -> Result:
    link = f"{solution.page}{id_}/" if solution.page and id_.isdecimal() else None
    try:
        await solve(call.api, solution, id_)
    except ApiProblem as problem:
        return Result(id_, link, problem.detail)
    return Result(id_, link, "")


async def _read_items(call: PageCall, solution: Solution, ids: Sequence[str]) -> tuple[Sequence[Any], int]:
    """The chosen products or troubles, as the API describes them; all of the kind if none is chosen. And how many there
    are.
    """
    if not solution.kind:
        numbers = [id_ for id_ in ids if id_.isascii() and id_.isdecimal()][:MOST]
        products = (await call.api.get(f"{PRODUCTS}by-id/", {"id": numbers}))["results"] if numbers else []
        return products, len(products)
    found = await call.api.get(f"{OPERATIONS}attention/", {"limit": MOST})
    for trouble in found["troubles"]:
        if trouble["kind"] == solution.kind:
            items = [each for each in trouble["items"] if not ids or each["id"] in ids]
            return items, len(items) if ids else trouble["count"]
    return [], 0
