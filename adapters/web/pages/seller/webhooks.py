"""Webhook endpoints of a seller: their secrets, deliveries, and messages that are sent again."""

from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import SUBMISSION, Form, FormErrors
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from scalecommerce_core.domain.webhook import TOPICS

WEBHOOKS: Final = "/webhooks/api/v1/"
LIST: Final = "/seller/webhooks/"
ENDPOINT: Final = LIST + "{id:int}/"


class WebhookPages:
    """Pages for the webhook endpoints of an account."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_endpoints(self, call: PageCall) -> Response:
        document = await call.api.get(WEBHOOKS, call.query_values("cursor"))
        return await call.render(
            "seller/webhooks.html", endpoints=document["results"], cursors=CursorLinks(document), topics=TOPICS
        )

    @PageSpec(method="POST", path=LIST, access=Access.ACCOUNT)
    async def create_endpoint(self, call: PageCall) -> Response:
        """Create an endpoint; the response is the only page that shows its secret."""
        form = call.form
        body = {
            "url": form.text("url"),
            "description": form.text("description"),
            "topics": form.texts("topics"),
        }
        try:
            created = await call.api.post(WEBHOOKS, body, idempotency_key=form.optional(SUBMISSION))
        except ApiProblem as problem:
            document = await call.api.get(WEBHOOKS)
            return await call.render(
                "seller/webhooks.html",
                status=problem.status,
                errors=FormErrors.of(problem),
                endpoints=document["results"],
                cursors=CursorLinks(document),
                topics=TOPICS,
            )
        return await call.render("seller/webhook_secret.html", endpoint=created, is_new=True)

    @PageSpec(method="GET", path=ENDPOINT, access=Access.ACCOUNT)
    async def show_endpoint(self, call: PageCall) -> Response:
        endpoint = await call.api.get(f"{WEBHOOKS}{call.id}/")
        filters = call.query_values("status", "cursor")
        document = await call.api.get(f"{WEBHOOKS}{call.id}/deliveries/", {**filters, "page_size": 25})
        return await call.render(
            "seller/webhook.html",
            endpoint=endpoint,
            deliveries=document["results"],
            cursors=CursorLinks(document),
            statuses=delivery_statuses(call),
            form=Form.of({"status": "", **filters}),
        )

    @PageSpec(method="POST", path=f"{ENDPOINT}rotate/", access=Access.ACCOUNT)
    async def rotate_secret(self, call: PageCall) -> Response:
        """Replace the secret; the response is the only page that shows the new one."""
        try:
            rotated = await call.api.post(
                f"{WEBHOOKS}{call.id}/rotate-secret/", idempotency_key=call.form.optional(SUBMISSION)
            )
        except ApiProblem as problem:
            return call.refuse(endpoint_path(call.id), problem)
        return await call.render("seller/webhook_secret.html", endpoint=rotated, is_new=False)

    @PageSpec(method="POST", path=f"{ENDPOINT}test/", access=Access.ACCOUNT)
    async def send_test(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{WEBHOOKS}{call.id}/test/", idempotency_key=call.form.optional(SUBMISSION))
        except ApiProblem as problem:
            return call.refuse(endpoint_path(call.id), problem)
        text = call.gettext("A message is being sent. Load this page again to see the answer.")
        return call.redirect(endpoint_path(call.id), text)

    @PageSpec(method="POST", path=f"{ENDPOINT}enable/", access=Access.ACCOUNT)
    async def enable(self, call: PageCall) -> Response:
        return await self._patch(call, {"is_active": True}, call.gettext("The webhook is enabled."))

    @PageSpec(method="POST", path=f"{ENDPOINT}disable/", access=Access.ACCOUNT)
    async def disable(self, call: PageCall) -> Response:
        return await self._patch(call, {"is_active": False}, call.gettext("The webhook is disabled."))

    @PageSpec(method="POST", path=f"{ENDPOINT}delete/", access=Access.ACCOUNT)
    async def delete_endpoint(self, call: PageCall) -> Response:
        try:
            await call.api.delete(f"{WEBHOOKS}{call.id}/")
        except ApiProblem as problem:
            return call.refuse(endpoint_path(call.id), problem)
        return call.redirect(LIST, call.gettext("The webhook and its deliveries are deleted."))

    @PageSpec(method="POST", path=f"{ENDPOINT}deliveries/{{delivery:int}}/resend/", access=Access.ACCOUNT)
    async def resend(self, call: PageCall) -> Response:
        number = int(call.request.path_params["delivery"])
        try:
            await call.api.post(
                f"{WEBHOOKS}{call.id}/deliveries/{number}/redeliver/",
                idempotency_key=call.form.optional(SUBMISSION),
            )
        except ApiProblem as problem:
            return call.refuse(endpoint_path(call.id), problem)
        return call.redirect(endpoint_path(call.id), call.gettext("The message is being sent again."))

    async def _patch(self, call: PageCall, changes: dict[str, Any], message: str) -> Response:
        try:
            await call.api.patch(f"{WEBHOOKS}{call.id}/", changes)
        except ApiProblem as problem:
            return call.refuse(endpoint_path(call.id), problem)
        return call.redirect(endpoint_path(call.id), message)


def endpoint_path(number: int) -> str:
    return f"{LIST}{number}/"


def delivery_statuses(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each status."""
    _ = call.gettext
    return {
        "PENDING": (_("Pending"), "busy"),
        "DELIVERED": (_("Delivered"), "good"),
        "FAILED": (_("Failed"), "bad"),
    }
