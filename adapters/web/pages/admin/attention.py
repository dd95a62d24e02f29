"""The front page of the back office: what needs a person, and the actions that solve it."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.solutions import SOLUTION_OF_KIND, SOLUTIONS, solution_words, solve

OPERATIONS: Final = "/operations/api/v1/"
ITEMS: Final = 10
"""Rows of each kind of trouble on the front page."""
FRONT: Final = "/admin/"


class AttentionPages:
    @PageSpec(method="GET", path=FRONT, access=Access.STAFF)
    async def show_troubles(self, call: PageCall) -> Response:
        found = await call.api.get(f"{OPERATIONS}attention/", {"limit": ITEMS})
        backlogs = await call.api.get(f"{OPERATIONS}backlogs/")
        is_stopped = any(trouble["kind"] == "pricing_stopped" for trouble in found["troubles"])
        return await call.render(
            "admin/attention.html",
            at=found["at"],
            troubles=found["troubles"],
            backlogs=backlogs,
            stop=await last_stop(call) if is_stopped else None,
            kinds=kind_words(call.language),
            solution_of=SOLUTION_OF_KIND,
            words=solution_words(call.language),
        )

    @PageSpec(method="POST", path="/admin/solve/", access=Access.STAFF)
    async def solve_one(self, call: PageCall) -> Response:
        """Run the action that solves one trouble, then redirect to the page with its button."""
        form = call.form
        solution = SOLUTIONS.get(form.text("solution"))
        target = form.text("next") or FRONT
        if solution is None or not form.text("id"):
            return call.redirect(FRONT)
        try:
            await solve(call.api, solution, form.text("id"))
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, solution_words(call.language)[solution.name].done)

    @PageSpec(method="GET", path="/admin/pricing-stop/", access=Access.STAFF)
    async def confirm_stop(self, call: PageCall) -> Response:
        stop = await call.api.get("/pricing/api/v1/stop/")
        last = await last_stop(call) if stop["is_stopped"] else None
        return await call.render("admin/pricing_stop.html", is_stopped=stop["is_stopped"], stop=last)

    @PageSpec(method="POST", path="/admin/pricing-stop/", access=Access.STAFF)
    async def stop_pricing(self, call: PageCall) -> Response:
        try:
            await call.api.post("/pricing/api/v1/stop/")
        except ApiProblem as problem:
            return call.refuse(FRONT, problem)
        return call.redirect(FRONT, call.gettext("Pricing is stopped: no policy changes a price."))


async def last_stop(call: PageCall) -> Any:
    """The entry of the audit log of the last stop of all pricing; None if it is not kept any more."""
    document = await call.api.get("/audit/api/v1/", {"action": "pricing.stopped", "page_size": 1})
    return next(iter(document["results"]), None)


def kind_words(language: Language) -> Mapping[str, tuple[str, str]]:
    """The heading of each kind of trouble, and what it means and what to do."""
    _ = language.gettext
    return {
        "parked_order": (
            _("Parked orders"),
            _("The decision on these orders failed five times, so it is not tried any more. Remove the cause, then let"
              " them be decided again."),
        ),
        "stuck_payment": (
            _("Payments without an answer"),
            _("The payment gateway does not say whether these payments were charged, so their orders keep their stock."
              " Ask it again, or look the payment up in the gateway's own console."),
        ),
        "stuck_refund": (
            _("Refunds without a confirmation"),
            _("The gateway has not confirmed these refunds after several tries. Sending one again is safe: it keeps its"
              " key, so the money goes back once."),
        ),
        "late_decision": (
            _("Orders that wait for their decision"),
            _("No worker decides these orders. Check that a worker and beat run, and read their logs: the orders are"
              " decided as soon as they do."),
        ),
        "late_event": (
            _("Events without a number"),
            _("These events have no number. Check that a worker and beat run, and read their logs."),
        ),
        "late_consumer": (
            _("Late readers of events"),
            _("Statistics or webhooks show an earlier state. Check the logs of the workers."),
        ),
        "pricing_stopped": (
            _("All pricing is stopped"),
            _("No policy of any seller changes a price. Resume when the cause is removed."),
        ),
        "run_awaiting_approval": (
            _("Pricing runs that wait for approval"),
            _("These runs change so many prices that a second person decides. Read what they would change, then approve"
              " or decline them before their time ends."),
        ),
        "failed_run": (
            _("Failed or stopped pricing runs"),
            _("The last run of these active policies failed, so their prices stay. Correct the policy or its"
              " strategy."),
        ),
        "disabled_webhook": (
            _("Disabled webhooks"),
            _("The receivers of these webhooks failed for so long that nothing is sent any more. Enable them when the"
              " receivers work: what waited is sent then."),
        ),
        "delayed_email": (
            _("Delayed e-mails"),
            _("The mail server has not accepted these e-mails. They are tried again for about a day."),
        ),
    }  # fmt: skip
