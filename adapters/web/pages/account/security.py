"""`/account/password/`, `/account/sessions/` and `/account/second-factor/`."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.account.submitting import ME, show_again, submit

SESSIONS: Final = f"{ME}sessions/"
SECOND_FACTOR: Final = f"{ME}second-factor/"
SETUP: Final = "account/second_factor_setup.html"


class SecurityPages:
    @PageSpec(method="GET", path="/account/password/", access=Access.ACCOUNT)
    async def show_password(self, call: PageCall) -> Response:
        return await call.render("account/password.html")

    @PageSpec(method="POST", path="/account/password/", access=Access.ACCOUNT)
    async def change_password(self, call: PageCall) -> Response:
        form = call.form
        request = call.api.post(
            "/users/api/v1/password/",
            {
                "old_password": form.raw("old_password"),
                "new_password": form.raw("new_password"),
                "code": form.text("code"),
                "revoke_api_keys": form.flag("revoke_api_keys"),
            },
        )
        answer = await submit(call, request, "account/password.html")
        message = call.gettext("The password is changed, and all other sessions have ended.")
        return answer or call.redirect("/account/password/", message)

    @PageSpec(method="GET", path="/account/sessions/", access=Access.ACCOUNT)
    async def list_sessions(self, call: PageCall) -> Response:
        sessions = (await call.api.get(SESSIONS))["results"]
        return await call.render("account/sessions.html", sessions=sessions)

    @PageSpec(method="POST", path="/account/sessions/{id:int}/end/", access=Access.ACCOUNT)
    async def end_session(self, call: PageCall) -> Response:
        try:
            await call.api.delete(f"{SESSIONS}{call.id}/")
        except ApiProblem as problem:
            return call.refuse("/account/sessions/", problem)
        return call.redirect("/account/sessions/", call.gettext("The session has ended."))

    @PageSpec(method="POST", path="/account/sessions/end-others/", access=Access.ACCOUNT)
    async def end_other_sessions(self, call: PageCall) -> Response:
        await call.api.post(f"{SESSIONS}revoke-others/")
        return call.redirect("/account/sessions/", call.gettext("All other sessions have ended."))

    @PageSpec(method="GET", path="/account/second-factor/", access=Access.ACCOUNT)
    async def show_second_factor(self, call: PageCall) -> Response:
        return await call.render("account/second_factor.html", state=await call.api.get(SECOND_FACTOR))

    @PageSpec(method="POST", path="/account/second-factor/", access=Access.ACCOUNT)
    async def begin_second_factor(self, call: PageCall) -> Response:
        """Show the secret in the response: it is stored nowhere else."""
        try:
            enrolment = await call.api.post(SECOND_FACTOR, {"password": call.form.raw("password")})
        except ApiProblem as problem:
            state = await call.api.get(SECOND_FACTOR)
            return await show_again(call, problem, "account/second_factor.html", state=state)
        return await call.render(SETUP, secret=enrolment["secret"], uri=enrolment["uri"])

    @PageSpec(method="POST", path="/account/second-factor/confirm/", access=Access.ACCOUNT)
    async def confirm_second_factor(self, call: PageCall) -> Response:
        form = call.form
        try:
            confirmed = await call.api.post(f"{SECOND_FACTOR}confirm/", {"code": form.text("code")})
        except ApiProblem as problem:
            # The form repeats the secret, which the API shows once.
            return await show_again(call, problem, SETUP, secret=form.text("secret"), uri=form.text("uri"))
        return await call.render("account/recovery_codes.html", codes=confirmed["recovery_codes"])

    @PageSpec(method="POST", path="/account/second-factor/change/", access=Access.ACCOUNT)
    async def change_second_factor(self, call: PageCall) -> Response:
        """Replace the recovery codes, or switch the second factor off, as the pressed button says."""
        form = call.form
        proof = {"password": form.raw("password"), "code": form.text("code")}
        action = "disable/" if form.text("action") == "disable" else "recovery-codes/"
        try:
            answer = await call.api.post(f"{SECOND_FACTOR}{action}", proof)
        except ApiProblem as problem:
            state = await call.api.get(SECOND_FACTOR)
            return await show_again(call, problem, "account/second_factor.html", state=state)
        if action == "disable/":
            return call.redirect("/account/second-factor/", call.gettext("The second factor is off."))
        return await call.render("account/recovery_codes.html", codes=answer["recovery_codes"])
