"""`/account/`: the profile, the e-mail address, and the data of the account."""

from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework import cookies
from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import Form
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.account.submitting import ME, submit

EMAIL: Final = "/users/api/v1/email/"
FIELDS: Final = ("first_name", "last_name", "display_name", "bio")


class ProfilePages:
    @PageSpec(method="GET", path="/account/", access=Access.ACCOUNT)
    async def show_profile(self, call: PageCall) -> Response:
        profile = await call.api.get(ME)
        call.form = Form.of(profile)
        return await call.render("account/profile.html", profile=profile)

    @PageSpec(method="POST", path="/account/", access=Access.ACCOUNT)
    async def edit_profile(self, call: PageCall) -> Response:
        profile = await call.api.get(ME)
        answer = None
        if edited := edited_fields(profile, call.form):
            answer = await submit(call, call.api.patch(ME, edited), "account/profile.html", profile=profile)
        return answer or call.redirect("/account/", call.gettext("The profile is saved."))

    @PageSpec(method="GET", path="/account/email/", access=Access.ACCOUNT)
    async def show_email(self, call: PageCall) -> Response:
        return await call.render("account/email.html", profile=await call.api.get(ME))

    @PageSpec(method="POST", path="/account/email/", access=Access.ACCOUNT)
    async def change_email(self, call: PageCall) -> Response:
        form = call.form
        request = call.api.post(
            EMAIL, {"email": form.text("email"), "password": form.raw("password"), "code": form.text("code")}
        )
        answer = await submit(call, request, "account/email.html", profile=await call.api.get(ME))
        message = call.gettext("An e-mail with a link is on its way to the new address. The address changes with it.")
        return answer or call.redirect("/account/email/", message)

    @PageSpec(method="POST", path="/account/email/verification/", access=Access.ACCOUNT)
    async def request_verification(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{EMAIL}verification/")
        except ApiProblem as problem:
            return call.refuse("/account/email/", problem)
        message = call.gettext("An e-mail is on its way, unless the address is confirmed already.")
        return call.redirect("/account/email/", message)

    @PageSpec(method="GET", path="/account/data/", access=Access.ACCOUNT)
    async def show_data(self, call: PageCall) -> Response:
        return await call.render("account/data.html")

    @PageSpec(method="POST", path="/account/data/export/", access=Access.ACCOUNT)
    async def export(self, call: PageCall) -> Response:
        """The document of the API as a file. It is a POST request, because exports are limited and recorded."""
        try:
            exported = await call.api.request("GET", f"{ME}export/")
        except ApiProblem as problem:
            return call.refuse("/account/data/", problem)
        headers = {
            "Content-Disposition": exported.headers["content-disposition"],
            "Cache-Control": "private, no-store",
        }
        return Response(exported.body, headers=headers, media_type="application/json")

    @PageSpec(method="POST", path="/account/data/deletion/", access=Access.ACCOUNT)
    async def delete_account(self, call: PageCall) -> Response:
        form = call.form
        request = call.api.post(f"{ME}deletion/", {"password": form.raw("password"), "code": form.text("code")})
        if answer := await submit(call, request, "account/data.html"):
            return answer
        if call.session is not None:
            call.sessions.forget(call.session.cookie)
        response = call.redirect("/", call.gettext("The account is deleted."))
        cookies.SESSION.delete(call.request, response)
        return response


def edited_fields(profile: dict[str, Any], form: Form) -> dict[str, str]:
    """The fields that the form changes. A public name that the API derived stays derived unless it is edited."""
    edited = {name: form.raw(name) if name == "bio" else form.text(name) for name in FIELDS if name in form}
    return {name: text for name, text in edited.items() if _lines(text) != _lines(profile[name])}


def _lines(text: str) -> str:
    # Browsers send line breaks as CR LF.
    return text.replace("\r\n", "\n").strip()
