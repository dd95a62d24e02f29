"""The pages behind links in e-mails, and the request for such an e-mail.

Links have their token in the fragment (`/reset-password#token=…`), so that it is in no log. A script fills it in;
without scripts, the reader pastes the link or the token.
"""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.page import LOG_IN, Access, PageCall, PageSpec
from adapters.web.pages.account.submitting import show_again, submit

USERS: Final = "/users/api/v1/"
TOKEN_PREFIX: Final = "token="  # noqa: S105 - a parameter
"""What precedes the token in a link."""


class EmailLinkPages:
    @PageSpec(method="GET", path="/forgot-password/", access=Access.PUBLIC)
    async def show_forgotten_password(self, call: PageCall) -> Response:
        return await call.render("account/forgot_password.html")

    @PageSpec(method="POST", path="/forgot-password/", access=Access.PUBLIC)
    async def request_reset(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{USERS}password/reset/", {"email": call.form.text("email")})
        except ApiProblem as problem:
            return await show_again(call, problem, "account/forgot_password.html")
        message = call.gettext("If the address has an account, an e-mail with a link is on its way.")
        return call.redirect("/reset-password/", message)

    @PageSpec(method="GET", path="/reset-password/", access=Access.PUBLIC)
    async def show_reset(self, call: PageCall) -> Response:
        return await call.render("account/reset_password.html")

    @PageSpec(method="POST", path="/reset-password/", access=Access.PUBLIC)
    async def reset_password(self, call: PageCall) -> Response:
        form = call.form
        body = {"token": token_of(form.text("token")), "new_password": form.raw("new_password")}
        request = call.api.post(f"{USERS}password/reset/confirm/", body)
        answer = await submit(call, request, "account/reset_password.html")
        return answer or call.redirect(LOG_IN, call.gettext("The password is changed. Log in with it."))

    @PageSpec(method="GET", path="/verify-email/", access=Access.PUBLIC)
    async def show_verification(self, call: PageCall) -> Response:
        return await call.render("account/verify_email.html")

    @PageSpec(method="POST", path="/verify-email/", access=Access.PUBLIC)
    async def verify_email(self, call: PageCall) -> Response:
        body = {"token": token_of(call.form.text("token"))}
        request = call.api.post(f"{USERS}email/verification/confirm/", body)
        answer = await submit(call, request, "account/verify_email.html")
        target = "/account/" if call.identity is not None else LOG_IN
        return answer or call.redirect(target, call.gettext("The address is confirmed."))


def token_of(text: str) -> str:
    """The token in a pasted link, or the text itself."""
    return text.rpartition(TOKEN_PREFIX)[2].strip()
