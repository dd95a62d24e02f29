"""Pricing runs: what changed and why, rollback, cancellation, and the approval of runs that wait for it."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import Form
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.seller.price_messages import decision_sentence
from adapters.web.pages.seller.prices import PRICING
from adapters.web.pages.seller.products import product_names

LIST: Final = "/seller/runs/"
RUN: Final = LIST + "{id:int}/"
IN_PROGRESS: Final = frozenset({"DECIDING", "WRITING"})
REVERSIBLE: Final = frozenset({"DONE", "CANCELLED", "FAILED", "WRITING"})


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
        )

    @PageSpec(method="GET", path=f"{RUN}roll-back/", access=Access.ACCOUNT)
    async def show_rollback(self, call: PageCall) -> Response:
        """What a rollback would restore, before it is confirmed."""
        run = await call.api.get(f"{PRICING}runs/{call.id}/")
        decisions = await call.api.get(f"{PRICING}runs/{call.id}/decisions/", {"moves": True, "page_size": 50})
        return await call.render(
            "seller/run_rollback.html",
            run=run,
            decisions=decisions["results"],
            products=await product_names(call, (each["product"] for each in decisions["results"])),
            can_roll_back=is_reversible(run),
        )

    @PageSpec(method="POST", path=f"{RUN}roll-back/", access=Access.ACCOUNT)
    async def roll_back(self, call: PageCall) -> Response:
        text = call.gettext("The run is being rolled back: its prices return to those before it.")
        return await self._act(call, "rollback", text)

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
