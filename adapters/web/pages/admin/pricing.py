"""Pricing policies of all sellers, and their runs: what changed, why, and how to undo it."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, FormErrors
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.admin.lists import filter_form, read_list
from adapters.web.pages.seller.price_messages import decision_sentence, guardrail_sentences
from adapters.web.pages.strategies import strategy_words

PRICING: Final = "/pricing/api/v1/"
POLICIES: Final = PRICING + "policies/"
RUNS: Final = PRICING + "runs/"
LATEST_RUNS: Final = 10


class PricingPages:
    @PageSpec(method="GET", path="/admin/policies/", access=Access.STAFF)
    async def list_policies(self, call: PageCall) -> Response:
        policies, errors = await read_list(call, POLICIES, {})
        stop = await call.api.get(f"{PRICING}stop/")
        return await call.render(
            "admin/policies.html",
            status=400 if errors else 200,
            errors=errors,
            policies=policies,
            is_stopped=stop["is_stopped"],
            strategies=strategy_words(call.language),
        )

    @PageSpec(method="GET", path="/admin/policies/{id:int}/", access=Access.STAFF)
    async def show_policy(self, call: PageCall) -> Response:
        policy = await call.api.get(f"{POLICIES}{call.id}/")
        runs = CursorLinks(await call.api.get(RUNS, {"policy": call.id, "page_size": LATEST_RUNS}))
        return await call.render(
            "admin/policy.html",
            policy=policy,
            runs=runs.results,
            statuses=run_words(call.language),
            tones=RUN_TONES,
            strategies=strategy_words(call.language),
        )

    @PageSpec(method="POST", path="/admin/policies/{id:int}/switch/", access=Access.STAFF)
    async def switch_policy(self, call: PageCall) -> Response:
        """Activate or deactivate a policy, or let it only record its decisions."""
        target, form = f"/admin/policies/{call.id}/", call.form
        changes = {name: form.flag(name) for name in ("is_active", "is_shadow") if name in form}
        if not changes:
            return call.redirect(target)
        try:
            await call.api.patch(f"{POLICIES}{call.id}/", changes)
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("The policy is changed."))

    @PageSpec(method="GET", path="/admin/runs/", access=Access.STAFF)
    async def list_runs(self, call: PageCall) -> Response:
        runs, errors = await read_list(call, RUNS, call.query_values("policy", "status"))
        return await call.render(
            "admin/runs.html",
            status=400 if errors else 200,
            errors=errors,
            runs=runs,
            form=filter_form(call),
            statuses=run_words(call.language),
            tones=RUN_TONES,
            is_filtered=any(call.query.get(name) for name in ("policy", "status")),
        )

    @PageSpec(method="GET", path="/admin/runs/{id:int}/", access=Access.STAFF)
    async def show_run(self, call: PageCall) -> Response:
        return await _render_run(call)

    @PageSpec(method="POST", path="/admin/runs/{id:int}/approve/", access=Access.STAFF)
    async def approve(self, call: PageCall) -> Response:
        return await _act(call, "approve", call.gettext("The run is approved: it changes the prices now."))

    @PageSpec(method="POST", path="/admin/runs/{id:int}/decline/", access=Access.STAFF)
    async def decline(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{RUNS}{call.id}/decline/", {"reason": call.form.text("reason")})
        except ApiProblem as problem:
            return await _render_run(call, problem)
        return call.redirect(f"/admin/runs/{call.id}/", call.gettext("The run is declined: all prices stay."))

    @PageSpec(method="POST", path="/admin/runs/{id:int}/rollback/", access=Access.STAFF)
    async def roll_back(self, call: PageCall) -> Response:
        return await _act(call, "rollback", call.gettext("The run is being rolled back."))

    @PageSpec(method="POST", path="/admin/runs/{id:int}/cancel/", access=Access.STAFF)
    async def cancel(self, call: PageCall) -> Response:
        return await _act(call, "cancel", call.gettext("The run is cancelled."))


async def _act(call: PageCall, action: str, done: str) -> Response:
    target = f"/admin/runs/{call.id}/"
    try:
        await call.api.post(f"{RUNS}{call.id}/{action}/")
    except ApiProblem as problem:
        return call.refuse(target, problem)
    return call.redirect(target, done)


async def _render_run(call: PageCall, problem: ApiProblem | None = None) -> Response:
    run = await call.api.get(f"{RUNS}{call.id}/")
    shows_all = call.query.get("moves") == "all"
    decisions, errors = await read_list(call, f"{RUNS}{call.id}/decisions/", {"moves": not shows_all})
    return await call.render(
        "admin/run.html",
        status=200 if problem is None else problem.status,
        errors=(errors or NO_ERRORS) if problem is None else FormErrors.of(problem),
        run=run,
        decisions=decisions,
        sentence_of=lambda decision: decision_sentence(decision, call.language),
        guardrails_of=lambda decision: guardrail_sentences(decision, call.language),
        shows_all=shows_all,
        statuses=run_words(call.language),
        outcomes=outcome_words(call.language),
        tones=RUN_TONES,
    )


RUN_TONES: Final = {
    "DECIDING": "busy", "WRITING": "busy", "DONE": "good", "STOPPED": "bad", "CANCELLED": "quiet", "FAILED": "bad",
    "ROLLING_BACK": "busy", "ROLLED_BACK": "quiet", "AWAITING_APPROVAL": "busy", "DECLINED": "quiet",
    "EXPIRED": "quiet",
}  # fmt: skip


def run_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "DECIDING": _("Decides"),
        "WRITING": _("Changes prices"),
        "DONE": _("Done"),
        "STOPPED": _("Stopped by the circuit breaker"),
        "CANCELLED": _("Cancelled"),
        "FAILED": _("Failed"),
        "ROLLING_BACK": _("Being rolled back"),
        "ROLLED_BACK": _("Rolled back"),
        "AWAITING_APPROVAL": _("Waits for approval"),
        "DECLINED": _("Declined"),
        "EXPIRED": _("Not approved in time"),
    }


def outcome_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "kept": _("price kept"),
        "staged": _("not written yet"),
        "written": _("written"),
        "superseded": _("changed by somebody else first"),
        "rolled_back": _("rolled back"),
    }
