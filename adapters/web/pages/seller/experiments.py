"""Experiments that measure what a policy earns, compared with the seller's own prices."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import SUBMISSION
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.seller.fields import decimal_number
from adapters.web.pages.seller.policies import POLICY, policy_path
from adapters.web.pages.seller.prices import PRICING

EXPERIMENT: Final = POLICY + "experiments/{experiment:int}/"


class ExperimentPages:
    """Starts and ends experiments; the page of the policy shows their results."""

    @PageSpec(method="POST", path=f"{POLICY}experiments/", access=Access.ACCOUNT)
    async def start_experiment(self, call: PageCall) -> Response:
        form = call.form
        plan = {
            "policy": call.id,
            "kind": form.text("kind"),
            "weeks": form.integer("weeks"),
            "share": decimal_number(form.text("share")),
        }
        try:
            await call.api.post(
                f"{PRICING}experiments/",
                {name: value for name, value in plan.items() if value is not None},
                idempotency_key=form.optional(SUBMISSION),
            )
        except ApiProblem as problem:
            return call.refuse(policy_path(call.id), problem)
        return call.redirect(policy_path(call.id), call.gettext("The experiment has begun. It is measured every hour."))

    @PageSpec(method="POST", path=f"{EXPERIMENT}end/", access=Access.ACCOUNT)
    async def end_experiment(self, call: PageCall) -> Response:
        number = int(call.request.path_params["experiment"])
        try:
            await call.api.post(f"{PRICING}experiments/{number}/end/")
        except ApiProblem as problem:
            return call.refuse(policy_path(call.id), problem)
        return call.redirect(policy_path(call.id), call.gettext("The experiment has ended. Its result stays."))
