"""Actions of staff on single things, each an operation of the API: on the front page, on pages, and on many at once."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from adapters.web.framework.api_client import ApiClient
from adapters.web.framework.languages import Language


@frozen
class Solution:
    """An operation of the API with one object."""

    name: str
    method: str
    path: str
    """With `{id}` for the object."""
    body: object = None
    kind: str = ""
    """The kind of trouble that it solves; empty for an action on products."""
    page: str = ""
    """The path below which the objects have their pages; empty if they have none."""
    is_bulk: bool = True
    """Whether it is offered for many objects at once."""


SOLUTIONS: Final[Mapping[str, Solution]] = {
    each.name: each
    for each in (
        Solution(
            "requeue", "POST", "/operations/api/v1/orders/{id}/requeue/", kind="parked_order", page="/admin/orders/"
        ),
        Solution("check_payment", "POST", "/operations/api/v1/payments/{id}/check/", kind="stuck_payment"),
        Solution("send_refund", "POST", "/operations/api/v1/refunds/{id}/send/", kind="stuck_refund"),
        Solution("send_email", "POST", "/operations/api/v1/emails/{id}/send/", kind="delayed_email"),
        Solution(
            "enable_webhook",
            "PATCH",
            "/webhooks/api/v1/{id}/",
            body={"is_active": True},
            kind="disabled_webhook",
            page="/admin/webhooks/",
        ),
        Solution("resume_pricing", "POST", "/pricing/api/v1/resume/", kind="pricing_stopped", is_bulk=False),
        Solution(
            "approve_run", "POST", "/pricing/api/v1/runs/{id}/approve/", kind="run_awaiting_approval", is_bulk=False
        ),
        Solution(
            "deactivate_product", "PATCH", "/products/api/v1/{id}/", body={"is_active": False}, page="/admin/products/"
        ),
        Solution(
            "activate_product", "PATCH", "/products/api/v1/{id}/", body={"is_active": True}, page="/admin/products/"
        ),
        Solution("withdraw_product", "DELETE", "/products/api/v1/{id}/"),
    )
}
SOLUTION_OF_KIND: Final[Mapping[str, Solution]] = {each.kind: each for each in SOLUTIONS.values() if each.kind}


@frozen
class SolutionWords:
    """Labels of the buttons for one object, chosen ones (`bulk`) and all; `done` is the message afterwards."""

    button: str
    done: str
    bulk: str = ""
    all: str = ""


def solution_words(language: Language) -> Mapping[str, SolutionWords]:
    _ = language.gettext
    return {
        "requeue": SolutionWords(
            _("Decide again"), _("The order is being decided again."), _("Decide the chosen orders again"),
            _("Decide all parked orders again"),
        ),
        "check_payment": SolutionWords(
            _("Ask the gateway now"), _("The gateway is being asked about the payment."),
            _("Ask the gateway about the chosen payments"), _("Ask the gateway about all of them"),
        ),
        "send_refund": SolutionWords(
            _("Send again now"), _("The refund is being sent again."), _("Send the chosen refunds again"),
            _("Send all refunds again"),
        ),
        "send_email": SolutionWords(
            _("Send now"), _("The e-mail is being sent again."), _("Send the chosen e-mails now"),
            _("Send all e-mails now"),
        ),
        "enable_webhook": SolutionWords(
            _("Enable"), _("The webhook is enabled, and what waited is being sent."), _("Enable the chosen webhooks"),
            _("Enable all webhooks"),
        ),
        "resume_pricing": SolutionWords(_("Resume pricing"), _("Pricing is resumed.")),
        "approve_run": SolutionWords(_("Approve"), _("The run is approved: it changes the prices now.")),
        "deactivate_product": SolutionWords(
            _("Take off sale"), _("The product is off sale."), _("Take the chosen products off sale"),
        ),
        "activate_product": SolutionWords(
            _("Put on sale"), _("The product is on sale."), _("Put the chosen products on sale"),
        ),
        "withdraw_product": SolutionWords(
            _("Withdraw"), _("The product is withdrawn from the catalog."), _("Withdraw the chosen products"),
        ),
    }  # fmt: skip


async def solve(api: ApiClient, solution: Solution, id_: str) -> None:
    """Call the operation for one object; raise `ApiProblem`.

    `id_` is a number or a UUID; characters that these do not have are left out of the path.
    """
    safe = "".join(letter for letter in id_ if letter.isascii() and (letter.isalnum() or letter == "-"))
    await api.request(solution.method, solution.path.format(id=safe), body=solution.body)
