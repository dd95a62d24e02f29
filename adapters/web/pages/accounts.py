"""Log-in, log-out, sign-up, and the reader's language and theme."""

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from adapters.web.framework import cookies
from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import FormErrors
from adapters.web.framework.languages import LANGUAGES
from adapters.web.framework.page import LOG_IN, Access, Page, PageCall, PageSpec, is_local, pages_of

USERS: Final = "/users/api/v1/"
SECOND_FACTOR: Final = frozenset({"second_factor_required", "second_factor_rejected"})


class AccountPages:
    """Pages for everybody's own account."""

    @PageSpec(method="GET", path=LOG_IN, access=Access.PUBLIC)
    async def show_log_in(self, call: PageCall) -> Response:
        if call.identity is not None:
            return call.redirect(_target(call.query.get("next", "")))
        return await call.render("account/log_in.html", target=call.query.get("next", ""), needs_code=False)

    @PageSpec(method="POST", path=LOG_IN, access=Access.PUBLIC)
    async def log_in(self, call: PageCall) -> Response:
        form = call.form
        credentials = {
            "email": form.text("email"),
            "password": form.raw("password"),
            "device_token": cookies.DEVICE.read(call.request) or "",
            "code": form.text("code"),
        }
        try:
            tokens = await call.api.post(f"{USERS}token/", credentials)
        except ApiProblem as problem:
            return await call.render(
                "account/log_in.html",
                status=problem.status,
                errors=FormErrors.of(problem),
                target=form.text("next"),
                needs_code=problem.code in SECOND_FACTOR,
            )
        return await log_in_browser(call, tokens, _target(form.text("next")))

    @PageSpec(method="POST", path="/log-out/", access=Access.PUBLIC)
    async def log_out(self, call: PageCall) -> Response:
        if call.session is not None:
            await call.api.post(f"{USERS}logout/")
            call.sessions.forget(call.session.cookie)
        response = call.redirect("/", call.gettext("You are logged out."))
        cookies.SESSION.delete(call.request, response)
        return response

    @PageSpec(method="GET", path="/sign-up/", access=Access.PUBLIC)
    async def show_sign_up(self, call: PageCall) -> Response:
        return await call.render("account/sign_up.html", target=call.query.get("next", ""))

    @PageSpec(method="POST", path="/sign-up/", access=Access.PUBLIC)
    async def sign_up(self, call: PageCall) -> Response:
        form = call.form
        account = {name: form.text(name) for name in ("email", "first_name", "last_name", "display_name")}
        try:
            await call.api.post(f"{USERS}sign-up/", {**account, "password": form.raw("password")})
            tokens = await call.api.post(
                f"{USERS}token/", {"email": form.text("email"), "password": form.raw("password")}
            )
        except ApiProblem as problem:
            return await call.render(
                "account/sign_up.html", status=problem.status, errors=FormErrors.of(problem), target=form.text("next")
            )
        return await log_in_browser(call, tokens, _target(form.text("next")))

    @PageSpec(method="POST", path="/preferences/", access=Access.PUBLIC)
    async def set_preferences(self, call: PageCall) -> Response:
        form = call.form
        response = call.redirect(_target(form.text("next")))
        if form.text("language") in LANGUAGES:
            cookies.LANGUAGE.write(call.request, response, form.text("language"))
        if form.text("theme") in {"light", "dark", "auto"}:
            cookies.THEME.write(call.request, response, form.text("theme"))
        return response


async def log_in_browser(call: PageCall, tokens: dict[str, str], target: str) -> Response:
    """Make the session of new tokens the one of this browser; its former session ends."""
    await _end_session(call)
    cookie = await call.sessions.start(tokens["access"])
    response = call.redirect(target)
    cookies.SESSION.write(call.request, response, cookie)
    cookies.VISITOR.delete(call.request, response)
    if device := tokens.get("device_token"):
        cookies.DEVICE.write(call.request, response, device)
    return response


async def _end_session(call: PageCall) -> None:
    """End the session of this browser, unless it has ended already."""
    if call.session is None:
        return
    try:
        await call.api.post(f"{USERS}logout/")
    except ApiProblem as problem:
        if problem.status != HTTPStatus.UNAUTHORIZED:
            raise
    call.sessions.forget(call.session.cookie)


def account_pages() -> list[Page]:
    return pages_of(AccountPages())


def _target(target: str) -> str:
    return target if target and is_local(target) else "/"
