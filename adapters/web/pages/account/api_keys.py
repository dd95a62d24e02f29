"""`/account/api-keys/`: keys for programs."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import SUBMISSION
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.account.submitting import ME, show_again
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.services.api_keys import SecretShownOnce

KEYS: Final = f"{ME}api-keys/"
LIST: Final = "/account/api-keys/"
EXPIRY_DAYS: Final = (30, 90, 365)


class ApiKeyPages:
    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def list_keys(self, call: PageCall) -> Response:
        return await call.render("account/api_keys.html", **await _context(call))

    @PageSpec(method="POST", path=LIST, access=Access.ACCOUNT)
    async def create_key(self, call: PageCall) -> Response:
        """Show the secret in the response: it cannot be read again."""
        form = call.form
        body: dict[str, object] = {
            "name": form.text("name"),
            "scopes": form.texts("scopes"),
            "password": form.raw("password"),
            "code": form.text("code"),
        }
        if days := form.integer("days"):
            body["expires_at"] = expiry(days, datetime.now(UTC))
        try:
            created = await call.api.post(KEYS, body, idempotency_key=form.optional(SUBMISSION))
        except ApiProblem as problem:
            if problem.code == SecretShownOnce.code:
                # The list has the key. Shown again, the form would repeat the submission.
                return call.refuse(LIST, problem)
            return await show_again(call, problem, "account/api_keys.html", **await _context(call))
        return await call.render("account/api_key_secret.html", key=created)

    @PageSpec(method="GET", path=f"{LIST}{{id:int}}/rotate/", access=Access.ACCOUNT)
    async def show_rotation(self, call: PageCall) -> Response:
        return await call.render("account/api_key_rotation.html", number=call.id)

    @PageSpec(method="POST", path=f"{LIST}{{id:int}}/rotate/", access=Access.ACCOUNT)
    async def rotate_key(self, call: PageCall) -> Response:
        proof = {"password": call.form.raw("password"), "code": call.form.text("code")}
        try:
            created = await call.api.post(
                f"{KEYS}{call.id}/rotate/", proof, idempotency_key=call.form.optional(SUBMISSION)
            )
        except ApiProblem as problem:
            if problem.code == SecretShownOnce.code:
                return call.refuse(LIST, problem)
            return await show_again(call, problem, "account/api_key_rotation.html", number=call.id)
        return await call.render("account/api_key_secret.html", key=created)

    @PageSpec(method="POST", path=f"{LIST}{{id:int}}/revoke/", access=Access.ACCOUNT)
    async def revoke_key(self, call: PageCall) -> Response:
        try:
            await call.api.delete(f"{KEYS}{call.id}/")
        except ApiProblem as problem:
            return call.refuse(LIST, problem)
        return call.redirect(LIST, call.gettext("The key is revoked."))


def expiry(days: int | str, now: datetime) -> str:
    """The end of a key in RFC 3339. Any other text than an offered number of days is left to the API to refuse."""
    return (now + timedelta(days=days)).isoformat() if days in EXPIRY_DAYS and isinstance(days, int) else str(days)


async def _context(call: PageCall) -> dict[str, Any]:
    is_staff = call.identity is not None and call.identity.is_staff
    return {
        "keys": (await call.api.get(KEYS))["results"],
        "scopes": [scope.value for scope in Scope if is_staff or scope is not Scope.STAFF],
        "expiry_days": EXPIRY_DAYS,
    }
