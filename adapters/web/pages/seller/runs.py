"""Pricing runs: what changed and why, rollback, cancellation, and the approval of runs that wait for it."""

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import Form
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec, Tone
from adapters.web.pages.seller.price_messages import decision_sentence
from adapters.web.pages.seller.prices import PRICING
from adapters.web.pages.seller.products import product_names

LIST: Final = "/seller/runs/"
RUN: Final = LIST + "{id:int}/"
IN_PROGRESS: Final = frozenset({"DECIDING", "WRITING"})
REVERSIBLE: Final = frozenset({"DONE", "CANCELLED", "FAILED", "WRITING"})
LIVE: Final = IN_PROGRESS | {"ROLLING_BACK"}
"""States that end by themselves within seconds or minutes, so an open page waits for the next one."""
COUNTED_PAGES: Final = 5
"""Pages of 100 changed prices of a run that are counted before a rollback."""


@frozen
class RollbackPreview:
    """How many prices of a run a rollback would restore, and how many have changed since and would stay.

    `is_whole` is false if the run has changed more prices than were counted.
    """

    returning: int
    staying: int
    is_whole: bool

    @property
    def restores_nothing(self) -> bool:
        return self.is_whole and not self.returning


class RunPages:
    """Pages for the runs of the seller's policies."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_runs(self, call: PageCall) -> Response:
        filters = call.query_values("policy", "status", "cursor")
        document = await call.api.get(f"{PRICING}runs/", {**filters, "page_size": 30})
        policies = (await call.api.get(f"{PRICING}policies/", {"page_size": 100}))["results"]
        return await call.render(
            "seller/runs.html",
            runs=document["results"],
            cursors=CursorLinks(document),
            policies=policies,
            names={policy["id"]: policy["name"] for policy in policies},
            statuses=run_statuses(call),
            form=Form.of({"policy": "", "status": "", **filters}),
        )

    @PageSpec(method="GET", path=RUN, access=Access.ACCOUNT)
    async def show_run(self, call: PageCall) -> Response:
        run = await call.api.get(f"{PRICING}runs/{call.id}/")
        shows_all = bool(call.query.get("all"))
        decisions = await call.api.get(
            f"{PRICING}runs/{call.id}/decisions/",
            {"moves": not shows_all, "page_size": 50, **call.query_values("cursor")},
        )
        return await call.render(
            "seller/run.html",
            run=run,
            policy=await _policy_of(call, run),
            decisions=with_sentences(decisions["results"], call),
            products=await product_names(call, (each["product"] for each in decisions["results"])),
            cursors=CursorLinks(decisions),
            shows_all=shows_all,
            statuses=run_statuses(call),
            outcomes=decision_outcomes(call),
            can_cancel=run["status"] in IN_PROGRESS,
            can_roll_back=is_reversible(run),
            is_live=run["status"] in LIVE,
        )

    @PageSpec(method="GET", path=f"{RUN}roll-back/", access=Access.ACCOUNT)
    async def show_rollback(self, call: PageCall) -> Response:
        """What a rollback would restore, before it is confirmed."""
        run = await call.api.get(f"{PRICING}runs/{call.id}/")
        decisions = await call.api.get(
            f"{PRICING}runs/{call.id}/decisions/", {"moves": True, "page_size": 50, **call.query_values("cursor")}
        )
        can_roll_back = is_reversible(run)
        return await call.render(
            "seller/run_rollback.html",
            run=run,
            policy=await _policy_of(call, run),
            preview=await preview_rollback(call, run) if can_roll_back else None,
            decisions=decisions["results"],
            cursors=CursorLinks(decisions),
            is_in_force=is_in_force,
            products=await product_names(call, (each["product"] for each in decisions["results"])),
            can_roll_back=can_roll_back,
        )

    @PageSpec(method="POST", path=f"{RUN}roll-back/", access=Access.ACCOUNT)
    async def roll_back(self, call: PageCall) -> Response:
        preview = await preview_rollback(call, await call.api.get(f"{PRICING}runs/{call.id}/"))
        if preview.restores_nothing and preview.staying:
            return call.redirect(f"{LIST}{call.id}/roll-back/", nothing_returns(call), Tone.ERROR)
        return await self._act(call, "rollback", rollback_message(call, preview))

    @PageSpec(method="POST", path=f"{RUN}cancel/", access=Access.ACCOUNT)
    async def cancel(self, call: PageCall) -> Response:
        return await self._act(call, "cancel", call.gettext("The run is cancelled. Prices that it changed stay."))

    @PageSpec(method="POST", path=f"{RUN}approve/", access=Access.STAFF)
    async def approve(self, call: PageCall) -> Response:
        return await self._act(call, "approve", call.gettext("The run is approved, and changes the prices."))

    @PageSpec(method="POST", path=f"{RUN}decline/", access=Access.STAFF)
    async def decline(self, call: PageCall) -> Response:
        body = {"reason": call.form.text("reason")}
        return await self._act(call, "decline", call.gettext("The run is declined. All prices stay."), body)

    async def _act(self, call: PageCall, action: str, message: str, body: object = None) -> Response:
        path = f"{LIST}{call.id}/"
        try:
            await call.api.post(f"{PRICING}runs/{call.id}/{action}/", body)
        except ApiProblem as problem:
            return call.refuse(path, problem)
        return call.redirect(path, message)


async def preview_rollback(call: PageCall, run: Any) -> RollbackPreview:
    """Count what a rollback of a run would restore now, which is unknown while the run is in progress."""
    if run["status"] in IN_PROGRESS:
        return RollbackPreview(0, 0, is_whole=False)
    returning = staying = 0
    query: dict[str, object] = {"moves": True, "page_size": 100}
    for _ in range(COUNTED_PAGES):
        document = await call.api.get(f"{PRICING}runs/{run['id']}/decisions/", query)
        written = [each for each in document["results"] if each["in_force_from"] is not None]
        found = sum(map(is_in_force, written))
        returning, staying = returning + found, staying + len(written) - found
        cursor = CursorLinks(document).next
        if not cursor:
            return RollbackPreview(returning, staying, is_whole=True)
        query["cursor"] = cursor
    return RollbackPreview(returning, staying, is_whole=False)


def rollback_message(call: PageCall, preview: RollbackPreview) -> str:
    """What the rollback that has begun restores, and what stays and why."""
    if not preview.is_whole:
        return call.gettext(
            "The run is being rolled back. Prices that have changed since stay; this page shows how many returned."
        )
    ngettext = call.language.ngettext
    text = call.gettext("The run is being rolled back:") + " "
    text += ngettext("%(num)d price returns.", "%(num)d prices return.", preview.returning) % {"num": preview.returning}
    if preview.staying:
        text += " " + ngettext(
            "%(num)d price stays, because it has changed since.",
            "%(num)d prices stay, because they have changed since.",
            preview.staying,
        ) % {"num": preview.staying}
    return text


def nothing_returns(call: PageCall) -> str:
    return call.gettext("No price would return: all prices of this run have changed since.")


def is_in_force(decision: Any) -> bool:
    """Whether the price of a decision is still in force, so that a rollback restores the one before it."""
    return decision["in_force_from"] is not None and decision["in_force_until"] is None


def is_reversible(run: Any) -> bool:
    """Whether a rollback would restore prices; the API decides."""
    return run["status"] in REVERSIBLE and run["written"] > 0


def run_statuses(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each status."""
    _ = call.gettext
    return {
        "DECIDING": (_("Deciding"), "busy"),
        "WRITING": (_("Changing prices"), "busy"),
        "AWAITING_APPROVAL": (_("Waits for approval"), "busy"),
        "DONE": (_("Done"), "good"),
        "STOPPED": (_("Stopped by the circuit breaker"), "bad"),
        "CANCELLED": (_("Cancelled"), "quiet"),
        "DECLINED": (_("Declined"), "quiet"),
        "EXPIRED": (_("Not approved in time"), "quiet"),
        "FAILED": (_("Failed"), "bad"),
        "ROLLING_BACK": (_("Rolling back"), "busy"),
        "ROLLED_BACK": (_("Rolled back"), "quiet"),
    }


def with_sentences(decisions: Sequence[Any], call: PageCall) -> list[Any]:
    """The decisions, whose sentences are in the reader's language."""
    return [{**each, "sentence": decision_sentence(each, call.language)} for each in decisions]


def decision_outcomes(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each outcome of a decision."""
    _ = call.gettext
    return {
        "kept": (_("Kept"), "quiet"),
        "staged": (_("Not written"), "quiet"),
        "written": (_("Written"), "good"),
        "superseded": (_("Changed meanwhile"), "quiet"),
        "rolled_back": (_("Rolled back"), "busy"),
    }


async def _policy_of(call: PageCall, run: Any) -> Any:
    """The policy of a run; None if it was deleted."""
    try:
        return await call.api.get(f"{PRICING}policies/{run['policy']}/")
    except ApiProblem as problem:
        if problem.status == 404:
            return None
        raise
