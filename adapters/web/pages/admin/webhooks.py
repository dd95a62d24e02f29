"""Webhook endpoints and the log of their deliveries."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.attention import OPERATIONS
from adapters.web.pages.admin.lists import filter_form, read_account_list, read_list

WEBHOOKS: Final = "/webhooks/api/v1/"
DELIVERY_TONES: Final = {"PENDING": "busy", "DELIVERED": "good", "FAILED": "bad"}
DISABLED: Final = 100
"""Disabled endpoints on the list."""


class WebhookPages:
    @PageSpec(method="GET", path="/admin/webhooks/", access=Access.STAFF)
    async def list_webhooks(self, call: PageCall) -> Response:
        wanted = call.query.get("number", "").strip()
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
            return call.redirect(f"/admin/webhooks/{int(wanted)}/")
        endpoints, errors = await read_account_list(
            call, f"{OPERATIONS}webhooks/", call.query_values("active"), "account"
        )
        found = await call.api.get(f"{OPERATIONS}attention/", {"limit": DISABLED})
        disabled = [each for trouble in found["troubles"] if trouble["kind"] == "disabled_webhook"
                    for each in trouble["items"]]  # fmt: skip
        return await call.render(
            "admin/webhooks.html",
            status=400 if errors else 200,
            errors=errors,
            endpoints=endpoints,
            disabled=disabled,
            form=filter_form(call),
        )

    @PageSpec(method="GET", path="/admin/deliveries/", access=Access.STAFF)
    async def list_deliveries(self, call: PageCall) -> Response:
        deliveries, errors = await read_account_list(
            call, f"{OPERATIONS}deliveries/", call.query_values("status"), "account"
        )
        return await call.render(
            "admin/deliveries.html",
            status=400 if errors else 200,
            errors=errors,
            deliveries=deliveries,
            form=filter_form(call),
            statuses=delivery_words(call.language),
            tones=DELIVERY_TONES,
        )

    @PageSpec(method="GET", path="/admin/webhooks/{id:int}/", access=Access.STAFF)
    async def show_webhook(self, call: PageCall) -> Response:
        endpoint = await call.api.get(f"{WEBHOOKS}{call.id}/")
        deliveries, errors = await read_list(call, f"{WEBHOOKS}{call.id}/deliveries/", call.query_values("status"))
        return await call.render(
            "admin/webhook.html",
            status=400 if errors else 200,
            errors=errors,
            endpoint=endpoint,
            deliveries=deliveries,
            form=filter_form(call),
            statuses=delivery_words(call.language),
            tones=DELIVERY_TONES,
        )

    @PageSpec(method="POST", path="/admin/webhooks/{id:int}/switch/", access=Access.STAFF)
    async def switch_webhook(self, call: PageCall) -> Response:
        target, form = f"/admin/webhooks/{call.id}/", call.form
        if "is_active" not in form:
            return call.redirect(target)
        try:
            await call.api.patch(f"{WEBHOOKS}{call.id}/", {"is_active": form.flag("is_active")})
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("The webhook is changed."))

    @PageSpec(method="POST", path="/admin/webhooks/{id:int}/test/", access=Access.STAFF)
    async def test_webhook(self, call: PageCall) -> Response:
        target = f"/admin/webhooks/{call.id}/"
        try:
            await call.api.post(f"{WEBHOOKS}{call.id}/test/")
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("A test message is on its way; its result appears below."))

    @PageSpec(method="POST", path="/admin/webhooks/{id:int}/redeliver/", access=Access.STAFF)
    async def redeliver(self, call: PageCall) -> Response:
        target, delivery = f"/admin/webhooks/{call.id}/", call.form.integer("delivery")
        if not isinstance(delivery, int):
            return call.redirect(target)
        try:
            await call.api.post(f"{WEBHOOKS}{call.id}/deliveries/{delivery}/redeliver/")
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("The message is sent again."))


def delivery_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {"PENDING": _("Waits"), "DELIVERED": _("Delivered"), "FAILED": _("Failed")}
